"""The whole devnet at play: who is started when, what is waited for, what is shown."""

import json
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import trio

from devnet.chain_watch import ChainWatch
from devnet.console import Console
from devnet.drill import Command, Drill, LiarLine
from devnet.genesis import DOLLAR
from devnet.market import compute_minute, list_lines, read_markets
from devnet.network import (
    FRIENDS,
    WATCHTOWERS,
    DevnetError,
    Network,
    Role,
    find_port,
    list_follower_command,
    list_liar_command,
    list_oracle_command,
    list_watchtower_command,
    open_role,
    watch_role,
    write_config,
)
from devnet.people import Person
from devnet.traders import Tally, Trader, Turn, make_market, pay, take
from devnet.verify import RECORD
from node.client import GatewayUnreachable, open_client
from node.gateway import MethodError
from node.l1 import in_thread
from node.session import Session, SessionError, find_account

TURNS: dict[str, Turn] = {
    "maria": make_market,
    "martin": make_market,
    "tanja": take,
    "tom": take,
    "tina": take,
}
PAYER = "paula"
TRADERS = (*TURNS, PAYER)

DEPOSIT = 50_000 * DOLLAR
HEDGER, ETHER_DEPOSIT = "maria", 5 * 10**9
"""Who deposits ether too, as collateral, and how many gwei."""

WITHDRAWAL = 250 * DOLLAR
FINAL_BATCHES = 3

START_SECONDS = 120
MILESTONE_SECONDS = 300


@dataclass(slots=True)
class Play:
    """One run on a network that stands. `speed` is seconds of the crash a second."""

    network: Network
    console: Console
    speed: float
    block_seconds: int
    watch: ChainWatch = field(init=False)
    line: LiarLine = field(init=False)
    oracle: Role = field(init=False)
    sequencer: bytes = field(init=False)
    port: int = 0
    tally: Tally = field(default_factory=Tally)
    started: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.watch = ChainWatch(self.network.rollup)
        self.sequencer = self.network.get_address("sequencer")

    async def start(self, stack: AsyncExitStack, nursery: trio.Nursery) -> None:
        """Every role, and every person's account. Raises DevnetError when it takes too long."""
        stack.callback(self.network.close)
        nursery.start_soon(self.watch.run)
        nursery.start_soon(self._show)
        with trio.move_on_after(START_SECONDS) as patience:
            await self._start_roles(stack, nursery)
            await self._open_accounts()
        if patience.cancelled_caught:
            raise DevnetError(f"not everything runs after {START_SECONDS} s; read the logs in {self.network.folder}")
        for number, name in enumerate(TRADERS):
            nursery.start_soon(self._get_trader(name).run, self.tally, number)
        self.console.say(f"{len(TRADERS)} traders trade on the crash of December 2017, {self.speed:g} times as fast")

    # Roles

    async def _start_roles(self, stack: AsyncExitStack, nursery: trio.Nursery) -> None:
        network = self.network

        async def start(name: str, command: list[str], *, is_piped: bool = False) -> Role:
            role = await stack.enter_async_context(open_role(name, command, network.folder, is_piped=is_piped))
            nursery.start_soon(watch_role, role)
            return role

        sequencer_port, follower_port = find_port(), find_port()
        liar = await start("sequencer", list_liar_command(network, sequencer_port, seal_seconds=1), is_piped=True)
        for name in WATCHTOWERS:
            await start(name, list_watchtower_command(network, name))
        await start("follower", list_follower_command(network, follower_port, sequencer_port))
        self.line = LiarLine(liar)
        nursery.start_soon(self.line.listen)
        event = await self.line.hear()
        self.port = event["port"]
        write_config(network, PAYER, self.port, follower_port)
        self.console.say(f"sequencer serves at 127.0.0.1:{self.port}, follower at 127.0.0.1:{follower_port}")
        self.oracle = await start("oracle", list_oracle_command(network), is_piped=True)
        nursery.start_soon(self._feed_oracle)

    async def _feed_oracle(self) -> None:
        """The prices of the crash, minute for minute."""
        markets, last = read_markets(), -1
        assert self.oracle.process.stdin is not None
        while True:
            minute = compute_minute(time.monotonic() - self.started, self.speed)
            if minute != last:
                lines = "".join(line + "\n" for line in list_lines(markets, minute))
                await self.oracle.process.stdin.send_all(lines.encode())
                last = minute
            await trio.sleep(0.2)

    # People

    async def _open_accounts(self) -> None:
        async with trio.open_nursery() as nursery:
            for person in self.network.people.values():
                nursery.start_soon(self._open_account, person)
        self.console.say(f"{len(self.network.people)} people have deposited on L1 and registered their keys")

    async def _open_account(self, person: Person) -> None:
        await trio.to_thread.run_sync(person.open_account, DEPOSIT)
        owner = person.wallet.address
        async with open_client("127.0.0.1", self.port) as client:
            while person.account == 0:
                try:
                    person.account = await find_account(client, owner)
                except SessionError:
                    await trio.sleep(0.5)
        await trio.to_thread.run_sync(person.register_key)
        if person.name == HEDGER:
            await trio.to_thread.run_sync(person.wallet.deposit, 1, ETHER_DEPOSIT, person.account)

    def _get_trader(self, name: str) -> Trader:
        people = self.network.people
        person = people[name]
        turn = TURNS.get(name) or pay([people[other].account for other in TURNS])
        domain = self.network.rollup.get_domain()
        return Trader("127.0.0.1", self.port, domain, self.sequencer, person.account, person.session, turn)

    async def send_message(self) -> None:
        """A dollar of a friend's into the inbox."""
        friend = self.network.people[FRIENDS[0]]
        await trio.to_thread.run_sync(friend.wallet.deposit, 0, DOLLAR, friend.account)

    # Milestones

    async def reach_milestones(self) -> None:
        """Three final batches, and a withdrawal claimed on L1. Raises DevnetError when it takes too long."""
        with trio.move_on_after(MILESTONE_SECONDS) as patience:
            await self._withdraw()
            await self.watch.wait_until(lambda: self.watch.final >= FINAL_BATCHES)
            self.console.say(f"{self.watch.final} batches are final")
            await self._claim()
        if patience.cancelled_caught:
            raise DevnetError(f"no {FINAL_BATCHES} final batches and a claim within {MILESTONE_SECONDS} s")

    async def _withdraw(self) -> None:
        person, domain = self.network.people[PAYER], self.network.rollup.get_domain()
        while True:
            try:
                async with open_client("127.0.0.1", self.port) as client:
                    session = Session(client, domain, person.session, person.account, self.sequencer)
                    await session.withdraw(0, WITHDRAWAL)
                    self.console.say(f"{PAYER} withdraws {WITHDRAWAL // DOLLAR} dollars")
                    return
            except* (GatewayUnreachable, SessionError, MethodError):
                await trio.sleep(0.5)

    async def _claim(self) -> None:
        """Claim and collect, as soon as the withdrawal's batch is final."""
        wallet = self.network.people[PAYER].wallet
        token = self.network.rollup.get_asset(0).token
        while True:
            state = await trio.to_thread.run_sync(wallet.read_final_state)
            claims = await trio.to_thread.run_sync(wallet.list_claims, state)
            if claims:
                break
            await trio.sleep(1)
        before = self.network.rollup.get_token_balance(token, wallet.address)
        await trio.to_thread.run_sync(wallet.claim, state, claims[0])
        await trio.to_thread.run_sync(wallet.collect, token)
        paid = self.network.rollup.get_token_balance(token, wallet.address) - before
        if paid != WITHDRAWAL:
            raise DevnetError(f"{PAYER} claimed {WITHDRAWAL} units and was paid {paid}")
        self.console.say(f"{PAYER} has claimed {paid // DOLLAR} dollars on L1")

    # The drill

    async def run_drill(self, commands: list[Command]) -> None:
        """Every lie, and the record of what came of it. Raises DrillFailed."""
        network = self.network
        watchtowers = [network.get_address(name) for name in WATCHTOWERS]
        drill = Drill(self.line, self.watch, self.sequencer, watchtowers, self.send_message, self.console.say)
        await drill.run(commands)
        record = await in_thread(drill.build_record, network.anvil.request, network.deployment.rollup)
        write_record(network.folder / RECORD, record)
        dearest = max(record["lies"], key=lambda row: row["gas"])
        self.console.say(
            f"{len(record['lies'])} lies convicted, {len(record['refused'])} refused; the dearest proof took "
            f"{dearest['gas']:,} gas ({dearest['variety']})"
        )

    # What is shown

    async def _show(self) -> None:
        while True:
            self.console.show(self.list_facts())
            await trio.sleep(1)

    def list_facts(self) -> list[tuple[str, str]]:
        """How things stand, as (name, value)."""
        watch, tally = self.watch, self.tally
        refused = ", ".join(f"{code}: {count}" for code, count in tally.refused.most_common(4))
        return [
            ("L1", f"block {watch.block} at {self.network.anvil.url}, a block every {self.block_seconds} s"),
            ("rollup", self.network.deployment.rollup),
            ("batches", f"{watch.tip} posted, {watch.final} final"),
            ("steps", f"{watch.steps:,} re-executed, {watch.posted_bytes:,} bytes"),
            ("trades", f"{tally.accepted:,} requests taken, {tally.lots_filled:,} lots filled"),
            ("refusals", refused or "none"),
            ("marks, $ a lot", ", ".join(f"{symbol} {price / DOLLAR:.2f}" for symbol, price in watch.list_prices())),
            ("convictions", str(len(watch.rollbacks))),
        ]


def write_record(file: Path, record: object) -> None:
    """As JSON."""
    file.write_text(json.dumps(record, indent=2) + "\n")
