"""An installation that is not this folder: it must hold whatever the commands read beside Python."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from node.anvil import PROJECT


@pytest.mark.slow
def test_a_wheel_holds_contracts_and_data(tmp_path: Path) -> None:
    """Every source of a contract and every file of the devnet's data, at the place where the code looks for it."""
    tree, wheels = tmp_path / "tree", tmp_path / "wheels"
    listed = subprocess.run(["git", "ls-files"], cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    tracked = [name for name in listed.splitlines() if (PROJECT / name).is_file() and not name.startswith("tests/")]
    for name in tracked:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(PROJECT / name, tree / name)
    wheels.mkdir()
    build = f"from setuptools.build_meta import build_wheel; build_wheel({str(wheels)!r})"
    subprocess.run([sys.executable, "-c", build], cwd=tree, capture_output=True, check=True)

    (wheel,) = wheels.glob("*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())

    needed = {name for name in tracked if name.endswith(".vy") or name.startswith("devnet/data/")}
    python = {name for name in tracked if name.endswith(".py")}
    assert needed
    assert needed | python <= held, f"missing: {sorted((needed | python) - held)}"
