"""What the kernel may be asked: bounds of every input, and the numbered refusals of what lies outside.

The arithmetic itself refuses nothing: inside these bounds no intermediate leaves its format (SPEC.md section 2), so
whoever lets a value in from outside checks it here first. Checks return a Refusal or None and never raise.
"""

from dataclasses import dataclass
from enum import IntEnum

from risk.black76 import LOG_MONEYNESS_MAX_Q30, TOTAL_VOL_MAX_Q30, log_moneyness_nearest_q30, total_vol_nearest_q30
from risk.fixed_point import YEAR_MS, ln_q38, sqrt_years_floor_q38
from risk.greeks import log_discount_q38
from risk.svi import Svi

PRICE_END = 1 << 44
VOL_END_Q38 = 1 << 50
TIME_END_MS = 16 * YEAR_MS
DISCOUNT_MAX_Q38 = 1 << 39
RATE_MAX = 1 << 20
SVI_A_END_Q38 = 1 << 46
SVI_B_END_Q38 = 1 << 42
SVI_RHO_END_Q38 = 1 << 38
SVI_SHIFT_END_Q38 = 1 << 46


class RiskCode(IntEnum):
    """Why a value was not taken; SPEC.md section 2 has the table."""

    FORWARD_OUT_OF_RANGE = 1
    STRIKE_OUT_OF_RANGE = 2
    VOL_OUT_OF_RANGE = 3
    TIME_OUT_OF_RANGE = 4
    DISCOUNT_OUT_OF_RANGE = 5
    MONEYNESS_OUT_OF_RANGE = 6
    TOTAL_VOL_OUT_OF_RANGE = 7
    SURFACE_OUT_OF_RANGE = 8
    SPOT_OUT_OF_RANGE = 9
    RATE_OUT_OF_RANGE = 10
    CONFIDENCE_OUT_OF_RANGE = 11
    CASH_OUT_OF_RANGE = 12
    COLLATERAL_OUT_OF_RANGE = 13
    QUANTITY_OUT_OF_RANGE = 14
    POSITIONS_UNSORTED = 15
    POSITION_DUPLICATED = 16
    EXPIRY_WITHOUT_SURFACE = 17
    UNDERLYING_WITHOUT_PRICE = 18
    PARAMETERS_OUT_OF_RANGE = 19
    TOO_MANY = 20
    LOADING_OUT_OF_RANGE = 21
    FIELD_MISSING = 30
    FIELD_MALFORMED = 31
    FIELD_NOT_FINITE = 32
    LINE_NOT_JSON = 33


@dataclass(frozen=True, slots=True)
class Refusal:
    """A code and the field it is about."""

    code: RiskCode
    field: str


def check_quote(forward: int, strike: int, vol_q38: int, time_ms: int, discount_q38: int) -> Refusal | None:
    """Whether one option can be priced: forward and strike in the same ticks."""
    if not 0 < forward < PRICE_END:
        return Refusal(RiskCode.FORWARD_OUT_OF_RANGE, "forward")
    if not 0 < strike < PRICE_END:
        return Refusal(RiskCode.STRIKE_OUT_OF_RANGE, "strike")
    if not 0 < vol_q38 < VOL_END_Q38:
        return Refusal(RiskCode.VOL_OUT_OF_RANGE, "vol")
    if not 0 < time_ms < TIME_END_MS:
        return Refusal(RiskCode.TIME_OUT_OF_RANGE, "time_ms")
    if not 0 < discount_q38 <= DISCOUNT_MAX_Q38:
        return Refusal(RiskCode.DISCOUNT_OUT_OF_RANGE, "discount")
    if abs(log_discount_q38(discount_q38)) * YEAR_MS > RATE_MAX * (time_ms << 38):
        return Refusal(RiskCode.DISCOUNT_OUT_OF_RANGE, "discount")
    if abs(log_moneyness_nearest_q30(ln_q38(forward), ln_q38(strike))) > LOG_MONEYNESS_MAX_Q30:
        return Refusal(RiskCode.MONEYNESS_OUT_OF_RANGE, "strike")
    if not 0 < total_vol_nearest_q30(vol_q38, sqrt_years_floor_q38(time_ms)) <= TOTAL_VOL_MAX_Q30:
        return Refusal(RiskCode.TOTAL_VOL_OUT_OF_RANGE, "vol")
    return None


def check_surface(svi: Svi) -> Refusal | None:
    """Whether a surface's parameters are within their formats; says nothing about arbitrage."""
    fields = (
        ("a", abs(svi.a) < SVI_A_END_Q38),
        ("b", 0 <= svi.b < SVI_B_END_Q38),
        ("rho", abs(svi.rho) < SVI_RHO_END_Q38),
        ("m", abs(svi.m) < SVI_SHIFT_END_Q38),
        ("sigma", 0 < svi.sigma < SVI_SHIFT_END_Q38),
        ("time_ms", 0 < svi.time_ms < TIME_END_MS),
    )
    for name, is_within in fields:
        if not is_within:
            return Refusal(RiskCode.SURFACE_OUT_OF_RANGE, name)
    return None
