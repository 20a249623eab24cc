"""Case files of Derive's second portfolio-margin manager, read as a market, a portfolio and parameters of this engine.

A case states everything: prices, SVI surfaces, holdings, scenarios and parameters. Decimals become integers here,
nearest, with a quote unit of 1e-15 dollar and a lot of 1e-9: a price a lot is then micro-dollars. Rules:
docs.derive.xyz, "Portfolio Margin 2"; the format and its quirks: SPEC.md section 8.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from risk.bounds import Refusal, RiskCode
from risk.checks import check_inputs
from risk.decimals import Fields, Refused, parse_json, round_decimal
from risk.fixed_point import DAY_MS, ONE_Q38, YEAR_MS
from risk.market import Collateral, Expiry, Market, Option, Portfolio, Underlying
from risk.parameters import (
    SETTLEMENT_WINDOW_MS,
    Contingencies,
    Parameters,
    Scenario,
    Skew,
    StaticDiscount,
    Tier,
    VolRange,
    VolShock,
)
from risk.svi import Svi

LOTS_A_UNIT = 10**9
TICKS_A_DOLLAR = 10**6
QUOTE_UNITS_A_DOLLAR = LOTS_A_UNIT * TICKS_A_DOLLAR

DIRECTIONS = {
    "Up": VolShock.UP,
    "Down": VolShock.DOWN,
    "None": VolShock.NONE,
    "LINEAR": VolShock.LINEAR_SKEW,
    "ABS": VolShock.ABSOLUTE_SKEW,
}


@dataclass(frozen=True, slots=True)
class Case:
    """One case, ready for `margin.compute_margin`."""

    parameters: Parameters
    market: Market
    portfolio: Portfolio


def parse_case(text: str) -> Case | Refusal:
    """Read a case file and put it through the engine's gate."""
    try:
        document = Fields(parse_json(text))
        scenario = document.object("Scenario")
        parameters = parse_parameters(document.object("Parameters"))
        case = Case(parameters, parse_market(scenario), parse_portfolio(scenario))
    except Refused as error:
        return error.refusal
    return check_inputs(case.parameters, case.market, case.portfolio) or case


def parse_parameters(source: Fields) -> Parameters:
    """Every block of the case's parameters; basis scenarios that the grid lacks are appended without weight."""
    margin, basis = source.object("Margin"), source.object("BasisContingency")
    scenarios = [parse_scenario(entry) for entry in source.objects("Scenarios")]
    basis_moves = []
    for field in ("SCENARIO_SPOT_UP", "SCENARIO_SPOT_DOWN"):
        move = Scenario(basis.q38(field) - ONE_Q38, VolShock.NONE)
        if move not in scenarios:
            move = Scenario(move.spot_move_q38, VolShock.NONE, counts=False)
            scenarios.append(move)
        basis_moves.append(scenarios.index(move))
    return Parameters(
        name="case",
        source="the case file",
        scenarios=tuple(scenarios),
        vol_range=parse_vol_range(source.object("VolShock")),
        skew=parse_skew(source.object("SkewShock")),
        discount=StaticDiscount(
            long_factor_q38=margin.q38("BASE_STATIC_DISCOUNT"),
            long_multiple_q38=margin.q38("LONG_RATE_MULTSCALE"),
            long_spread_q38=margin.q38("LONG_RATE_ADDSCALE"),
            short_factor_q38=margin.q38("BASE_STATIC_DISCOUNT_NEG"),
            short_multiple_q38=margin.q38("SHORT_RATE_MULTSCALE"),
            short_spread_q38=margin.q38("SHORT_RATE_ADDSCALE"),
        ),
        contingencies=parse_contingencies(source.object("OtherContingency"), basis, basis_moves),
        tiers=(Tier(margin.q38("IM_LOSS_FACTOR"), margin.q38("MM_LOSS_FACTOR")),),
    )


def parse_scenario(entry: Fields) -> Scenario:
    """A shock of spot is its factor, 1.18 for +18 %."""
    direction = entry.text("VolShockDirection", tuple(DIRECTIONS))
    return Scenario(entry.q38("SpotShock") - ONE_Q38, DIRECTIONS[direction], entry.q38("DampeningFactor"))


def parse_vol_range(vol: Fields) -> VolRange:
    """The tenor floor comes in days."""
    return VolRange(
        up_q38=vol.q38("VOLRANGEUP"),
        down_q38=vol.q38("VOLRANGEDOWN"),
        floor_q38=vol.q38("MIN_VOL_EVAL_SHOCKED"),
        short_power_q38=vol.q38("SHORTTERMPOWER"),
        long_power_q38=vol.q38("LONGTERMPOWER"),
        tenor_floor_ms=vol.integer("DTE_FLOOR", DAY_MS),
    )


def parse_skew(skew: Fields) -> Skew:
    """Caps and widths, each a constant and a slope in the root of time."""
    return Skew(
        linear_cap_q38=skew.q38("LINEAR_SCALE_CAP"),
        linear_slope_q38=skew.q38("LINEAR_CBASE"),
        absolute_cap_q38=skew.q38("ABS_SCALE_CAP"),
        absolute_slope_q38=skew.q38("ABS_CBASE"),
        width_floor_q38=skew.q38("MIN_K_STAR"),
        width_scale_q38=skew.q38("MIN_WIDTH_SCALE"),
        width_vol_q38=skew.q38("VOL_PARAM_STATIC"),
        width_vol_slope_q38=skew.q38("VOL_PARAM_SCALE"),
    )


def parse_contingencies(other: Fields, basis: Fields, basis_moves: Sequence[int]) -> Contingencies:
    """The charges beside the scenarios."""
    return Contingencies(
        perpetual_maintenance_q38=other.q38("MM_PERP_PERCENT"),
        perpetual_initial_q38=other.q38("IM_PERP_PERCENT"),
        naked_maintenance_q38=other.q38("MM_OPTION_PERCENT"),
        naked_initial_q38=other.q38("IM_OPTION_PERCENT"),
        basis_up=basis_moves[0],
        basis_down=basis_moves[1],
        basis_add_q38=basis.q38("BASIS_CONT_ADD_FACTOR"),
        basis_multiple_q38=basis.q38("BASIS_CONT_MULT_FACTOR"),
        confidence_threshold_q38=other.q38("CONF_THRESHOLD"),
        confidence_margin_q38=other.q38("CONF_MARGIN"),
        peg_threshold_q38=other.q38("PEG_LOSS_THRESHOLD"),
        peg_factor_q38=other.q38("PEG_LOSS_FACTOR"),
    )


def parse_market(scenario: Fields) -> Market:
    """One underlying with its feeds, by time."""
    feeds = sorted(scenario.objects("OptionFeeds"), key=lambda feed: feed.decimal("FeedExpiry"))
    underlying = Underlying(
        spot=scenario.integer("SpotPrice", TICKS_A_DOLLAR),
        mark=scenario.integer("PerpPrice", TICKS_A_DOLLAR),
        spot_confidence_q38=scenario.q38("SpotConfidence"),
        mark_confidence_q38=scenario.q38("PerpConfidence"),
        volatility_q38=0,
        expiries=tuple(parse_expiry(feed) for feed in feeds),
    )
    return Market((underlying,), stable_q38=scenario.q38("StablePrice"))


def parse_expiry(feed: Fields) -> Expiry:
    """A feed's confidence is the least of its forward's, its rate's and its vol's.

    In the last half hour the forward is taken to be an average of which the elapsed part is fixed.
    """
    *shape, _, years = feed.decimals("SVIparam", 7)
    a, b, rho, m, sigma = (round_decimal(value, ONE_Q38) for value in shape)
    time_ms = feed.integer("FeedExpiry", 1000)
    forward = feed.integer("Forward", TICKS_A_DOLLAR)
    confidences = [feed.q38(field) for field in ("ForwardConfidence", "RateConfidence", "OptionVolConfidences")]
    return Expiry(
        time_ms=time_ms,
        forward=forward,
        fixed=forward * max(SETTLEMENT_WINDOW_MS - time_ms, 0) // SETTLEMENT_WINDOW_MS,
        rate_q38=feed.q38("Rate"),
        confidence_q38=min(confidences),
        svi=Svi(a, b, rho, m, sigma, round_decimal(years, YEAR_MS)),
    )


def parse_portfolio(scenario: Fields) -> Portfolio:
    """Holdings; what perpetuals have made is cash, and collateral that cancels risk follows the only underlying."""
    expiries = sorted(feed.decimal("FeedExpiry") for feed in scenario.objects("OptionFeeds"))
    cash = sum((scenario.decimal(f) for f in ("Cash", "UnrealisedPerpPNL", "UnrealisedFunding")), Decimal(0))
    options = [parse_option(entry, expiries) for entry in scenario.objects("Options")]
    spot_confidence = scenario.q38("SpotConfidence")
    return Portfolio(
        cash=round_decimal(cash, QUOTE_UNITS_A_DOLLAR),
        perpetuals=(scenario.integer("NumPerps", LOTS_A_UNIT),),
        options=tuple(sorted(options, key=lambda o: (o.underlying, o.expiry, o.strike, o.is_call))),
        collateral=tuple(parse_collateral(entry, spot_confidence) for entry in scenario.objects("Collaterals")),
    )


def parse_option(entry: Fields, expiries: Sequence[Decimal]) -> Option:
    """A position; its expiry names a feed by its seconds to go."""
    expiry = entry.decimal("Expiry")
    if expiry not in expiries:
        raise Refused(RiskCode.EXPIRY_WITHOUT_SURFACE, f"Options, Expiry {expiry}")
    return Option(
        underlying=0,
        expiry=expiries.index(expiry),
        strike=entry.integer("Strike", TICKS_A_DOLLAR),
        is_call=entry.decimal("IsCall") == 1,
        quantity=entry.integer("Amount", LOTS_A_UNIT),
    )


def parse_collateral(entry: Fields, spot_confidence_q38: int) -> Collateral:
    """An asset is trusted no more than spot is."""
    return Collateral(
        value=round_decimal(entry.decimal("Amount") * entry.decimal("Price"), QUOTE_UNITS_A_DOLLAR),
        follows=0 if entry.any("IsRiskCancelling") is True else -1,
        maintenance_haircut_q38=entry.q38("MMHaircut"),
        initial_haircut_q38=entry.q38("IMHaircut"),
        confidence_q38=min(entry.q38("Confidence"), spot_confidence_q38),
        confidence_threshold_q38=entry.q38("ConfidenceFactor"),
    )
