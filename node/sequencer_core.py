"""The sequencer's engine joined to its disk: nothing is acknowledged before it is durable, and start-up is recovery.

Synchronous and without a clock; node/sequencer_role.py drives it. The order of writes is the whole of its safety:
records of a group are durable before their receipts exist; a sealed batch, the leaves after it, the way back before it
and the place at which the log goes on are one atomic write, made only when every record before it is durable. Requests
may be taken and logged between sealing and that write, and other batches sealed: after a crash before it, the same log
makes other batches, and none of those that were lost was posted.

Between sealing and that write a batch's roots are computed, and until then nobody needs them: where that is done, the
batcher says. What the engine does and what is on disk are told apart by that: `head` is where the disk stands.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from struct import Struct

from node.checkpoint import (
    DIGEST_BYTES,
    Head,
    Mark,
    SealedBatches,
    SealedRecord,
    add_to_digest,
    decode_head,
    decode_mark,
)
from node.op_log import LevelDbLog
from sequencer.batcher import BatchBuilder, OpenBatcher, open_batcher
from sequencer.engine import Accepted, Engine, Sealed, SlotState
from sequencer.keeper import Keeper
from sequencer.matching import RestingOrder
from sequencer.oplog import LogRecord, OpLog
from sequencer.refusals import Refused
from sequencer.requests import Request, decode_request
from sequencer.sweep import BookSweep
from sequencer.verdicts import Verdicts
from state.batches import BatchData
from state.ledger import Slot
from state.operations import OrderOp
from state.receipts import ReceiptBody
from state.store import Store, StoreError
from state.tree import LeafKey

_HEAD = "head"
_BASE_HEAD = "base head"
_FORGOTTEN = "forgotten"
_SLOTS_DIGEST = "slots digest"
_IDENTITY = "identity"
_EPOCH_SEEN = "log epoch seen"

TAIL_RECORDS_MAX = 40_000
"""Of the log behind a checkpoint: a start does them again, at some 15 000 a second."""


@dataclass(slots=True)
class Group:
    """Requests taken together: their outcomes, and the records that must be durable before anybody is told."""

    outcomes: list[Accepted | Refused] = field(default_factory=list)
    records: list[LogRecord] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Sealing:
    """A sealed batch without its roots, and the slots as they stand behind it."""

    sealed: Sealed
    slots: dict[bytes, bytes]
    _write: Callable[["Sealing"], "Written"]

    def write(self) -> "Written":
        """Compute the roots and make it durable; only when every record before it is. In the order of sealing, from any
        one thread at a time.

        Raises StoreError, BatchWorkerEnded. What happens to the engine meanwhile changes nothing here.
        """
        return self._write(self)


@dataclass(frozen=True, slots=True)
class Written:
    """A sealed batch that is on disk, and the leaves that it wrote: it may be posted."""

    sealed: Sealed
    batch: BatchData
    leaves: Mapping[LeafKey, bytes]


class SequencerCore:
    """One writer of one data folder. Nothing more is taken into a batch that has reached `batch_bytes_max`."""

    def __init__(
        self,
        store: Store,
        domain: bytes,
        unposted_bytes_max: int,
        batch_bytes_max: int = 90_000,
        log: OpLog | None = None,
        open_batcher: OpenBatcher = open_batcher,
    ) -> None:
        """Takes the log over; by default it stands in the folder of the leaves. Raises StoreError, Fenced."""
        self._store = store
        self._open_batcher = open_batcher
        self._batch_bytes_max = batch_bytes_max
        self._domain = domain
        self._unposted_bytes_max = unposted_bytes_max
        self.verdicts = Verdicts()
        self.engine = self._build_engine({})
        self.keeper = self._build_keeper()
        self.batcher = open_batcher({}, bytes(32))
        self.head: Head | None = None
        self._sealed_to = 0
        self._sealed_index = 0
        self.sealed = SealedBatches(store, ())
        self.is_rebuilt = False
        self._slots_on_disk: dict[bytes, bytes] = {}
        self._slots_ahead: dict[bytes, bytes] = {}
        self._slots_digest = bytes(DIGEST_BYTES)
        identity = store.read_meta(_IDENTITY)
        if identity is not None and identity != domain:
            raise StoreError(f"{store.folder}: this data folder belongs to another rollup; use another folder")
        self._log = LevelDbLog(store) if log is None else log
        if self._log.epoch < int.from_bytes(store.read_meta(_EPOCH_SEEN) or b""):
            raise StoreError(f"{store.folder}: the log of this state is gone, or an old copy; bring it back")
        self._epoch = self._log.epoch + 1
        self._log.fence(self._epoch)
        store.commit(meta={_EPOCH_SEEN: self._epoch.to_bytes(8)})

    # Start-up

    def recover(self, get_message: Callable[[int], bytes]) -> bool:
        """Put the head together from disk: the checkpoint, then the log since. False for a folder without a state.

        A checkpoint that is not what it was when it was written is given up, and `is_rebuilt` then: all of the log is
        done again, on top of its base. Raises StoreError when that is damaged too.
        """
        data = self._store.read_meta(_HEAD)
        if data is None:
            return False
        self.is_rebuilt = not self._load(decode_head(data))
        if self.is_rebuilt:
            base = self._store.read_meta(_BASE_HEAD)
            assert base is not None
            self._store.fall_back({_HEAD: base, _SLOTS_DIGEST: b"", _FORGOTTEN: b""})
            if not self._load(decode_head(base)):
                raise StoreError(f"{self._store.folder}: the state under the log is damaged: restore a copy")
        self._replay(get_message)
        return True

    def _load(self, head: Head) -> bool:
        """Leaves and slots as they stand on disk; whether they are what was written there."""
        leaves = self._store.read_leaves()
        batcher = self._open_batcher(leaves, head.parent)
        # Slots are read before anybody waits for the root, which may be computed elsewhere meanwhile.
        slots = dict(self._store.read_slots())
        digest = self._store.read_meta(_SLOTS_DIGEST) or bytes(DIGEST_BYTES)
        is_whole = add_to_digest(bytes(DIGEST_BYTES), (), slots.items()) == digest
        known = [(_decode_slot_key(key), _decode_slot(value)) for key, value in slots.items()] if is_whole else []
        if batcher.root != head.root or not is_whole:
            return False
        self._restore(head, leaves, batcher)
        self._slots_on_disk, self._slots_digest = slots, digest
        for slot, state in sorted(known, key=lambda item: item[1].order.accepted if item[1].order else -1):
            self.engine.restore_slot(slot, state)
        self.sealed = SealedBatches(self._store, self._list_sealed(head))
        self.engine.open_batch(head.generation)
        return True

    def _list_sealed(self, head: Head) -> range:
        """Batches of the generation up to `head` that are not forgotten: to look which there are takes too long."""
        base, forgotten = self._store.read_meta(_BASE_HEAD), self._store.read_meta(_FORGOTTEN)
        assert base is not None
        first = decode_head(base).index if forgotten is None else int.from_bytes(forgotten)
        return range(first + 1, head.index + 1)

    def rewind(self, index: int, get_message: Callable[[int], bytes]) -> None:
        """Take back every sealed batch after `index`, none of which L1 holds, and batch the same log anew.

        Positions and receipts stay what they were; only where one batch ends and the next begins changes. That is how
        ops are posted whose batch has grown too old for L1 to take.
        """
        records = {number: self.sealed.read(number) for number in self.sealed if number > index}
        if not records:
            return
        leaves: dict[LeafKey, bytes] = {}
        slots: dict[bytes, bytes] = {}
        for number in sorted(records, reverse=True):
            leaves.update(records[number].leaves)
            slots.update(records[number].slots)
        before = records[min(records)].before
        self._store.commit(
            leaves=leaves,
            slots=slots,
            forget_batches=sorted(records),
            marks=dict.fromkeys(records, b""),
            meta={_HEAD: before.encode(), _SLOTS_DIGEST: self._change_slots(slots)},
        )
        self.recover(get_message)

    def _change_slots(self, slots: Mapping[bytes, bytes]) -> bytes:
        """What stands on disk of slots becomes this; the digest of all of them."""
        gone = [(key, self._slots_on_disk.get(key, b"")) for key in slots]
        self._slots_digest = add_to_digest(self._slots_digest, gone, slots.items())
        self._slots_on_disk.update(slots)
        return self._slots_digest

    def restart(
        self,
        leaves: Mapping[LeafKey, bytes],
        *,
        generation: int,
        index: int,
        parent: bytes,
        log_hash: bytes = bytes(32),
    ) -> None:
        """Begin a generation on another state than the one on disk: after a rollback, or for the first time."""
        batcher = self._open_batcher(leaves, parent)
        head = Head(generation, index, parent, 0, log_hash, batcher.root)
        names = {_IDENTITY: self._domain, _HEAD: head.encode(), _BASE_HEAD: head.encode()}
        self._store.reset(leaves, names | {_SLOTS_DIGEST: b"", _FORGOTTEN: b""})
        self._restore(head, dict(leaves), batcher)
        self.sealed, self._slots_on_disk = SealedBatches(self._store, ()), {}
        self._slots_digest = bytes(DIGEST_BYTES)
        self.engine.open_batch(generation)

    def _restore(self, head: Head, leaves: dict[LeafKey, bytes], batcher: BatchBuilder) -> None:
        self.head, self._sealed_to, self._sealed_index = head, head.position, head.index
        self.engine = self._build_engine(leaves)
        self.engine.next_position, self.engine.log_hash = head.position, head.log_hash
        self._slots_ahead.clear()
        self.batcher = batcher
        self.keeper = self._build_keeper()

    def _build_keeper(self) -> Keeper:
        return Keeper(self.engine, BookSweep(), self._batch_bytes_max)

    def _build_engine(self, leaves: dict[LeafKey, bytes]) -> Engine:
        return Engine(leaves, self._domain, self._unposted_bytes_max, self.verdicts.verify)

    def _replay(self, get_message: Callable[[int], bytes]) -> None:
        """Do again what the log holds behind the checkpoint. What was sealed there once ends where it ended."""
        assert self.head is not None
        marks = deque((index, decode_mark(data)) for index, data in self._store.read_marks(self.head.index + 1))
        skip: deque[LogRecord] = deque()
        position = self.head.position
        if position and next(iter(self._log.read_from(self.head.generation, position - 1)), None) is None:
            raise StoreError(f"{self._store.folder}: the log ends before position {position}, where the state stands")
        for record in self._log.read_from(self.head.generation, position):
            if record.position != position or (skip and skip.popleft() != record):
                raise StoreError(f"{self._store.folder}: log position {position} is not what its replay gives")
            position += 1
            if record.position < self.engine.next_position:
                continue
            self._seal_again(marks)
            if self.is_full and not marks:
                self.seal()
            skip.extend(self.engine.replay(record, get_message)[1:])
        self._seal_again(marks)
        if marks or skip:
            raise StoreError(f"{self._store.folder}: the log ends at {position}, before what was sealed of it")

    def _seal_again(self, marks: deque[tuple[int, Mark]]) -> None:
        """Seal where that was done before; the same batches come of it."""
        while marks and marks[0][1].position == self.engine.next_position:
            index, mark = marks.popleft()
            if self.seal()[1].batch_hash != mark.batch_hash:
                raise StoreError(f"{self._store.folder}: the log does not give batch {index} again, which was sealed")

    # Taking requests

    @property
    def is_full(self) -> bool:
        """Whether the open batch must be sealed first: L1 takes no larger one, and a start shall do no more again."""
        tail = self.engine.next_position - self._sealed_to
        return self.engine.pending_bytes >= self._batch_bytes_max or tail >= TAIL_RECORDS_MAX

    def take(self, requests: Sequence[bytes | Request]) -> Group:
        """Judge requests in order until the batch is full: of the rest the group has no outcomes.

        Nothing of the group may be told before `make_durable` has returned.
        """
        group = Group()
        for request in requests:
            if self.is_full:
                break
            outcome = self.engine.submit(request)
            group.outcomes.append(outcome)
            if isinstance(outcome, Accepted):
                group.records += outcome.records
        return group

    def make_durable(self, records: Sequence[LogRecord]) -> None:
        """Write a group to the log, once. Raises StoreError; then nobody may be told, and the node must stop."""
        if records:
            assert self.head is not None
            self._log.append_group(self._epoch, self.head.generation, records)

    def build_receipt(self, accepted: Accepted) -> ReceiptBody:
        """What a receipt for an accepted request says; it may be signed when the request is durable."""
        assert self.head is not None
        return ReceiptBody(self.head.generation, accepted.position, accepted.op_digest, accepted.log_hash)

    # Batches

    def note_slots(self) -> None:
        """Keep what has become of slots, as far as the open batch goes: then sealing itself holds nobody up."""
        engine = self.engine
        for slot in engine.dirty_slots:
            self._slots_ahead[_encode_slot_key(slot)] = _encode_slot(engine.slots.get(slot))
        engine.dirty_slots.clear()

    def advance_batch(self) -> None:
        """Have roots of the open batch computed, unless an earlier one is not written yet."""
        assert self.head is not None
        if self.head.index == self._sealed_index:
            self.batcher.advance(self.engine.pending)

    def begin_seal(self) -> "Sealing":
        """Close the open batch and open the next. The batch may be posted when its `write` has returned."""
        assert self.head is not None
        self.note_slots()
        sealing = Sealing(self.engine.seal(), self._slots_ahead, self._write_sealing)
        self._slots_ahead, self._sealed_to = {}, self.engine.next_position
        self._sealed_index = sealing.sealed.header.index
        self.engine.open_batch(self.head.generation)
        return sealing

    def seal(self) -> tuple[Sealed, BatchData]:
        """Close the open batch, make it durable with the leaves after it, and open the next."""
        written = self.begin_seal().write()
        return written.sealed, written.batch

    def _write_sealing(self, sealing: "Sealing") -> Written:
        before, sealed = self.head, sealing.sealed
        assert before is not None
        batch, header = self.batcher.build(sealed), sealed.header
        after = Head(
            before.generation,
            header.index,
            batch.batch_hash,
            header.position_to,
            header.log_hash,
            self.batcher.root,
        )
        leaves: dict[LeafKey, bytes] = {}
        for posted in sealed.ops:
            leaves.update(posted.writes)
        slots_before = {key: self._slots_on_disk.get(key, b"") for key in sealing.slots}
        self._store.commit(
            leaves=leaves,
            slots=sealing.slots,
            sealed=(after.index, SealedRecord(batch, before, dict(sealed.undo), slots_before).encode()),
            marks={after.index: Mark(after.position, after.parent).encode()},
            meta={_HEAD: after.encode(), _SLOTS_DIGEST: self._change_slots(sealing.slots)},
        )
        self.head = after
        self.sealed.note_written(after.index)
        return Written(sealed, batch, leaves)

    def take_unposted(self, tip: int) -> list[tuple[int, BatchData]]:
        """Batches on disk that L1 does not hold after batch `tip`: what is admitted is bounded by their bytes too."""
        unposted = [(index, self.sealed[index]) for index in sorted(self.sealed) if index > tip]
        self.engine.unposted_bytes = sum(len(batch.encode()) for _, batch in unposted)
        return unposted

    def forget_final(self, index: int) -> None:
        """Batches up to `index` are final: they need not be kept for posting again."""
        old = [batch for batch in self.sealed if batch <= index]
        if old:
            self._store.commit(forget_batches=old, meta={_FORGOTTEN: max(old).to_bytes(8)})
            for batch in old:
                self.sealed.forget(batch)


_COUNTER = Struct(">Q")
_ORDER = Struct(">QQQ?")


def _encode_slot(known: SlotState | None) -> bytes:
    """What is kept of a slot, as it is now: what the engine remembers goes on changing."""
    if known is None:
        return b""
    order = known.order
    if order is None:
        return _COUNTER.pack(known.counter)
    return _ORDER.pack(known.counter, order.accepted, order.remaining, order.is_registered) + order.request


def _encode_slot_key(slot: Slot) -> bytes:
    return slot.account.to_bytes(4) + slot.slot.to_bytes(2)


def _decode_slot_key(key: bytes) -> Slot:
    return Slot(int.from_bytes(key[:4]), int.from_bytes(key[4:]))


def _decode_slot(data: bytes) -> SlotState:
    """There can be very many, and a start waits for all of them."""
    if len(data) == _COUNTER.size:
        return SlotState(*_COUNTER.unpack(data))
    counter, accepted, remaining, is_registered = _ORDER.unpack_from(data)
    request = data[_ORDER.size :]
    decoded = decode_request(request)
    assert decoded is not None
    assert isinstance(decoded.op, OrderOp)
    return SlotState(counter, RestingOrder(decoded.op.terms, request, accepted, remaining, is_registered))
