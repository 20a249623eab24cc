"""Customer tiers: parameter sets of their own, and who may have them.

A tier is a promise of the account about itself, checked whenever margin is: enough equity, not too much of it in one
requirement. An account that no longer qualifies is margined under the first tier from then on; the second tier's
lower numbers never decide whether the account may keep them, since eligibility is computed under the first.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from risk.margin import Margin, compute_margin, multiply_ceil_q38
from risk.market import Market, Portfolio
from risk.parameter_sets import PARAMETER_SETS, ppm
from risk.parameters import Parameters


@dataclass(frozen=True, slots=True)
class Tier:
    """`minimum_equity` in quote units; `maximum_use` is the share of equity that the first tier's requirement may
    take.
    """

    name: str
    parameters: Parameters
    minimum_equity: int
    maximum_use_q38: int


def make_tiers(quote_units_a_dollar: int) -> tuple[Tier, ...]:
    """Keel's two: everyone, and professionals, who bear a lower initial factor and twice the size before add-ons."""
    keel = PARAMETER_SETS["keel"]
    rules = keel.concentration
    assert rules is not None
    wider = replace(rules, gamma_threshold=2 * rules.gamma_threshold, vega_threshold=2 * rules.vega_threshold)
    professional = replace(
        keel,
        name="keel_professional",
        initial_factor_q38=ppm(900_000),
        maintenance_factor_q38=ppm(750_000),
        concentration=wider,
    )
    return (
        Tier("standard", keel, 0, 0),
        Tier("professional", professional, 1_000_000 * quote_units_a_dollar, ppm(800_000)),
    )


def is_eligible(tier: Tier, first: Margin) -> bool:
    """Whether an account whose margin under the first tier is `first` may have this one."""
    use = first.equity - first.initial
    return first.equity >= tier.minimum_equity and use <= multiply_ceil_q38(first.equity, tier.maximum_use_q38)


def compute_tier_margin(
    tiers: Sequence[Tier],
    chosen: int,
    market: Market,
    portfolio: Portfolio,
    correlations_q38: Sequence[Sequence[int]] = (),
) -> tuple[int, Margin]:
    """The tier that applies to an account that chose one, and its margin under it."""
    first = compute_margin(tiers[0].parameters, market, portfolio, correlations_q38)
    if chosen == 0 or not is_eligible(tiers[chosen], first):
        return 0, first
    return chosen, compute_margin(tiers[chosen].parameters, market, portfolio, correlations_q38)
