"""Leaves of a witness: the contract folds paths as the state's own tree does, and takes nothing else for a leaf."""

import random

import pytest

from fraud_proofs.witness import WitnessLeaf, build_leaves
from state.tree import DEPTHS, Collection, LeafKey, Tree, build_tree, get_collection, get_index, hash_leaf, leaf_key
from tests.evm import Contract, Evm

LEAF_BYTES_MAX = 2052

READER = """
# pragma version 0.4.3
import constants
import witness

@external
@pure
def read(data: Bytes[constants.WITNESS_BYTES_MAX], root: bytes32, keys: DynArray[uint256[2], 64]) -> (
    DynArray[Bytes[constants.LEAF_BYTES_MAX], 64]
):
    leaves: DynArray[Bytes[constants.LEAF_BYTES_MAX], 64] = []
    leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    at: uint256 = 0
    for key: uint256[2] in keys:
        leaf, at = witness._read(data, at, root, key[0], key[1])
        leaves.append(leaf)
    witness._finish(data, at)
    return leaves

@external
@pure
def write(
    data: Bytes[constants.WITNESS_BYTES_MAX],
    root: bytes32,
    keys: DynArray[uint256[2], 64],
    leaves: DynArray[Bytes[constants.LEAF_BYTES_MAX], 64],
) -> bytes32:
    folded: bytes32 = root
    leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    at: uint256 = 0
    for i: uint256 in range(len(keys), bound=64):
        folded = witness._write(data, at, folded, keys[i][0], keys[i][1], leaves[i])
        leaf, at = witness._peek(data, at)
    witness._finish(data, at)
    return folded
"""


@pytest.fixture(scope="module")
def reader() -> Contract:
    """The module behind two functions."""
    return Evm().deploy_source(READER)


@pytest.fixture
def rng(seed: int) -> random.Random:
    """This test's own chance."""
    return random.Random(seed)


def pick_key(rng: random.Random) -> LeafKey:
    """Any leaf's; often at an edge of its collection."""
    collection = rng.choice(list(Collection))
    last = (1 << DEPTHS[collection]) - 1
    return leaf_key(collection, rng.choice((0, last, rng.randint(0, last), rng.randint(0, min(last, 9)))))


def pick_leaf(rng: random.Random) -> bytes:
    """Bytes of any length that a leaf may have, 0 for none."""
    return rng.randbytes(rng.choice((0, 1, rng.randint(1, 200), rng.randint(1, 200), LEAF_BYTES_MAX)))


def plant(rng: random.Random, count: int) -> dict[LeafKey, bytes]:
    """Leaves of a tree."""
    return {pick_key(rng): rng.randbytes(rng.randint(1, 200)) for _ in range(count)}


def encode(leaves: list[WitnessLeaf]) -> bytes:
    """A witness of leaves."""
    return b"".join(leaf.encode() for leaf in leaves)


def name_keys(leaves: list[WitnessLeaf]) -> list[tuple[int, int]]:
    """Collection and index of each."""
    return [(get_collection(leaf.key), get_index(leaf.key)) for leaf in leaves]


def choose_reads(rng: random.Random, planted: dict[LeafKey, bytes]) -> dict[LeafKey, bytes]:
    """Some leaves that are there and some that are not, in any order."""
    keys = [*rng.sample(list(planted), min(len(planted), 4)), *(pick_key(rng) for _ in range(3))]
    rng.shuffle(keys)
    return {key: planted.get(key, b"") for key in keys}


def test_reads_what_the_tree_holds(reader: Contract, rng: random.Random) -> None:
    """Every leaf of a random tree, and every gap, is read under its root."""
    for size in (0, 1, 2, 5, 30, 200):
        planted = plant(rng, size)
        tree = build_tree(planted.items())
        leaves = build_leaves(tree, choose_reads(rng, planted), {})

        read = reader.read("read", encode(leaves), tree.root, name_keys(leaves)).value

        assert list(read) == [leaf.data for leaf in leaves]


def test_writes_as_the_tree_does(reader: Contract, rng: random.Random) -> None:
    """Leaves that change, appear and vanish one after the other give the root of the tree after them all."""
    for size in (0, 1, 2, 5, 30, 200):
        planted = plant(rng, size)
        tree = build_tree(planted.items())
        before, reads = tree.root, choose_reads(rng, planted)
        writes = {key: pick_leaf(rng) for key in reads if rng.random() < 0.7}
        leaves = build_leaves(tree, reads, writes)
        after = [writes.get(leaf.key, leaf.data) for leaf in leaves]

        root = reader.read("write", encode(leaves), before, name_keys(leaves), after).value

        assert root == tree.update({key: hash_leaf(key, data) for key, data in writes.items()})


def test_no_other_leaf_is_read(reader: Contract, rng: random.Random) -> None:
    """A witness with a bit changed, of another leaf, or under another root is refused, be the leaf there or not."""
    planted = plant(rng, 40)
    tree = build_tree(planted.items())
    for _ in range(40):
        leaves = build_leaves(tree, dict([rng.choice(list(choose_reads(rng, planted).items()))]), {})
        data, (name,) = encode(leaves), name_keys(leaves)
        at, bit = rng.randrange(len(data)), 1 << rng.randrange(8)
        other = pick_key(rng)

        assert not reader.read("read", data, tree.root, [name]).reverted
        assert reader.read("read", data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :], tree.root, [name]).reverted
        assert reader.read("read", data, rng.randbytes(32), [name]).reverted
        assert reader.read("write", data, rng.randbytes(32), [name], [b"new"]).reverted
        if leaves[0].data and other != leaves[0].key:
            assert reader.read("read", data, tree.root, [(get_collection(other), get_index(other))]).reverted


def test_witness_ends_where_it_should(reader: Contract, rng: random.Random) -> None:
    """A witness that is cut anywhere, or goes on, is refused."""
    planted = plant(rng, 40)
    tree = build_tree(planted.items())
    leaves = build_leaves(tree, choose_reads(rng, planted), {})
    data, names = encode(leaves), name_keys(leaves)

    for end in rng.sample(range(len(data)), 40):
        assert reader.read("read", data[:end], tree.root, names).reverted
    assert reader.read("read", data + b"\0", tree.root, names).reverted
    assert reader.read("read", b"", tree.root, names).reverted


def test_index_stays_in_its_collection(reader: Contract) -> None:
    """An index past its collection is refused, though a leaf of another collection stands where it leads."""
    planted = {leaf_key(Collection.UNDERLYINGS, 0): b"a leaf of the right neighbour"}
    tree = build_tree(planted.items())
    (leaf,) = build_leaves(tree, planted, {})

    outcome = reader.read("read", leaf.encode(), tree.root, [(Collection.PARAMS, 1 << DEPTHS[Collection.PARAMS])])

    assert outcome.reverted


def test_empty_tree_has_the_root_zero(reader: Contract) -> None:
    """Empty subtrees are zero at every level: a path of no siblings, under the root zero, is a gap."""
    assert Tree().root == bytes(32)

    read = reader.read("read", bytes(10), bytes(32), [(Collection.ORDERS, (1 << 34) - 1)]).value

    assert list(read) == [b""]
