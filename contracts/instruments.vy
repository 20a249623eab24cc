# pragma version 0.4.3
"""
@title What an instrument's twelve bytes say
@notice underlying u16, expiry u32, strike u40, kind u8, as one number: a perpetual comes first, then expiry by expiry
        the future, and the options by strike, put before call. state/SPEC.md section 3.
@dev Mirrors Instrument of state/leaves.py and is_instrument of state/operations.py.
"""
import constants

PERPETUAL: constant(uint256) = 0
FUTURE: constant(uint256) = 1
PUT: constant(uint256) = 2
CALL: constant(uint256) = 3

# A strike has at most so many decimal digits that are not trailing zeros.
STRIKE_DIGITS_END: constant(uint256) = 1_000
STRIKE_ZEROS_MAX: constant(uint256) = 10  # 2**40 has thirteen digits


@internal
@pure
def _get_underlying(instrument: uint256) -> uint256:
    return instrument >> 80


@internal
@pure
def _get_expiry(instrument: uint256) -> uint256:
    """
    @notice Seconds; 0 of a perpetual.
    """
    return (instrument >> 48) & (2**32 - 1)


@internal
@pure
def _get_strike(instrument: uint256) -> uint256:
    """
    @notice Quote units a lot; 0 of what is no option.
    """
    return (instrument >> 8) & (2**40 - 1)


@internal
@pure
def _get_kind(instrument: uint256) -> uint256:
    return instrument & (2**8 - 1)


@internal
@pure
def _get_expiry_index(underlying: uint256, expiry: uint256) -> uint256:
    """
    @notice Where the leaf of an expiry stands in its collection; no day has two expiries.
    """
    return underlying * 2**16 + expiry // constants.EXPIRY_STEP


@internal
@pure
def _is_instrument(instrument: uint256) -> bool:
    """
    @notice Whether twelve bytes name something that could be listed.
    """
    expiry: uint256 = self._get_expiry(instrument)
    strike: uint256 = self._get_strike(instrument)
    kind: uint256 = self._get_kind(instrument)
    if self._get_underlying(instrument) >= constants.UNDERLYINGS_MAX or kind > CALL:
        return False
    if kind == PERPETUAL:
        return expiry == 0 and strike == 0
    if not self._is_expiry(expiry):
        return False
    return strike == 0 if kind == FUTURE else self._is_strike_round(strike)


@internal
@pure
def _is_expiry(expiry: uint256) -> bool:
    """
    @notice Whether something may expire at this second.
    """
    return expiry % constants.EXPIRY_STEP == constants.EXPIRY_SECOND_OF_DAY


@internal
@pure
def _is_strike_round(strike: uint256) -> bool:
    """
    @notice Whether at most three digits of a strike say anything; 0 is none.
    """
    rest: uint256 = strike
    for i: uint256 in range(STRIKE_ZEROS_MAX):
        if rest < STRIKE_DIGITS_END:
            break
        if rest % 10 != 0:
            return False
        rest //= 10
    return rest != 0


@internal
@pure
def _compute_payoff(instrument: uint256, settlement: uint256) -> uint256:
    """
    @notice Quote units that a lot is worth at its settlement price.
    """
    kind: uint256 = self._get_kind(instrument)
    if kind == FUTURE:
        return settlement
    strike: uint256 = self._get_strike(instrument)
    if kind == CALL:
        return max(settlement, strike) - strike
    return strike - min(settlement, strike)
