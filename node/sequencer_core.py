"""The sequencer's engine joined to its disk: nothing is acknowledged before it is durable, and start-up is recovery.

Synchronous and without a clock; node/sequencer_role.py drives it. The order of writes is the whole of its safety:
records of a group are durable before their receipts exist; a sealed batch, the leaves after it, the way back before it
and the place at which the log goes on are one atomic write, made only when every record before it is durable. Requests
may be taken and logged between sealing and that write: after a crash before it, the same log makes other batches, and
none of those that were lost was posted.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from node.op_log import LevelDbLog
from sequencer.batcher import Batcher
from sequencer.engine import Accepted, Engine, Sealed, SlotState
from sequencer.matching import RestingOrder
from sequencer.oplog import LogRecord, OpLog
from sequencer.refusals import Refused
from sequencer.requests import Request, decode_request
from sequencer.verdicts import Verdicts
from state.batches import BatchData, decode_batch
from state.codec import Value, decode, encode
from state.ledger import Slot
from state.operations import OrderOp
from state.receipts import ReceiptBody
from state.store import Store, StoreError
from state.tree import LeafKey, build_tree

_HEAD = "head"
_IDENTITY = "identity"


@dataclass(frozen=True, slots=True)
class Head:
    """Where the leaves on disk stand: after batch `index`; the open batch's generation, and where its log goes on."""

    generation: int
    index: int
    parent: bytes
    position: int
    log_hash: bytes

    def encode(self) -> bytes:
        """As kept under one name."""
        return encode([self.generation, self.index, self.parent, self.position, self.log_hash])


def decode_head(data: bytes) -> Head:
    """The inverse of Head.encode."""
    return Head(*decode(data))  # type: ignore[misc, arg-type]


@dataclass(slots=True)
class Group:
    """Requests taken together: their outcomes, and the records that must be durable before anybody is told."""

    outcomes: list[Accepted | Refused] = field(default_factory=list)
    records: list[LogRecord] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class SealedRecord:
    """A sealed batch as it is kept until it is final, and what was on disk before it."""

    batch: BatchData
    before: Head
    leaves: dict[LeafKey, bytes]
    slots: dict[bytes, bytes]

    def encode(self) -> bytes:
        """As kept under its index."""
        leaves: list[Value] = [[key, data] for key, data in self.leaves.items()]
        slots: list[Value] = [[key, data] for key, data in self.slots.items()]
        return encode([self.batch.encode(), self.before.encode(), leaves, slots])


def decode_sealed(data: bytes) -> SealedRecord:
    """The inverse of SealedRecord.encode. Raises StoreError."""
    value = decode(data)
    assert isinstance(value, list)
    batch_bytes, before, leaves, slots = value
    batch = decode_batch(batch_bytes)  # type: ignore[arg-type]
    if batch is None:
        raise StoreError("a sealed batch on disk does not parse: the data folder is damaged")
    return SealedRecord(
        batch,
        decode_head(before),  # type: ignore[arg-type]
        dict(leaves),  # type: ignore[arg-type]
        dict(slots),  # type: ignore[arg-type]
    )


@dataclass(frozen=True, slots=True)
class Sealing:
    """A sealed batch that is not on disk yet, and all that is to stand there with it: leaves and slots after it."""

    sealed: Sealed
    batch: BatchData
    before: Head
    after: Head
    leaves: dict[LeafKey, bytes]
    slots: list[tuple[Slot, list[Value]]]
    _write: Callable[["Sealing"], None]

    def write(self) -> None:
        """Make it durable; only when every record before it is. In the order of sealing, from any one thread at a time.

        Raises StoreError. What happens to the engine meanwhile changes nothing here.
        """
        self._write(self)


class SequencerCore:
    """One writer of one data folder. Nothing more is taken into a batch that has reached `batch_bytes_max`."""

    def __init__(
        self,
        store: Store,
        domain: bytes,
        unposted_bytes_max: int,
        batch_bytes_max: int = 90_000,
        log: OpLog | None = None,
    ) -> None:
        """Takes the log over; by default it stands in the folder of the leaves. Raises StoreError, Fenced."""
        self._store = store
        self._batch_bytes_max = batch_bytes_max
        self._domain = domain
        self._unposted_bytes_max = unposted_bytes_max
        self.verdicts = Verdicts()
        self.engine = self._build_engine({})
        self.batcher = Batcher(build_tree(()), bytes(32))
        self.head: Head | None = None
        self.sealed: dict[int, BatchData] = {}
        self._slots_on_disk: dict[bytes, bytes] = {}
        identity = store.read_meta(_IDENTITY)
        if identity is not None and identity != domain:
            raise StoreError(f"{store.folder}: this data folder belongs to another rollup; use another folder")
        self._log = LevelDbLog(store) if log is None else log
        self._epoch = self._log.epoch + 1
        self._log.fence(self._epoch)

    # Start-up

    def recover(self, get_message: Callable[[int], bytes]) -> bool:
        """Put the head together from disk: leaves, then the log since. False when the folder holds no state yet."""
        data = self._store.read_meta(_HEAD)
        if data is None:
            return False
        head = decode_head(data)
        leaves = self._store.read_leaves()
        self._restore(head, leaves)
        self._slots_on_disk = dict(self._store.read_slots())
        known = [(_decode_slot_key(key), _decode_slot(value)) for key, value in self._slots_on_disk.items()]
        for slot, state in sorted(known, key=lambda item: item[1].order.accepted if item[1].order else -1):
            self.engine.restore_slot(slot, state)
        self.sealed = {index: decode_sealed(record).batch for index, record in self._store.read_sealed()}
        self.engine.open_batch(head.generation)
        self._replay(head, get_message)
        return True

    def rewind(self, index: int, get_message: Callable[[int], bytes]) -> None:
        """Take back every sealed batch after `index`, none of which L1 holds, and batch the same log anew.

        Positions and receipts stay what they were; only where one batch ends and the next begins changes. That is how
        ops are posted whose batch has grown too old for L1 to take.
        """
        records = {number: decode_sealed(record) for number, record in self._store.read_sealed() if number > index}
        if not records:
            return
        leaves: dict[LeafKey, bytes] = {}
        slots: dict[bytes, bytes] = {}
        for number in sorted(records, reverse=True):
            leaves.update(records[number].leaves)
            slots.update(records[number].slots)
        before = records[min(records)].before
        self._store.commit(leaves=leaves, slots=slots, forget_batches=sorted(records), meta={_HEAD: before.encode()})
        self.recover(get_message)

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
        head = Head(generation, index, parent, 0, log_hash)
        self._store.reset(leaves, {_IDENTITY: self._domain, _HEAD: head.encode()})
        self._restore(head, dict(leaves))
        self.sealed, self._slots_on_disk = {}, {}
        self.engine.open_batch(generation)

    def _restore(self, head: Head, leaves: dict[LeafKey, bytes]) -> None:
        self.head = head
        self.engine = self._build_engine(leaves)
        self.engine.next_position, self.engine.log_hash = head.position, head.log_hash
        self.batcher = Batcher(build_tree(leaves.items()), head.parent)

    def _build_engine(self, leaves: dict[LeafKey, bytes]) -> Engine:
        return Engine(leaves, self._domain, self._unposted_bytes_max, self.verdicts.verify)

    def _replay(self, head: Head, get_message: Callable[[int], bytes]) -> None:
        skip: list[LogRecord] = []
        for record in self._log.read_from(head.generation, head.position):
            if skip:
                expected = skip.pop(0)
                if expected != record:
                    raise StoreError(
                        f"log position {record.position} of {self._store.folder} does not replay to what it holds"
                    )
                continue
            if self.is_full:
                self.seal()
            skip = list(self.engine.replay(record, get_message))[1:]

    # Taking requests

    @property
    def is_full(self) -> bool:
        """Whether the open batch must be sealed first: L1 takes no larger one than it may still become."""
        return self.engine.pending_bytes >= self._batch_bytes_max

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

    def advance_roots(self) -> None:
        """Compute the roots of the open batch as far as it goes; sealing does the rest."""
        self.batcher.advance(self.engine.pending)

    def begin_seal(self) -> "Sealing":
        """Close the open batch and open the next. The batch may be posted when its `write` has returned."""
        assert self.head is not None
        sealed = self.engine.seal()
        batch = self.batcher.build(sealed)
        head = Head(
            self.head.generation,
            sealed.header.index,
            batch.batch_hash,
            self.engine.next_position,
            self.engine.log_hash,
        )
        leaves: dict[LeafKey, bytes] = {}
        for posted in sealed.ops:
            leaves.update(posted.writes)
        slots = [_note_slot(slot, self.engine.slots.get(slot)) for slot in self.engine.dirty_slots]
        sealing = Sealing(sealed, batch, self.head, head, leaves, slots, self._write_sealing)
        self.engine.dirty_slots.clear()
        self.head = head
        self.sealed[head.index] = batch
        self.engine.open_batch(head.generation)
        return sealing

    def seal(self) -> tuple[Sealed, BatchData]:
        """Close the open batch, make it durable with the leaves after it, and open the next."""
        sealing = self.begin_seal()
        sealing.write()
        return sealing.sealed, sealing.batch

    def _write_sealing(self, sealing: "Sealing") -> None:
        slots = {_encode_slot_key(slot): encode(values) if values else b"" for slot, values in sealing.slots}
        slots_before = {key: self._slots_on_disk.get(key, b"") for key in slots}
        record = SealedRecord(sealing.batch, sealing.before, dict(sealing.sealed.undo), slots_before)
        self._store.commit(
            leaves=sealing.leaves,
            slots=slots,
            sealed=(sealing.after.index, record.encode()),
            meta={_HEAD: sealing.after.encode()},
        )
        self._slots_on_disk.update(slots)

    def take_unposted(self, tip: int) -> list[tuple[int, BatchData]]:
        """Sealed batches that L1 does not hold after batch `tip`: what is admitted is bounded by their bytes too."""
        unposted = [(index, batch) for index, batch in sorted(self.sealed.items()) if index > tip]
        self.engine.unposted_bytes = sum(len(batch.encode()) for _, batch in unposted)
        return unposted

    def forget_final(self, index: int) -> None:
        """Batches up to `index` are final: they need not be kept for posting again."""
        old = [batch for batch in self.sealed if batch <= index]
        if old:
            self._store.commit(forget_batches=old)
            for batch in old:
                del self.sealed[batch]


def _note_slot(slot: Slot, known: SlotState | None) -> tuple[Slot, list[Value]]:
    """What is kept of a slot, as it is now: what the engine remembers goes on changing."""
    if known is None:
        return slot, []
    order = known.order
    if order is None:
        return slot, [known.counter]
    return slot, [known.counter, order.request, order.accepted, order.remaining, order.is_registered]


def _encode_slot_key(slot: Slot) -> bytes:
    return slot.account.to_bytes(4) + slot.slot.to_bytes(2)


def _decode_slot_key(key: bytes) -> Slot:
    return Slot(int.from_bytes(key[:4]), int.from_bytes(key[4:]))


def _decode_slot(data: bytes) -> SlotState:
    value = decode(data)
    assert isinstance(value, list)
    counter, *rest = value
    if not rest:
        return SlotState(counter)  # type: ignore[arg-type]
    request, accepted, remaining, is_registered = rest
    decoded = decode_request(request)  # type: ignore[arg-type]
    assert decoded is not None
    assert isinstance(decoded.op, OrderOp)
    order = RestingOrder(decoded.op.terms, request, accepted, remaining, is_registered)  # type: ignore[arg-type]
    return SlotState(counter, order)  # type: ignore[arg-type]
