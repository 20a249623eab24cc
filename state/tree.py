"""The state tree: one sparse binary Merkle tree over every leaf (SPEC.md section 2).

A node is named by its generalised index: the root is 1, the children of g are 2g and 2g + 1. A leaf's name is its
key. Only non-empty nodes are held; an absent one is 32 zero bytes.

Mirrors contracts/witness.vy.
"""

from collections.abc import Iterable, Mapping
from enum import IntEnum
from hashlib import sha256
from typing import NamedTuple, NewType

from state.constants import EXPIRY_STEP, SLOTS_PER_ACCOUNT, TOP_DEPTH

LeafKey = NewType("LeafKey", int)
Root = NewType("Root", bytes)

EMPTY = bytes(32)


class Collection(IntEnum):
    """Which of the eight subtrees a leaf stands in."""

    GLOBALS = 0
    ACCOUNTS = 1
    ORDERS = 2
    UNDERLYINGS = 3
    EXPIRIES = 4
    PARAMS = 5
    OUTBOX = 6
    ASSETS = 7


DEPTHS: tuple[int, ...] = (0, 24, 34, 8, 22, 8, 32, 4)


def leaf_key(collection: Collection, index: int) -> LeafKey:
    """The generalised index of a leaf; `index` is below 2 ** depth of its collection."""
    return LeafKey((8 | collection) << DEPTHS[collection] | index)


GLOBALS_KEY = leaf_key(Collection.GLOBALS, 0)
_FIRST_ACCOUNT = leaf_key(Collection.ACCOUNTS, 0)
_FIRST_ORDER = leaf_key(Collection.ORDERS, 0)


def account_key(account: int) -> LeafKey:
    """Key of an account's leaf."""
    return LeafKey(_FIRST_ACCOUNT | account)


def get_account_index(key: LeafKey) -> int | None:
    """The account whose leaf this is; None for another collection's."""
    depth = DEPTHS[Collection.ACCOUNTS]
    return key & (1 << depth) - 1 if key >> depth == 8 | Collection.ACCOUNTS else None


def order_key(account: int, slot: int) -> LeafKey:
    """Key of an order slot's leaf."""
    return LeafKey(_FIRST_ORDER | account * SLOTS_PER_ACCOUNT + slot)


def underlying_key(underlying: int) -> LeafKey:
    """Key of an underlying's leaf."""
    return leaf_key(Collection.UNDERLYINGS, underlying)


def expiry_key(underlying: int, expiry: int) -> LeafKey:
    """Key of an expiry's leaf; no day has two expiries."""
    return leaf_key(Collection.EXPIRIES, underlying << 16 | expiry // EXPIRY_STEP)


def get_depth(key: LeafKey) -> int:
    """Levels between the leaf and the root."""
    return key.bit_length() - 1


def get_collection(key: LeafKey) -> Collection:
    """Which collection a leaf key belongs to."""
    return Collection(key >> (key.bit_length() - 1 - TOP_DEPTH) & 7)


def get_index(key: LeafKey) -> int:
    """The leaf's index within its collection."""
    return key & ((1 << DEPTHS[get_collection(key)]) - 1)


def hash_leaf(key: LeafKey, data: bytes) -> bytes:
    """Zero for an empty leaf; else bound to its collection."""
    if not data:
        return EMPTY
    return sha256(bytes([get_collection(key)]) + data).digest()


def hash_node(left: bytes, right: bytes) -> bytes:
    """Zero over two empty subtrees."""
    if left == EMPTY and right == EMPTY:
        return EMPTY
    return sha256(left + right).digest()


class Path(NamedTuple):
    """A leaf's siblings, from the leaf upward; bit i of mask says that level i's is not empty and stands here."""

    mask: int
    siblings: tuple[bytes, ...]


def compute_root(key: LeafKey, leaf_hash: bytes, path: Path) -> Root:
    """Fold a path. Raises ValueError when the path holds too few or too many siblings, or a bit beyond the root."""
    if path.mask >> get_depth(key) or path.mask.bit_count() != len(path.siblings):
        raise ValueError("path: mask and siblings disagree")
    siblings = iter(path.siblings)
    node, name, mask = leaf_hash, int(key), path.mask
    while name > 1:
        sibling = next(siblings) if mask & 1 else EMPTY
        node = hash_node(sibling, node) if name & 1 else hash_node(node, sibling)
        name >>= 1
        mask >>= 1
    return Root(node)


class Tree:
    """Nodes in memory. One writer; `update` is the only way to change it."""

    __slots__ = ("_nodes",)

    def __init__(self) -> None:
        self._nodes: dict[int, bytes] = {}

    @property
    def root(self) -> Root:
        """Of the tree as it stands."""
        return Root(self._nodes.get(1, EMPTY))

    def update(self, leaf_hashes: Mapping[LeafKey, bytes]) -> Root:
        """Set leaves (EMPTY removes one) and answer the new root."""
        nodes = self._nodes
        waiting: dict[int, list[int]] = {}
        for key, leaf_hash in leaf_hashes.items():
            if leaf_hash == EMPTY:
                nodes.pop(key, None)
            else:
                nodes[key] = leaf_hash
            waiting.setdefault(key.bit_length(), []).append(key)
        changed: list[int] = []
        for level in range(max(waiting, default=1), 1, -1):
            if level in waiting:
                changed = sorted([*changed, *waiting[level]])
            changed = self._hash_parents(changed)
        return self.root

    def _hash_parents(self, changed: list[int]) -> list[int]:
        """Hash each parent of some nodes of one level anew, once; ascending in, ascending out."""
        nodes, parents, last = self._nodes, [], 0
        for name in changed:
            parent = name >> 1
            if parent == last:
                continue
            left, right = nodes.get(2 * parent, EMPTY), nodes.get(2 * parent + 1, EMPTY)
            if left is EMPTY and right is EMPTY:
                nodes.pop(parent, None)
            else:
                nodes[parent] = sha256(left + right).digest()
            parents.append(parent)
            last = parent
        return parents

    def prove(self, key: LeafKey) -> Path:
        """The path of a leaf, empty or not, in the tree as it stands."""
        mask, siblings, name = 0, [], int(key)
        for level in range(get_depth(key)):
            sibling = self._nodes.get(name ^ 1)
            if sibling is not None:
                mask |= 1 << level
                siblings.append(sibling)
            name >>= 1
        return Path(mask, tuple(siblings))


def build_tree(leaves: Iterable[tuple[LeafKey, bytes]]) -> Tree:
    """A tree over non-empty leaves, given as bytes."""
    tree = Tree()
    tree.update({key: hash_leaf(key, data) for key, data in leaves})
    return tree
