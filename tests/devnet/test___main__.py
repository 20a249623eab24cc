"""The devnet's command line: what it refuses before anything is started."""

import json
from pathlib import Path

import pytest

from devnet.__main__ import choose_commands, open_folder, parse_arguments
from devnet.lies import VARIETIES
from node.errors import ConfigError


def test_the_drill_tells_every_variety_and_then_every_row(tmp_path: Path) -> None:
    """What is refused comes first, since a rollback gives messages a new deadline."""
    file = tmp_path / "rows.json"
    file.write_text(json.dumps([{"step": 1, "offset": 2, "xor": 3}]))

    commands = choose_commands(parse_arguments(["--until", "drill", "--lies", str(file)]))

    assert {command.name for command in commands[:-1]} == set(VARIETIES)
    assert commands[-1].name == "flip step 1 offset 2 xor 3"
    refused = [command.variety is not None and command.variety.is_refused for command in commands]
    assert refused == sorted(refused, reverse=True)


@pytest.mark.parametrize("wrong", [["--until", "dawn"], ["--lies", "rows.json"], ["--only", "root_first"]])
def test_a_wrong_command_line_is_refused(wrong: list[str]) -> None:
    """Lies without a drill would never be told."""
    with pytest.raises(SystemExit, match="2"):
        parse_arguments(wrong)


def test_a_folder_is_emptied_only_when_it_is_the_devnets_own(tmp_path: Path) -> None:
    """An earlier run's files go; anybody else's stay, and so does the folder of a devnet that runs."""
    folder, foreign = tmp_path / "run", tmp_path / "foreign"
    with open_folder(folder):
        (folder / "drill.json").write_text("{}")
        with pytest.raises(ConfigError, match="a development network runs in"), open_folder(folder):
            pass
        assert (folder / "drill.json").exists()
    with open_folder(folder):
        assert not (folder / "drill.json").exists()

    foreign.mkdir()
    (foreign / "thesis.txt").write_text("words")
    with pytest.raises(ConfigError, match="is not empty"), open_folder(foreign):
        pass
    assert (foreign / "thesis.txt").exists()
