"""A lying batch in the making: honest code plus a patch.

The forger starts from the honest batch and its own copy of the state before it. It tells honest steps, then one false
one, and goes on from there by applying effects without checks, rooting its own tree: so everything hangs together
except for the one step, and only re-execution finds it.
"""

from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from struct import error as StructError

from fraud_proofs.challenger import State
from node.keys import Ed25519Key, Secp256k1Key
from node.oracle_role import sign_reading
from sequencer.engine import PostedOp, Sealed
from state.batches import FRAME_HEAD_BYTES, BatchData, Step, pack_frames
from state.constants import PPM
from state.context import StepContext, advance_position, draft_header
from state.leaves import Account, Globals, Instrument, Params, Underlying, perpetual
from state.ledger import Ledger, Slot, SubjectMissing
from state.operations import (
    Cancel,
    Close,
    Fill,
    Operation,
    Oracle,
    OrderOp,
    OrderTerms,
    SignedOperation,
    Transfer,
    Withdraw,
    decode_operation,
    hash_digest,
)
from state.process_batch import apply_close, compute_oldest_oracle_time
from state.transition import PROCESSES, Invalid, Valid, apply_step
from state.tree import LeafKey, build_tree, order_key

Bend = Callable[[Ledger], None]
"""What the operator does to the leaves of a step beyond its effects."""

Teller = Callable[["Forgery"], bytes]
"""Tells one lie with a fresh forgery; answers the bytes to post."""

SLOT = 1000
"""Order slots from here on belong to lies, so that no honest order of an accomplice is in the way."""


class LieImpossible(Exception):
    """This batch gives no occasion for this lie; a later one may."""


@dataclass(frozen=True, slots=True)
class Accomplice:
    """A funded account whose owner colludes with the operator: it signs whatever is asked of it."""

    account: int
    key: Ed25519Key
    key_index: int = 0


@dataclass(frozen=True, slots=True)
class LieKit:
    """What a lying operator has: the honest batch, the state before it, and friends.

    `messages` are all L1 messages so far, those that the batch does not take included. `oracle_keys` are of as many
    oracle signers as a reading needs.
    """

    before: Mapping[LeafKey, bytes]
    sealed: Sealed
    parent: bytes
    domain: bytes
    messages: Sequence[bytes]
    accomplices: tuple[Accomplice, Accomplice]
    oracle_keys: tuple[Secp256k1Key, ...]


def honest(ledger: Ledger) -> None:
    """The bend of who does not bend anything."""


class Forgery:
    """Steps told so far, and the liar's own state after them."""

    def __init__(self, kit: LieKit) -> None:
        self.kit = kit
        leaves = dict(kit.before)
        self.state = State(leaves, build_tree(leaves.items()))
        self.pre_root = self.state.tree.root
        self.steps: list[Step] = []
        sealed = kit.sealed.header
        self.header = draft_header(
            index=sealed.index,
            parent=kit.parent,
            generation=sealed.generation,
            pre_root=self.pre_root,
            time_from=sealed.time_from,
            position_from=sealed.position_from,
            flags=sealed.flags,
        )

    # What the state says

    @property
    def ledger(self) -> Ledger:
        """The liar's state after the last step, to read."""
        return Ledger(self.state.leaves)

    @property
    def globals(self) -> Globals:
        """Its globals."""
        return self.ledger.get_globals()

    @property
    def params(self) -> Params:
        """Its active parameters."""
        return self.ledger.get_params()

    @property
    def position(self) -> int:
        """A log position that the next op may carry."""
        return max(self.globals.next_position, self.kit.sealed.header.position_to)

    @property
    def market(self) -> Instrument:
        """A perpetual whose price is fresh enough to trade on."""
        for underlying in range(self.globals.underlying_count):
            oracle_time = self.get_underlying(underlying).oracle_time
            if oracle_time > 0 and oracle_time + self.params.price_age_max >= self.globals.time:
                return perpetual(underlying)
        raise LieImpossible("no market has a fresh price")

    @property
    def mark(self) -> int:
        """The mark of that market."""
        return self.get_underlying(self.market.underlying).mark

    def get_underlying(self, underlying: int) -> Underlying:
        """A listed underlying."""
        return self.ledger.require_underlying(underlying)

    @property
    def honest_ops(self) -> tuple[PostedOp, ...]:
        """The honest batch without its close."""
        return self.kit.sealed.ops[:-1]

    def get_account(self, number: int) -> Account:
        """An accomplice's account: 0 or 1."""
        account = self.ledger.get_account(self.kit.accomplices[number].account)
        if account is None:
            raise LieImpossible(f"accomplice {number} has no account yet")
        return account

    # Steps

    def repeat(self, ops: Sequence[PostedOp]) -> None:
        """Tell honest steps as they were."""
        for posted in ops:
            self._append(posted.op, posted.writes)

    def go_on(self, ops: Sequence[PostedOp]) -> None:
        """Tell the honest ops that follow a lie, from the liar's state: effects without checks."""
        for posted in ops:
            op = decode_operation(posted.op)
            assert op is not None
            self.lie(op)

    def play(self, op: Operation) -> None:
        """Tell a valid op of the liar's own. Raises LieImpossible when it is not valid here."""
        if isinstance(result := self.judge(op), Invalid):
            raise LieImpossible(f"{op.kind.name.lower()}: {result.code.name}")
        self.lie(op)

    def judge(self, op: Operation) -> Valid | Invalid:
        """What the honest rules would say of an op here: Valid or Invalid."""
        return apply_step(Ledger(self.state.leaves), self._context, op.encode())

    def lie(self, op: Operation, bend: Bend = honest, pretending: Mapping[LeafKey, bytes] | None = None) -> None:
        """Tell an op whatever its checks say. Its effects start from what the liar is `pretending`, and are bent."""
        ledger = Ledger(ChainMap({}, dict(pretending or {}), self.state.leaves))
        try:
            PROCESSES[op.kind].apply_effects(ledger, self._context, op)
            bend(ledger)
            writes = ledger.writes
        except (SubjectMissing, OverflowError, StructError):
            # No leaf could hold such an effect; then the liar claims that nothing came of the op.
            ledger = Ledger(self.state.leaves)
            advance_position(ledger, op)
            writes = ledger.writes
        self._append(op.encode(), writes)

    def close(self, bend: Bend = honest, **claims: object) -> None:
        """Tell the close, with a header that fits the liar's state but for the `claims`."""
        sealed, now = self.kit.sealed.header, self.globals
        end: dict[str, object] = {
            "inbox_cursor": now.inbox_cursor,
            "inbox_hash": now.inbox_hash,
            "time": now.time,
            "position_to": max(sealed.position_to, now.next_position),
            "log_hash": sealed.log_hash,
            "oracle_time": compute_oldest_oracle_time(self.ledger),
        }
        self.header = replace(self.header, **(end | claims))  # type: ignore[arg-type]
        ledger = self.ledger
        apply_close(ledger, self._context, Close())
        bend(ledger)
        self._append(Close().encode(), ledger.writes)

    def _append(self, op: bytes, writes: Mapping[LeafKey, bytes]) -> None:
        self.steps.append(Step(op, self.state.commit(writes)))

    @property
    def _context(self) -> StepContext:
        return StepContext(self.header, len(self.steps), self.kit.domain, self._get_message)

    def _get_message(self, index: int) -> bytes:
        return self.kit.messages[index]

    # The batch

    def build(self, frame_bytes: int = 4096) -> BatchData:
        """Cut the steps into frames and complete the header: counts and roots fit what is told."""
        post_root = self.steps[-1].post_root
        header = replace(self.header, pre_root=self.pre_root, post_root=post_root, step_count=len(self.steps))
        frames = pack_frames(self.pre_root, self.steps, frame_bytes)
        return BatchData(header.encode(), tuple(frame.encode() for frame in frames))

    def build_in_two(self) -> BatchData:
        """The same, in two frames or more. Raises LieImpossible for a batch that cannot be cut."""
        if len(self.steps) < 3:
            raise LieImpossible("a batch of two steps")
        batch = self.build(min(4096, FRAME_HEAD_BYTES + sum(34 + len(step.op) for step in self.steps) // 2))
        assert len(batch.frames) > 1
        return batch

    # Ops of the accomplices

    def sign(self, op: SignedOperation, number: int) -> SignedOperation:
        """The op signed by an accomplice's key."""
        return replace(op, signature=self.kit.accomplices[number].key.sign(hash_digest(self.kit.domain, op)))

    def sign_transfer(self, amount: int) -> Transfer:
        """The first accomplice pays the second, in quote units."""
        payer, payee = self.kit.accomplices
        sequence = self.get_account(0).sequence + 1
        op = Transfer(self.position, payer.account, sequence, payee.account, 0, amount, payer.key_index, bytes(64))
        return self.sign(op, 0)  # type: ignore[return-value]

    def sign_order(self, number: int, size: int, price: int, flags: int = 0) -> OrderOp:
        """An accomplice's order of `size` signed lots on the market, in a slot of its own."""
        who, now, account = self.kit.accomplices[number], self.globals, self.get_account(number)
        held = self.ledger.get_order(Slot(who.account, SLOT))
        terms = OrderTerms(
            account=who.account,
            slot=SLOT,
            counter=1 if held is None else held.counter + 1,
            generation=now.generation,
            epoch=account.epoch,
            valid_until=now.time + 3600,
            flags=flags | (size < 0),
            price=price,
            size=abs(size),
            max_fee_ppm=1_000_000,
            counterparty=0,
            legs=((self.market, 1),),
        )
        op = OrderOp(self.position, self.position, terms, who.key_index, bytes(64))
        return self.sign(op, number)  # type: ignore[return-value]

    def trade(self, buy_price: int, sell_price: int, quantity: int = 1, flags: int = 0) -> None:
        """The first accomplice's buy order meets the second's sell order; both are registered, nothing is filled."""
        self.play(self.sign_order(0, quantity, buy_price, flags))
        self.play(self.sign_order(1, -quantity, sell_price))

    def list_orders(self, **changes: int) -> dict[LeafKey, bytes]:
        """Both orders as their slots hold them, or with changes: something to pretend."""
        slots = [Slot(accomplice.account, SLOT) for accomplice in self.kit.accomplices]
        orders = {slot: replace(self.ledger.require_order(slot), **changes) for slot in slots}  # type: ignore[arg-type]
        return {order_key(*slot): order.encode() for slot, order in orders.items()}

    def fill(self, price: int, quantity: int = 1) -> Fill:
        """The fill of what `trade` registered."""
        buyer, seller = self.kit.accomplices
        return Fill(self.position, buyer.account, SLOT, seller.account, SLOT, price, quantity)

    def sign_cancel(self, number: int) -> Cancel:
        """An accomplice takes back what stands in its slot."""
        who = self.kit.accomplices[number]
        held = self.ledger.require_order(Slot(who.account, SLOT))
        generation = self.globals.generation
        op = Cancel(self.position, who.account, SLOT, held.counter, generation, who.key_index, bytes(64))
        return self.sign(op, number)  # type: ignore[return-value]

    def sign_withdraw(self, amount: int) -> Withdraw:
        """The first accomplice withdraws quote units."""
        who = self.kit.accomplices[0]
        op = Withdraw(self.position, who.account, self.get_account(0).sequence + 1, 0, amount, who.key_index, bytes(64))
        return self.sign(op, 0)  # type: ignore[return-value]

    # Readings

    def sign_reading(self, underlying: int, time: int, keys: Sequence[Secp256k1Key] | None = None) -> Oracle:
        """A reading at the price that stands, signed by the oracle's signers, or by others in their place."""
        signers = self.params.oracle_signers
        places = [signers.index(key.address) for key in self.kit.oracle_keys]
        hands = dict(sorted(zip(places, keys or self.kit.oracle_keys, strict=True)))
        price = max(1, self.get_underlying(underlying).mark)
        volatility = max(1, self.get_underlying(underlying).volatility)
        bare = Oracle(self.position, underlying, time, price, price, PPM, PPM, volatility, 0, ())
        return sign_reading(self.kit.domain, bare, tuple(hands.items()))  # type: ignore[return-value]
