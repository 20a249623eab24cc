# pragma version 0.4.3
"""
@title Leaves of a witness, and the roots that they stand under
@notice A witness is a run of entries `length u16 || leaf || mask u64 || siblings`, one a leaf, in the order of reads of
        state/SPEC.md section 6. `at` is where an entry begins.

        A CHECK reads: `_read` gives a leaf that is authenticated by the root before the step, and where the next entry
        begins. An EFFECT first peeks at all its leaves, computes, and then writes every one of them back in the order
        of reads, changed or not: `_write` authenticates the old leaf by the running root and gives the next one. So
        the last root is what it claims to be only if every leaf that was peeked at is genuine.

        Either ends with `_finish`: nothing may follow.

@dev Whatever does not hold here is a bad witness and reverts; nothing of an op is judged here.
     Mirrors state/tree.py (hashes, paths) and fraud_proofs/witness.py (entries).
"""
import constants

# Length, leaf, mask, siblings.
ENTRY_BYTES_MAX: constant(uint256) = 2 + constants.LEAF_BYTES_MAX + 8 + 32 * constants.PATH_LENGTH_MAX

struct Entry:
    leaf: Bytes[constants.LEAF_BYTES_MAX]
    mask: uint256  # bit i: the sibling at level i, from the leaf upward, is given
    siblings: Bytes[32 * constants.PATH_LENGTH_MAX]
    end: uint256  # where the next entry begins


@internal
@pure
def _read(
    witness: Bytes[constants.WITNESS_BYTES_MAX],
    at: uint256,
    root: bytes32,
    collection: uint256,
    index: uint256,
) -> (Bytes[constants.LEAF_BYTES_MAX], uint256):
    """
    @notice The leaf (collection, index) under `root`, empty when there is none, and where the next entry begins.
    """
    entry: Entry = self._open(witness, at)
    assert self._compute_root(collection, index, self._hash_leaf(collection, entry.leaf), entry) == root, "leaf"
    return entry.leaf, entry.end


@internal
@pure
def _peek(
    witness: Bytes[constants.WITNESS_BYTES_MAX], at: uint256
) -> (Bytes[constants.LEAF_BYTES_MAX], uint256):
    """
    @notice A leaf as the witness gives it, NOT authenticated, and where the next entry begins.
    """
    entry: Entry = self._open(witness, at)
    return entry.leaf, entry.end


@internal
@pure
def _write(
    witness: Bytes[constants.WITNESS_BYTES_MAX],
    at: uint256,
    root: bytes32,
    collection: uint256,
    index: uint256,
    leaf: Bytes[constants.LEAF_BYTES_MAX],
) -> bytes32:
    """
    @notice The root after the leaf (collection, index) became `leaf`; the entry's leaf is authenticated by `root`.
    """
    entry: Entry = self._open(witness, at)
    before: bytes32 = self._hash_leaf(collection, entry.leaf)
    after: bytes32 = self._hash_leaf(collection, leaf)
    assert self._compute_root(collection, index, before, entry) == root, "leaf"
    if after == before:
        return root
    return self._compute_root(collection, index, after, entry)


@internal
@pure
def _finish(witness: Bytes[constants.WITNESS_BYTES_MAX], at: uint256):
    """
    @notice The witness ends here.
    """
    assert len(witness) == at, "trailing bytes"


@internal
@pure
def _open(witness: Bytes[constants.WITNESS_BYTES_MAX], at: uint256) -> Entry:
    """
    @notice The entry that begins at `at`; a `slice` past the end of the witness reverts.
    @dev Slicing takes as much memory as what is sliced may have bytes. Therefore the leaf and its siblings are cut out
         of a window that is as long as the longest entry, and reaches back where the witness ends sooner.
    """
    window: Bytes[ENTRY_BYTES_MAX] = b""
    start: uint256 = 0
    if len(witness) <= ENTRY_BYTES_MAX:
        window = convert(witness, Bytes[ENTRY_BYTES_MAX])
    else:
        start = min(at, len(witness) - ENTRY_BYTES_MAX)
        window = slice(witness, start, ENTRY_BYTES_MAX)
    leaf_at: uint256 = at - start + 2
    length: uint256 = convert(slice(window, at - start, 2), uint256)
    assert length <= constants.LEAF_BYTES_MAX, "leaf too long"
    mask: uint256 = convert(slice(window, leaf_at + length, 8), uint256)
    sibling_count: uint256 = 0
    rest: uint256 = mask
    for level: uint256 in range(constants.PATH_LENGTH_MAX):
        if rest == 0:
            break
        sibling_count += rest & 1
        rest >>= 1
    assert rest == 0, "mask"
    siblings_at: uint256 = leaf_at + length + 8
    return Entry(
        leaf=convert(slice(window, leaf_at, length), Bytes[constants.LEAF_BYTES_MAX]),
        mask=mask,
        siblings=convert(
            slice(window, siblings_at, 32 * sibling_count), Bytes[32 * constants.PATH_LENGTH_MAX]
        ),
        end=start + siblings_at + 32 * sibling_count,
    )


@internal
@pure
def _hash_leaf(collection: uint256, leaf: Bytes[constants.LEAF_BYTES_MAX]) -> bytes32:
    """
    @notice Zero for an empty leaf; else bound to its collection.
    """
    if len(leaf) == 0:
        return empty(bytes32)
    return sha256(concat(convert(convert(collection, uint8), bytes1), leaf))


@internal
@pure
def _hash_node(left: bytes32, right: bytes32) -> bytes32:
    """
    @notice Zero over two empty subtrees.
    """
    if left == empty(bytes32) and right == empty(bytes32):
        return empty(bytes32)
    return sha256(concat(left, right))


@internal
@pure
def _compute_root(collection: uint256, index: uint256, leaf_hash: bytes32, entry: Entry) -> bytes32:
    """
    @notice Fold the entry's path from `leaf_hash`, in the place of the leaf (collection, index).
    @dev `name` is the generalised index of the node: the root is 1, the children of g are 2 g and 2 g + 1.
    """
    depth: uint256 = constants.DEPTHS[collection]
    assert index >> depth == 0, "index"
    name: uint256 = ((8 | collection) << depth) | index
    node: bytes32 = leaf_hash
    mask: uint256 = entry.mask
    used: uint256 = 0
    for level: uint256 in range(constants.PATH_LENGTH_MAX):
        if name == 1:
            break
        sibling: bytes32 = empty(bytes32)
        if mask & 1 == 1:
            sibling = extract32(entry.siblings, used)
            used += 32
        if name & 1 == 1:
            node = self._hash_node(sibling, node)
        else:
            node = self._hash_node(node, sibling)
        name >>= 1
        mask >>= 1
    assert mask == 0, "mask"
    return node
