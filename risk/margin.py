"""Portfolio margin: what an account is worth, and what it must be worth.

    maintenance = equity - maintenance_factor * loss - maintenance charges
    initial     = equity - (initial_factor + peg loss) * loss - all charges

where loss is what the worst scenario and step take from each underlying, combined. Both are surpluses: an account is
in order while they are not negative. Requirements are rounded up and values down. Formulas: SPEC.md section 8.

Both fall, or stay, whenever a loss rises. So a few named scenarios show that an account is short, and the worst of each
underlying, its active scenario, shows by how much (`compute_margin_under`).

Mirrors contracts/risk_underlying.vy (compute_underlying_risk) and contracts/margin.vy.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from risk.concentration import compute_concentration_ceil
from risk.fixed_point import ONE_Q38, multiply_ceil_q38
from risk.market import VALUE_MAX, Market, Option, Portfolio, Underlying
from risk.offsets import combine_losses_ceil
from risk.parameters import Parameters
from risk.scenarios import (
    ExpiryRisk,
    OptionsRisk,
    compute_spot_factors_q38,
    fixed_of_forward,
    revalue_options,
)
from risk.settlement import settle_to_cash
from risk.tiers import choose_tier, is_eligible

Revaluation = Callable[[Parameters, Underlying, Sequence[Option]], OptionsRisk]
"""Something that answers as scenarios.revalue_options does."""

BASIS_ACTIVE = 255
"""The number of the basis contingency among active scenarios."""

BASIS_WORST = -1
NOTHING_WORST = -2


@dataclass(frozen=True, slots=True)
class UnderlyingRisk:
    """One underlying's share of an account, in quote units. `mark` is what its options and futures are worth.

    `pnl` is by scenario, the worst step's, weighted; `worst` the index of the least, -1 where the basis contingency
    is worse and -2 where nothing loses; `loss` is that least P&L as a non-negative number. `gamma` and `vega` are the
    sums that concentration.py charges for.
    """

    mark: int
    pnl: tuple[int, ...]
    basis: int
    worst: int
    loss: int
    gamma: int
    vega: int
    expiries: tuple[tuple[int, ExpiryRisk], ...]


@dataclass(frozen=True, slots=True)
class Charges:
    """Contingencies in quote units, all non-negative; the initial ones come on top of maintenance's. `perpetual` is
    for futures too."""

    maintenance_perpetual: int
    maintenance_naked: int
    maintenance_collateral: int
    initial_perpetual: int
    initial_naked: int
    initial_collateral: int
    oracle: int

    @property
    def maintenance(self) -> int:
        """All that maintenance margin asks for beside the scenarios and the add-on for size."""
        return self.maintenance_perpetual + self.maintenance_naked + self.maintenance_collateral

    @property
    def initial(self) -> int:
        """What initial margin asks for on top."""
        return self.initial_perpetual + self.initial_naked + self.initial_collateral + self.oracle


@dataclass(frozen=True, slots=True)
class Margin:
    """What an account is worth without and with collateral, both surpluses under the tier that applies, and where they
    come from."""

    quote_equity: int
    equity: int
    initial: int
    maintenance: int
    tier: int
    loss: int
    charges: Charges
    concentration: int
    underlyings: tuple[UnderlyingRisk, ...]


def value_collateral_floor(value: int, stable_q38: int) -> int:
    """Quote units for dollars, saturated first; the value is not negative."""
    return (min(value, VALUE_MAX) << 38) // stable_q38


@dataclass(frozen=True, slots=True)
class Measured:
    """All of an account's margin but what its losses come to. Quote units; `peg_loss_q38` is added to a tier's initial
    factor."""

    quote_equity: int
    equity: int
    peg_loss_q38: int
    charges: Charges
    underlyings: tuple[UnderlyingRisk, ...]


def compute_margin(
    parameters: Parameters,
    market: Market,
    portfolio: Portfolio,
    loadings_q20: Sequence[int] = (),
    tier: int = 0,
    revalue: Revaluation = revalue_options,
) -> Margin:
    """Margin of one account that chose a tier. Without loadings the losses of underlyings add up."""
    return compute_margin_under(parameters, measure(parameters, market, portfolio, revalue), {}, loadings_q20, tier)


def measure(
    parameters: Parameters, market: Market, portfolio: Portfolio, revalue: Revaluation = revalue_options
) -> Measured:
    """What the account is worth, every charge, and what each scenario does to each underlying."""
    held = settle_to_cash(market, portfolio)
    underlyings = tuple(
        compute_underlying_risk(parameters, market, held, index, revalue) for index in range(len(market.underlyings))
    )
    quote_equity = held.cash + sum(risk.mark for risk in underlyings)
    contingencies = parameters.contingencies
    return Measured(
        quote_equity=quote_equity,
        equity=quote_equity + sum(value_collateral_floor(c.value, market.stable_q38) for c in held.collateral),
        peg_loss_q38=max(contingencies.peg_threshold_q38 - market.stable_q38, 0) * contingencies.peg_factor_q38 >> 38,
        charges=compute_charges(parameters, market, held),
        underlyings=underlyings,
    )


def compute_margin_under(
    parameters: Parameters,
    measured: Measured,
    active: Mapping[int, int],
    loadings_q20: Sequence[int] = (),
    tier: int = 0,
) -> Margin:
    """Margin were the worst of an underlying the scenario that `active` names for it, as `get_loss_under` reads it; the
    true worst of those for which it names none."""
    losses = [
        get_loss_under(parameters, risk, active[index]) if index in active else risk.loss
        for index, risk in enumerate(measured.underlyings)
    ]
    loss = combine_losses_ceil(losses, loadings_q20)

    def apply(index: int) -> Margin:
        own = parameters.tiers[index]
        size = sum(compute_concentration_ceil(parameters, own, risk.gamma, risk.vega) for risk in measured.underlyings)
        rest = measured.equity - measured.charges.maintenance - size
        factor = own.initial_factor_q38 + measured.peg_loss_q38
        return Margin(
            quote_equity=measured.quote_equity,
            equity=measured.equity,
            initial=rest - measured.charges.initial - multiply_ceil_q38(loss, factor),
            maintenance=rest - multiply_ceil_q38(loss, own.maintenance_factor_q38),
            tier=index,
            loss=loss,
            charges=measured.charges,
            concentration=size,
            underlyings=measured.underlyings,
        )

    first, chosen = apply(0), choose_tier(parameters, tier)
    if not is_eligible(parameters.tiers[chosen], first.equity, first.initial):
        return first
    second = apply(chosen)
    # Never less than under the first: else a greater loss, which takes the tier away, could leave more.
    return replace(
        second, initial=max(first.initial, second.initial), maintenance=max(first.maintenance, second.maintenance)
    )


def get_loss_under(parameters: Parameters, risk: UnderlyingRisk, active: int) -> int:
    """What one scenario takes, or with BASIS_ACTIVE the basis contingency; nothing where no such scenario counts."""
    if active == BASIS_ACTIVE:
        return max(-risk.basis, 0)
    is_counted = active < len(parameters.scenarios) and parameters.scenarios[active].counts
    return max(-risk.pnl[active], 0) if is_counted else 0


def get_active(risk: UnderlyingRisk) -> int:
    """The number under which `get_loss_under` answers with the whole loss."""
    return BASIS_ACTIVE if risk.worst == BASIS_WORST else max(risk.worst, 0)


def compute_underlying_risk(
    parameters: Parameters,
    market: Market,
    portfolio: Portfolio,
    index: int,
    revalue: Revaluation = revalue_options,
) -> UnderlyingRisk:
    """All scenarios of one underlying: its options, perpetual and futures, and the collateral that follows it.

    Nothing in the portfolio has settled.
    """
    underlying = market.underlyings[index]
    own = [option for option in portfolio.options if option.underlying == index]
    options = revalue(parameters, underlying, own) if own else OptionsRisk(0, (0,) * len(parameters.scenarios), 0, 0, 0)
    followers = sum(
        value_collateral_floor(c.value, market.stable_q38) for c in portfolio.collateral if c.follows == index
    )
    futures = [(f.quantity, underlying.expiries[f.expiry]) for f in portfolio.futures if f.underlying == index]
    moving = sum(quantity * (e.forward - fixed_of_forward(parameters, e)) for quantity, e in futures)
    linear = portfolio.perpetuals[index] * underlying.mark + moving + followers
    factors = compute_spot_factors_q38(parameters, underlying)
    pnl = tuple(
        (own_pnl + (linear * (factor - ONE_Q38) >> 38)) * scenario.weight_q38 >> 38
        for scenario, factor, own_pnl in zip(parameters.scenarios, factors, options.pnl, strict=True)
    )
    worst, least = find_worst(parameters, pnl, options.basis)
    return UnderlyingRisk(
        mark=options.mark + sum(quantity * e.forward for quantity, e in futures),
        pnl=pnl,
        basis=options.basis,
        worst=worst,
        loss=-least,
        gamma=options.gamma,
        vega=options.vega,
        expiries=options.expiries,
    )


def find_worst(parameters: Parameters, pnl: Sequence[int], basis: int) -> tuple[int, int]:
    """What takes most, as `UnderlyingRisk.worst` says it, and its P&L, which is never positive."""
    counted = [order for order, scenario in enumerate(parameters.scenarios) if scenario.counts]
    worst = min(counted, key=pnl.__getitem__, default=NOTHING_WORST)
    least = pnl[worst] if worst >= 0 else 0
    if basis < least:
        worst, least = BASIS_WORST, basis
    return (worst, least) if least < 0 else (NOTHING_WORST, 0)


def compute_charges(parameters: Parameters, market: Market, portfolio: Portfolio) -> Charges:
    """Every contingency beside the scenarios and the add-on for size. Nothing in the portfolio has settled."""
    rules = parameters.contingencies
    perpetual = sum(
        abs(quantity) * underlying.spot
        for quantity, underlying in zip(portfolio.perpetuals, market.underlyings, strict=True)
    ) + sum(abs(f.quantity) * market.underlyings[f.underlying].expiries[f.expiry].forward for f in portfolio.futures)
    naked = sum(
        lots * market.underlyings[underlying].spot for underlying, lots in count_naked_shorts(portfolio.options)
    )
    values = [value_collateral_floor(c.value, market.stable_q38) for c in portfolio.collateral]
    return Charges(
        maintenance_perpetual=multiply_ceil_q38(perpetual, rules.perpetual_maintenance_q38),
        maintenance_naked=multiply_ceil_q38(naked, rules.naked_maintenance_q38),
        maintenance_collateral=sum(
            multiply_ceil_q38(value, c.maintenance_haircut_q38)
            for value, c in zip(values, portfolio.collateral, strict=True)
        ),
        initial_perpetual=multiply_ceil_q38(perpetual, rules.perpetual_initial_q38),
        initial_naked=multiply_ceil_q38(naked, rules.naked_initial_q38),
        initial_collateral=sum(
            multiply_ceil_q38(value, c.initial_haircut_q38)
            for value, c in zip(values, portfolio.collateral, strict=True)
        ),
        oracle=compute_oracle_charge_ceil(parameters, market, portfolio),
    )


def count_naked_shorts(options: Sequence[Option]) -> list[tuple[int, int]]:
    """(underlying, lots) by which each strike is net short, calls and puts of the strike together."""
    net: dict[tuple[int, int, int], int] = {}
    for option in options:
        strike = (option.underlying, option.expiry, option.strike)
        net[strike] = net.get(strike, 0) + option.quantity
    return [(strike[0], -lots) for strike, lots in net.items() if lots < 0]


def compute_oracle_charge_ceil(parameters: Parameters, market: Market, portfolio: Portfolio) -> int:
    """What thin confidence costs: notional * (1 - confidence) * margin, for whatever is priced below the threshold.

    A perpetual's mark is as good as the lesser of its own and spot's confidence, a future's as that of its expiry's and
    spot's; an option needs both of these, and the perpetual's where the account holds one.
    """
    rules = parameters.contingencies
    charge = 0
    for future in portfolio.futures:
        underlying = market.underlyings[future.underlying]
        expiry = underlying.expiries[future.expiry]
        confidence = min(underlying.spot_confidence_q38, expiry.confidence_q38)
        charge += _thin_confidence_ceil(parameters, abs(future.quantity) * expiry.forward, confidence)
    for index, underlying in enumerate(market.underlyings):
        quantity = portfolio.perpetuals[index]
        confidence = underlying.spot_confidence_q38
        if quantity != 0:
            confidence = min(confidence, underlying.mark_confidence_q38)
            charge += _thin_confidence_ceil(parameters, abs(quantity) * underlying.spot, confidence)
        for option in portfolio.options:
            if option.underlying == index:
                own = min(confidence, underlying.expiries[option.expiry].confidence_q38)
                charge += _thin_confidence_ceil(parameters, abs(option.quantity) * underlying.spot, own)
    for collateral in portfolio.collateral:
        if collateral.confidence_q38 < collateral.confidence_threshold_q38:
            value = value_collateral_floor(collateral.value, market.stable_q38)
            missing = multiply_ceil_q38(value, ONE_Q38 - collateral.confidence_q38)
            charge += multiply_ceil_q38(missing, rules.confidence_margin_q38)
    return charge


def _thin_confidence_ceil(parameters: Parameters, notional: int, confidence_q38: int) -> int:
    rules = parameters.contingencies
    if confidence_q38 >= rules.confidence_threshold_q38:
        return 0
    return multiply_ceil_q38(multiply_ceil_q38(notional, ONE_Q38 - confidence_q38), rules.confidence_margin_q38)
