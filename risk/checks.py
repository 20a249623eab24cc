"""The gate of the margin engine: whether a market, a portfolio and parameters may be given to it.

As in bounds.py, a check returns the first Refusal or None and never raises; fields are named as paths,
`options[3].strike`.
"""

from risk.bounds import PRICE_END, RATE_MAX, TIME_END_MS, Refusal, RiskCode, check_surface
from risk.fixed_point import ONE_Q38
from risk.market import VALUE_MAX, Expiry, Future, Market, Option, Portfolio, Underlying
from risk.offsets import CORRELATION_ONE
from risk.parameter_bounds import check_parameters
from risk.parameters import Parameters

UNDERLYINGS_MAX = 8
EXPIRIES_MAX = 24
OPTIONS_MAX = 128
QUANTITY_END = 1 << 56
CASH_END = 1 << 112
VOLATILITY_MAX_Q38 = 20 * ONE_Q38


def check_inputs(
    parameters: Parameters, market: Market, portfolio: Portfolio, loadings_q20: tuple[int, ...] = ()
) -> Refusal | None:
    """Whether `margin.compute_margin` takes these."""
    if loadings_q20 and len(loadings_q20) != len(market.underlyings):
        return Refusal(RiskCode.LOADING_OUT_OF_RANGE, "loadings")
    for index, loading in enumerate(loadings_q20):
        if not 0 <= loading <= CORRELATION_ONE:
            return Refusal(RiskCode.LOADING_OUT_OF_RANGE, f"loadings[{index}]")
    return check_parameters(parameters) or check_market(market) or check_portfolio(market, portfolio)


def check_market(market: Market) -> Refusal | None:
    """Prices, confidences, surfaces, and expiries in ascending time."""
    if len(market.underlyings) > UNDERLYINGS_MAX:
        return Refusal(RiskCode.TOO_MANY, "underlyings")
    if not 0 < market.stable_q38 <= 16 * ONE_Q38:
        return Refusal(RiskCode.SPOT_OUT_OF_RANGE, "stable")
    for index, underlying in enumerate(market.underlyings):
        refusal = check_underlying(underlying)
        if refusal is not None:
            return Refusal(refusal.code, f"underlyings[{index}].{refusal.field}")
    return None


def check_underlying(underlying: Underlying) -> Refusal | None:
    """Prices first, then each expiry. A mark of 0 says that there is no perpetual."""
    if not 0 < underlying.spot < PRICE_END:
        return Refusal(RiskCode.SPOT_OUT_OF_RANGE, "spot")
    if not 0 <= underlying.mark < PRICE_END:
        return Refusal(RiskCode.SPOT_OUT_OF_RANGE, "mark")
    confidences = (underlying.spot_confidence_q38, underlying.mark_confidence_q38)
    if not all(0 <= confidence <= ONE_Q38 for confidence in confidences):
        return Refusal(RiskCode.CONFIDENCE_OUT_OF_RANGE, "confidence")
    if not 0 <= underlying.volatility_q38 <= VOLATILITY_MAX_Q38:
        return Refusal(RiskCode.VOL_OUT_OF_RANGE, "volatility")
    if len(underlying.expiries) > EXPIRIES_MAX:
        return Refusal(RiskCode.TOO_MANY, "expiries")
    before = 0
    for index, expiry in enumerate(underlying.expiries):
        refusal = check_expiry(expiry)
        if refusal is not None:
            return Refusal(refusal.code, f"expiries[{index}].{refusal.field}")
        if expiry.time_ms <= before:
            return Refusal(RiskCode.TIME_OUT_OF_RANGE, f"expiries[{index}].time_ms")
        before = expiry.time_ms
    return None


def check_expiry(expiry: Expiry) -> Refusal | None:
    """One expiry's reading."""
    if not 0 < expiry.time_ms < TIME_END_MS:
        return Refusal(RiskCode.TIME_OUT_OF_RANGE, "time_ms")
    if not 0 < expiry.forward < PRICE_END:
        return Refusal(RiskCode.FORWARD_OUT_OF_RANGE, "forward")
    if not 0 <= expiry.fixed <= expiry.forward:
        return Refusal(RiskCode.FORWARD_OUT_OF_RANGE, "fixed")
    if not 0 <= expiry.settlement < PRICE_END:
        return Refusal(RiskCode.FORWARD_OUT_OF_RANGE, "settlement")
    if abs(expiry.rate_q38) > RATE_MAX * ONE_Q38:
        return Refusal(RiskCode.RATE_OUT_OF_RANGE, "rate")
    if not 0 <= expiry.confidence_q38 <= ONE_Q38:
        return Refusal(RiskCode.CONFIDENCE_OUT_OF_RANGE, "confidence")
    refusal = check_surface(expiry.svi)
    return refusal and Refusal(refusal.code, f"svi.{refusal.field}")


def check_portfolio(market: Market, portfolio: Portfolio) -> Refusal | None:
    """Cash, collateral, perpetuals, and options in strictly ascending order."""
    if abs(portfolio.cash) > CASH_END:
        return Refusal(RiskCode.CASH_OUT_OF_RANGE, "cash")
    if len(portfolio.perpetuals) != len(market.underlyings):
        return Refusal(RiskCode.UNDERLYING_WITHOUT_PRICE, "perpetuals")
    for index, quantity in enumerate(portfolio.perpetuals):
        if abs(quantity) >= QUANTITY_END:
            return Refusal(RiskCode.QUANTITY_OUT_OF_RANGE, f"perpetuals[{index}]")
        if quantity != 0 and market.underlyings[index].mark == 0:
            return Refusal(RiskCode.UNDERLYING_WITHOUT_PRICE, f"perpetuals[{index}]")
    for index, collateral in enumerate(portfolio.collateral):
        haircuts = (collateral.maintenance_haircut_q38, collateral.initial_haircut_q38)
        is_within = 0 <= collateral.value <= VALUE_MAX and all(0 <= haircut <= ONE_Q38 for haircut in haircuts)
        if not is_within or not -1 <= collateral.follows < len(market.underlyings):
            return Refusal(RiskCode.COLLATERAL_OUT_OF_RANGE, f"collateral[{index}]")
        if not all(0 <= c <= ONE_Q38 for c in (collateral.confidence_q38, collateral.confidence_threshold_q38)):
            return Refusal(RiskCode.CONFIDENCE_OUT_OF_RANGE, f"collateral[{index}]")
    return check_futures(market, portfolio.futures) or check_options(market, portfolio.options)


def check_futures(market: Market, futures: tuple[Future, ...]) -> Refusal | None:
    """Each position, and that they ascend."""
    if len(futures) > OPTIONS_MAX:
        return Refusal(RiskCode.TOO_MANY, "futures")
    before: tuple[int, int] | None = None
    for index, future in enumerate(futures):
        here = f"futures[{index}]"
        if not 0 <= future.underlying < len(market.underlyings):
            return Refusal(RiskCode.UNDERLYING_WITHOUT_PRICE, f"{here}.underlying")
        if not 0 <= future.expiry < len(market.underlyings[future.underlying].expiries):
            return Refusal(RiskCode.EXPIRY_WITHOUT_SURFACE, f"{here}.expiry")
        if not 0 < abs(future.quantity) < QUANTITY_END:
            return Refusal(RiskCode.QUANTITY_OUT_OF_RANGE, f"{here}.quantity")
        instrument = (future.underlying, future.expiry)
        if before is not None and instrument <= before:
            is_same = instrument == before
            return Refusal(RiskCode.POSITION_DUPLICATED if is_same else RiskCode.POSITIONS_UNSORTED, here)
        before = instrument
    return None


def check_options(market: Market, options: tuple[Option, ...]) -> Refusal | None:
    """Each position, and that they ascend."""
    if len(options) > OPTIONS_MAX:
        return Refusal(RiskCode.TOO_MANY, "options")
    before: tuple[int, int, int, bool] | None = None
    for index, option in enumerate(options):
        here = f"options[{index}]"
        if not 0 <= option.underlying < len(market.underlyings):
            return Refusal(RiskCode.UNDERLYING_WITHOUT_PRICE, f"{here}.underlying")
        if not 0 <= option.expiry < len(market.underlyings[option.underlying].expiries):
            return Refusal(RiskCode.EXPIRY_WITHOUT_SURFACE, f"{here}.expiry")
        if not 0 < option.strike < PRICE_END:
            return Refusal(RiskCode.STRIKE_OUT_OF_RANGE, f"{here}.strike")
        if not 0 < abs(option.quantity) < QUANTITY_END:
            return Refusal(RiskCode.QUANTITY_OUT_OF_RANGE, f"{here}.quantity")
        instrument = (option.underlying, option.expiry, option.strike, option.is_call)
        if before is not None and instrument <= before:
            is_same = instrument == before
            return Refusal(RiskCode.POSITION_DUPLICATED if is_same else RiskCode.POSITIONS_UNSORTED, here)
        before = instrument
    return None
