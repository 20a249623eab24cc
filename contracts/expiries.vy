# pragma version 0.4.3
"""
@title The leaf of an expiry
@notice Forward, rate and surface of one expiry of one underlying as last read, and what it settles at: state/SPEC.md
        section 3. Prices in quote units a lot, rate and surface in Q38, confidence in parts per million.
@dev Mirrors Expiry of state/leaves.py.
"""
import constants
import fields

BYTES: constant(uint256) = 108

struct Expiry:
    time: uint256
    forward: uint256
    rate: int256
    a: int256
    b: int256
    rho: int256
    m: int256
    sigma: int256
    confidence: uint256
    start_integral: uint256
    integral: uint256
    settlement: uint256  # 0: none yet


@internal
@pure
def _decode_expiry(leaf: Bytes[constants.LEAF_BYTES_MAX]) -> Expiry:
    """
    @notice The expiry of a leaf, all zeros for one that nobody has read yet.
    """
    if len(leaf) == 0:
        return empty(Expiry)
    return Expiry(
        time=fields._uint(leaf, 0, 8),
        forward=fields._uint(leaf, 8, 8),
        rate=fields._int(leaf, 16, 8),
        a=fields._int(leaf, 24, 8),
        b=fields._int(leaf, 32, 8),
        rho=fields._int(leaf, 40, 8),
        m=fields._int(leaf, 48, 8),
        sigma=fields._int(leaf, 56, 8),
        confidence=fields._uint(leaf, 64, 4),
        start_integral=fields._uint(leaf, 68, 16),
        integral=fields._uint(leaf, 84, 16),
        settlement=fields._uint(leaf, 100, 8),
    )


@internal
@pure
def _encode_expiry(expiry: Expiry) -> Bytes[BYTES]:
    """
    @notice The bytes of the leaf.
    """
    return concat(
        fields._u64(expiry.time),
        fields._u64(expiry.forward),
        fields._i64(expiry.rate),
        fields._i64(expiry.a),
        fields._i64(expiry.b),
        fields._i64(expiry.rho),
        fields._i64(expiry.m),
        fields._i64(expiry.sigma),
        fields._u32(expiry.confidence),
        fields._u128(expiry.start_integral),
        fields._u128(expiry.integral),
        fields._u64(expiry.settlement),
    )
