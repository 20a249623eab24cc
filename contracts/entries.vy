# pragma version 0.4.3
"""
@title Entries of a witness, read where they lie in the calldata
@notice `length u16 || leaf || mask u64 || siblings`, as witness.vy has them, for a witness that may be long: in memory
        it would be copied for each call of an internal function, and memory costs the square of its size.

        `_read`, `_peek`, `_write` and `_finish` are those of witness.vy, but that `witness` is where it begins in the
        calldata (`_begin_witness`). The others count `at` from the beginning of the calldata.
@dev Whatever does not hold here is a bad witness and reverts. A read past the end of the calldata reverts too; one past
     the end of the witness gives bytes that stand under no root, or that `_finish` refuses.
     The twins are those of witness.vy.
"""
import constants

WITNESS_ARGUMENT: constant(uint256) = 4  # of a verifier's `evaluate`
LEAF_WORDS: constant(uint256) = constants.LEAF_BYTES_MAX // 32 + 1


@internal
@view
def _begin_witness() -> uint256:
    """
    @notice Where the witness of a call of `evaluate` begins.
    """
    return self._begin(WITNESS_ARGUMENT)


@internal
@view
def _read(
    witness: uint256, at: uint256, root: bytes32, collection: uint256, index: uint256
) -> (Bytes[constants.LEAF_BYTES_MAX], uint256):
    """
    @notice The leaf (collection, index) under `root`, empty when there is none, and where the next entry begins.
    """
    leaf: Bytes[constants.LEAF_BYTES_MAX] = self._get_leaf(witness + at)
    found: bytes32 = empty(bytes32)
    end: uint256 = 0
    found, end = self._fold(witness + at, collection, index, self._hash_leaf(collection, leaf))
    assert found == root, "leaf"
    return leaf, end - witness


@internal
@view
def _peek(witness: uint256, at: uint256) -> (Bytes[constants.LEAF_BYTES_MAX], uint256):
    """
    @notice A leaf as the witness gives it, NOT authenticated, and where the next entry begins.
    """
    leaf: Bytes[constants.LEAF_BYTES_MAX] = self._get_leaf(witness + at)
    end: uint256 = at + 2 + len(leaf) + 8
    mask: uint256 = self._word(witness + end - 32) & (2**64 - 1)
    for level: uint256 in range(constants.PATH_LENGTH_MAX):
        if mask == 0:
            break
        end += 32 * (mask & 1)
        mask >>= 1
    assert mask == 0, "mask"
    return leaf, end


@internal
@view
def _write(
    witness: uint256,
    at: uint256,
    root: bytes32,
    collection: uint256,
    index: uint256,
    leaf: Bytes[constants.LEAF_BYTES_MAX],
) -> bytes32:
    """
    @notice The root after the leaf (collection, index) became `leaf`; the entry's leaf is authenticated by `root`.
    """
    before: bytes32 = self._hash_leaf(collection, self._get_leaf(witness + at))
    after: bytes32 = self._hash_leaf(collection, leaf)
    next: bytes32 = empty(bytes32)
    end: uint256 = 0
    next, end = self._fold(witness + at, collection, index, before)
    assert next == root, "leaf"
    if after != before:
        next, end = self._fold(witness + at, collection, index, after)
    return next


@internal
@view
def _finish(witness: uint256, at: uint256):
    """
    @notice The witness ends here.
    """
    assert self._word(witness - 32) == at, "trailing bytes"


@internal
@view
def _get_leaf(at: uint256) -> Bytes[constants.LEAF_BYTES_MAX]:
    """
    @notice The leaf of the entry at `at`.
    @dev Word by word, for a slice of the calldata must be of constant length; the last one is that which ends where the
         leaf does, since nothing need follow.
    """
    length: uint256 = self._get_length(at)
    assert length <= constants.LEAF_BYTES_MAX
    words: uint256[LEAF_WORDS] = empty(uint256[LEAF_WORDS])
    count: uint256 = length // 32
    for i: uint256 in range(count, bound=LEAF_WORDS):
        words[i] = self._word(at + 2 + 32 * i)
    rest: uint256 = length % 32
    if rest != 0:
        words[count] = self._word(at + length - 30) << (256 - 8 * rest)
    return convert(slice(abi_encode(words), 0, length), Bytes[constants.LEAF_BYTES_MAX])


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
@view
def _begin(argument: uint256) -> uint256:
    """
    @notice Where the bytes of an argument begin, which stands at this place among the arguments.
    """
    return 36 + self._word(4 + 32 * argument)


@internal
@view
def _word(at: uint256) -> uint256:
    return convert(slice(msg.data, at, 32), uint256)


@internal
@view
def _get_length(at: uint256) -> uint256:
    """
    @notice Bytes of the entry's leaf.
    """
    return self._word(at - 30) & (2**16 - 1)


@internal
@view
def _fold(at: uint256, collection: uint256, index: uint256, leaf_hash: bytes32) -> (bytes32, uint256):
    """
    @notice The root over the entry at `at` when its leaf hashes to `leaf_hash`, and where the next one begins.
    @dev `name` is the generalised index of a node: the root is 1, the children of g are 2 g and 2 g + 1. Positions and
         names stay far below the end of their type, hence unsafe_*. Nodes are numbers, of which 0 is
         told apart at less cost.
    """
    depth: uint256 = constants.DEPTHS[collection]
    assert index >> depth == 0
    next: uint256 = unsafe_add(unsafe_add(at, 2), self._get_length(at))
    next = unsafe_add(next, 8)
    mask: uint256 = self._word(unsafe_sub(next, 32)) & (2**64 - 1)  # a word that ends with it: nothing need follow
    name: uint256 = ((8 | collection) << depth) | index
    node: uint256 = convert(leaf_hash, uint256)
    for level: uint256 in range(unsafe_add(depth, 3), bound=constants.PATH_LENGTH_MAX):
        sibling: uint256 = 0
        if mask & 1 != 0:
            sibling = convert(slice(msg.data, next, 32), uint256)
            next = unsafe_add(next, 32)
        if node | sibling != 0:
            if name & 1 != 0:
                node = convert(sha256(abi_encode(sibling, node)), uint256)
            else:
                node = convert(sha256(abi_encode(node, sibling)), uint256)
        name = name >> 1
        mask = mask >> 1
    assert mask == 0, "mask"
    return convert(node, bytes32), next
