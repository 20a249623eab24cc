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

STRIKE_SECONDS_MAX = 30
RENAME_SECONDS_MAX = 90
"""The nonce journal is written anew when a megabyte of it is of the past."""

INSTANT_SECONDS_MAX = 4.0

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
SKIPS_MAX = {
    Kind.LOG_GROUP: 50,
    Kind.LOG_SYNC: 50,
    Kind.RECEIPT: 100,
    Kind.SEALED_BATCH: 1,
    Kind.TRANSACTION_NOTED: 1,
    Kind.NONCES_WRITTEN: 1,
    Kind.TABLES: 4,
}
"""So many calls of a kind may pass before the kill; of the others, none: one start has but one of them."""

KEEPERS = ("sequencer", "watchtower", "follower")
"""Who keeps a checkpoint of its replica."""

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
        kept = (f"{Kind.CHECKPOINT}: the {name}'s" for name in KEEPERS)
        return (*kinds, *kept, *(f"{name} at an instant" for name in INSTANTS))

    @property
    def is_complete(self) -> bool:
        """Whether each was hit often enough."""
        return all(self.counts[target] >= self.hits for target in self.targets)

    @property
    def sequencer(self) -> Role:
        """The role that the log belongs to."""
        return self.site.roles["sequencer"]

    # Kills

    async def strike_in(self, kind: Kind, victim: Role | None = None, start: bool = False, after: str = "") -> bool:
        """Kill a role, by default the sequencer, within a write of a kind; whether it came to that.

        When `start`, it is started under the knife, or watched from when it has logged `after`.
        """
        victim = victim or self.sequencer
        skip, parts = self.random.randrange(SKIPS_MAX.get(kind, 0) + 1), self.random.randrange(MILLION + 1)
        command = [sys.executable, "-m", "tests.torture.assassin", kind.name, str(skip), str(parts)]
        assassin = await trio.lowlevel.open_process(command, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert assassin.stdin is not None
        assert assassin.stdout is not None
        try:
            greeting = b""
            while not greeting.endswith(b"\n"):
                greeting += await assassin.stdout.receive_some()
            if start:
                await victim.start()
                await victim.wait_for_line(after)
            assert victim.process is not None
            await assassin.stdin.send_all(b"%d\n" % victim.process.pid)
            line = b""
            with trio.move_on_after(RENAME_SECONDS_MAX if kind is Kind.NONCES_RENAMED else STRIKE_SECONDS_MAX):
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
        row = f"{kind}: the {victim.name}'s" if kind is Kind.CHECKPOINT else kind
        self.counts[row] += 1
        written, whole = told["written"], told["of"]
        done = f"{written} of {whole} bytes" if whole else "after it" if written else "before it"
        self.note(f"{row}: {told['call']} of {Path(told['path']).name}, {done}")
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
            while self.counts[kind] < self.hits and time.monotonic() < self.deadline:
                if not await self.strike_in(kind, start=True):
                    self.note(f"{kind}: not met in {STRIKE_SECONDS_MAX} s")
                    await self.sequencer.kill()
                await self.audit()
        await self.restart()

    async def die_at_a_byte(self, kind: Kind) -> None:
        """At work or at a start, as the kind demands; then audit and start again."""
        if kind in AT_EVERY_START:
            await self.sequencer.kill()
            await self.audit()
            if not await self.strike_in(kind, start=True):
                await self.sequencer.kill()
        elif not await self.strike_in(kind):
            self.note(f"{kind}: not met")
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
        if not await self.strike_in(Kind.BATCHES_TAKEN_BACK, start=True, after="recovered"):
            self.note("no batch was too old for L1")
            await self.sequencer.kill()
        await self.audit()
        await self.restart()

    async def die_keeping_a_replica(self, name: str) -> None:
        """In a checkpoint; the next start takes what stands there, or executes everything anew."""
        role = self.site.roles[name]
        if not await self.strike_in(Kind.CHECKPOINT, role):
            require(role.is_alive, f"the {name} has ended by itself: {role.read_log()}")
            return
        if name == "sequencer":
            await self.audit()
            await self.restart()
        else:
            await role.start()

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
            elif target.startswith(Kind.CHECKPOINT):
                await self.die_keeping_a_replica(target.removesuffix("'s").rpartition(" ")[2])
            else:
                await self.die_at_an_instant(target.removesuffix(" at an instant"))

    async def check_others(self) -> None:
        """Follower and watchtower have come through as well: one shows L1's root, the other found nothing wrong."""
        tip, root = await trio.to_thread.run_sync(self.auditor.read_tip)
        with trio.fail_after(STRIKE_SECONDS_MAX):
            while (await self.site.read_follower()) != (tip, root, None):  # noqa: ASYNC110
                await trio.sleep(0.2)
        tower = self.site.roles["watchtower"]
        require(tower.is_alive, f"the watchtower has ended by itself: {tower.read_log()}")
        require("invalid" not in tower.log.read_text(errors="replace"), "the watchtower accuses an honest batch")

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
        await campaign.check_others()
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
