"""The head of the chain: admits requests, matches orders, and turns what trades into ops.

Everything accepted takes the next position of the log. Deterministic: the same records replayed on the same state give
the same ops, which is how a node recovers. The caller makes the returned records durable before anybody is told.

An order rests off chain; when it first trades it is registered by an `order` op, and `fill` follows.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from sequencer.matching import Book, Market, RestingOrder
from sequencer.oplog import LogRecord, RecordKind, hash_log
from sequencer.quick_checks import is_cancel_good, is_order_good, is_transfer_good
from sequencer.refusals import Refusal, Refused
from sequencer.requests import Request, decode_request, strip_operation
from sequencer.verdicts import SignedMessage
from state.batches import Header
from state.codes import Code, Kind
from state.constants import NEVER
from state.context import StepContext, Verifier, draft_header, no_messages
from state.leaves import FLAG_POST_ONLY, Globals, decode_globals, decode_order, read_key
from state.ledger import Leaves, Ledger, Slot, SubjectMissing
from state.operations import (
    L1,
    Bid,
    Cancel,
    Close,
    Fill,
    Liquidate,
    Open,
    Operation,
    Oracle,
    OrderOp,
    Relay,
    Surface,
    Take,
    Tick,
    Transfer,
    decode_operation,
    hash_digest,
)
from state.process_batch import compute_oldest_oracle_time
from state.process_bid import claim_bid
from state.process_fill import claim_fill
from state.process_inbox import OPS_OF_THEIR_OWN, claim_l1, decode_message
from state.process_take import claim_take
from state.signatures import is_ed25519_valid
from state.transition import PROCESSES, find_failed_check
from state.tree import GLOBALS_KEY, LeafKey, account_key, order_key

# Ops that the node itself posts when they are due (keeper.py), and requests that no backlog keeps out.
KEPT_KINDS = (Kind.INDEX, Kind.SETTLE, Kind.LIQUIDATE, Kind.DELEVERAGE, Kind.INTEREST)
MESSAGE_KINDS = (Kind.L1, Kind.BID, Kind.RELAY)
_ALWAYS_KINDS = (Kind.ORACLE, Kind.SURFACE, Kind.TAKE)

# A fill's checks of one side; any other failure is blamed on the order that rests.
_BUYER_CODES = (
    Code.FILL_BUY_ORDER_MUST_BE_LIVE,
    Code.FILL_BUYER_MUST_REDUCE,
    Code.FILL_BUYER_FEE_MUST_KEEP_LIMIT,
    Code.FILL_BUYER_MUST_FIT,
    Code.FILL_BUYER_MARGIN_MUST_HOLD,
)
_SELLER_CODES = (
    Code.FILL_SELL_ORDER_MUST_BE_LIVE,
    Code.FILL_SELLER_MUST_REDUCE,
    Code.FILL_SELLER_FEE_MUST_KEEP_LIMIT,
    Code.FILL_SELLER_MUST_FIT,
    Code.FILL_SELLER_MARGIN_MUST_HOLD,
)

_MARGIN_CODES = (Code.FILL_BUYER_MARGIN_MUST_HOLD, Code.FILL_SELLER_MARGIN_MUST_HOLD)

# Of resting orders that one order may meet: a batch must have room for all that a request leads to. What remains of
# an order behind so many leaves the book.
MEETINGS_MAX = 64


def accept_any(public_key: bytes, digest: bytes, signature: bytes) -> bool:
    """The verifier for what this node has verified before: records of its own log."""
    return True


class PostedOp(NamedTuple):
    """An op of the open batch and the leaves that it wrote."""

    op: bytes
    writes: Mapping[LeafKey, bytes]


class Accepted(NamedTuple):
    """What one request came to: its receipt's content, and every record that it added to the log."""

    position: int
    op_digest: bytes
    log_hash: bytes
    records: tuple[LogRecord, ...]
    filled: int = 0


@dataclass(frozen=True, slots=True)
class Sealed:
    """A closed batch before its roots: header (roots and parent still zero), ops with writes, the way back."""

    header: Header
    ops: tuple[PostedOp, ...]
    undo: Mapping[LeafKey, bytes]


@dataclass(slots=True)
class SlotState:
    """What the engine remembers of an order slot: the highest counter seen, and the order that rests, if any."""

    counter: int = 0
    order: RestingOrder | None = None


@dataclass(frozen=True, slots=True)
class _Overlay:
    """Leaves as they will be when a group's writes are committed."""

    writes: Mapping[LeafKey, bytes]
    leaves: Mapping[LeafKey, bytes]

    def get(self, key: LeafKey, default: bytes, /) -> bytes:
        written = self.writes.get(key)
        return self.leaves.get(key, default) if written is None else written


@dataclass(slots=True)
class _Group:
    """Records and ops that stand or fall together."""

    records: list[LogRecord] = field(default_factory=list)
    ops: list[PostedOp] = field(default_factory=list)
    writes: dict[LeafKey, bytes] = field(default_factory=dict)


class Engine:
    """One writer. `leaves` is the head state, which the engine owns from then on.

    `touched` holds what has been written since its reader, the keeper, last cleared it.
    """

    def __init__(
        self,
        leaves: dict[LeafKey, bytes],
        domain: bytes,
        unposted_bytes_max: int = 4_000_000,
        verify: Verifier = is_ed25519_valid,
    ) -> None:
        self.leaves = leaves
        self._verify = verify
        self.domain = domain
        self.unposted_bytes_max = unposted_bytes_max
        self.unposted_bytes = 0
        self.slots: dict[Slot, SlotState] = {}
        self.dirty_slots: dict[Slot, None] = {}
        self._books: dict[Market, Book] = {}
        self._pending: list[PostedOp] = []
        self._pending_bytes = 0
        self._undo: dict[LeafKey, bytes] = {}
        self.touched: dict[LeafKey, bytes] = {}
        self.next_position = 0
        self.log_hash = bytes(32)
        self._context: StepContext | None = None

    # The open batch

    @property
    def globals(self) -> Globals:
        """The globals leaf at the head."""
        found = decode_globals(self.leaves[GLOBALS_KEY])
        assert found is not None
        return found

    def get_signed(self, request: Request) -> SignedMessage | None:
        """What must be verified of a request, as the state stands now; None for one that no session key signs."""
        op = request.op
        if isinstance(op, Oracle | Surface):
            return None
        key = read_key(self.leaves.get(account_key(op.account), b""), op.key_index)
        if key is None:
            return None
        return SignedMessage(key.public_key, request.hash_digest(self.domain), op.signature)

    @property
    def pending_bytes(self) -> int:
        """Bytes of the open batch's steps, as they will be posted."""
        return self._pending_bytes

    @property
    def undo(self) -> Mapping[LeafKey, bytes]:
        """What the leaves that the open batch wrote were before it."""
        return self._undo

    @property
    def pending(self) -> Sequence[PostedOp]:
        """Steps of the open batch so far, `open` included."""
        return self._pending

    @property
    def pending_count(self) -> int:
        """Steps of the open batch so far, `open` included."""
        return len(self._pending)

    def open_batch(self, generation: int, flags: int = 0) -> None:
        """Begin the next batch. A higher generation starts the log anew and forgets every order."""
        state = self.globals
        if generation > state.generation:
            self.next_position, self.log_hash = 0, bytes(32)
            self.slots.clear()
            self.dirty_slots.clear()
            self._books.clear()
        header = draft_header(
            index=state.batch + 1,
            parent=bytes(32),
            generation=generation,
            pre_root=bytes(32),
            time_from=state.time,
            position_from=0 if generation > state.generation else state.next_position,
            flags=flags,
        )
        self._context = StepContext(header, 0, self.domain, no_messages, self._verify)
        self._pending, self._pending_bytes, self._undo = [], 0, {}
        self._commit(self._try([Open()], self._context))

    def seal(self) -> Sealed:
        """Close the open batch: nothing more enters it. The caller opens the next."""
        assert self._context is not None
        state, draft = self.globals, self._context.header
        header = replace(
            draft,
            step_count=len(self._pending) + 1,
            inbox_cursor=state.inbox_cursor,
            inbox_hash=state.inbox_hash,
            time=state.time,
            position_to=self.next_position,
            log_hash=self.log_hash,
            oracle_time=compute_oldest_oracle_time(Ledger(self.leaves)),
        )
        self._commit(self._try([Close()], replace(self._context, header=header)))
        sealed = Sealed(header, tuple(self._pending), dict(self._undo))
        self.unposted_bytes += self.pending_bytes
        self._context = None
        return sealed

    def mark_posted(self, byte_count: int) -> None:
        """L1 has taken that many bytes of sealed steps."""
        self.unposted_bytes = max(0, self.unposted_bytes - byte_count)

    # What comes in

    def tick(self, time: int) -> tuple[LogRecord, ...]:
        """Move state time, when it is later than it was."""
        if time <= self.globals.time:
            return ()
        return tuple(self._post(Tick(self.next_position, time)).records)

    def take_message(self, index: int, data: bytes) -> tuple[LogRecord, ...]:
        """Take the L1 message that is next in the inbox; state time reaches it first, where that matters."""
        known: Callable[[int], bytes] = {index: data}.__getitem__
        message = decode_message(data)
        taker = OPS_OF_THEIR_OWN.get(message.type, L1)
        ticks = () if taker is L1 else self.tick(message.time)
        return (*ticks, *self._post(self._build_taker(taker, index, data), known).records)

    def _build_taker(self, taker: type[Operation], index: int, data: bytes) -> Operation:
        """The op that takes a message as the state stands."""
        if taker is Bid:
            return claim_bid(Ledger(self.leaves), self.next_position, index, data)
        if taker is Relay:
            return Relay(self.next_position, index)
        return claim_l1(Ledger(self.leaves), self.next_position, index, data)

    def submit(self, data: bytes | Request) -> Accepted | Refused:
        """Judge a request, as bytes or decoded; when it is taken, do everything that follows from it."""
        request = decode_request(data) if isinstance(data, bytes) else data
        if request is None:
            return Refused(Refusal.REQUEST_MALFORMED)
        if self._context is None:
            return Refused(Refusal.NOT_SEQUENCING)
        kind = request.op.kind
        if kind is Kind.CANCEL:
            return self._submit_cancel(request)
        # Transfers and withdrawals pay no fee: whoever floods with them must leave room for those who trade.
        room = self.unposted_bytes_max if kind is Kind.ORDER else self.unposted_bytes_max // 2
        if self.unposted_bytes + self._pending_bytes > room and kind not in _ALWAYS_KINDS:
            return Refused(Refusal.BACKLOG_FULL)
        if kind is Kind.ORDER:
            return self._submit_order(request)
        op = request.place(self.next_position)
        try:
            group = self._try([claim_take(Ledger(self.leaves), op) if isinstance(op, Take) else op])
        except SubjectMissing:
            return Refused(Code.TAKE_TARGET_MUST_BE_OPEN)
        if isinstance(group, Refused):
            return group
        self._commit(group)
        return Accepted(op.position, request.hash_digest(self.domain), self.log_hash, tuple(group.records))

    def keep(self, build: Callable[[Ledger, int], Operation]) -> Accepted | Refused:
        """Post an op that nobody asks for, built on the state and the position at which it will stand."""
        op = build(Ledger(self.leaves), self.next_position)
        group = self._try([op])
        if isinstance(group, Refused):
            return group
        self._commit(group)
        if isinstance(op, Liquidate):
            self._drop_orders(op.account)
        return Accepted(group.records[0].position, bytes(32), self.log_hash, tuple(group.records))

    def replay(self, record: LogRecord, messages: Callable[[int], bytes]) -> tuple[LogRecord, ...]:
        """Do again what a record of the log did; answers every record that it gave then and gives now."""
        assert self._context is not None
        limit, self.unposted_bytes_max = self.unposted_bytes_max, NEVER
        self._context = replace(self._context, verify=accept_any)
        try:
            return self._replay(record, messages)
        finally:
            self.unposted_bytes_max = limit
            self._context = replace(self._context, verify=self._verify)

    def _replay(self, record: LogRecord, messages: Callable[[int], bytes]) -> tuple[LogRecord, ...]:
        body, kind = record.body, record.body[0]
        if record.kind is RecordKind.POSTED and kind == Kind.TICK:
            return self.tick(int.from_bytes(body[9:]))
        if record.kind is RecordKind.POSTED and kind in MESSAGE_KINDS:
            index = int.from_bytes(body[9:17])
            return self.take_message(index, messages(index))
        if record.kind is RecordKind.POSTED and kind in KEPT_KINDS:
            kept = decode_operation(body)
            assert kept is not None
            outcome = self.keep(lambda ledger, position: kept)
        else:
            outcome = self.submit(body if record.kind is RecordKind.ACCEPTED else strip_operation(body))
        assert isinstance(outcome, Accepted), f"log position {record.position} does not replay: {outcome}"
        return outcome.records

    # Orders

    def _submit_cancel(self, request: Request) -> Accepted | Refused:
        assert self._context is not None
        cancel, digest = request.op, request.hash_digest(self.domain)
        assert isinstance(cancel, Cancel)
        if not is_cancel_good(self.leaves, self._context, self.next_position, cancel, digest):
            refused = self._judge(request)
            if refused is not None:
                return refused
        slot = Slot(cancel.account, cancel.slot)
        held = decode_order(self.leaves.get(order_key(*slot), b""))
        known = self._slot(slot)
        is_resting = known.order is not None and known.order.terms.counter <= cancel.counter
        is_registered = held is not None and held.remaining > 0 and held.counter <= cancel.counter
        if not is_resting and not is_registered and cancel.counter <= known.counter:
            return Refused(Refusal.NOTHING_TO_CANCEL)
        if known.order is not None and is_resting:
            self._drop(known.order)
        known.counter = max(known.counter, cancel.counter)
        if is_registered:
            records = self._post(request.place(self.next_position)).records
        else:
            records = [self._record(RecordKind.ACCEPTED, request.data)]
        return Accepted(records[0].position, digest, self.log_hash, tuple(records))

    def _submit_order(self, request: Request) -> Accepted | Refused:
        assert self._context is not None
        op, position, digest = request.op, self.next_position, request.hash_digest(self.domain)
        assert isinstance(op, OrderOp)
        if not is_order_good(self.leaves, self._context, position, op, digest):
            refused = self._judge(request)
            if refused is not None:
                return refused
        terms = op.terms
        order = RestingOrder(terms, request.data, position, terms.size)
        known = self._slot(order.slot)
        if terms.counter <= known.counter:
            return Refused(Refusal.COUNTER_MUST_RISE)
        book = self._get_book(order.market)
        if terms.flags & FLAG_POST_ONLY:
            best = book.get_best_against(order.is_sell)
            if best is not None and order.crosses(best.terms.price):
                return Refused(Refusal.POST_ONLY_WOULD_TAKE)
        if known.order is not None:
            self._drop(known.order)
        known.counter, known.order = terms.counter, order
        records = [self._record(RecordKind.ACCEPTED, request.data)]
        log_hash = self.log_hash
        book.add(order)
        self._match(book, order, records)
        return Accepted(position, digest, log_hash, tuple(records), filled=terms.size - order.remaining)

    def _match(self, book: Book, taker: RestingOrder, records: list[LogRecord]) -> None:
        """Trade until nothing crosses. Whoever a check speaks against leaves the book."""
        known = self._slot(taker.slot)
        for _ in range(MEETINGS_MAX):
            if known.order is not taker:
                return
            maker = book.get_best_against(taker.is_sell)
            if maker is None or not taker.crosses(maker.terms.price):
                return
            if maker.terms.account == taker.terms.account:
                self._drop(maker)
                continue
            group = self._try(self._build_trade(maker, taker))
            if isinstance(group, Refused):
                self._drop(self._get_blamed(group.code, maker, taker))
                continue
            self._commit(group)
            records += group.records
            quantity = min(maker.remaining, taker.remaining)
            for order in (maker, taker):
                order.is_registered = True
                order.remaining -= quantity
                self.dirty_slots[order.slot] = None
                if order.remaining == 0:
                    self._drop(order)
        if known.order is taker:
            self._drop(taker)

    def _build_trade(self, maker: RestingOrder, taker: RestingOrder) -> list[Operation]:
        """Register what is not registered yet, then fill."""
        ops: list[Operation] = []
        for order in (maker, taker):
            if not order.is_registered:
                ops.append(order.register(self.next_position + len(ops)))
        buyer, seller = (taker, maker) if maker.is_sell else (maker, taker)
        quantity = min(maker.remaining, taker.remaining)
        position = self.next_position + len(ops)
        return [*ops, Fill(position, *buyer.slot, *seller.slot, maker.terms.price, quantity)]

    @staticmethod
    def _get_blamed(code: Code | Refusal, maker: RestingOrder, taker: RestingOrder) -> RestingOrder:
        buyer, seller = (taker, maker) if maker.is_sell else (maker, taker)
        if code in _BUYER_CODES:
            return buyer
        if code is Code.FILL_OPEN_INTEREST_MUST_FIT:
            return taker
        return seller if code in _SELLER_CODES else maker

    def _slot(self, slot: Slot) -> SlotState:
        if slot not in self.slots:
            held = decode_order(self.leaves.get(order_key(*slot), b""))
            self.slots[slot] = SlotState(counter=0 if held is None else held.counter)
        self.dirty_slots[slot] = None
        return self.slots[slot]

    def _drop(self, order: RestingOrder) -> None:
        """Take an order out of the book; its slot on the chain, if it has one, is left to expire or be cancelled."""
        self._books[order.market].remove(order)
        self._slot(order.slot).order = None

    def _drop_orders(self, account: int) -> None:
        """Take all of an account's orders out of the books: its epoch has risen."""
        for known in list(self.slots.values()):
            if known.order is not None and known.order.slot.account == account:
                self._drop(known.order)

    def restore_slot(self, slot: Slot, known: SlotState) -> None:
        """Put back what was remembered of a slot, in order of acceptance."""
        self.slots[slot] = known
        if known.order is not None:
            self._get_book(known.order.market).add(known.order)

    def get_depth(self, market: Market, depth: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """Bids and asks of a market, best first, as (price, lots)."""
        return self._get_book(market).get_depth(depth)

    def _get_book(self, market: Market) -> Book:
        book = self._books.get(market)
        if book is None:
            book = self._books[market] = Book()
        return book

    # Ops and records

    def _judge(self, request: Request) -> Refused | None:
        """Why a request's op may not stand next; None when it may. Nothing changes."""
        assert self._context is not None
        op = request.place(self.next_position)
        code = find_failed_check(Ledger(self.leaves), self._context.at(len(self._pending)), op)
        return None if code is None else Refused(code)

    def _is_good(self, leaves: Leaves, context: StepContext, op: Operation) -> bool:
        """Whether a glance is enough to say that an op holds."""
        if isinstance(op, OrderOp):
            digest = hash_digest(self.domain, op)
            return op.accepted <= op.position and is_order_good(leaves, context, op.position, op, digest)
        return isinstance(op, Transfer) and is_transfer_good(leaves, context, op)

    def _try(
        self,
        ops: list[Operation],
        context: StepContext | None = None,
        get_message: Callable[[int], bytes] = no_messages,
    ) -> _Group | Refused:
        """Judge ops one after the other, all or none; nothing is committed."""
        context = context or self._context
        assert context is not None
        if get_message is not no_messages:
            context = replace(context, get_message=get_message)
        group = _Group()
        for op in ops:
            here = context.at(len(self._pending) + len(group.ops))
            leaves = _Overlay(group.writes, self.leaves) if group.writes else self.leaves
            ledger = Ledger(leaves)
            code = None if self._is_good(leaves, here, op) else find_failed_check(ledger, here, op)
            if isinstance(op, Fill) and code in _MARGIN_CODES:
                op = claim_fill(Ledger(leaves), op)
                code = find_failed_check(ledger, here, op)
            if code is not None:
                return Refused(code)
            PROCESSES[op.kind].apply_effects(ledger, here, op)
            data = op.encode()
            group.ops.append(PostedOp(data, ledger.writes))
            group.writes.update(ledger.writes)
            if op.kind not in (Kind.OPEN, Kind.CLOSE):
                position = self.next_position + len(group.records)
                group.records.append(LogRecord(position, RecordKind.POSTED, data))
        return group

    def _commit(self, group: _Group | Refused) -> None:
        assert isinstance(group, _Group), f"the sequencer's own op is invalid: {group}"
        self.touched.update(group.writes)
        for key, data in group.writes.items():
            self._undo.setdefault(key, self.leaves.get(key, b""))
            self.leaves[key] = data
        self._pending += group.ops
        self._pending_bytes += sum(34 + len(posted.op) for posted in group.ops)
        for record in group.records:
            self._append(record)

    def _post(self, op: Operation, get_message: Callable[[int], bytes] = no_messages) -> _Group:
        group = self._try([op], get_message=get_message)
        self._commit(group)
        assert isinstance(group, _Group)
        return group

    def _append(self, record: LogRecord) -> None:
        assert record.position == self.next_position
        self.log_hash = hash_log(self.log_hash, record)
        self.next_position += 1

    def _record(self, kind: RecordKind, body: bytes) -> LogRecord:
        record = LogRecord(self.next_position, kind, body)
        self._append(record)
        return record
