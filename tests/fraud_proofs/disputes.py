"""A step in dispute before the Python twin of the judge: its claim, honest witnesses, and dishonest ones."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum

from fraud_proofs.grounds import EFFECT, Ground, check_ground
from fraud_proofs.step import BadWitness, is_fraud_shown
from fraud_proofs.witness import Witness, WitnessLeaf, build_witness
from state.codes import Code
from state.ledger import Ledger
from state.transition import Valid, apply_step, get_decode_code
from state.tree import Path, Tree, account_key, build_tree, get_depth, hash_leaf
from tests.world import Attempt

LIE = b"a root that no step ever had ...."[:32]


class Ruling(Enum):
    """What can be said of a proof."""

    BAD_WITNESS = "bad witness"
    NOT_SHOWN = "not shown"
    FRAUD = "fraud"


@dataclass(frozen=True)
class Dispute:
    """An op where it was claimed to stand, and the root that was claimed after it."""

    attempt: Attempt
    tree: Tree
    post_root: bytes

    def build(self, ground: Ground) -> Witness:
        """The honest witness."""
        return build_witness(self.attempt.leaves, self.tree, self.attempt.context, self.attempt.op, ground)

    def is_shown(self, ground: Ground, witness: Witness | None = None) -> bool:
        """The verdict; on the honest witness if no other is given. Raises BadWitness."""
        given = self.build(ground) if witness is None else witness
        return is_fraud_shown(self.attempt.context, self.attempt.op, ground, given, self.tree.root, self.post_root)

    def rule(self, ground: Ground, witness: Witness) -> Ruling:
        """The verdict, a bad witness among the answers."""
        try:
            return Ruling.FRAUD if self.is_shown(ground, witness) else Ruling.NOT_SHOWN
        except BadWitness:
            return Ruling.BAD_WITNESS

    @property
    def grounds(self) -> list[Ground]:
        """Every ground on which a step of this kind may be disputed."""
        kind = get_decode_code(self.attempt.op) // 100
        return [EFFECT, *(check_ground(code) for code in Code if code // 100 == kind)]


def dispute_lie(attempt: Attempt) -> Dispute:
    """The op with a root that nothing leads to."""
    return Dispute(attempt, build_tree(attempt.leaves.items()), LIE)


def dispute_honest(attempt: Attempt) -> Dispute:
    """A valid op with the root of its effects."""
    ledger = Ledger(attempt.leaves)
    assert isinstance(apply_step(ledger, attempt.context, attempt.op), Valid)
    tree = build_tree(attempt.leaves.items())
    before = {key: hash_leaf(key, attempt.leaves.get(key, b"")) for key in ledger.writes}
    post_root = tree.update({key: hash_leaf(key, data) for key, data in ledger.writes.items()})
    tree.update(before)
    return Dispute(attempt, tree, post_root)


OTHER_BYTES = ("a leaf denied", "a leaf invented", "a leaf with a flipped bit")
"""Spoilt witnesses that have the right keys and sizes."""


def spoil(witness: Witness, chance: random.Random) -> Iterator[tuple[str, Witness]]:
    """Witnesses that do not fit the state, by what was done to an honest one."""
    leaves = witness.leaves
    if leaves:
        at = chance.randrange(len(leaves))
        leaf = leaves[at]
        yield "a leaf missing", replace(witness, leaves=leaves[:at] + leaves[at + 1 :])
        yield "a leaf twice", replace(witness, leaves=(*leaves[: at + 1], *leaves[at:]))
        for story, changed in spoil_leaf(leaf, chance):
            yield story, replace(witness, leaves=(*leaves[:at], changed, *leaves[at + 1 :]))
    if len(leaves) > 1:
        at = chance.randrange(len(leaves) - 1)
        swapped = (*leaves[:at], leaves[at + 1], leaves[at], *leaves[at + 2 :])
        yield "two leaves in each other's place", replace(witness, leaves=swapped)
    extra = WitnessLeaf(account_key(9_999_999), b"", Path(0, ()))
    yield "a leaf too many", replace(witness, leaves=(*leaves, extra))
    yield "a message too many", replace(witness, message=b"a message of nobody's" if witness.message is None else None)
    yield "another message", replace(witness, message=(witness.message or b"") + b"\0")
    yield "hints too many", replace(witness, hints=witness.hints + b"\0")


def spoil_leaf(leaf: WitnessLeaf, chance: random.Random) -> Iterator[tuple[str, WitnessLeaf]]:
    """The same leaf with other bytes, another key or another path."""
    mask, siblings = leaf.path
    yield "a leaf of another key", replace(leaf, key=type(leaf.key)(leaf.key ^ 1))
    if leaf.data:
        bit = chance.randrange(8 * len(leaf.data))
        flipped = (int.from_bytes(leaf.data) ^ 1 << bit).to_bytes(len(leaf.data))
        yield "a leaf with a flipped bit", replace(leaf, data=flipped)
        yield "a leaf without its last byte", replace(leaf, data=leaf.data[:-1])
        yield "a leaf with a byte more", replace(leaf, data=leaf.data + b"\0")
        yield "a leaf denied", replace(leaf, data=b"")
    else:
        yield "a leaf invented", replace(leaf, data=bytes(52))
    if siblings:
        at = chance.randrange(len(siblings))
        changed = bytes([siblings[at][0] ^ 1]) + siblings[at][1:]
        yield "another sibling", replace(leaf, path=Path(mask, (*siblings[:at], changed, *siblings[at + 1 :])))
        yield "a sibling missing", replace(leaf, path=Path(mask, siblings[:-1]))
        lowest = mask & -mask
        yield "a sibling denied", replace(leaf, path=Path(mask ^ lowest, siblings[1:]))
    if len(siblings) > 1:
        swapped = (*siblings[1::-1], *siblings[2:])
        yield "two siblings swapped", replace(leaf, path=Path(mask, swapped))
    yield "a sibling too many", replace(leaf, path=Path(mask, (*siblings, LIE)))
    yield "a sibling above the root", replace(leaf, path=Path(mask | 1 << get_depth(leaf.key), (*siblings, LIE)))
