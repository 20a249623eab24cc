# pragma version 0.4.3
"""
@title Fields of fixed width
@notice Numbers in state are big-endian and as wide as SPEC.md says. Here they are read from bytes, and written as bytes
        that `concat` joins.
@dev A read past the end reverts; what is read is long enough once its length was checked, or came from under a root.
     A write reverts when the number does not fit, so whoever writes has kept the bounds of SPEC.md section 1 first.
"""
import constants


@internal
@pure
def _uint(data: Bytes[constants.LEAF_BYTES_MAX], at: uint256, width: uint256) -> uint256:
    """
    @notice The unsigned number in the `width` bytes from `at`; `width` is 1 to 32.
    @dev The word that ends where the field ends; only near the beginning does it need a zero word in front.
    """
    if at + width >= 32:
        return convert(extract32(data, at + width - 32), uint256) & (max_value(uint256) >> (256 - 8 * width))
    padded: Bytes[32 + constants.LEAF_BYTES_MAX] = concat(empty(bytes32), data)
    return convert(extract32(padded, at + width), uint256) & (max_value(uint256) >> (256 - 8 * width))


@internal
@pure
def _int(data: Bytes[constants.LEAF_BYTES_MAX], at: uint256, width: uint256) -> int256:
    """
    @notice The two's complement number in the `width` bytes from `at`.
    """
    return self._signed(self._uint(data, at, width), 8 * width)


@internal
@pure
def _signed(word: uint256, bits: uint256) -> int256:
    """
    @notice The two's complement number in the lowest `bits` bits of a word.
    """
    return convert(convert(word << (256 - bits), bytes32), int256) >> (256 - bits)


@internal
@pure
def _u8(number: uint256) -> bytes1:
    return convert(convert(number, uint8), bytes1)


@internal
@pure
def _u16(number: uint256) -> bytes2:
    return convert(convert(number, uint16), bytes2)


@internal
@pure
def _u32(number: uint256) -> bytes4:
    return convert(convert(number, uint32), bytes4)


@internal
@pure
def _u64(number: uint256) -> bytes8:
    return convert(convert(number, uint64), bytes8)


@internal
@pure
def _u128(number: uint256) -> bytes16:
    return convert(convert(number, uint128), bytes16)


@internal
@pure
def _i64(number: int256) -> bytes8:
    return convert(convert(number, int64), bytes8)


@internal
@pure
def _i128(number: int256) -> bytes16:
    return convert(convert(number, int128), bytes16)
