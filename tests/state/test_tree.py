"""state/tree.py: keys, paths and roots, against a reference that hashes whole subtrees."""

import hashlib
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from state.constants import ACCOUNTS_MAX, SLOTS_PER_ACCOUNT
from state.tree import (
    DEPTHS,
    EMPTY,
    GLOBALS_KEY,
    Collection,
    LeafKey,
    Path,
    Tree,
    account_key,
    build_tree,
    compute_root,
    get_collection,
    get_depth,
    get_index,
    hash_leaf,
    hash_node,
    leaf_key,
    order_key,
    underlying_key,
)


def hash_subtree(leaves: dict[int, bytes], depth: int) -> bytes:
    """The reference: the root of a subtree from its leaf hashes by index, by splitting it in halves."""
    if not leaves:
        return EMPTY
    if depth == 0:
        return leaves[0]
    half = 1 << depth - 1
    left = {index: leaf for index, leaf in leaves.items() if index < half}
    right = {index - half: leaf for index, leaf in leaves.items() if index >= half}
    return hashlib.sha256(hash_subtree(left, depth - 1) + hash_subtree(right, depth - 1)).digest()


def compute_reference_root(leaves: dict[LeafKey, bytes]) -> bytes:
    """The state root by SPEC.md section 2 alone: eight subtrees of their own depths, then three levels."""
    roots = {}
    for collection in Collection:
        subtree = {
            get_index(key): hashlib.sha256(bytes([collection]) + data).digest()
            for key, data in leaves.items()
            if data and get_collection(key) == collection
        }
        if subtree:
            roots[int(collection)] = hash_subtree(subtree, DEPTHS[collection])
    return hash_subtree(roots, 3)


@st.composite
def leaf_keys(draw: st.DrawFn) -> LeafKey:
    """Leaves of any collection, dense at both ends of it so that they are often neighbours."""
    collection = draw(st.sampled_from(Collection))
    last = (1 << DEPTHS[collection]) - 1
    near = st.integers(0, min(5, last))
    return leaf_key(collection, draw(st.one_of(near, near.map(lambda i: last - i), st.integers(0, last))))


CHANGES = st.lists(st.dictionaries(leaf_keys(), st.binary(max_size=3), max_size=5), max_size=4)


@given(CHANGES)
def test_root_is_the_reference(changes: list[dict[LeafKey, bytes]]) -> None:
    """Whatever is set, changed and removed, in however many updates, the root is that of the leaves that are left."""
    tree, leaves = Tree(), dict[LeafKey, bytes]()
    for change in changes:
        root = tree.update({key: hash_leaf(key, data) for key, data in change.items()})
        leaves.update(change)
        assert root == tree.root == compute_reference_root(leaves)
    assert build_tree(leaves.items()).root == tree.root


@given(CHANGES, leaf_keys())
def test_every_path_folds_to_the_root(changes: list[dict[LeafKey, bytes]], absent: LeafKey) -> None:
    """Each leaf, and each empty place, is proven by its path, whose mask names the siblings that are there."""
    leaves = {key: data for change in changes for key, data in change.items()}
    tree = build_tree(leaves.items())
    for key in [*leaves, absent]:
        path = tree.prove(key)
        assert path.mask.bit_count() == len(path.siblings)
        assert EMPTY not in path.siblings
        assert compute_root(key, hash_leaf(key, leaves.get(key, b"")), path) == tree.root


@given(CHANGES, leaf_keys(), st.binary(min_size=1, max_size=3))
def test_a_path_says_what_the_root_becomes(changes: list[dict[LeafKey, bytes]], key: LeafKey, data: bytes) -> None:
    """Folding another leaf through an old path gives the root that writing it gives."""
    tree = build_tree({key: data for change in changes for key, data in change.items()}.items())
    path = tree.prove(key)
    assert compute_root(key, hash_leaf(key, data), path) == tree.update({key: hash_leaf(key, data)})


@given(CHANGES, st.dictionaries(leaf_keys(), st.binary(max_size=3), min_size=1, max_size=6))
def test_sequential_folding_is_the_update(changes: list[dict[LeafKey, bytes]], writes: dict[LeafKey, bytes]) -> None:
    """Leaf after leaf, each by its path after those before it: the last root is that of writing all at once."""
    leaves = {key: data for change in changes for key, data in change.items()}
    stepwise, at_once = build_tree(leaves.items()), build_tree(leaves.items())
    root = stepwise.root
    for key, data in writes.items():
        path = stepwise.prove(key)
        assert compute_root(key, hash_leaf(key, leaves.get(key, b"")), path) == root
        root = compute_root(key, hash_leaf(key, data), path)
        stepwise.update({key: hash_leaf(key, data)})
        leaves[key] = data
    assert root == at_once.update({key: hash_leaf(key, data) for key, data in writes.items()})


@given(CHANGES, st.dictionaries(leaf_keys(), st.binary(min_size=1, max_size=3), max_size=6))
def test_an_update_can_be_undone(changes: list[dict[LeafKey, bytes]], writes: dict[LeafKey, bytes]) -> None:
    """Writing back what was there, emptiness too, leaves no trace in the root or in any path."""
    leaves = {key: data for change in changes for key, data in change.items()}
    tree = build_tree(leaves.items())
    root, paths = tree.root, {key: tree.prove(key) for key in writes}
    tree.update({key: hash_leaf(key, data) for key, data in writes.items()})
    tree.update({key: hash_leaf(key, leaves.get(key, b"")) for key in writes})
    assert tree.root == root
    assert {key: tree.prove(key) for key in writes} == paths


def test_an_empty_tree_is_zero_at_every_level() -> None:
    """No leaf at all, or only leaves that were removed: the root is 32 zero bytes and every path is empty."""
    tree = Tree()
    assert tree.update({}) == EMPTY
    tree.update({GLOBALS_KEY: hash_leaf(GLOBALS_KEY, b"x")})
    assert tree.update({GLOBALS_KEY: EMPTY}) == EMPTY
    assert tree.prove(account_key(1)) == Path(0, ())
    assert hash_node(EMPTY, EMPTY) == EMPTY


def test_keys_name_collection_index_and_depth() -> None:
    """Keys of the first and last leaves of a collection say where they stand, and no two collections share one."""
    keys = set()
    for collection in Collection:
        last = (1 << DEPTHS[collection]) - 1
        for index in {0, last // 2, last}:
            key = leaf_key(collection, index)
            assert (get_collection(key), get_index(key), get_depth(key)) == (collection, index, DEPTHS[collection] + 3)
            keys.add(key)
    assert len(keys) == sum(len({0, ((1 << d) - 1) // 2, (1 << d) - 1}) for d in DEPTHS)
    assert get_index(account_key(ACCOUNTS_MAX - 1)) == ACCOUNTS_MAX - 1
    assert get_index(order_key(ACCOUNTS_MAX - 1, SLOTS_PER_ACCOUNT - 1)) == (1 << DEPTHS[Collection.ORDERS]) - 1
    assert underlying_key(0) == leaf_key(Collection.UNDERLYINGS, 0)


def test_a_leaf_is_bound_to_its_collection() -> None:
    """The same bytes hash differently in every collection, and nothing hashes to the empty leaf but nothing."""
    hashes = {hash_leaf(leaf_key(collection, 0), b"same") for collection in Collection}
    assert len(hashes) == len(Collection)
    assert {hash_leaf(leaf_key(collection, 0), b"") for collection in Collection} == {EMPTY}


def test_a_path_with_a_wrong_number_of_siblings_is_refused() -> None:
    """One sibling too many or too few, or a mask bit at or above the root, is no path."""
    key = underlying_key(5)
    tree = build_tree([(key, b"a"), (underlying_key(4), b"b"), (GLOBALS_KEY, b"c")])
    path = tree.prove(key)
    for wrong in (
        Path(path.mask, path.siblings[:-1]),
        Path(path.mask, (*path.siblings, EMPTY)),
        Path(path.mask | 1 << get_depth(key), (*path.siblings, EMPTY)),
        Path(path.mask | 1 << 63, (*path.siblings, EMPTY)),
    ):
        with pytest.raises(ValueError, match="mask and siblings disagree"):
            compute_root(key, hash_leaf(key, b"a"), wrong)


def test_a_tampered_path_misses_the_root(seed: int) -> None:
    """Swapping two siblings, flipping one bit of a sibling or of the mask, or moving the leaf gives another root."""
    chance = random.Random(seed)
    leaves = {account_key(index): bytes([index % 251]) * 9 for index in range(1, 200)}
    tree = build_tree(leaves.items())
    for _ in range(50):
        key = account_key(chance.randrange(1, 200))
        leaf, path = hash_leaf(key, leaves[key]), tree.prove(key)
        swapped = list(path.siblings)
        i = chance.randrange(len(swapped) - 1)
        swapped[i], swapped[i + 1] = swapped[i + 1], swapped[i]
        flipped = list(path.siblings)
        flipped[i] = bytes([flipped[i][0] ^ 1]) + flipped[i][1:]
        moved = path.mask ^ (path.mask & -path.mask) | 1 << 20
        assert compute_root(key, leaf, Path(path.mask, tuple(swapped))) != tree.root
        assert compute_root(key, leaf, Path(path.mask, tuple(flipped))) != tree.root
        assert compute_root(key, leaf, Path(moved, path.siblings)) != tree.root
        assert compute_root(account_key(get_index(key) ^ 1), leaf, path) != tree.root
