# pragma version 0.4.3
"""
@title The leaf of an underlying
@notice Last reading, funding, open interest: state/SPEC.md section 3. Prices and indices in quote units a lot.
@dev Mirrors Underlying of state/leaves.py.
"""
import constants
import fields

BYTES: constant(uint256) = 64

struct Underlying:
    symbol: bytes8
    oracle_time: uint256
    spot: uint256
    mark: uint256
    funding_index: int256
    index_time: uint256
    premium: int256
    open_interest: uint256


@internal
@pure
def _decode_underlying(leaf: Bytes[constants.LEAF_BYTES_MAX]) -> Underlying:
    """
    @notice The underlying of a leaf that is not empty; whether it is, the caller has asked.
    """
    return Underlying(
        symbol=convert(slice(leaf, 0, 8), bytes8),
        oracle_time=fields._uint(leaf, 8, 8),
        spot=fields._uint(leaf, 16, 8),
        mark=fields._uint(leaf, 24, 8),
        funding_index=fields._int(leaf, 32, 8),
        index_time=fields._uint(leaf, 40, 8),
        premium=fields._int(leaf, 48, 8),
        open_interest=fields._uint(leaf, 56, 8),
    )


@internal
@pure
def _encode_underlying(underlying: Underlying) -> Bytes[BYTES]:
    """
    @notice The bytes of the leaf.
    """
    return concat(
        underlying.symbol,
        fields._u64(underlying.oracle_time),
        fields._u64(underlying.spot),
        fields._u64(underlying.mark),
        fields._i64(underlying.funding_index),
        fields._u64(underlying.index_time),
        fields._i64(underlying.premium),
        fields._u64(underlying.open_interest),
    )
