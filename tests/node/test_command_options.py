"""TLS from the command line: a gateway is spoken to by whom the user trusts, and by nobody else."""

import subprocess
from pathlib import Path

import pytest

from node.anvil import run_anvil
from node.cli import main
from tests.node.test_cli import fail, mine_fast, prepare, run_sequencer


def make_authority(folder: Path, name: str) -> Path:
    """A certificate that vouches for others; its key beside it."""
    certificate = folder / f"{name}.pem"
    _run_openssl(
        *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"),
        *("-subj", f"/CN={name}", "-addext", "keyUsage=critical,keyCertSign"),
        *("-keyout", certificate.with_suffix(".key"), "-out", certificate),
    )
    return certificate


def certify(authority: Path, folder: Path) -> None:
    """A key for 127.0.0.1 in a folder, and what the authority says of it."""
    key, request, extensions = folder / "key.pem", folder / "request", folder / "extensions"
    extensions.write_text("subjectAltName=IP:127.0.0.1\n")
    _run_openssl(
        *("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=gateway"),
        *("-keyout", key, "-out", request),
    )
    _run_openssl(
        *("x509", "-req", "-in", request, "-CA", authority, "-CAkey", authority.with_suffix(".key"), "-days", "1"),
        *("-CAcreateserial", "-extfile", extensions, "-out", folder / "certificate.pem"),
    )


def _run_openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


@pytest.mark.slow
def test_a_gateway_is_trusted_by_its_authority(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By a named authority, or as the folder's own; not by this system's, not by a stranger's, and not in the clear."""
    folder = tmp_path / "exchange"
    authority, stranger = make_authority(tmp_path, "authority"), make_authority(tmp_path, "stranger")
    with run_anvil() as anvil:
        assert main(["init", str(folder), "--l1", anvil.url]) == 0
        prepare(folder, anvil)
        certify(authority, folder)
        config = (folder / "keel.toml").read_text()
        for name in ("tls_certificate", "tls_key"):
            assert f"# {name}" in config
            config = config.replace(f"# {name}", name)
        (folder / "keel.toml").write_text(config)
        assert main(["deploy", "--config", str(folder)]) == 0
        with mine_fast(anvil), run_sequencer(folder) as port:
            at = ["--config", str(folder), "--gateway", f"127.0.0.1:{port}"]
            deposit = ["wallet", "deposit", "0.5", "--asset", "1", "--wait"]
            capsys.readouterr()
            for arguments, told in [
                ([*deposit, *at, "--tls-ca", str(authority)], "message 0 is taken"),
                (["wallet", "register-key", "--wait", *at, "--tls-ca", str(authority)], "message 1 is taken"),
                (["wallet", "withdraw", "0.125", "--asset", "1", *at, "--tls-ca", str(authority)], "0.125 moved"),
                (["status", *at, "--tls-ca", str(authority)], "sequencer at 127.0.0.1"),
                (["status", *at], "nobody answers at"),
                (["status", *at, "--tls"], "nobody answers at"),
                (["status", *at, "--tls-ca", str(stranger)], "nobody answers at"),
            ]:
                assert main(arguments) == 0
                assert told in capsys.readouterr().out
            assert "certificate" in fail(capsys, "wallet", "cancel", "--account", "1", *at, "--tls-ca", stranger)
            assert "no certificates can be read" in fail(capsys, "status", *at, "--tls-ca", folder / "keel.toml")

            assert "\nport = 0\n" in config
            (folder / "keel.toml").write_text(config.replace("\nport = 0\n", f"\nport = {port}\n", 1))
            assert main(["status", "--config", str(folder)]) == 0
            assert f"sequencer at 127.0.0.1:{port}" in capsys.readouterr().out, "by the folder's own certificate"
