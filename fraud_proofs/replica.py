"""A replica: the chain re-derived from L1 events, with a verdict on every batch. What followers and watchtowers run.

Pure: events in, verdicts out. Batches beyond a wrong one are not looked at, since they fall with it. An L1 that takes
blocks back takes their events back too: `rewind` undoes them, whatever they were, and `settle` forgets how.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from fraud_proofs.challenger import Honest, Proof, State, examine_batch
from state.batches import decode_batch, decode_header
from state.conservation import find_leak
from state.context import Receipt, StepContext
from state.genesis import decode_genesis
from state.l1_events import BatchPosted, Finalised, GenesisSet, L1Event, MessageSent, RolledBack, WoundDown
from state.process_inbox import hash_accumulator
from state.tree import LeafKey, build_tree


class ForeignContract(Exception):
    """What L1 says does not fit together: this is no rollup of this version, or not all of its history."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the replica thinks of one posted batch: valid with receipts, or invalid with a proof.

    `leak` says what a valid batch does not conserve: then the rules are wrong, and no proof convicts.
    """

    index: int
    proof: Proof | None
    receipts: tuple[Receipt, ...] = ()
    leak: str | None = None

    @property
    def is_valid(self) -> bool:
        """Whether every step holds."""
        return self.proof is None


def execute_all(event: BatchPosted) -> None:
    """What a replica that has executed nothing yet knows of a batch."""


_Kept = tuple[bytes, bytes, dict[LeafKey, bytes] | None]
"""Of a good batch: its root, its hash, and while it is not final the way back over it."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A replica as it stood behind an L1 block: numbers, what is kept of batches from the last final one on, leaves.

    `leaves` are those that were asked for; empty bytes for one that is not there.
    """

    tip: int
    final: int
    wrong: int | None
    message_count: int
    batches: Mapping[int, _Kept]
    leaves: Mapping[LeafKey, bytes]


@dataclass(frozen=True, slots=True)
class _Before:
    """What one event changes, as it was before it: leaves, numbers, and what is kept of the batches that it touches."""

    event: L1Event
    block: int
    writes: Mapping[LeafKey, bytes]
    message_count: int
    tip: int
    final: int
    wrong: int | None
    batches: Mapping[int, _Kept | None]


@dataclass(slots=True)
class Replica:
    """State after the last good batch, and the way back over those that are not final, and over L1's last blocks.

    `get_executed` gives every leaf that a batch's steps write, when its owner has executed these very bytes before.
    """

    domain: bytes
    get_executed: Callable[[BatchPosted], Mapping[LeafKey, bytes] | None] = execute_all
    state: State = field(default_factory=lambda: State({}, build_tree(())))
    messages: list[bytes] = field(default_factory=list)
    accumulators: list[bytes] = field(default_factory=lambda: [bytes(32)])
    tip: int = 0
    final: int = 0
    wrong: int | None = None
    roots: dict[int, bytes] = field(default_factory=dict)
    batch_hashes: dict[int, bytes] = field(default_factory=dict)
    _undos: dict[int, dict[LeafKey, bytes]] = field(default_factory=dict)
    _befores: list[_Before] = field(default_factory=list)
    _rewound: dict[bytes, tuple[int, Mapping[LeafKey, bytes]]] = field(default_factory=dict)

    def apply(self, event: L1Event) -> Verdict | None:
        """Take the next event of L1's order; a posted batch gives a verdict. Raises ForeignContract."""
        if isinstance(event, GenesisSet):
            self._start(event)
            return None
        before = self._remember(event)
        verdict = self._take(event)
        if isinstance(event, BatchPosted) and verdict is not None and verdict.is_valid:
            before = replace(before, writes=self._undos[event.index])
        self._befores.append(before)
        return verdict

    def _take(self, event: L1Event) -> Verdict | None:
        match event:
            case MessageSent():
                self._take_message(event)
            case RolledBack():
                self._roll_back(event.index)
            case WoundDown():
                self._roll_back(event.index + 1)
            case Finalised():
                self._finalise(event.index)
            case BatchPosted():
                return self._examine(event)
        return None

    # What L1 takes back

    def rewind(self, block: int) -> None:
        """Undo every event of this block and later ones. They must not be settled."""
        while self._befores and self._befores[-1].block >= block:
            self._undo(self._befores.pop())

    def settle(self, block: int) -> None:
        """Events up to this block stay for ever."""
        self._befores = [before for before in self._befores if before.block > block]
        self._rewound = {name: known for name, known in self._rewound.items() if known[0] > block}

    def list_events(self, block: int) -> list[tuple[L1Event, Iterable[LeafKey]]]:
        """Every event up to this block that is not settled, in order, with the leaves that it wrote."""
        return [(before.event, before.writes.keys()) for before in self._befores if before.block <= block]

    def get_standing(self, block: int, keys: Iterable[LeafKey] | None = None) -> Standing:
        """How it stood behind a block at or after the last settled one. Without keys, all leaves."""
        leaves = {} if keys is None else {key: self.state.leaves.get(key, b"") for key in keys}
        leaves = dict(self.state.leaves) if keys is None else leaves
        tip, final, wrong, count = self.tip, self.final, self.wrong, len(self.messages)
        batches: dict[int, _Kept | None] = {index: self._get_kept(index) for index in self.roots}
        for before in reversed([before for before in self._befores if before.block > block]):
            tip, final, wrong, count = before.tip, before.final, before.wrong, before.message_count
            batches.update(before.batches)
            leaves.update({key: data for key, data in before.writes.items() if keys is None or key in leaves})
        kept = {index: one for index, one in sorted(batches.items()) if one is not None and final <= index <= tip}
        return Standing(tip, final, wrong, count, kept, leaves)

    def _remember(self, event: MessageSent | BatchPosted | RolledBack | Finalised | WoundDown) -> _Before:
        """All that the event can change, but for what a batch writes, which is known once it has been executed."""
        touched: Iterable[int] = ()
        writes: dict[LeafKey, bytes] = {}
        match event:
            case BatchPosted():
                touched = [event.index]
            case Finalised():
                touched = [index for index in self._undos if index <= event.index]
            case RolledBack() | WoundDown():
                first = event.index if isinstance(event, RolledBack) else event.index + 1
                touched = range(first, self.tip + 1)
                writes = {key: self.state.leaves.get(key, b"") for dead in touched for key in self._undos.get(dead, {})}
        batches = {index: self._get_kept(index) for index in touched}
        return _Before(event, event.block, writes, len(self.messages), self.tip, self.final, self.wrong, batches)

    def _get_kept(self, index: int) -> _Kept | None:
        if index not in self.roots:
            return None
        return self.roots[index], self.batch_hashes[index], self._undos.get(index)

    def _undo(self, before: _Before) -> None:
        if isinstance(before.event, BatchPosted) and before.writes:
            # The same bytes after the same history write the same leaves: they need not be executed again.
            written = {key: self.state.leaves.get(key, b"") for key in before.writes}
            self._rewound[before.event.batch_hash] = (before.block, written)
        self.state.commit(before.writes)
        del self.messages[before.message_count :], self.accumulators[before.message_count + 1 :]
        self.tip, self.final, self.wrong = before.tip, before.final, before.wrong
        for index, kept in before.batches.items():
            for table in (self.roots, self.batch_hashes, self._undos):
                table.pop(index, None)
            if kept is not None:
                self.roots[index], self.batch_hashes[index], undo = kept
                if undo is not None:
                    self._undos[index] = undo

    # Events

    def _start(self, event: GenesisSet) -> None:
        leaves = decode_genesis(event.genesis).build_leaves()
        self.state = State(leaves, build_tree(leaves.items()))
        if self.state.tree.root != event.root:
            raise ForeignContract("the contract's genesis root is not that of its genesis bytes")
        self.roots[0] = event.root
        self.batch_hashes[0] = decode_genesis(event.genesis).batch_hash

    def _take_message(self, event: MessageSent) -> None:
        if event.index != len(self.messages):
            raise ForeignContract(f"L1 message {event.index} came where {len(self.messages)} was due")
        self.messages.append(event.data)
        self.accumulators.append(hash_accumulator(self.accumulators[-1], event.data))

    def _get_message(self, index: int) -> bytes:
        if index >= len(self.messages):
            raise ForeignContract(f"a batch takes L1 message {index}, which L1 has not announced")
        return self.messages[index]

    def _roll_back(self, index: int) -> None:
        for dead in range(self.tip, index - 1, -1):
            undo = self._undos.pop(dead, None)
            if undo is not None:
                self.state.commit(undo)
            self.roots.pop(dead, None)
            self.batch_hashes.pop(dead, None)
        self.tip = min(self.tip, index - 1)
        if self.wrong is not None and self.wrong >= index:
            self.wrong = None

    def _finalise(self, index: int) -> None:
        self.final = index
        for old in [batch for batch in self._undos if batch <= index]:
            del self._undos[old]

    def _adopt(self, writes: Mapping[LeafKey, bytes], root: bytes) -> Honest | None:
        """Write what another execution wrote; None, and nothing changed, when that does not give the root."""
        undo = {key: self.state.leaves.get(key, b"") for key in writes}
        if self.state.commit(writes) == root:
            return Honest(undo, [])
        self.state.commit(undo)
        return None

    def _examine(self, event: BatchPosted) -> Verdict | None:
        if self.wrong is not None:
            return None
        batch = decode_batch(event.data)
        if batch is None or event.index != self.tip + 1 or batch.batch_hash != event.batch_hash:
            raise ForeignContract(f"batch {event.index}: the posted bytes are not what the contract took")
        header = decode_header(batch.header)
        # L1 has compared these: a message that is not the one it took must not pass for a lie of the batch.
        if [header.inbox_hash] != self.accumulators[header.inbox_cursor : header.inbox_cursor + 1]:
            raise ForeignContract(f"batch {event.index}: the inbox that it takes is not the one that was told")
        writes = self.get_executed(event)
        if writes is None and event.batch_hash in self._rewound:
            _, writes = self._rewound[event.batch_hash]
        found: Honest | Proof | None = None if writes is None else self._adopt(writes, header.post_root)
        if found is None:
            found = examine_batch(self.state, batch, StepContext(header, 0, self.domain, self._get_message))
        if isinstance(found, Proof):
            self.wrong = event.index
            return Verdict(event.index, found)
        assert isinstance(found, Honest)
        self.tip = event.index
        self._undos[event.index] = found.undo
        self.roots[event.index] = self.state.tree.root
        self.batch_hashes[event.index] = batch.batch_hash
        return Verdict(event.index, None, tuple(found.receipts), find_leak(found.undo, self.state.leaves))


def restore_replica(
    domain: bytes,
    get_executed: Callable[[BatchPosted], Mapping[LeafKey, bytes] | None],
    messages: list[bytes],
    standing: Standing,
) -> Replica:
    """A replica that stands there; `standing` has all leaves. Raises ForeignContract when they have another root."""
    leaves = {key: data for key, data in standing.leaves.items() if data}
    replica = Replica(domain, get_executed, State(leaves, build_tree(leaves.items())))
    for message in messages:
        replica.messages.append(message)
        replica.accumulators.append(hash_accumulator(replica.accumulators[-1], message))
    replica.tip, replica.final, replica.wrong = standing.tip, standing.final, standing.wrong
    for index, (root, batch_hash, undo) in standing.batches.items():
        replica.roots[index], replica.batch_hashes[index] = root, batch_hash
        if undo is not None:
            replica._undos[index] = undo
    if replica.state.tree.root != replica.roots.get(replica.tip):
        raise ForeignContract("the leaves that were kept are not those of the root that was kept")
    return replica
