"""An operator in a test: an honest batch with every kind of op in it, the state before it, and friends to lie with."""

from devnet.forgery import Accomplice, LieKit
from fraud_proofs.challenger import Honest, Proof, State, examine_batch
from fraud_proofs.grounds import MALFORMED
from fraud_proofs.step import is_fraud_shown
from node.keys import Ed25519Key, Secp256k1Key
from sequencer.requests import build_request
from state.batches import decode_batch, decode_frame, decode_header
from state.constants import NEVER
from state.context import StepContext
from state.leaves import SessionKey
from state.ledger import Ledger
from state.process_inbox import Message, MessageType, encode_amount, encode_key, hash_accumulator
from state.tree import build_tree
from tests.sequencer.market import Sequencing
from tests.world import GENESIS_TIME, ORACLE_KEYS

PRICE = 17_000_000
DOLLAR = 1_000_000


class Operator:
    """A sequencer with an honest batch of every kind of op, whose friends dave and erin sign whatever it likes.

    XRP has had no reading for so long that one could be stale; the other markets have had one just now.
    """

    def __init__(self, seed: int = 0, *, is_message_unread: bool = True) -> None:
        self.market = Sequencing(seed)
        world = self.market.world
        self.before = dict(self.market.before.leaves)
        self.parent = self.market.batcher.parent
        friends = [self._open_account(name) for name in ("dave", "erin")]
        self._send(MessageType.DEPOSIT, "dave", encode_amount(0, 5 * DOLLAR))
        self._trade()
        sealed, self.batch = self.market.seal()
        if is_message_unread:
            self._queue(MessageType.DEPOSIT, "erin", encode_amount(0, 7 * DOLLAR))
        self.kit = LieKit(
            before=self.before,
            sealed=sealed,
            parent=self.parent,
            domain=world.domain,
            messages=world.messages,
            accomplices=(friends[0], friends[1]),
            oracle_keys=tuple(Secp256k1Key(key.secret) for key in ORACLE_KEYS[:2]),
        )

    def _queue(self, kind: MessageType, name: str, payload: bytes) -> int:
        person, messages = self.market.world.person(name), self.market.world.messages
        messages.append(Message(kind, person.address, GENESIS_TIME, person.account, payload).encode())
        return len(messages) - 1

    def _send(self, kind: MessageType, name: str, payload: bytes) -> None:
        index = self._queue(kind, name, payload)
        self.market.engine.take_message(index, self.market.world.messages[index])

    def _open_account(self, name: str) -> Accomplice:
        person = self.market.world.person(name)
        self._send(MessageType.DEPOSIT, name, encode_amount(0, 100_000 * DOLLAR))
        person.account = self.market.engine.globals.account_count - 1
        key = SessionKey(person.key.verify_key.encode(), 7, NEVER)
        self._send(MessageType.REGISTER_KEY, name, encode_key(key))
        return Accomplice(person.account, Ed25519Key(bytes(person.key)))

    def _trade(self) -> None:
        """Time, readings, an order that is filled in part and cancelled, a transfer and a withdrawal."""
        market, world = self.market, self.market.world
        market.now += 80
        market.engine.tick(market.now)
        for underlying, price in enumerate((PRICE, 7_000_000, 3_000_000)):
            market.take(build_request(world.sign_reading(underlying, price, price + 9, market.now)))
        market.take(market.order("alice", 10, PRICE))
        market.take(market.order("bob", -4, PRICE))
        market.take(market.cancel("alice"))
        market.take(build_request(world.sign_transfer("carol", "bob", 3 * DOLLAR)))
        market.take(build_request(world.sign_withdraw("carol", 2 * DOLLAR)))
        market.now += 1
        market.engine.tick(market.now)

    def examine(self, posted: bytes) -> Honest | Proof:
        """What a watchtower finds in posted bytes, from its own state before them."""
        batch = decode_batch(posted)
        assert batch is not None, "the contract refuses this"
        world = self.market.world
        context = StepContext(decode_header(batch.header), 0, world.domain, world.messages.__getitem__)
        return examine_batch(State(dict(self.before), build_tree(self.before.items())), batch, context)

    def convicts(self, proof: Proof) -> bool:
        """Whether the proof alone, without any state, shows the fraud."""
        frame = decode_frame(proof.batch.frames[proof.frame_number])
        if proof.ground is MALFORMED or frame is None:
            return proof.ground is MALFORMED and frame is None
        step = frame.steps[proof.step]
        pre_root = frame.steps[proof.step - 1].post_root if proof.step else frame.pre_root
        header = decode_header(proof.batch.header)
        world = self.market.world
        context = StepContext(header, frame.first_index + proof.step, world.domain, world.messages.__getitem__)
        return is_fraud_shown(context, step.op, proof.ground, proof.witness, pre_root, step.post_root)

    def find_refusal(self, posted: bytes) -> str | None:
        """Why contracts/rollup.vy refuses posted bytes when they come in time from the slot's holder; None if not.

        The sequence of its checks, but for those of sender, time lag and overdue messages.
        """
        honest, messages = decode_header(self.batch.header), self.market.world.messages
        batch = decode_batch(posted)
        if batch is None:
            return "rollup: frame length"
        header, root, count = decode_header(batch.header), decode_header(batch.header).pre_root, 0
        accumulators = [bytes(32)]
        for message in messages:
            accumulators.append(hash_accumulator(accumulators[-1], message))
        kept = (
            ("version", header.version == honest.version),
            ("data kind", header.data_kind == 0),
            ("flags", header.flags <= 1),
            ("index", header.index == honest.index),
            ("parent", header.parent == honest.parent),
            ("pre root", header.pre_root == honest.pre_root),
            ("generation", header.generation == honest.generation),
            ("time from", header.time_from == honest.time_from),
            ("time", honest.time_from <= header.time <= honest.time + 60),
            ("position from", header.position_from == honest.position_from),
            ("position to", 0 <= header.position_to - header.position_from <= 1 << 32),
            ("cursor", Ledger(self.before).get_globals().inbox_cursor <= header.inbox_cursor <= len(messages)),
            ("inbox hash", header.inbox_hash == accumulators[min(header.inbox_cursor, len(messages))]),
        )
        for name, is_kept in kept:
            if not is_kept:
                return f"rollup: {name}"
        for frame in batch.frames:
            if frame[:32] != root:
                return "rollup: frame root"
            if int.from_bytes(frame[32:36]) != count:
                return "rollup: first index"
            if frame[36:38] == bytes(2):
                return "rollup: count"
            root, count = frame[-32:], count + int.from_bytes(frame[36:38])
        if root != header.post_root:
            return "rollup: post root"
        return None if count == header.step_count else "rollup: step count"
