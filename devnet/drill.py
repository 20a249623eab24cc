"""The drill: one lie after another, each convicted by one transaction or refused, and the honest chain goes on.

The sequencer is told to lie through a pipe; whether it was caught is read from the L1. A drill that does not go as its
table says fails with the first row that did not.
"""

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import trio

from devnet.chain_watch import ChainWatch
from devnet.evidence import Request, read_convictions, read_refusal
from devnet.flips import Flip
from devnet.lies import VARIETIES, Variety
from devnet.network import DevnetError, Role
from node.oracle_role import read_lines

PATIENCE_SECONDS = 120
"""For one lie to be told, convicted and left behind."""

OCCASION_SECONDS = 8
"""After which the message that a lie needs is sent once more, if there has been no occasion to tell it."""


class DrillFailed(DevnetError):
    """A lie was not convicted, or not refused, as its row says."""


@dataclass(frozen=True, slots=True)
class Command:
    """A lie to tell: a variety of the table, or a flipped byte, which may be convicted or refused."""

    name: str
    line: str
    variety: Variety | None


def list_commands(flips: Sequence[Flip]) -> list[Command]:
    """Every variety in the order of the table, what is refused first, then the flips.

    A rollback gives messages a new deadline, so the refusals come before the first.
    """
    names = sorted(VARIETIES, key=lambda name: not VARIETIES[name].is_refused)
    commands = [Command(name, json.dumps({"tell": name}), VARIETIES[name]) for name in names]
    return commands + [Command(flip.name, json.dumps({"flip": asdict(flip)}), None) for flip in flips]


class LiarLine:
    """The pipe to the liar: commands in, events out."""

    def __init__(self, role: Role) -> None:
        self._role = role
        self._send, self._events = trio.open_memory_channel[dict[str, Any]](1000)

    async def listen(self) -> None:
        """Take events until the process ends."""
        assert self._role.process.stdout is not None
        async for line in read_lines(self._role.process.stdout):
            await self._send.send(json.loads(line))

    async def say(self, line: str) -> None:
        """One command."""
        assert self._role.process.stdin is not None
        await self._role.process.stdin.send_all(line.encode() + b"\n")

    async def hear(self) -> dict[str, Any]:
        """The next event."""
        return await self._events.receive()


@dataclass(slots=True)
class _Told:
    """A lie that reached the L1: its transaction, and why it was refused, if it was."""

    command: Command
    transaction: str
    reason: str | None = None


@dataclass(slots=True)
class Drill:
    """One drill. `send_message` puts a deposit in the inbox; `say` tells people how it goes."""

    line: LiarLine
    watch: ChainWatch
    sequencer: bytes
    watchtowers: Sequence[bytes]
    send_message: Callable[[], Awaitable[None]]
    say: Callable[[str], None]
    _told: list[_Told] = field(default_factory=list)

    async def run(self, commands: Sequence[Command]) -> None:
        """Tell every lie. Raises DrillFailed."""
        for number, command in enumerate(commands, 1):
            story = command.variety.story if command.variety else "a byte of an honest batch is flipped"
            self.say(f"lie {number} of {len(commands)}: {command.name}: {story}")
            with trio.move_on_after(PATIENCE_SECONDS) as patience:
                await self._run_one(command)
            if patience.cancelled_caught:
                raise DrillFailed(f"{command.name}: not told, caught and left behind within {PATIENCE_SECONDS} s")

    async def _run_one(self, command: Command) -> None:
        rollbacks, valid = len(self.watch.rollbacks), len(self.watch.valid)
        told = await self._tell(command)
        self._told.append(told)
        if told.reason is not None:
            self._check_refusal(told)
            self.say(f"refused: {told.reason or 'no reason given'}")
            await self.watch.wait_until(lambda: len(self.watch.valid) > valid)
            return
        if command.variety is not None and command.variety.is_refused:
            raise DrillFailed(f"{command.name}: L1 took what it must refuse, in {told.transaction}")
        await self.watch.wait_until(lambda: len(self.watch.rollbacks) > rollbacks)
        rollback = self.watch.rollbacks[-1]
        if rollback.prover not in self.watchtowers:
            raise DrillFailed(f"{command.name}: convicted by 0x{rollback.prover.hex()}, which is no watchtower")
        self.say(f"convicted: batch {rollback.index} is dead")
        await self.watch.wait_until(
            lambda: self.watch.slot_holder == self.sequencer and self.watch.valid[-1].generation >= rollback.generation
        )
        self.say(f"the slot is taken again, and batch {self.watch.valid[-1].index} is honest")

    async def _tell(self, command: Command) -> _Told:
        """Have it told; while there is no occasion, make one."""
        needs_message = command.variety is not None and command.variety.needs_message
        await self.line.say(command.line)
        while True:
            if needs_message:
                await self.send_message()
            with trio.move_on_after(OCCASION_SECONDS if needs_message else PATIENCE_SECONDS):
                return await self._hear_outcome(command)

    async def _hear_outcome(self, command: Command) -> _Told:
        while True:
            event = await self.line.hear()
            if event["event"] in ("posted", "refused"):
                return _Told(command, event["transaction"], event.get("reason"))

    def _check_refusal(self, told: _Told) -> None:
        variety = told.command.variety
        if variety is not None and not variety.is_refused:
            raise DrillFailed(f"{told.command.name}: refused ({told.reason}), and must be convicted")
        if variety is not None and told.reason != variety.refusal:
            raise DrillFailed(f"{told.command.name}: refused for {told.reason!r}, and not for {variety.refusal!r}")

    # The record

    def build_record(self, request: Request, rollup: str) -> dict[str, list[dict[str, Any]]]:
        """What the L1 says of every lie. Raises DrillFailed when one took more than a transaction. Blocks."""
        convictions = {conviction.submission: conviction for conviction in read_convictions(request, rollup)}
        lies, refused = [], []
        for told in self._told:
            if told.reason is not None:
                refusal = read_refusal(request, told.transaction)
                if refusal is None:
                    raise DrillFailed(f"{told.command.name}: its refusal {told.transaction} is not on the L1")
                refused.append({"variety": told.command.name, "reason": told.reason} | asdict(refusal))
                continue
            found = convictions.get(told.transaction)
            if found is None or found.transactions != 1:
                raise DrillFailed(f"{told.command.name}: {told.transaction} was not convicted by one transaction")
            row = asdict(found)
            names = ("transactions", "transaction", "gas", "calldata_bytes", "seconds")
            lies.append({"variety": told.command.name} | {name: row[name] for name in names})
        return {"lies": lies, "refused": refused}
