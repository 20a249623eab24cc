"""The gate of margin: whatever is wrong with a market or a portfolio has a number and a field."""

from dataclasses import replace
from random import Random

import pytest

from risk.bounds import PRICE_END, RATE_MAX, TIME_END_MS, Refusal, RiskCode
from risk.checks import CASH_END, OPTIONS_MAX, QUANTITY_END, VOLATILITY_MAX_Q38, check_inputs
from risk.fixed_point import ONE_Q38
from risk.market import VALUE_MAX, Collateral, Expiry, Future, Market, Option, Portfolio, Underlying
from risk.offsets import CORRELATION_ONE
from risk.parameter_sets import PARAMETER_SETS
from tests.risk.samples import make_market, make_portfolio

KEEL = PARAMETER_SETS["keel"]
MARKET = make_market(Random(1))
PORTFOLIO = make_portfolio(Random(1), MARKET)
CALL = Option(0, 1, 100, True, 5)
FUTURE = Future(0, 1, 5)


def with_underlying(**changes: object) -> Market:
    first, second = MARKET.underlyings
    return replace(MARKET, underlyings=(first, replace(second, **changes)))  # type: ignore[arg-type]


def with_expiry(**changes: object) -> Market:
    first, *others = MARKET.underlyings[1].expiries
    return with_underlying(expiries=(replace(first, **changes), *others))  # type: ignore[arg-type]


def with_surface(**changes: object) -> Market:
    return with_expiry(svi=replace(MARKET.underlyings[1].expiries[0].svi, **changes))  # type: ignore[arg-type]


def with_collateral(**changes: object) -> Portfolio:
    return replace(PORTFOLIO, collateral=(replace(PORTFOLIO.collateral[0], **changes),))  # type: ignore[arg-type]


def with_future(**changes: int) -> Portfolio:
    return replace(PORTFOLIO, futures=(replace(FUTURE, **changes),))


def with_option(**changes: int) -> Portfolio:
    return replace(PORTFOLIO, options=(replace(CALL, **changes),))  # type: ignore[arg-type]


DESCENDING = MARKET.underlyings[1].expiries[::-1]
U, E = "underlyings[1]", "underlyings[1].expiries[0]"

BAD_MARKETS: list[tuple[Market, RiskCode, str]] = [
    (with_underlying(spot=0), RiskCode.SPOT_OUT_OF_RANGE, f"{U}.spot"),
    (with_underlying(spot=PRICE_END), RiskCode.SPOT_OUT_OF_RANGE, f"{U}.spot"),
    (with_underlying(mark=-1), RiskCode.SPOT_OUT_OF_RANGE, f"{U}.mark"),
    (with_underlying(mark=PRICE_END), RiskCode.SPOT_OUT_OF_RANGE, f"{U}.mark"),
    (with_underlying(spot_confidence_q38=-1), RiskCode.CONFIDENCE_OUT_OF_RANGE, f"{U}.confidence"),
    (with_underlying(mark_confidence_q38=ONE_Q38 + 1), RiskCode.CONFIDENCE_OUT_OF_RANGE, f"{U}.confidence"),
    (with_underlying(volatility_q38=-1), RiskCode.VOL_OUT_OF_RANGE, f"{U}.volatility"),
    (with_underlying(volatility_q38=VOLATILITY_MAX_Q38 + 1), RiskCode.VOL_OUT_OF_RANGE, f"{U}.volatility"),
    (with_underlying(expiries=MARKET.underlyings[1].expiries * 9), RiskCode.TOO_MANY, f"{U}.expiries"),
    (
        with_underlying(expiries=DESCENDING),
        RiskCode.TIME_OUT_OF_RANGE,
        f"{U}.expiries[1].time_ms",
    ),
    (with_expiry(time_ms=0), RiskCode.TIME_OUT_OF_RANGE, f"{E}.time_ms"),
    (with_expiry(time_ms=-1), RiskCode.TIME_OUT_OF_RANGE, f"{E}.time_ms"),
    (with_expiry(time_ms=TIME_END_MS), RiskCode.TIME_OUT_OF_RANGE, f"{E}.time_ms"),
    (with_expiry(forward=0), RiskCode.FORWARD_OUT_OF_RANGE, f"{E}.forward"),
    (with_expiry(forward=PRICE_END), RiskCode.FORWARD_OUT_OF_RANGE, f"{E}.forward"),
    (with_expiry(fixed=-1), RiskCode.FORWARD_OUT_OF_RANGE, f"{E}.fixed"),
    (with_expiry(fixed=MARKET.underlyings[1].expiries[0].forward + 1), RiskCode.FORWARD_OUT_OF_RANGE, f"{E}.fixed"),
    (with_expiry(settlement=-1), RiskCode.FORWARD_OUT_OF_RANGE, f"{E}.settlement"),
    (with_expiry(settlement=PRICE_END), RiskCode.FORWARD_OUT_OF_RANGE, f"{E}.settlement"),
    (with_expiry(rate_q38=RATE_MAX * ONE_Q38 + 1), RiskCode.RATE_OUT_OF_RANGE, f"{E}.rate"),
    (with_expiry(confidence_q38=ONE_Q38 + 1), RiskCode.CONFIDENCE_OUT_OF_RANGE, f"{E}.confidence"),
    (with_surface(sigma=0), RiskCode.SURFACE_OUT_OF_RANGE, f"{E}.svi.sigma"),
    (with_surface(time_ms=0), RiskCode.SURFACE_OUT_OF_RANGE, f"{E}.svi.time_ms"),
    (replace(MARKET, stable_q38=0), RiskCode.SPOT_OUT_OF_RANGE, "stable"),
    (replace(MARKET, stable_q38=16 * ONE_Q38 + 1), RiskCode.SPOT_OUT_OF_RANGE, "stable"),
    (replace(MARKET, underlyings=MARKET.underlyings * 5), RiskCode.TOO_MANY, "underlyings"),
]

BAD_PORTFOLIOS: list[tuple[Portfolio, RiskCode, str]] = [
    (replace(PORTFOLIO, cash=CASH_END + 1), RiskCode.CASH_OUT_OF_RANGE, "cash"),
    (replace(PORTFOLIO, perpetuals=(1,)), RiskCode.UNDERLYING_WITHOUT_PRICE, "perpetuals"),
    (replace(PORTFOLIO, perpetuals=(1, -QUANTITY_END)), RiskCode.QUANTITY_OUT_OF_RANGE, "perpetuals[1]"),
    (with_collateral(value=VALUE_MAX + 1), RiskCode.COLLATERAL_OUT_OF_RANGE, "collateral[0]"),
    (with_collateral(value=-1), RiskCode.COLLATERAL_OUT_OF_RANGE, "collateral[0]"),
    (with_collateral(follows=2), RiskCode.COLLATERAL_OUT_OF_RANGE, "collateral[0]"),
    (with_collateral(maintenance_haircut_q38=ONE_Q38 + 1), RiskCode.COLLATERAL_OUT_OF_RANGE, "collateral[0]"),
    (with_collateral(confidence_q38=ONE_Q38 + 1), RiskCode.CONFIDENCE_OUT_OF_RANGE, "collateral[0]"),
    (with_collateral(confidence_threshold_q38=-1), RiskCode.CONFIDENCE_OUT_OF_RANGE, "collateral[0]"),
    (
        replace(PORTFOLIO, futures=(replace(FUTURE, underlying=2),)),
        RiskCode.UNDERLYING_WITHOUT_PRICE,
        "futures[0].underlying",
    ),
    (with_future(expiry=3), RiskCode.EXPIRY_WITHOUT_SURFACE, "futures[0].expiry"),
    (with_future(quantity=0), RiskCode.QUANTITY_OUT_OF_RANGE, "futures[0].quantity"),
    (
        replace(PORTFOLIO, futures=(replace(FUTURE, quantity=QUANTITY_END),)),
        RiskCode.QUANTITY_OUT_OF_RANGE,
        "futures[0].quantity",
    ),
    (replace(PORTFOLIO, futures=(FUTURE, FUTURE)), RiskCode.POSITION_DUPLICATED, "futures[1]"),
    (replace(PORTFOLIO, futures=(FUTURE, replace(FUTURE, expiry=0))), RiskCode.POSITIONS_UNSORTED, "futures[1]"),
    (replace(PORTFOLIO, futures=(FUTURE,) * (OPTIONS_MAX + 1)), RiskCode.TOO_MANY, "futures"),
    (
        replace(PORTFOLIO, options=(replace(CALL, underlying=-1),)),
        RiskCode.UNDERLYING_WITHOUT_PRICE,
        "options[0].underlying",
    ),
    (with_option(expiry=3), RiskCode.EXPIRY_WITHOUT_SURFACE, "options[0].expiry"),
    (with_option(strike=0), RiskCode.STRIKE_OUT_OF_RANGE, "options[0].strike"),
    (with_option(strike=PRICE_END), RiskCode.STRIKE_OUT_OF_RANGE, "options[0].strike"),
    (with_option(quantity=0), RiskCode.QUANTITY_OUT_OF_RANGE, "options[0].quantity"),
    (
        replace(PORTFOLIO, options=(replace(CALL, quantity=-QUANTITY_END),)),
        RiskCode.QUANTITY_OUT_OF_RANGE,
        "options[0].quantity",
    ),
    (replace(PORTFOLIO, options=(CALL, CALL)), RiskCode.POSITION_DUPLICATED, "options[1]"),
    (replace(PORTFOLIO, options=(CALL, replace(CALL, is_call=False))), RiskCode.POSITIONS_UNSORTED, "options[1]"),
    (replace(PORTFOLIO, options=(CALL,) * (OPTIONS_MAX + 1)), RiskCode.TOO_MANY, "options"),
]


def test_what_is_right_passes() -> None:
    """The market and the portfolio of which everything below is a change, and the ends of every format."""
    assert check_inputs(KEEL, MARKET, PORTFOLIO, (0, CORRELATION_ONE)) is None
    svi = MARKET.underlyings[1].expiries[0].svi
    last = Expiry(TIME_END_MS - 1, PRICE_END - 1, PRICE_END - 1, RATE_MAX * ONE_Q38, ONE_Q38, svi, PRICE_END - 1)
    edge = Underlying(PRICE_END - 1, PRICE_END - 1, ONE_Q38, 0, VOLATILITY_MAX_Q38, (last,))
    most = QUANTITY_END - 1
    held = Portfolio(
        cash=-CASH_END,
        perpetuals=(-most,),
        options=(Option(0, 0, PRICE_END - 1, False, -most),),
        collateral=(Collateral(VALUE_MAX, 0, ONE_Q38, ONE_Q38, ONE_Q38, ONE_Q38),),
        futures=(Future(0, 0, most),),
    )
    assert check_inputs(KEEL, Market((edge,), 16 * ONE_Q38), held) is None


@pytest.mark.parametrize(("market", "code", "field"), BAD_MARKETS, ids=lambda value: str(value)[:40])
def test_a_bad_market_is_refused_by_name(market: Market, code: RiskCode, field: str) -> None:
    """Each price, time, surface and confidence that is none."""
    assert check_inputs(KEEL, market, PORTFOLIO) == Refusal(code, field)


@pytest.mark.parametrize(("portfolio", "code", "field"), BAD_PORTFOLIOS, ids=lambda value: str(value)[:40])
def test_a_bad_portfolio_is_refused_by_name(portfolio: Portfolio, code: RiskCode, field: str) -> None:
    """Each holding that is none, is there twice, or stands in the wrong place."""
    assert check_inputs(KEEL, MARKET, portfolio) == Refusal(code, field)


def test_loadings_are_fractions_one_for_each_underlying() -> None:
    """A loading too few, one below nothing, one above one."""
    assert check_inputs(KEEL, MARKET, PORTFOLIO, (0,)) == Refusal(RiskCode.LOADING_OUT_OF_RANGE, "loadings")
    for loading in (-1, CORRELATION_ONE + 1):
        refusal = check_inputs(KEEL, MARKET, PORTFOLIO, (0, loading))
        assert refusal == Refusal(RiskCode.LOADING_OUT_OF_RANGE, "loadings[1]")
