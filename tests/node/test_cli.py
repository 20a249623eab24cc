"""The `keel` command teaches, works, and fails in one sentence."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from node.anvil import PROJECT, Anvil, run_anvil
from node.cli import build_parser, explain, main
from node.client import GatewayUnreachable
from node.errors import ConfigError
from node.gateway import MethodError
from node.keys import load_ethereum_key, parse_address
from node.receipt_check import read_receipts
from state.operations import hash_domain
from tests.node.town import Town, give_ether, open_town

NOBODY = "http://127.0.0.1:1"


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with open_town(tmp_path_factory.mktemp("cli")) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """What `keel init` wrote for an L1 where nobody is."""
    assert main(["init", str(tmp_path / "exchange"), "--l1", NOBODY]) == 0
    capsys.readouterr()
    return tmp_path / "exchange"


def prepare(folder: Path, anvil: Anvil) -> None:
    """Ether for the founder, a window that a test can wait for, orders from the first second."""
    for name in ("l1", "wallet"):
        give_ether(anvil, load_ethereum_key(folder / "keys" / f"{name}.json"), 100)
    terms = (folder / "genesis.toml").read_text()
    for old, new in [("cancel_only_seconds = 600", "cancel_only_seconds = 0"), ("window = 604_800", "window = 3_600")]:
        assert old in terms
        terms = terms.replace(old, new)
    (folder / "genesis.toml").write_text(terms.replace("time_lag_max = 1_800", "time_lag_max = 600"))
    config = (folder / "keel.toml").read_text().replace("port = 7401", "port = 0")
    (folder / "keel.toml").write_text(config.replace("poll_seconds = 1", "poll_seconds = 0.1"))


@contextmanager
def mine_fast(anvil: Anvil) -> Iterator[None]:
    """Blocks come many times a second, and with them finality."""
    is_over = threading.Event()

    def mine() -> None:
        while not is_over.wait(0.1):
            anvil.request("evm_mine")

    thread = threading.Thread(target=mine)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


@contextmanager
def run_sequencer(folder: Path) -> Iterator[int]:
    """`keel sequencer`, from its first line of service to Ctrl-C; gives the gateway's port."""
    command = [sys.executable, "-m", "node.cli", "sequencer", "--config", str(folder)]
    process = subprocess.Popen(command, cwd=PROJECT, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    served = next((line for line in process.stderr if "serving" in line), None)
    assert served is not None, "the sequencer ended before it served"
    try:
        yield int(served.rsplit("port=", 1)[1])
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGINT


def fail(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Run a command that must fail with status 1, and give its one sentence."""
    assert main([str(argument) for argument in arguments]) == 1
    output = capsys.readouterr()
    assert output.err.startswith("keel: ")
    assert output.err.count("\n") == 1
    return output.err.removeprefix("keel: ")


def list_commands(parser: object, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command that has no commands below it."""
    actions = [action for action in parser._actions if isinstance(action.choices, dict)]  # type: ignore[attr-defined]
    if not actions:
        yield words
    for action in actions:
        for name, below in action.choices.items():
            yield from list_commands(below, (*words, name))


def test_every_command_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    """--help works everywhere and needs neither a folder nor an L1; the top shows how to begin."""
    commands = list(list_commands(build_parser()))
    assert {("init",), ("sequencer",), ("watchtower",), ("wallet", "claim"), ("drill", "verify")} <= set(commands)
    for words in commands:
        with pytest.raises(SystemExit) as exited:
            main([*words, "--help"])
        assert exited.value.code == 0
        text = capsys.readouterr().out
        assert text.startswith(f"usage: keel {' '.join(words)} "), words
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "keel init exchange" in capsys.readouterr().out


def test_help_loads_no_l1_client() -> None:
    """What takes seconds to load is loaded by the commands that need it."""
    check = "import sys; import node.cli; node.cli.build_parser(); sys.exit('web3' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], cwd=PROJECT).returncode == 0


@pytest.mark.parametrize(
    "arguments", [[], ["fly"], ["wallet"], ["wallet", "order", "hold", "1", "BTC"], ["status", "x"]]
)
def test_a_wrong_command_line_shows_the_usage(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    """Status 2, as everywhere."""
    with pytest.raises(SystemExit) as exited:
        main(arguments)
    assert exited.value.code == 2
    assert "usage: keel" in capsys.readouterr().err


def test_without_a_folder_every_command_says_what_it_misses(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is guessed."""
    monkeypatch.chdir(tmp_path)
    for arguments, sentence in [
        (["sequencer"], "no keel.toml here: name its folder with --config"),
        (["deploy"], "no keel.toml here"),
        (["oracle"], "no keel.toml here"),
        (["status"], "no L1: give --l1 URL"),
        (["status", "--l1", NOBODY], "no rollup: give --rollup ADDRESS"),
        (["watchtower", "--rollup", "0x12", "--l1", NOBODY], "--rollup: '0x12' is not an address"),
        (["wallet", "balance", "--config", "elsewhere"], "no elsewhere: run `keel init DIR`"),
        (["drill", "verify", "nowhere"], "no nowhere/drill.json: run `make devnet UNTIL=drill` first"),
    ]:
        assert sentence in fail(capsys, *arguments), arguments


def test_a_missing_l1_is_named(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    """By every command that needs it."""
    rollup = ["--rollup", "0x" + "05" * 20]
    for command in ("deploy", "sequencer", "status", "wallet balance", "wallet deposit 5", "follower", "watchtower"):
        options = [] if command == "deploy" else rollup
        assert "no L1 endpoint answers: http://127.0.0.1:1" in fail(
            capsys, *command.split(), "--config", folder, *options
        ), command


def test_what_is_not_there_is_named(capsys: pytest.CaptureFixture[str], folder: Path, town: Town) -> None:
    """No deployment yet, no contract, another contract, no key, an open key."""
    l1 = ["--l1", town.anvil.url]
    at = ["--config", folder, *l1]
    assert "run `keel deploy` first" in fail(capsys, "status", *at)
    assert "no contract at 0x0505" in fail(capsys, "status", *at, "--rollup", "0x" + "05" * 20)
    dollar = "0x" + town.dollar.hex()
    assert "is not a Keel rollup" in fail(capsys, "watchtower", *at, "--rollup", dollar)
    rollup = ["--rollup", town.deployment.rollup]
    assert "no key: give --key FILE" in fail(capsys, "watchtower", *l1, *rollup)
    assert "no key file" in fail(capsys, "watchtower", *l1, *rollup, "--key", folder / "none.json")
    assert "kind 'ed25519'" in fail(capsys, "watchtower", *l1, *rollup, "--key", folder / "keys" / "session.json")
    os.chmod(folder / "keys" / "wallet.json", 0o644)
    assert "run `chmod 600" in fail(capsys, "wallet", "balance", *at, *rollup)
    os.chmod(folder / "keys" / "wallet.json", 0o600)
    assert "no gateway answers at" in fail(capsys, "wallet", "cancel", "--account", "1", *at, *rollup)
    assert "lists no asset 9" in fail(capsys, "wallet", "withdraw", "1", "--asset", "9", *at, *rollup)
    assert "finer than the chain counts" in fail(capsys, "wallet", "deposit", "0.0000001", *at, *rollup)
    assert "has no account: deposit first" in fail(capsys, "wallet", "cancel-all", *at, *rollup)
    assert "holds 0.000000" in fail(capsys, "watchtower", "--self-test", *at, *rollup)


def test_l1_commands_work_without_a_sequencer(capsys: pytest.CaptureFixture[str], town: Town, tmp_path: Path) -> None:
    """Deposit, forced exit, balance and claim need nobody but the L1."""
    town.give_dollars("wallet", 100_000_000)
    session = tmp_path / "session.json"
    assert main(["wallet", "new", str(session), "--session"]) == 0
    at = ["--l1", town.anvil.url, "--rollup", town.deployment.rollup, "--key", str(town.folder / "wallet.json")]
    at += ["--session", str(session)]
    for arguments, told in [
        (["deposit", "60"], "deposit of 60: message "),
        (["deposit", "0.25", "--asset", "1", "--new-account"], "deposit of 0.25: message "),
        (["register-key", "--account", "1"], "registration of "),
        (["register-key", "--account", "1", "--revoke"], "revocation of "),
        (["force-withdraw", "10", "--account", "1"], "forced withdrawal of 10: message "),
        (["cancel-all", "--account", "1"], "cancel-all: message "),
        (["balance"], "as of batch 0, the last final one"),
        (["claim"], "nothing to claim"),
    ]:
        assert main(["wallet", *arguments, *at]) == 0
        assert told in capsys.readouterr().out
    assert town.rollup.get_token_balance(town.dollar, town.get_key("wallet").address) == 40_000_000
    assert main(["status", *at[:4]]) == 0
    assert re.search(r"inbox +6 messages, 0 taken", capsys.readouterr().out)


def test_a_signal_stops_a_role_in_order(town: Town) -> None:
    """A polite kill ends it at once, with the status that shells expect and no traceback; so does Ctrl-C (below)."""
    command = [sys.executable, "-m", "node.cli", "follower", "--listen", "127.0.0.1:0"]
    command += ["--l1", town.anvil.url, "--rollup", town.deployment.rollup]
    process = subprocess.Popen(command, cwd=PROJECT, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert "serving" in process.stderr.readline()
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=20)

    assert process.returncode == 128 + signal.SIGTERM
    assert "Traceback" not in errors


@pytest.mark.slow
def test_from_init_to_a_trade(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The commands of the help text, in their order, against a sequencer in a process of its own."""
    folder, receipts = tmp_path / "exchange", tmp_path / "receipts"
    with run_anvil() as anvil:
        assert main(["init", str(folder), "--l1", anvil.url]) == 0
        prepare(folder, anvil)
        assert main(["deploy", "--config", str(folder)]) == 0
        record = json.loads((folder / "deployment.json").read_text())
        with mine_fast(anvil), run_sequencer(folder) as port:
            at = ["--config", str(folder), "--gateway", f"127.0.0.1:{port}"]
            capsys.readouterr()
            for arguments, told in [
                (["wallet", "deposit", "0.5", "--asset", "1", "--wait"], "message 0 is taken"),
                (["wallet", "register-key", "--wait"], "message 1 is taken"),
                (["wallet", "order", "buy", "2", "BTC", "--price", "17.5"], "0 lots traded at once, 2 rest in slot 0"),
                (["wallet", "order", "buy", "3", "BTC", "--price", "17.5", "--receipts", str(receipts)], "3 rest in"),
                (["wallet", "check-receipts", str(receipts)], "1 receipts, 0 contradicted"),
                (["wallet", "cancel"], "slot 0 is empty from log position"),
                (["wallet", "withdraw", "0.125", "--asset", "1"], "0.125 moved to the outbox"),
                (["status"], f"rollup               {record['rollup']}"),
            ]:
                assert main([*arguments, *at]) == 0
                assert told in capsys.readouterr().out
            assert "refuses: transfer destination must exist (code 903)" in fail(
                capsys, "wallet", "transfer", "1", "--to", "77", "--asset", "1", *at
            )
            assert "DOGE is not listed; listed are: BTC, ETH" in fail(
                capsys, "wallet", "order", "buy", "1", "DOGE", "--price", "1", *at
            )
    (kept,) = read_receipts(receipts, hash_domain(record["chain_id"], parse_address(record["rollup"])))
    assert kept.signer == load_ethereum_key(folder / "keys" / "l1.json").address


def test_only_what_people_can_put_right_is_explained() -> None:
    """Several failures side by side give one sentence; a defect among them keeps its traceback."""
    known = ConfigError("write this")
    assert explain(known) == "write this"
    assert explain(ExceptionGroup("", [ExceptionGroup("", [known]), GatewayUnreachable("no")])) == "write this"
    assert explain(MethodError(9001, "counter")) == "the node refuses: counter (code 9001)"
    assert explain(OSError(28, "No space left on device", "data/log")) == "No space left on device: data/log"
    assert explain(ExceptionGroup("", [known, KeyError("x")])) is None
