"""A sequencer that lies when it is told to: the node's own role, with a patch where it posts.

    python -m devnet.liar --l1 URL --rollup ADDRESS --key FILE --data DIR ...

Standard input takes one command a line, `{"tell": "root_first"}` or `{"flip": {"step": 1, "offset": 2, "xor": 3}}`; the
next batch that gives occasion is replaced by the lie. Standard output answers in events, one a line: `serving`,
`impossible` (this batch gave no occasion; the next one may), `posted`, `refused`.
"""

import argparse
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import trio

from devnet.flips import flip_byte, parse_flip
from devnet.forgery import Accomplice, Forgery, LieImpossible, LieKit, Teller
from devnet.lies import VARIETIES, Manner, Variety
from devnet.lies_of_form import tell_honestly
from fraud_proofs.challenger import Proof, State, examine_batch
from fraud_proofs.grounds import Ground
from node.batch_process import run_batch_process
from node.errors import CallReverted, L1Error
from node.event_reader import EventReader
from node.keys import Ed25519Key, Secp256k1Key, load_ethereum_key, load_session_key, parse_address
from node.l1 import L1, Call, in_thread
from node.logs import Log
from node.oracle_role import read_lines
from node.rollup import Rollup
from node.sequencer_role import Sequencer, SequencerSettings, run_sequencer
from node.transactions import Mined, Outcome, Reverted, Sender
from sequencer.batcher import SealRule
from sequencer.derivation import decode_calldata
from sequencer.engine import Sealed
from state.batches import decode_batch, decode_header
from state.context import StepContext
from state.l1_events import MessageSent
from state.ledger import Ledger
from state.store import Store

REFUSED_GAS = 13_000_000
"""For a transaction that will fail: with the sender's margin just under the most that L1 allows."""


@dataclass(frozen=True, slots=True)
class Lie:
    """What to tell next. `ground` is what it must be convicted on; None: whatever becomes of it."""

    name: str
    tell: Teller
    ground: Ground | None
    manner: Manner


def parse_command(line: str) -> Lie:
    """One line of standard input. Raises BadRow, KeyError, ValueError."""
    command = json.loads(line)
    if "flip" in command:
        flip = parse_flip(command["flip"], 1)

        def tell(forgery: Forgery) -> bytes:
            tell_honestly(forgery)
            return flip_byte(forgery.build(), flip)

        return Lie(flip.name, tell, None, Manner.PLAINLY)
    variety: Variety = VARIETIES[command["tell"]]
    return Lie(command["tell"], variety.tell, variety.ground, variety.manner)


def report(event: str, **fields: object) -> None:
    """One event to whoever commands."""
    print(json.dumps({"event": event} | fields), flush=True)


class StubbornL1(L1):
    """Sends even what the contract will refuse, so that the refusal is mined for all to see."""

    def estimate_gas(self, call: Call, sender: bytes) -> int:
        """An honest estimate, or a large number for a batch that fails."""
        try:
            return super().estimate_gas(call, sender)
        except CallReverted:
            if call.label != "submit_batch":
                raise
            return REFUSED_GAS


class Liar:
    """Keeps what is to be told, forges it when the sequencer posts, and says what came of it."""

    def __init__(
        self, rollup: Rollup, friends: Sequence[Ed25519Key], oracle_keys: Sequence[Secp256k1Key], log: Log
    ) -> None:
        self._rollup = rollup
        self._friends = friends
        self._oracle_keys = tuple(oracle_keys)
        self._log = log
        self._domain = rollup.get_domain()
        self._messages: list[bytes] = []
        self.wanted: Lie | None = None
        self.told: Lie | None = None

    async def read_messages(self) -> None:
        """Know every L1 message as soon as it is sent, long before the honest part takes it."""
        reader = EventReader(self._rollup)
        while True:
            try:
                reading = await in_thread(reader.read)
            except L1Error as error:
                self._log.warning("L1 unavailable", error=str(error))
            else:
                self._messages += [event.data for event in reading.events if isinstance(event, MessageSent)]
            await trio.sleep(0.3)

    async def take_commands(self) -> None:
        """Until standard input ends; then it never lies again."""
        async for line in read_lines(trio.lowlevel.FdStream(os.dup(0))):
            self.wanted = parse_command(line)
            self._log.info("told to lie", lie=self.wanted.name)

    def tamper(self, sealed: Sealed, before: State, parent: bytes) -> bytes | None:
        """The lie in place of an honest batch; None when there is nothing to tell, or no occasion."""
        lie = self.wanted
        if lie is None:
            return None
        try:
            posted = self._forge(lie, sealed, before, parent)
        except LieImpossible as why:
            report("impossible", why=str(why))
            return None
        self.wanted, self.told = None, lie
        return posted

    def _forge(self, lie: Lie, sealed: Sealed, before: State, parent: bytes) -> bytes:
        first, second = (find_accomplice(before, key) for key in self._friends)
        messages = tuple(self._messages)
        kit = LieKit(before.leaves, sealed, parent, self._domain, messages, (first, second), self._oracle_keys)
        posted = lie.tell(Forgery(kit))
        if lie.ground is not None:
            self._check_ground(lie.ground, posted, before)
        return posted

    def _check_ground(self, ground: Ground, posted: bytes, before: State) -> None:
        """A lie that turned out as another one, or as the truth, is kept for another batch."""
        batch = decode_batch(posted)
        if batch is None:
            raise LieImpossible("L1 would not take it")
        context = StepContext(decode_header(batch.header), 0, self._domain, self._messages.__getitem__)
        found = examine_batch(before, batch, context)
        if not isinstance(found, Proof) or found.ground != ground:
            raise LieImpossible(f"it would be {found.ground if isinstance(found, Proof) else 'true'}")


def find_accomplice(state: State, key: Ed25519Key) -> Accomplice:
    """The account that this session key may sign for."""
    ledger = Ledger(state.leaves)
    for index in range(1, ledger.get_globals().account_count):
        for place, held in enumerate(ledger.require_account(index).keys):
            if held.public_key == key.public_key:
                return Accomplice(index, key, place)
    raise LieImpossible("the accomplices have no accounts yet")


class LyingSender(Sender):
    """Submits a lie in its manner; everything else goes out as ever. `stranger` has ether and no bond."""

    def __init__(
        self, rollup: Rollup, key: Secp256k1Key, journal: Path, *, liar: Liar, stranger: Sender, forwarder: bytes
    ) -> None:
        super().__init__(rollup.l1, key, journal)
        self._rollup = rollup
        self._liar = liar
        self._stranger = stranger
        self._forwarder = forwarder

    async def send_async(self, call: Call) -> Outcome:
        """As Sender's; tells what became of a lie."""
        lie = self._liar.told
        if lie is None or call.label != "submit_batch":
            return await super().send_async(call)
        self._liar.told = None
        outcome = await self._submit(lie.manner, call)
        if isinstance(outcome, Mined):
            report("posted", lie=lie.name, transaction="0x" + outcome.hash.hex())
        elif isinstance(outcome, Reverted):
            report("refused", lie=lie.name, transaction="0x" + outcome.hash.hex(), reason=outcome.reason)
        return outcome

    async def _submit(self, manner: Manner, call: Call) -> Outcome:
        match manner:
            case Manner.WITHOUT_BOND:
                return await self._stranger.send_async(call)
            case Manner.BY_CONTRACT:
                call = Call(self._forwarder, call.data, label=call.label)
            case Manner.WHEN_OVERDUE:
                await self._wait_until_overdue(call)
        return await super().send_async(call)

    async def _wait_until_overdue(self, call: Call) -> None:
        """Until the first message that the batch leaves unread may not be left unread any more."""
        batch = decode_batch(decode_calldata(call.data) or b"")
        assert batch is not None
        cursor, terms = decode_header(batch.header).inbox_cursor, await in_thread(self._rollup.get_terms)
        sent_at: int = await in_thread(self._rollup.view, "message_time", cursor)
        last_rollback: int = await in_thread(self._rollup.view, "last_rollback")
        while True:
            head = await in_thread(self.l1.get_block)
            if head.time > max(sent_at, last_rollback) + terms.inbox_deadline:
                return
            await trio.sleep(0.5)


# The process


def parse_arguments() -> argparse.Namespace:
    """The command line. Key files are as node/keys.py writes them."""
    parser = argparse.ArgumentParser(prog="python -m devnet.liar", description="A sequencer that lies when told to.")
    parser.add_argument("--l1", required=True, metavar="URL")
    parser.add_argument("--rollup", required=True, metavar="ADDRESS")
    parser.add_argument("--key", required=True, type=Path, help="of the sequencer")
    parser.add_argument("--stranger", required=True, type=Path, help="key file of somebody without a bond")
    parser.add_argument("--forwarder", required=True, metavar="ADDRESS", help="a contract that passes on what it gets")
    parser.add_argument("--friend", required=True, type=Path, action="append", help="session key file; twice")
    parser.add_argument("--oracle-key", required=True, type=Path, action="append", help="as many as a reading needs")
    parser.add_argument("--data", required=True, type=Path, help="folder of the sequencer")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--seal-seconds", type=int, default=1, help="age at which a batch is posted")
    return parser.parse_args()


async def run(arguments: argparse.Namespace) -> None:
    """Sequence, and lie when told to, until cancelled."""
    log = Log("sequencer")
    rollup = Rollup(StubbornL1([arguments.l1]), parse_address(arguments.rollup, "--rollup"))
    friends = [load_session_key(file) for file in arguments.friend]
    liar = Liar(rollup, friends, [load_ethereum_key(file) for file in arguments.oracle_key], log)
    key, stranger_key = load_ethereum_key(arguments.key), load_ethereum_key(arguments.stranger)
    settings = SequencerSettings(
        port=arguments.port,
        seal=SealRule(age_max=arguments.seal_seconds),
        poll_seconds=0.3,
        tick_seconds=0.5,
        rebond_after_conviction=True,
    )
    with (
        Sender(rollup.l1, stranger_key, arguments.stranger.with_suffix(".nonces")) as stranger,
        LyingSender(
            rollup,
            key,
            arguments.key.with_suffix(".nonces"),
            liar=liar,
            stranger=stranger,
            forwarder=parse_address(arguments.forwarder, "--forwarder"),
        ) as sender,
        run_batch_process() as batches,
    ):
        sequencer = Sequencer(
            rollup,
            sender,
            Store(arguments.data),
            key.secret,
            settings,
            log,
            open_batcher=batches.open_batcher,
            tamper=liar.tamper,
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(liar.read_messages)
            nursery.start_soon(liar.take_commands)
            await run_sequencer(sequencer, settings, log, on_start=lambda port: report("serving", port=port))


if __name__ == "__main__":
    trio.run(run, parse_arguments())
