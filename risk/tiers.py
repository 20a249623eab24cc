"""Customer tiers: factors and thresholds of their own, and who may have them.

A tier is a promise of the account about itself, checked whenever margin is: enough equity, not too much of it in one
requirement. An account that no longer qualifies is margined under the first tier from then on; a better tier's lower
numbers never decide whether the account may keep them, since eligibility is computed under the first.

Mirrors contracts/margin.vy.
"""

from risk.fixed_point import multiply_ceil_q38
from risk.parameters import Parameters, Tier


def choose_tier(parameters: Parameters, chosen: int) -> int:
    """The tier that an account's choice means under these rules, which may have fewer than it knew of."""
    return min(chosen, len(parameters.tiers) - 1)


def is_eligible(tier: Tier, equity: int, initial: int) -> bool:
    """Whether an account with this equity and, under the first tier, this initial surplus may have a tier."""
    return equity >= tier.minimum_equity and equity - initial <= multiply_ceil_q38(equity, tier.maximum_use_q38)
