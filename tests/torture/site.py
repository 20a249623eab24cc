"""What is tortured: a rollup on a real L1, people with accounts, and a node's roles as processes of their own."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import trio

from devnet.network import DEVELOPMENT_SECRET, PROJECT, find_port
from devnet.people import Person, create_person, endow, mint_dollars
from node.amounts import ETHER
from node.anvil import Anvil
from node.client import Client, GatewayUnreachable, open_client
from node.deploy import Deployment, deploy, write_deployment
from node.gateway import MethodError
from node.init_folder import init_folder
from node.keys import Secp256k1Key, load_ethereum_key, parse_address
from node.l1 import L1
from node.launch import Launch, LaunchAsset
from node.rollup import ETH, Rollup, Terms
from node.session import Session, SessionError, fetch_globals, fetch_underlyings, find_account
from node.transactions import Sender
from state.codec import Value
from state.genesis import Genesis
from tests.world import LISTINGS, RULES, build_params

TERMS = Terms(
    challenge_window=12,
    silence_limit=600,
    inbox_deadline=300,
    time_lag_max=10,
    bond=2 * ETHER,
    message_fee=10**12,
    wind_down_limit=3_600,
    registration_period=12,
)
DOLLARS = 10**12
PRICE = 17_000_000
ORACLE_KEYS = ("oracle-1", "oracle-2", "oracle-3")
READY_SECONDS_MAX = 60
SETTINGS = {
    "batch_seconds": "1",
    "tick_seconds": "0.2",
    "poll_seconds": "0.3",
    "heartbeat_seconds": "5",
}


@dataclass
class Role:
    """A command that is run again whenever it has ended."""

    name: str
    command: list[str]
    log: Path
    process: trio.Process | None = None
    begins_at: int = 0

    @property
    def is_alive(self) -> bool:
        """Whether it runs now."""
        return self.process is not None and self.process.poll() is None

    async def start(self) -> int:
        """Run it; its process id."""
        self.begins_at = len(self.read_log(whole=True))
        with self.log.open("ab") as output:
            self.process = await trio.lowlevel.open_process(
                self.command,
                stdin=subprocess.PIPE if self.name == "oracle" else subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=PROJECT,
                start_new_session=True,
                env=os.environ | {"PYTHONUNBUFFERED": "1"},
            )
        return self.process.pid

    async def wait_for_line(self, text: str) -> None:
        """Until it has logged a text since its last start, or has ended."""
        while self.is_alive and text not in self.read_log(whole=True)[self.begins_at :]:  # noqa: ASYNC110
            await trio.sleep(0.02)

    async def stop(self) -> None:
        """As an operator does, with a tracer around it or without."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGTERM)
            await self.wait()

    async def kill(self) -> None:
        """As a power cut would, and wait until nothing of it is left."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGKILL)
            await self.wait()

    async def wait(self) -> int:
        """Its end."""
        assert self.process is not None
        status = await self.process.wait()
        if self.process.stdin is not None:
            await self.process.stdin.aclose()
        return status

    def read_log(self, *, whole: bool = False) -> str:
        """What it wrote, or the end of it."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return text if whole else text[-3000:]


@dataclass
class Site:
    """Everything that stays while roles come and go."""

    folder: Path
    anvil: Anvil
    deployment: Deployment
    genesis: Genesis
    port: int
    follower_port: int
    people: list[Person] = field(default_factory=list)
    roles: dict[str, Role] = field(default_factory=dict)

    @property
    def rollup(self) -> Rollup:
        """A client of its own."""
        return Rollup(L1([self.anvil.url]), self.deployment.address)

    @cached_property
    def domain(self) -> bytes:
        """The rollup's."""
        return self.rollup.get_domain()

    @cached_property
    def operator(self) -> bytes:
        """Whose batches and receipts they are."""
        return load_ethereum_key(self.folder / "keys" / "l1.json").address

    def add_role(self, name: str, *options: str) -> Role:
        """A keel command on the site's folder."""
        command = [sys.executable, "-m", "node.cli", name, "--config", str(self.folder), *options]
        role = self.roles[name] = Role(name, command, self.folder / f"{name}.log")
        return role

    async def wait_until_ready(self) -> bool:
        """Until the sequencer answers; False when it ends before. Raises TimeoutError."""
        role = self.roles["sequencer"]
        with trio.move_on_after(READY_SECONDS_MAX):
            while role.is_alive:
                try:
                    async with open_client("127.0.0.1", self.port) as client:
                        await client.call("status")
                        return True
                except* (GatewayUnreachable, MethodError):
                    await trio.sleep(0.05)
            return False
        raise TimeoutError(role.read_log())

    async def wait_until_open(self) -> None:
        """Until orders are taken: there is a price, everybody has a key, and cancels are not all that is taken."""
        while True:
            try:
                async with open_client("127.0.0.1", self.port) as client:
                    state, underlyings = await fetch_globals(client), await fetch_underlyings(client)
                    has_keys = [await self._has_key(client, person) for person in self.people]
                    if state.time >= state.cancel_only_until and underlyings[0].mark and all(has_keys):
                        return
            except* (GatewayUnreachable, SessionError, MethodError):
                pass
            await trio.sleep(0.1)

    async def _has_key(self, client: Client, person: Person) -> bool:
        return bool((await Session(client, self.domain, person.session, person.account).get_account()).keys)

    async def read_sealed(self) -> int:
        """The last batch that the sequencer has sealed."""
        async with open_client("127.0.0.1", self.port) as client:
            match await client.call("status"):
                case [_, _, _, _, _, int() as sealed, *_]:
                    return sealed
        raise AssertionError("this is no sequencer's status")

    async def read_follower(self) -> tuple[int, bytes, int | None] | None:
        """The follower's last batch, its root, and the wrong batch it sees; None when nobody answers."""
        status: Value = None
        try:
            async with open_client("127.0.0.1", self.follower_port) as client:
                status = await client.call("status")
        except* (GatewayUnreachable, MethodError):
            pass
        match status:
            case [_, int() as tip, _, bytes() as root, (int() | None) as wrong, *_]:
                return tip, root, wrong
        return None

    async def open_accounts(self) -> None:
        """Everybody deposits and registers a key; returns when the sequencer has taken all of it."""
        async with trio.open_nursery() as nursery:
            for person in self.people:
                if not person.account:
                    nursery.start_soon(self._open_account, person)

    async def _open_account(self, person: Person) -> None:
        await trio.to_thread.run_sync(person.open_account, DOLLARS)
        sequencer = self.roles["sequencer"]
        while not person.account:
            assert sequencer.is_alive, f"the sequencer ended by itself: {sequencer.read_log()}"
            try:
                async with open_client("127.0.0.1", self.port) as client:
                    person.account = await find_account(client, person.wallet.address)
            except* (GatewayUnreachable, SessionError, MethodError):
                await trio.sleep(0.2)
        await trio.to_thread.run_sync(person.register_key)

    def close(self) -> None:
        """Kill what still runs, and let go of everybody's journal."""
        for role in self.roles.values():
            if role.process is not None:
                # Says nothing to one that has ended, of which only a loop may ask.
                role.process.send_signal(signal.SIGKILL)
        for person in self.people:
            person.wallet.sender.close()


def build_site(folder: Path, anvil: Anvil, people: int) -> Site:
    """Deploy, write the node's folder, and give everybody what he needs on L1. Blocks."""
    port, follower_port, l1 = find_port(), find_port(), L1([anvil.url])
    init_folder(folder, anvil.url)
    _write_settings(folder, port, follower_port)
    signers = tuple(load_ethereum_key(folder / "keys" / f"{name}.json").address for name in ORACLE_KEYS)
    params = build_params(cancel_only_interval=1, oracle_signers=signers, oracle_threshold=2)
    assets = (LaunchAsset("USD", None, 1, 10**15), LaunchAsset("ETH", ETH, 10**9, 10**15))
    genesis = Genesis(params, RULES, LISTINGS, l1.get_block().time)
    bank_key = Secp256k1Key(DEVELOPMENT_SECRET)
    with Sender(l1, bank_key, folder / "keys" / "bank.nonces", poll_seconds=0.05) as bank:
        deployment = deploy(bank, Launch(genesis, assets, TERMS))
        write_deployment(deployment, folder / "deployment.json")
        site = Site(folder, anvil, deployment, genesis, port, follower_port)
        keys = [
            load_ethereum_key(path).address for path in (folder / "keys").glob("*.json") if "session" not in path.name
        ]
        for number in range(people):
            site.people.append(create_person(f"person-{number}", folder / "people", site.rollup))
        owners = [person.wallet.address for person in site.people]
        endow(bank, keys + owners)
        mint_dollars(bank, parse_address(deployment.tokens[0]), owners, DOLLARS)
    return site


def _write_settings(folder: Path, port: int, follower_port: int) -> None:
    """Short times, so that in minutes everything happens that takes days elsewhere."""
    path = folder / "keel.toml"
    text = path.read_text().replace("port = 7401", f"port = {port}")
    text = text.replace("port = 7402", f"port = {follower_port}")
    for name, value in SETTINGS.items():
        text = re.sub(rf"^{name} = \d+", f"{name} = {value}", text, flags=re.MULTILINE)
    path.write_text(text)


@contextmanager
def keep_no_process(site: Site) -> Iterator[None]:
    """Whatever happens within, nothing of the site runs afterwards."""
    try:
        yield
    finally:
        site.close()


# The oracle's source


async def feed_oracle(role: Role, prices: Sequence[int]) -> None:
    """Tell the oracle that runs just now a price a second, for ever."""
    number = 0
    while True:
        number += 1
        line = f'{{"symbol": "BTC", "spot": {prices[number % len(prices)]}}}\n'
        process = role.process
        if process is not None and process.stdin is not None:
            with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                await process.stdin.send_all(line.encode())
        await trio.sleep(1)
