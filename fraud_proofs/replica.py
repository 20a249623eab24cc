"""A replica: the chain re-derived from L1 events, with a verdict on every batch. What followers and watchtowers run.

Pure: events in, verdicts out. Batches beyond a wrong one are not looked at, since they fall with it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from fraud_proofs.challenger import Honest, Proof, State, examine_batch
from state.batches import decode_batch, decode_header
from state.conservation import find_leak
from state.context import Receipt, StepContext
from state.genesis import decode_genesis
from state.l1_events import BatchPosted, Finalised, GenesisSet, L1Event, MessageSent, RolledBack
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


@dataclass(slots=True)
class Replica:
    """State after the last good batch, and the way back over those that are not final.

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

    def apply(self, event: L1Event) -> Verdict | None:
        """Take the next event of L1's order; a posted batch gives a verdict. Raises ForeignContract."""
        match event:
            case GenesisSet():
                self._start(event)
            case MessageSent():
                self._take_message(event)
            case RolledBack():
                self._roll_back(event.index)
            case Finalised():
                self._finalise(event.index)
            case BatchPosted():
                return self._examine(event)
        return None

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
