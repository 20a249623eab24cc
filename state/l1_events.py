"""What the L1 says about one rollup, as values: the only thing from which the chain is derived.

Order is the L1's. `block` is the number of the L1 block, times are L1 seconds, addresses have 20 bytes.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GenesisSet:
    """The first event of every rollup: the bytes of its genesis (state/genesis.py), and the root claimed for them."""

    genesis: bytes
    root: bytes


@dataclass(frozen=True, slots=True)
class MessageSent:
    """Message `index` of the inbox; `data` is what SPEC.md section 9 lays out."""

    block: int
    index: int
    data: bytes


@dataclass(frozen=True, slots=True)
class BatchPosted:
    """A batch that passed every check of submission. `data` is header and frames (SPEC.md section 4)."""

    block: int
    index: int
    submitter: bytes
    data: bytes
    batch_hash: bytes
    generation: int
    posted_at: int


@dataclass(frozen=True, slots=True)
class RolledBack:
    """Batch `index` was convicted: it and all batches after it are dead. `generation` is the one that follows."""

    block: int
    index: int
    generation: int
    prover: bytes


@dataclass(frozen=True, slots=True)
class Finalised:
    """Every batch up to `index` is final."""

    block: int
    index: int


@dataclass(frozen=True, slots=True)
class WoundDown:
    """The rollup has ended: batch `index` is the last final one for ever, and those after it are dead."""

    block: int
    index: int


L1Event = GenesisSet | MessageSent | BatchPosted | RolledBack | Finalised | WoundDown
