# pragma version 0.4.3
"""
@title The leaf of an underlying
@notice Last reading, funding, open interest, halt, basket: state/SPEC.md section 3. Prices and indices in quote units a
        lot, confidences and weights in parts per million, volatility in parts per million a year.
@dev Mirrors Underlying of state/leaves.py.
"""
import constants
import fields

BYTES: constant(uint256) = 105
BASKET_BYTES: constant(uint256) = 20
COMPONENT_BITS: constant(uint256) = 40  # underlying u8, weight_ppm u32

# `basket` is its bytes as a number: BASKET_MAX components, those that are not there zero.
struct Underlying:
    symbol: bytes8
    oracle_time: uint256
    spot: uint256
    mark: uint256
    spot_confidence: uint256
    mark_confidence: uint256
    volatility: uint256
    funding_index: int256
    index_time: uint256
    premium: int256
    open_interest: uint256
    halted_until: uint256
    basket_count: uint256
    basket: uint256


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
        spot_confidence=fields._uint(leaf, 32, 4),
        mark_confidence=fields._uint(leaf, 36, 4),
        volatility=fields._uint(leaf, 40, 4),
        funding_index=fields._int(leaf, 44, 8),
        index_time=fields._uint(leaf, 52, 8),
        premium=fields._int(leaf, 60, 8),
        open_interest=fields._uint(leaf, 68, 8),
        halted_until=fields._uint(leaf, 76, 8),
        basket_count=fields._uint(leaf, 84, 1),
        basket=fields._uint(leaf, 85, BASKET_BYTES),
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
        fields._u32(underlying.spot_confidence),
        fields._u32(underlying.mark_confidence),
        fields._u32(underlying.volatility),
        fields._i64(underlying.funding_index),
        fields._u64(underlying.index_time),
        fields._i64(underlying.premium),
        fields._u64(underlying.open_interest),
        fields._u64(underlying.halted_until),
        fields._u8(underlying.basket_count),
        convert(convert(underlying.basket, uint160), bytes20),
    )


@internal
@pure
def _get_component(underlying: Underlying, number: uint256) -> (uint256, uint256):
    """
    @notice Which underlying a component of the basket is, and its weight in parts per million.
    """
    word: uint256 = underlying.basket >> (COMPONENT_BITS * (constants.BASKET_MAX - 1 - number))
    return (word >> 32) & (2**8 - 1), word & (2**32 - 1)
