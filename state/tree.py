"""The state tree: one sparse binary Merkle tree over every leaf (SPEC.md section 2).

A node is named by its generalised index: the root is 1, the children of g are 2g and 2g + 1. A leaf's name is its
key. Only non-empty nodes are held; an absent one is 32 zero bytes.

Mirrors contracts/witness.vy.
"""

from collections.abc import Iterable, Mapping
from enum import IntEnum
from hashlib import sha256
from itertools import pairwise
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
_KEY_BITS_MAX = 1 + TOP_DEPTH + max(DEPTHS)


_COLLECTIONS = tuple(Collection)


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
    return _COLLECTIONS[key >> (key.bit_length() - 1 - TOP_DEPTH) & 7]


def get_index(key: LeafKey) -> int:
    """The leaf's index within its collection."""
    return key & ((1 << DEPTHS[get_collection(key)]) - 1)


_TAGS = tuple(bytes([collection]) for collection in Collection)


def hash_leaf(key: LeafKey, data: bytes) -> bytes:
    """Zero for an empty leaf; else bound to its collection."""
    if not data:
        return EMPTY
    return sha256(_TAGS[get_collection(key)] + data).digest()


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


def find_joints(keys: Iterable[LeafKey]) -> set[int]:
    """The nodes at which the paths of leaves join, two at each: one fewer than there are leaves."""
    # From left to right, at whatever depth they stand: then only neighbours need to be compared.
    ordered = sorted(keys, key=lambda key: key << _KEY_BITS_MAX - key.bit_length())
    joints = set()
    for left, right in pairwise(ordered):
        deeper = left.bit_length() - right.bit_length()
        left_part, right_part = (left >> deeper, right) if deeper > 0 else (left, right >> -deeper)
        joints.add(left_part >> (left_part ^ right_part).bit_length())
    return joints


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
        """Set leaves (EMPTY removes one) and answer the new root.

        Leaf by leaf up to where its path joins another's: who comes there first stops, who comes second goes on.
        """
        nodes = self._nodes
        joints = find_joints(leaf_hashes)
        for key, leaf_hash in leaf_hashes.items():
            name, node = int(key), leaf_hash
            if node == EMPTY:
                node = EMPTY
                nodes.pop(name, None)
            else:
                nodes[name] = node
            while name > 1:
                parent = name >> 1
                if parent in joints:
                    joints.remove(parent)
                    break
                sibling = nodes.get(name ^ 1, EMPTY)
                if node is EMPTY and sibling is EMPTY:
                    nodes.pop(parent, None)
                else:
                    node = nodes[parent] = sha256(sibling + node if name & 1 else node + sibling).digest()
                name = parent
        return self.root

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
