"""A replica on disk, as of an L1 block that is finalized: so that neither a start nor a reorg goes back to the genesis.

L1 holds the truth. What is kept here is refused when it does not come to its own root and digest, when it is of another
rollup, or when L1 does not hold its block; then everything is executed anew. A wrong batch is never behind it: whoever
starts again must find it, and convict.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

from fraud_proofs.replica import ForeignContract, Replica, Standing, restore_replica
from node.event_reader import ReadPoint
from sequencer.derivation import L1Cursor
from state.batches import HEADER_BYTES
from state.codec import CodecError, Value, decode, encode
from state.l1_events import BatchPosted, Finalised, L1Event, RolledBack
from state.store import Store, StoreError
from state.tree import LeafKey

Executed = Callable[[BatchPosted], Mapping[LeafKey, bytes] | None]

_NAME = "replica"


@dataclass(frozen=True, slots=True)
class Kept:
    """What was loaded: the replica, where reading goes on, and the past events that still matter, without ops."""

    replica: Replica
    point: ReadPoint
    events: tuple[L1Event, ...]


class ReplicaCheckpoint:
    """One folder, one replica. What is written moves on block by block; only what has changed is written."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._is_begun = False
        self._changed: dict[LeafKey, None] = {}
        self._posted: dict[int, BatchPosted] = {}
        # With the batch that was convicted: whose it was matters to its submitter for ever.
        self._rollbacks: list[tuple[BatchPosted | None, RolledBack]] = []
        self._message_count = 0
        self._records: dict[int, _Record] = {}

    def load(self, domain: bytes, get_executed: Executed, holds: Callable[[ReadPoint], bool]) -> Kept | None:
        """What was kept; None, and nothing is kept any more, when it is refused. `holds`: whether L1 has the block."""
        try:
            kept = self._read(domain, get_executed)
        except (StoreError, ForeignContract, CodecError, ValueError, TypeError, KeyError):
            kept = None
        if kept is None or not holds(kept.point):
            self.forget()
            return None
        return kept

    def forget(self) -> None:
        """Begin anew: the next `save` writes everything."""
        if self._store.read_meta(_NAME) is not None:
            self._store.forget_replica(_NAME)
        self.__init__(self._store)  # type: ignore[misc]

    def save(self, replica: Replica, point: ReadPoint) -> None:
        """Move on to a block that is about to be settled, when something has happened up to it. Raises StoreError."""
        events = replica.list_events(point.number)
        for event, keys in events:
            self._note(event, keys)
        if not point.cursor.is_born or (self._is_begun and not events):
            return
        standing = replica.get_standing(point.number, self._changed if self._is_begun else None)
        if standing.wrong is not None:
            return
        batches = self._encode_batches(standing)
        messages = {index: replica.messages[index] for index in range(self._message_count, standing.message_count)}
        head = self._encode_head(replica, standing, point)
        self._store.keep_replica({_NAME: head}, standing.leaves, messages, batches)
        self._is_begun, self._message_count = True, standing.message_count
        self._changed.clear()

    def _note(self, event: L1Event, keys: Iterable[LeafKey]) -> None:
        self._changed.update(dict.fromkeys(keys))
        match event:
            case BatchPosted():
                self._posted[event.index] = replace(event, data=event.data[:HEADER_BYTES])
            case RolledBack():
                self._rollbacks.append((self._posted.get(event.index), event))
                self._posted = {index: one for index, one in self._posted.items() if index < event.index}
            case Finalised():
                self._posted = {index: one for index, one in self._posted.items() if index > event.index}

    # Bytes

    def _encode_batches(self, standing: Standing) -> dict[int, bytes]:
        """What is new or different of the batches that are kept, and nothing for those that are not any more."""
        gone = [index for index in self._records if index not in standing.batches]
        found = dict.fromkeys(gone, b"")
        for index in gone:
            del self._records[index]
        for index, (root, batch_hash, undo) in standing.batches.items():
            known = self._records.get(index)
            if known is not None and (known.batch_hash, known.is_final) == (batch_hash, undo is None):
                continue
            way_back: Value = None if undo is None else [[key, data] for key, data in undo.items()]
            data = encode([root, batch_hash, way_back, _encode_posted(self._posted.get(index))])
            self._records[index] = _Record(batch_hash, undo is None, sha256(data).digest())
            found[index] = data
        return found

    def _hash_batches(self) -> bytes:
        digests = (index.to_bytes(8) + record.digest for index, record in sorted(self._records.items()))
        return sha256(b"".join(digests)).digest()

    def _encode_head(self, replica: Replica, standing: Standing, point: ReadPoint) -> bytes:
        cursor = point.cursor
        rollbacks: list[Value] = [
            [_encode_posted(posted), [event.block, event.index, event.generation, event.prover]]
            for posted, event in self._rollbacks
        ]
        place = [cursor.next_message, cursor.tip, cursor.final_index, cursor.generation, *cursor.place]
        numbers: list[Value] = [standing.tip, standing.final, standing.message_count]
        accumulator = replica.accumulators[standing.message_count]
        head: list[Value] = [replica.domain, point.number, point.hash, list[Value](place), numbers]
        return encode([*head, accumulator, self._hash_batches(), rollbacks])

    def _read(self, domain: bytes, get_executed: Executed) -> Kept | None:
        data = self._store.read_meta(_NAME)
        if data is None:
            return None
        head: Any = decode(data)
        of, number, block_hash, place, (tip, final, message_count), accumulator, batches_hash, rollbacks = head
        records = dict(self._store.read_batches())
        kept = {index: _decode_batch(record) for index, record in records.items()}
        self._records = {
            index: _Record(batch_hash, undo is None, sha256(records[index]).digest())
            for index, ((_, batch_hash, undo), _) in kept.items()
        }
        if of != domain or self._hash_batches() != batches_hash:
            return None
        batches = {index: batch for index, (batch, _) in kept.items()}
        standing = Standing(tip, final, None, message_count, batches, self._store.read_leaves())
        replica = restore_replica(domain, get_executed, self._store.read_messages(), standing)
        if len(replica.messages) != message_count or replica.accumulators[-1] != accumulator:
            return None
        self._rollbacks = [(_decode_posted(posted), RolledBack(*event)) for posted, event in rollbacks]
        self._posted = {index: posted for index, (_, posted) in kept.items() if posted is not None}
        self._is_begun, self._message_count = True, message_count
        next_message, l1_tip, l1_final, generation, *last = place
        cursor = L1Cursor(True, next_message, l1_tip, l1_final, generation, (last[0], last[1]))
        retold = [event for pair in self._rollbacks for event in pair if event is not None]
        past = (*retold, *self._posted.values(), *([Finalised(number, final)] if final else []))
        return Kept(replica, ReadPoint(number, block_hash, cursor), past)


@dataclass(frozen=True, slots=True)
class _Record:
    """What is on disk of a batch."""

    batch_hash: bytes
    is_final: bool
    digest: bytes


def _encode_posted(event: BatchPosted | None) -> Value:
    if event is None:
        return None
    head: list[Value] = [event.block, event.index, event.submitter, event.data]
    return [*head, event.batch_hash, event.generation, event.posted_at]


def _decode_posted(fields: Any) -> BatchPosted | None:
    return None if fields is None else BatchPosted(*fields)


def _decode_batch(data: bytes) -> tuple[tuple[bytes, bytes, dict[LeafKey, bytes] | None], BatchPosted | None]:
    fields: Any = decode(data)
    root, batch_hash, way_back, posted = fields
    return (root, batch_hash, None if way_back is None else dict(way_back)), _decode_posted(posted)
