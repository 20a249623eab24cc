"""Case files of Derive's second portfolio-margin manager, read as a market, a portfolio and parameters of this engine.

A case states everything: prices, SVI surfaces, holdings, scenarios and parameters. Decimals become integers here,
nearest, with a quote unit of 1e-15 dollar and a lot of 1e-9: a price a lot is then micro-dollars. Numbers are parsed
as decimals, never as binary floats. Rules: docs.derive.xyz, "Portfolio Margin 2"; the format and its quirks: SPEC.md
section 8.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from risk.fixed_point import DAY_MS, ONE_Q38, YEAR_MS
from risk.market import Collateral, Expiry, Market, Option, Portfolio, Underlying
from risk.parameters import (
    SETTLEMENT_WINDOW_MS,
    Contingencies,
    Parameters,
    Scenario,
    Skew,
    StaticDiscount,
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


def parse_case(text: str) -> Case:
    """Read a case file. Raises ValueError, KeyError or TypeError where it is not one."""
    document = json.loads(text, parse_float=Decimal, parse_int=Decimal, parse_constant=_refuse_constant)
    scenario, parameters = document["Scenario"], document["Parameters"]
    return Case(
        parameters=parse_parameters(parameters), market=parse_market(scenario), portfolio=parse_portfolio(scenario)
    )


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number")


def to_integer(value: Any, scale: int) -> int:
    """value * scale, to nearest, ties to even; numbers may come as strings."""
    return int((Decimal(value) * scale).to_integral_value())


def q38(value: Any) -> int:
    """A fraction."""
    return to_integer(value, ONE_Q38)


def parse_parameters(source: Mapping[str, Any]) -> Parameters:
    """Every block of the case's parameters; basis scenarios that the grid lacks are appended without weight."""
    vol, margin, skew = source["VolShock"], source["Margin"], source["SkewShock"]
    scenarios = [parse_scenario(entry) for entry in source["Scenarios"]]
    basis = source["BasisContingency"]
    indices = []
    for field in ("SCENARIO_SPOT_UP", "SCENARIO_SPOT_DOWN"):
        wanted = Scenario(q38(basis[field] - 1), VolShock.NONE)
        if wanted not in scenarios:
            scenarios.append(Scenario(wanted.spot_move_q38, VolShock.NONE, counts=False))
            indices.append(len(scenarios) - 1)
        else:
            indices.append(scenarios.index(wanted))
    return Parameters(
        name="case",
        source="the case file",
        scenarios=tuple(scenarios),
        vol_range=VolRange(
            up_q38=q38(vol["VOLRANGEUP"]),
            down_q38=q38(vol["VOLRANGEDOWN"]),
            floor_q38=q38(vol["MIN_VOL_EVAL_SHOCKED"]),
            short_power_q38=q38(vol["SHORTTERMPOWER"]),
            long_power_q38=q38(vol["LONGTERMPOWER"]),
            tenor_floor_ms=to_integer(vol["DTE_FLOOR"], DAY_MS),
        ),
        skew=Skew(
            linear_cap_q38=q38(skew["LINEAR_SCALE_CAP"]),
            linear_slope_q38=q38(skew["LINEAR_CBASE"]),
            absolute_cap_q38=q38(skew["ABS_SCALE_CAP"]),
            absolute_slope_q38=q38(skew["ABS_CBASE"]),
            width_floor_q38=q38(skew["MIN_K_STAR"]),
            width_scale_q38=q38(skew["MIN_WIDTH_SCALE"]),
            width_vol_q38=q38(skew["VOL_PARAM_STATIC"]),
            width_vol_slope_q38=q38(skew["VOL_PARAM_SCALE"]),
        ),
        discount=StaticDiscount(
            long_factor_q38=q38(margin["BASE_STATIC_DISCOUNT"]),
            long_multiple_q38=q38(margin["LONG_RATE_MULTSCALE"]),
            long_spread_q38=q38(margin["LONG_RATE_ADDSCALE"]),
            short_factor_q38=q38(margin["BASE_STATIC_DISCOUNT_NEG"]),
            short_multiple_q38=q38(margin["SHORT_RATE_MULTSCALE"]),
            short_spread_q38=q38(margin["SHORT_RATE_ADDSCALE"]),
        ),
        contingencies=parse_contingencies(source["OtherContingency"], basis, indices),
        initial_factor_q38=q38(margin["IM_LOSS_FACTOR"]),
        maintenance_factor_q38=q38(margin["MM_LOSS_FACTOR"]),
    )


def parse_scenario(entry: Mapping[str, Any]) -> Scenario:
    """A shock of spot is its factor, 1.18 for +18 %."""
    return Scenario(
        q38(entry["SpotShock"] - 1), DIRECTIONS[entry["VolShockDirection"]], q38(entry["DampeningFactor"])
    )


def parse_contingencies(
    other: Mapping[str, Any], basis: Mapping[str, Any], indices: Sequence[int]
) -> Contingencies:
    """The charges beside the scenarios."""
    return Contingencies(
        perpetual_maintenance_q38=q38(other["MM_PERP_PERCENT"]),
        perpetual_initial_q38=q38(other["IM_PERP_PERCENT"]),
        naked_maintenance_q38=q38(other["MM_OPTION_PERCENT"]),
        naked_initial_q38=q38(other["IM_OPTION_PERCENT"]),
        basis_up=indices[0],
        basis_down=indices[1],
        basis_add_q38=q38(basis["BASIS_CONT_ADD_FACTOR"]),
        basis_multiple_q38=q38(basis["BASIS_CONT_MULT_FACTOR"]),
        confidence_threshold_q38=q38(other["CONF_THRESHOLD"]),
        confidence_margin_q38=q38(other["CONF_MARGIN"]),
        peg_threshold_q38=q38(other["PEG_LOSS_THRESHOLD"]),
        peg_factor_q38=q38(other["PEG_LOSS_FACTOR"]),
    )


def parse_market(scenario: Mapping[str, Any]) -> Market:
    """One underlying with its feeds, by time."""
    feeds = sorted(scenario["OptionFeeds"], key=lambda feed: feed["FeedExpiry"])
    underlying = Underlying(
        spot=to_integer(scenario["SpotPrice"], TICKS_A_DOLLAR),
        mark=to_integer(scenario["PerpPrice"], TICKS_A_DOLLAR),
        spot_confidence_q38=q38(scenario["SpotConfidence"]),
        mark_confidence_q38=q38(scenario["PerpConfidence"]),
        expiries=tuple(parse_expiry(feed) for feed in feeds),
    )
    return Market((underlying,), stable_q38=q38(scenario["StablePrice"]))


def parse_expiry(feed: Mapping[str, Any]) -> Expiry:
    """A feed's confidence is the least of its forward's, its rate's and its vol's.

    In the last half hour the forward is taken to be an average of which the elapsed part is fixed.
    """
    a, b, rho, m, sigma, _, years = feed["SVIparam"]
    time_ms = to_integer(feed["FeedExpiry"], 1000)
    forward = to_integer(feed["Forward"], TICKS_A_DOLLAR)
    confidences = (feed["ForwardConfidence"], feed["RateConfidence"], feed["OptionVolConfidences"])
    return Expiry(
        time_ms=time_ms,
        forward=forward,
        fixed=forward * max(SETTLEMENT_WINDOW_MS - time_ms, 0) // SETTLEMENT_WINDOW_MS,
        rate_q38=q38(feed["Rate"]),
        confidence_q38=q38(min(confidences)),
        svi=Svi(q38(a), q38(b), q38(rho), q38(m), q38(sigma), to_integer(years, YEAR_MS)),
    )


def parse_portfolio(scenario: Mapping[str, Any]) -> Portfolio:
    """Holdings; what perpetuals have made is cash, and collateral that cancels risk follows the only underlying."""
    expiries = sorted(feed["FeedExpiry"] for feed in scenario["OptionFeeds"])
    cash = scenario["Cash"] + scenario["UnrealisedPerpPNL"] + scenario["UnrealisedFunding"]
    options = [
        Option(
            underlying=0,
            expiry=expiries.index(option["Expiry"]),
            strike=to_integer(option["Strike"], TICKS_A_DOLLAR),
            is_call=option["IsCall"] == 1,
            quantity=to_integer(option["Amount"], LOTS_A_UNIT),
        )
        for option in scenario["Options"]
    ]
    return Portfolio(
        cash=to_integer(cash, QUOTE_UNITS_A_DOLLAR),
        perpetuals=(to_integer(scenario["NumPerps"], LOTS_A_UNIT),),
        options=tuple(sorted(options, key=lambda o: (o.underlying, o.expiry, o.strike, o.is_call))),
        collateral=tuple(parse_collateral(entry, scenario["SpotConfidence"]) for entry in scenario["Collaterals"]),
    )


def parse_collateral(entry: Mapping[str, Any], spot_confidence: Decimal) -> Collateral:
    """An asset is trusted no more than spot is."""
    return Collateral(
        value=to_integer(entry["Amount"] * entry["Price"], QUOTE_UNITS_A_DOLLAR),
        follows=0 if entry["IsRiskCancelling"] else -1,
        maintenance_haircut_q38=q38(entry["MMHaircut"]),
        initial_haircut_q38=q38(entry["IMHaircut"]),
        confidence_q38=q38(min(entry["Confidence"], spot_confidence)),
        confidence_threshold_q38=q38(entry["ConfidenceFactor"]),
    )
