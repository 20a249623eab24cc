"""The parts of a devnet: an L1, the contracts on it, keys for everybody, and a process for every role.

Everything lies in one folder, and everything that is started here is stopped here. Roles are real processes: they know
of each other only what their command lines say.
"""

import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from devnet.genesis import ORACLE_THRESHOLD, build_launch
from devnet.people import Person, create_person, draw_key, endow, mint_dollars
from node.anvil import Anvil
from node.contracts import compile_source
from node.deploy import Deployment, deploy, write_deployment
from node.errors import NodeError
from node.keys import Secp256k1Key, format_address, load_ethereum_key, parse_address
from node.l1 import L1, Call, encode_values
from node.rollup import Rollup
from node.transactions import Sender, require_mined

PROJECT = Path(__file__).resolve().parent.parent
STOP_SECONDS = 10

DEVELOPMENT_SECRET = bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
"""Of the first account that anvil fills with ether; everybody knows it."""

FORWARDER = """
ROLLUP: immutable(address)

@deploy
def __init__(rollup: address):
    ROLLUP = rollup

@external
def __default__():
    raw_call(ROLLUP, msg.data)
"""
"""A contract through which a batch can be submitted, if the rollup lets it."""

WATCHTOWERS = ("watchtower-1", "watchtower-2")
ROLES = ("sequencer", "stranger", *WATCHTOWERS, "oracle-1", "oracle-2", "oracle-3", "governor")
FRIENDS = ("frank", "fiona")
"""Two who collude with the operator; nobody else signs for him."""

DOLLARS_EACH = 1_000_000_000_000
"""Base units of the development dollar: a million dollars."""


class DevnetError(NodeError):
    """Something that the devnet is made of did not do what it must; the text says what, and where its log is."""


@dataclass(slots=True)
class Network:
    """What stands before the first process runs."""

    folder: Path
    anvil: Anvil
    rollup: Rollup
    deployment: Deployment
    forwarder: bytes
    people: dict[str, Person]

    def close(self) -> None:
        """Let go of everybody's nonce journal."""
        for person in self.people.values():
            person.wallet.sender.close()

    def get_key_file(self, role: str) -> Path:
        """Of one of ROLES."""
        return self.folder / "keys" / f"{role}.json"

    def get_address(self, role: str) -> bytes:
        """Of one of ROLES."""
        return load_ethereum_key(self.get_key_file(role)).address


def build_network(folder: Path, anvil: Anvil, names: Sequence[str]) -> Network:
    """Draw keys, deploy, and give everybody what he needs on L1. Blocks."""
    l1 = L1([anvil.url])
    keys = {role: draw_key(folder / "keys" / f"{role}.json") for role in ROLES}
    signers = [keys[role].address for role in ROLES if role.startswith("oracle")]
    with Sender(l1, Secp256k1Key(DEVELOPMENT_SECRET), folder / "keys" / "bank.nonces", poll_seconds=0.1) as bank:
        deployment = deploy(bank, build_launch(signers, keys["governor"].address))
        write_deployment(deployment, folder / "deployment.json")
        rollup = Rollup(l1, deployment.address)
        forwarder = deploy_forwarder(bank, deployment.address)
        people = {name: create_person(name, folder / "keys", rollup) for name in (*FRIENDS, *names)}
        addresses = [person.wallet.address for person in people.values()]
        endow(bank, [key.address for key in keys.values()] + addresses)
        mint_dollars(bank, parse_address(deployment.tokens[0]), addresses, DOLLARS_EACH)
    return Network(folder, anvil, rollup, deployment, forwarder, people)


def deploy_forwarder(sender: Sender, rollup: bytes) -> bytes:
    """The address of a contract that passes every call on to the rollup."""
    code = compile_source(FORWARDER, "forwarder").bytecode + encode_values(("address",), (rollup,))
    mined = require_mined(sender.send(Call(None, code, label="deploy forwarder")))
    assert mined.contract is not None
    return mined.contract


# Processes


@dataclass(slots=True)
class Role:
    """A running process; `log` is where it tells what it does."""

    name: str
    process: trio.Process
    log: Path


@asynccontextmanager
async def open_role(name: str, command: Sequence[str], folder: Path, *, is_piped: bool = False) -> AsyncIterator[Role]:
    """Run a command until the block ends; with pipes to its standard input and output when `is_piped`.

    It gets a session of its own, so that a Ctrl-C in the terminal reaches this process alone, which then ends it.
    """
    log = folder / f"{name}.log"
    with log.open("wb") as output:
        process = await trio.lowlevel.open_process(
            list(command),
            stdin=subprocess.PIPE if is_piped else subprocess.DEVNULL,
            stdout=subprocess.PIPE if is_piped else output,
            stderr=output,
            cwd=PROJECT,
            start_new_session=True,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )
    try:
        yield Role(name, process, log)
    finally:
        with trio.CancelScope(shield=True):
            await stop_process(process)


async def stop_process(process: trio.Process) -> None:
    """Ask it to end, and make it end when it does not."""
    if process.poll() is None:
        process.terminate()
        with trio.move_on_after(STOP_SECONDS) as patience:
            await process.wait()
        if patience.cancelled_caught:
            process.kill()
    await process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            await pipe.aclose()


async def watch_role(role: Role) -> None:
    """Wait for the process, for ever if all goes well. Raises DevnetError."""
    status = await role.process.wait()
    lines = role.log.read_text(errors="replace").splitlines()
    raise DevnetError(f"{role.name} ended by itself with status {status}: {' | '.join(lines[-4:])} (see {role.log})")


def find_port() -> int:
    """A port that is free on loopback now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


# Command lines

KEEL = str(Path(sys.executable).parent / "keel")


def list_liar_command(network: Network, port: int, seal_seconds: int) -> list[str]:
    """The sequencer that lies when it is told to."""
    options = {
        "--l1": network.anvil.url,
        "--rollup": format_address(network.rollup.address),
        "--key": network.get_key_file("sequencer"),
        "--stranger": network.get_key_file("stranger"),
        "--forwarder": format_address(network.forwarder),
        "--data": network.folder / "sequencer",
        "--port": port,
        "--seal-seconds": seal_seconds,
    }
    command = [sys.executable, "-m", "devnet.liar", *(str(part) for option in options.items() for part in option)]
    for friend in FRIENDS:
        command += ["--friend", str(network.people[friend].session_file)]
    for number in range(1, ORACLE_THRESHOLD + 1):
        command += ["--oracle-key", str(network.get_key_file(f"oracle-{number}"))]
    return command


def list_watchtower_command(network: Network, name: str) -> list[str]:
    """An L1 URL, the rollup's address and a funded key, and nothing else."""
    command = [KEEL, "watchtower", "--l1", network.anvil.url, "--rollup", format_address(network.rollup.address)]
    return [*command, "--key", str(network.get_key_file(name))]


def list_follower_command(network: Network, port: int, sequencer_port: int) -> list[str]:
    """Re-executes, copies the sequencer's feed, and serves reads and feed."""
    command = [KEEL, "follower", "--l1", network.anvil.url, "--rollup", format_address(network.rollup.address)]
    feed = ["--feed", "--gateway", f"127.0.0.1:{sequencer_port}", "--data", str(network.folder / "follower")]
    return [*command, *feed, "--listen", f"127.0.0.1:{port}"]


def list_oracle_command(network: Network) -> list[str]:
    """Signs the prices that it reads from its standard input."""
    return [KEEL, "oracle", "--config", str(network.folder)]


CONFIG = """\
# Written by the development network: `keel status --config {folder}` and its like work while it runs.
[l1]
urls = ["{url}"]
poll_seconds = 0.5

[keys]
l1 = "keys/{owner}.json"
session = "keys/{owner}-session.json"
oracle = ["keys/oracle-1.json", "keys/oracle-2.json", "keys/oracle-3.json"]

[sequencer]
port = {sequencer_port}

[follower]
port = {follower_port}

[oracle]
heartbeat_seconds = 10
deviation_ppm = 2_000
"""


def write_config(network: Network, owner: str, sequencer_port: int, follower_port: int) -> None:
    """A keel.toml for the oracle and for people; its wallet is `owner`'s."""
    text = CONFIG.format(
        folder=network.folder,
        url=network.anvil.url,
        owner=owner,
        sequencer_port=sequencer_port,
        follower_port=follower_port,
    )
    (network.folder / "keel.toml").write_text(text)
