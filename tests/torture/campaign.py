"""A campaign: kills drawn from a seed until each kind was hit often enough, an audit after each that concerns the log.

Two sorts of kills. At a byte: an assassin lets a write of a drawn kind do a drawn part of its bytes. At an instant:
SIGKILL after a drawn time, from the start of the process on.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import trio

from devnet.network import PROJECT
from tests.torture.assassin import MILLION
from tests.torture.audit import Auditor, Lost, require
from tests.torture.load import Kept, trade
from tests.torture.site import PRICE, TERMS, Role, Site, feed_oracle
from tests.torture.writes import Kind

STRIKE_SECONDS_MAX = 25
INSTANT_SECONDS_MAX = 4.0
MISSES_MAX = 8

AT_FIRST_START = (Kind.GENERATION_BEGUN,)
AT_EVERY_START = (Kind.LOG_TAKEN_OVER, Kind.TABLES)
AT_WORK = (
    Kind.LOG_GROUP,
    Kind.LOG_SYNC,
    Kind.RECEIPT,
    Kind.SEALED_BATCH,
    Kind.FORGOTTEN_BATCH,
    Kind.TRANSACTION_NOTED,
    Kind.NONCES_WRITTEN,
    Kind.NONCES_RENAMED,
)
SKIPS_MAX = {Kind.LOG_GROUP: 50, Kind.LOG_SYNC: 50, Kind.RECEIPT: 100, Kind.TABLES: 4, Kind.NONCES_RENAMED: 3}
"""So many calls of a kind may pass before the kill; of the others, none or one."""

INSTANTS = ("sequencer", "sequencer's child", "watchtower", "follower", "oracle")
PEOPLE_LATEST_SECONDS = 90
HELD_MAX = 50


@dataclass
class Campaign:
    """What was hit so far. `deadline` is of time.monotonic()."""

    site: Site
    seed: int
    hits: int
    deadline: float
    say: Callable[[str], None]
    kept: Kept = field(default_factory=Kept)
    counts: Counter[str] = field(default_factory=Counter)
    auditor: Auditor = field(init=False)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.began = time.monotonic()

    @property
    def targets(self) -> tuple[str, ...]:
        """Every row of the table."""
        kinds = (*AT_FIRST_START, *AT_EVERY_START, *AT_WORK, Kind.BATCHES_TAKEN_BACK)
        return (*kinds, *(f"{name} at an instant" for name in INSTANTS))

    @property
    def is_complete(self) -> bool:
        """Whether each was hit often enough."""
        return all(self.counts[target] >= self.hits for target in self.targets)

    @property
    def sequencer(self) -> Role:
        """The role that the log belongs to."""
        return self.site.roles["sequencer"]

    # Kills

    async def strike_in(self, kind: Kind, start_role: Role | None = None, role: Role | None = None) -> bool:
        """Kill within a write of a kind, after the start of a role or while one runs; whether it came to that."""
        victim = start_role or role or self.sequencer
        skip, parts = self.random.randrange(SKIPS_MAX.get(kind, 1) + 1), self.random.randrange(MILLION + 1)
        command = [sys.executable, "-m", "tests.torture.assassin", kind.name, str(skip), str(parts)]
        assassin = await trio.lowlevel.open_process(command, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert assassin.stdin is not None
        assert assassin.stdout is not None
        try:
            await assassin.stdout.receive_some()
            pid = await start_role.start() if start_role else victim.process.pid  # type: ignore[union-attr]
            await assassin.stdin.send_all(b"%d\n" % pid)
            line = b""
            with trio.move_on_after(STRIKE_SECONDS_MAX):
                while data := await assassin.stdout.receive_some():
                    line += data
        finally:
            with trio.CancelScope(shield=True):
                assassin.kill()
                await assassin.wait()
        if not line:
            return False
        with trio.fail_after(STRIKE_SECONDS_MAX):
            await victim.wait()
        told = json.loads(line)
        self.counts[kind] += 1
        done = (
            f"{told['written']} of {told['of']} bytes" if told["of"] else "after it" if told["written"] else "before it"
        )
        self.note(f"{kind}: {told['call']} of {Path(told['path']).name}, {done}")
        return True

    def note(self, text: str) -> None:
        """One line of progress."""
        self.say(f"{time.monotonic() - self.began:6.1f} s  {len(self.kept.answers):7,} receipts  {text}")

    # Audits

    async def audit(self) -> None:
        """After a kill. Raises Lost."""
        await trio.to_thread.run_sync(self.auditor.audit)

    async def restart(self) -> None:
        """Start the sequencer, which must come back by itself. Raises Lost."""
        await self.sequencer.start()
        if not await self.site.wait_until_ready():
            raise Lost(f"the sequencer does not start: {self.sequencer.read_log()}")

    # The course of it

    async def die_at_first_start(self) -> None:
        """The first state of all is written under the same knife; then everybody deposits."""
        for kind in AT_FIRST_START:
            for _ in range(self.hits):
                if not await self.strike_in(kind, start_role=self.sequencer):
                    raise Lost(f"{kind}: it was not written: {self.sequencer.read_log()}")
                await self.audit()
        await self.restart()

    async def die_at_a_byte(self, kind: Kind) -> None:
        """At work or at a start, as the kind demands; then audit and start again."""
        if kind in AT_EVERY_START:
            await self.sequencer.kill()
            await self.audit()
            if not await self.strike_in(kind, start_role=self.sequencer):
                await self.sequencer.kill()
        elif not await self.strike_in(kind):
            self.note(f"{kind}: not met in {STRIKE_SECONDS_MAX} s")
            if self.sequencer.is_alive:
                return
        await self.audit()
        await self.restart()

    async def die_taking_batches_back(self) -> None:
        """Dead for so long that what was sealed is too old for L1, and killed again when that is mended."""
        if not await self.strike_in(Kind.TRANSACTION_NOTED):
            return
        await self.audit()
        await trio.sleep(TERMS.time_lag_max + 2)
        if not await self.strike_in(Kind.BATCHES_TAKEN_BACK, start_role=self.sequencer):
            await self.sequencer.kill()
        await self.audit()
        await self.restart()

    async def die_at_an_instant(self, name: str) -> None:
        """A drawn time after now; a role that keeps nothing of the log is started again at once."""
        seconds = self.random.random() * INSTANT_SECONDS_MAX
        if name == "sequencer":
            # From the start of the process on: half of the draws hit it before it serves.
            await self.sequencer.kill()
            await self.audit()
            await self.sequencer.start()
        await trio.sleep(seconds)
        if name == "sequencer's child":
            self._kill_child()
            with trio.fail_after(STRIKE_SECONDS_MAX):
                await self.sequencer.wait()
        else:
            role = self.site.roles[name]
            require(role.is_alive, f"the {name} has ended by itself: {role.read_log()}")
            await role.kill()
        self.counts[f"{name} at an instant"] += 1
        self.note(f"{name} killed at {seconds:.3f} s")
        if name.startswith("sequencer"):
            await self.audit()
            await self.restart()
        else:
            await self.site.roles[name].start()

    def _kill_child(self) -> None:
        assert self.sequencer.process is not None
        pid = self.sequencer.process.pid
        lists = [(task / "children").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
        os.kill(self.random.choice([int(child) for one in lists for child in one.split()]), signal.SIGKILL)

    async def run_to_the_end(self) -> None:
        """Draw from what is missing until nothing is, or time is up."""
        while not self.is_complete and time.monotonic() < self.deadline:
            missing = [target for target in self.targets if self.counts[target] < self.hits]
            target = self.random.choice(missing)
            if target == Kind.BATCHES_TAKEN_BACK:
                await self.die_taking_batches_back()
            elif isinstance(target, Kind):
                await self.die_at_a_byte(target)
            else:
                await self.die_at_an_instant(target.removesuffix(" at an instant"))

    def print_table(self) -> None:
        """Target by target, how often it was hit."""
        for target in self.targets:
            count = self.counts[target]
            self.say(f"{target:50} {count:4}{'' if count >= self.hits else '  TOO FEW'}")


async def run_campaign(campaign: Campaign) -> None:
    """Everything, until each kind was hit often enough or time is up. Raises Lost."""
    site = campaign.site
    site.add_role("sequencer")
    site.add_role("watchtower", "--key", str(site.folder / "keys" / "wallet.json"))
    site.add_role("follower")
    site.add_role("oracle")
    campaign.auditor = await trio.to_thread.run_sync(Auditor, site, campaign.kept)
    await campaign.die_at_first_start()
    async with trio.open_nursery() as nursery:
        with trio.fail_after(PEOPLE_LATEST_SECONDS):
            await site.open_accounts()
        for name in ("oracle", "watchtower", "follower"):
            await site.roles[name].start()
        nursery.start_soon(feed_oracle, site.roles["oracle"], [PRICE, PRICE + 1000])
        for number, person in enumerate(site.people):
            nursery.start_soon(trade, site, person, campaign.kept, campaign.seed + number)
        await campaign.run_to_the_end()
        await campaign.sequencer.kill()
        await campaign.audit()
        nursery.cancel_scope.cancel()
    auditor, answers = campaign.auditor, campaign.kept.answers
    held = campaign.random.sample(answers, min(HELD_MAX, len(answers)))
    await trio.to_thread.run_sync(auditor.check_contradictions, held)
    campaign.print_table()
    campaign.say(
        f"{auditor.audits} audits, {len(auditor.records):,} log records, {len(auditor.mined)} transactions, "
        f"{auditor.follower.replica.tip} batches on L1; {auditor.checked:,} receipts are in the log, "
        f"{len(held)} of them held against L1"
    )
