# pragma version 0.4.3
"""
@title Entries of a witness, read where they lie in the calldata
@notice `length u16 || leaf || mask u64 || siblings`, as witness.vy has them, for who reads fifty of them: a witness in
        memory would be copied for each call of an internal function. `at` is where an entry begins, counted from the
        beginning of the calldata.
@dev Whatever does not hold here is a bad witness and reverts. A read past the end of the calldata reverts too; one past
     the end of the witness gives bytes that stand under no root.
     The twins are those of witness.vy.
"""
import constants


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
    return self._word(at) >> 240


@internal
@view
def _fold(at: uint256, collection: uint256, index: uint256, leaf_hash: bytes32) -> (bytes32, uint256):
    """
    @notice The root over the entry at `at` when its leaf hashes to `leaf_hash`, and where the next one begins.
    @dev `name` is the generalised index of a node: the root is 1, the children of g are 2 g and 2 g + 1. Positions and
         names stay far below the end of their type, hence unsafe_*.
    """
    depth: uint256 = constants.DEPTHS[collection]
    assert index >> depth == 0, "index"
    next: uint256 = unsafe_add(unsafe_add(at, 2), self._get_length(at))
    mask: uint256 = self._word(next) >> 192
    next = unsafe_add(next, 8)
    name: uint256 = ((8 | collection) << depth) | index
    node: bytes32 = leaf_hash
    for level: uint256 in range(constants.PATH_LENGTH_MAX):
        if name == 1:
            break
        sibling: bytes32 = empty(bytes32)
        if mask & 1 != 0:
            sibling = convert(slice(msg.data, next, 32), bytes32)
            next = unsafe_add(next, 32)
        if node != empty(bytes32) or sibling != empty(bytes32):
            if name & 1 != 0:
                node = sha256(abi_encode(sibling, node))
            else:
                node = sha256(abi_encode(node, sibling))
        name = name >> 1
        mask = mask >> 1
    assert mask == 0, "mask"
    return node, next
