# pragma version 0.4.3
"""
@title Exponential in fixed point
@dev Mirrors risk/fixed_point.py. Arithmetic is unsafe_* because no check could fail: arguments are at most 16
     in Q38, and the widest product has 82 bits. The table is an immutable, the words of risk/tables.py as they stand.
"""

ONE_Q38: constant(int256) = 2**38
LOG2_E_Q38: constant(int256) = 396_564_993_198
EXP_ARGUMENT_MIN_Q38: constant(int256) = -40 * 2**38

MASK_21: constant(int256) = 2**21 - 1
MASK_28: constant(int256) = 2**28 - 1
MASK_33: constant(int256) = 2**33 - 1
MASK_34: constant(int256) = 2**34 - 1

EXP: immutable(int256[32])


@deploy
def __init__(exp: int256[32]):
    EXP = exp


@internal
@view
def _exp_q38(x_q38: int256) -> int256:
    """
    @dev Mirrors fixed_point.exp_q38.
    """
    if x_q38 <= EXP_ARGUMENT_MIN_Q38:
        return 0
    halvings_q38: int256 = unsafe_mul(unsafe_sub(0, x_q38), LOG2_E_Q38) >> 38
    halvings: int256 = halvings_q38 >> 38
    fraction: int256 = halvings_q38 & (ONE_Q38 - 1)
    word: int256 = EXP[fraction >> 33]
    t: int256 = fraction & MASK_33
    tail: int256 = unsafe_mul(unsafe_sub((word >> 21) & MASK_28, unsafe_mul(word & MASK_21, t) >> 33), t) >> 33
    power: int256 = unsafe_sub(word >> 83, unsafe_mul(unsafe_sub((word >> 49) & MASK_34, tail), t) >> 33)
    if halvings >= 0:
        return power >> convert(halvings, uint256)
    return power << convert(unsafe_sub(0, halvings), uint256)
