"""What leaves mean to risk/: prices and surfaces of a market at a state time, and what an instrument is marked at
(SPEC.md section 8).

Leaves hold parts per million and seconds, risk/ Q38 and milliseconds; every conversion is a floor.

Mirrors contracts/margin.vy.
"""

from functools import lru_cache

from risk.black76 import (
    log_moneyness_nearest_q30,
    price_floor,
    saturate_log_moneyness_q30,
    saturate_total_vol_q30,
)
from risk.fixed_point import exp_q38, ln_q38, sqrt_years_floor_q38, years_floor_q38
from risk.market import Expiry as MarketExpiry
from risk.svi import Svi, clamp_to_wings_q38, reading_total_vol_q38
from state.constants import PPM, SETTLEMENT_WINDOW
from state.leaves import CALL, FUTURE, Expiry, Instrument, Underlying

MARK_WING_WIDTH = 4
"""Deviations beyond which the surface is flat, where a mark is asked for without the rules of margin."""


def convert_ppm_floor_q38(parts: int) -> int:
    """A fraction of the state as a fraction of risk/."""
    return (parts << 38) // PPM


def compute_payoff(instrument: Instrument, settlement: int) -> int:
    """Quote units that a lot of a dated instrument is worth at its settlement price."""
    if instrument.kind == FUTURE:
        return settlement
    return max(settlement - instrument.strike if instrument.kind == CALL else instrument.strike - settlement, 0)


def compute_fixed_floor(leaf: Expiry, expiry: int) -> int:
    """How much of the forward is known: the part of the settlement average that has been, quote units a lot."""
    if leaf.time <= expiry - SETTLEMENT_WINDOW:
        return 0
    return (leaf.integral - leaf.start_integral) // SETTLEMENT_WINDOW


@lru_cache(maxsize=4096)
def convert_expiry(leaf: Expiry, expiry: int, time: int) -> MarketExpiry:
    """An expiry as margin reads it at state time `time`."""
    return MarketExpiry(
        time_ms=max(expiry - time, 0) * 1000,
        forward=leaf.forward,
        fixed=compute_fixed_floor(leaf, expiry),
        rate_q38=leaf.rate,
        confidence_q38=convert_ppm_floor_q38(leaf.confidence),
        svi=Svi(leaf.a, leaf.b, leaf.rho, leaf.m, leaf.sigma, (expiry - leaf.time) * 1000),
        settlement=leaf.settlement,
    )


def compute_mark(instrument: Instrument, underlying: Underlying, expiry: Expiry | None, time: int) -> int:
    """Quote units that a lot is marked at; `expiry` is given for what is dated. An option's mark is discounted."""
    if expiry is None:
        return underlying.mark
    if expiry.settlement:
        return compute_payoff(instrument, expiry.settlement)
    if instrument.kind == FUTURE:
        return expiry.forward
    return compute_option_mark_floor(instrument, convert_expiry(expiry, instrument.expiry, time))


def compute_option_mark_floor(instrument: Instrument, expiry: MarketExpiry) -> int:
    """Quote units a lot: the price floored to whole units, discounted, floored again."""
    ln_forward, ln_strike = ln_q38(expiry.forward), ln_q38(instrument.strike)
    within_wings = clamp_to_wings_q38(expiry.svi, ln_strike - ln_forward, MARK_WING_WIDTH)
    root = (sqrt_years_floor_q38(expiry.time_ms) << 38) // sqrt_years_floor_q38(expiry.svi.time_ms)
    total_vol = reading_total_vol_q38(expiry.svi, within_wings) * root >> 38
    price = price_floor(
        expiry.forward,
        instrument.strike,
        saturate_log_moneyness_q30(log_moneyness_nearest_q30(ln_forward, ln_strike)),
        saturate_total_vol_q30(total_vol + (1 << 7) >> 8),
        instrument.kind == CALL,
    )
    return price * exp_q38(-max(expiry.rate_q38, 0) * years_floor_q38(expiry.time_ms) >> 38) >> 38
