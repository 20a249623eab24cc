"""What the governor may propose: the next version of parameters and rules, beside the one it is to follow.

Three fences, each against whoever holds the governor's key. Every number keeps a range inside which all formulas are
defined and nobody is locked in. Margin never falls so low that a trade inside the band, or a bid in an auction, is a
gift. And a version resembles the one before: what things are (assets, their prices, the shape of the rules) stays, no
number of the rules moves by more than a quarter of itself, and new oracle signers alone make no quorum.

Mirrors contracts/governor.vy, which asks the same before a message may enter the inbox.
"""

from collections.abc import Callable
from typing import NamedTuple

from risk.fixed_point import ONE_Q38
from risk.parameter_bounds import BOUNDS, check_parameters
from risk.parameters import Parameters, Scenario
from state.constants import AMOUNT_MAX, ASSETS_MAX, ORACLE_SIGNERS_MAX, PPM, UNDERLYINGS_MAX
from state.leaves import AssetTerms, LeafError, Params, decode_params
from state.rules import SCENARIOS_MAX, TIERS_MAX, decode_rules, encode_rules

NOTICE_MIN = 30 * 86_400
"""Seconds that everybody has to leave in, beside those in which L1 hears him."""

POSTPONEMENT_MAX = 30 * 86_400
"""Seconds after the notice at which a version is active at the latest."""

RANGES = {
    "oracle_age_max": (10, 3_600),
    "oracle_skew_max": (0, 300),
    "price_age_max": (60, 3_600),
    "guard_ppm": (10_000, 200_000),
    "halt_ppm": (10_000, PPM),
    "halt_seconds": (0, 3_600),
    "band_ppm": (1_000, 200_000),
    "maker_fee_ppm": (0, 10_000),
    "taker_fee_ppm": (0, 10_000),
    "l1_fee": (0, 100_000_000),
    "funding_period": (3_600, 86_400),
    "funding_cap_ppm": (0, 50_000),
    "cancel_only_interval": (0, 3_600),
    "auction_seconds": (60, 86_400),
    "close_delay": (0, 604_800),
    "penalty_ppm": (0, 200_000),
    "quote_debt_max": (0, AMOUNT_MAX),
    "debt_rate_ppm": (0, 500_000),
}
"""Field of the parameters -> least and most."""

CORRELATION_ONE = 1 << 20
HAIRCUT_STEP_PPM = 100_000
CREATE_MIN_FACTOR = 10
INITIAL_MIN_PPM = 20_000
MAINTENANCE_MIN_PPM = 10_000
SHORT_POWER_MAX_Q38 = ONE_Q38
TENOR_RATIO_MAX = 1_024
"""(reference tenor / tenor floor)^power is then at most 1,024, and a shocked vol far from the end of its format."""


class Version(NamedTuple):
    """The parameters of a version and the rules that go with them."""

    params: Params
    rules: Parameters


def decode_version(params_data: bytes, rules_data: bytes) -> Version | None:
    """Both leaves, or None when either is not the one encoding of what it says."""
    try:
        params, rules = decode_params(params_data), decode_rules(rules_data)
    except LeafError:
        return None
    if params is None or rules is None or len(params.oracle_signers) > ORACLE_SIGNERS_MAX:
        return None
    if params.encode() != params_data or encode_rules(rules) != rules_data:
        return None
    return Version(params, rules)


def find_refusal(previous: Version, proposed: Version) -> str | None:
    """The first thing for which the governor's contract refuses a version, or None."""
    return next((name for name, is_kept in FENCES if not is_kept(previous, proposed)), None)


# The parameters


def are_numbers_in_range(previous: Version, proposed: Version) -> bool:
    """Each in the range of its name; and a reading that is taken can be margined with."""
    params = proposed.params
    return (
        all(least <= getattr(params, name) <= most for name, (least, most) in RANGES.items())
        and params.oracle_age_max <= params.price_age_max
    )


def is_debt_bound_kept(previous: Version, proposed: Version) -> bool:
    """What may be owed against other collateral moves slowly."""
    return is_near(previous.params.quote_debt_max, proposed.params.quote_debt_max)


def is_peg_kept(previous: Version, proposed: Version) -> bool:
    """What a dollar is does not change. [Else a dollar is worth what a bitcoin is, and every debt nothing.]"""
    return proposed.params.peg_underlying == previous.params.peg_underlying


def are_signers_sound(previous: Version, proposed: Version) -> bool:
    """A majority of different signers signs, and the new among them are too few to sign alone."""
    signers, threshold = proposed.params.oracle_signers, proposed.params.oracle_threshold
    newcomers = sum(signer not in previous.params.oracle_signers for signer in signers)
    return (
        threshold <= len(signers) < 2 * threshold
        and len(set(signers)) == len(signers)
        and bytes(20) not in signers
        and newcomers < threshold
    )


def are_assets_kept(previous: Version, proposed: Version) -> bool:
    """Each asset is priced as before, by the same unit, and counts for about as much."""
    before, after = previous.params.assets, proposed.params.assets
    return len(before) == len(after) <= ASSETS_MAX and all(
        is_asset_kept(number, *pair) for number, pair in enumerate(zip(before, after, strict=True))
    )


def is_asset_kept(number: int, before: AssetTerms, after: AssetTerms) -> bool:
    """Of one asset; the quote has no haircuts."""
    haircuts_ppm = after.maintenance_haircut_ppm + after.initial_haircut_ppm
    return (
        (after.underlying, after.units_per_lot) == (before.underlying, before.units_per_lot)
        and abs(after.maintenance_haircut_ppm - before.maintenance_haircut_ppm) <= HAIRCUT_STEP_PPM
        and abs(after.initial_haircut_ppm - before.initial_haircut_ppm) <= HAIRCUT_STEP_PPM
        and haircuts_ppm <= (PPM if number > 0 else 0)
        and after.confidence_threshold_ppm <= PPM
        and before.create_min <= CREATE_MIN_FACTOR * after.create_min
        and after.create_min <= CREATE_MIN_FACTOR * before.create_min
    )


def are_underlyings_kept(previous: Version, proposed: Version) -> bool:
    """Every underlying keeps its entry; entries may be added, for listings to come."""
    before, after = previous.params.underlyings, proposed.params.underlyings
    return len(before) <= len(after) <= UNDERLYINGS_MAX and all(
        terms.correlation_q20 <= CORRELATION_ONE and terms.open_interest_max <= AMOUNT_MAX for terms in after
    )


# The rules


def is_shape_kept(previous: Version, proposed: Version) -> bool:
    """As many scenarios and tiers, each scenario of its kind, and the same two that price the basis."""
    before, after = previous.rules, proposed.rules
    charges_before, charges_after = before.contingencies, after.contingencies
    return (
        len(before.tiers) == len(after.tiers) <= TIERS_MAX
        and len(before.scenarios) <= SCENARIOS_MAX
        and [get_kind(scenario) for scenario in before.scenarios] == [get_kind(one) for one in after.scenarios]
        and charges_before.basis_up == charges_after.basis_up
        and charges_before.basis_down == charges_after.basis_down
    )


def get_kind(scenario: Scenario) -> tuple[int, bool, bool]:
    """All of a scenario that is no number."""
    return scenario.vol, scenario.is_scaled, scenario.counts


def is_near(before: int, after: int) -> bool:
    """Within a quarter; what is 0 stays 0."""
    return 4 * abs(after - before) <= abs(before)


def list_rule_numbers(rules: Parameters) -> list[int]:
    """Every number of the rules, in the order of their bytes, but for the two indices of the basis."""
    numbers: list[int] = []
    for path in BOUNDS:
        value: object = rules
        for name in path.split("."):
            value = getattr(value, name)
        if not path.startswith("contingencies.basis_up") and not path.startswith("contingencies.basis_down"):
            numbers.append(int(value))  # type: ignore[call-overload]
    numbers.append(rules.steps_ms[-1])
    for tier in rules.tiers:
        numbers += [tier.initial_factor_q38, tier.maintenance_factor_q38, tier.gamma_threshold, tier.vega_threshold]
        numbers += [tier.minimum_equity, tier.maximum_use_q38]
    for scenario in rules.scenarios:
        numbers += [scenario.spot_move_q38, scenario.weight_q38]
    return numbers


def are_rules_near(previous: Version, proposed: Version) -> bool:
    """No number of the rules moves by more than a quarter of itself."""
    before, after = list_rule_numbers(previous.rules), list_rule_numbers(proposed.rules)
    return all(is_near(*pair) for pair in zip(before, after, strict=True))


def are_rules_defined(previous: Version, proposed: Version) -> bool:
    """Inside the bounds under which no formula overflows; the climb of a short tenor's vol by whole numbers alone."""
    rules = proposed.rules
    shocks = rules.vol_range
    return (
        shocks.short_power_q38 <= SHORT_POWER_MAX_Q38
        and rules.reference_tenor_ms <= TENOR_RATIO_MAX * max(shocks.tenor_floor_ms, 1)
        and check_parameters(rules) is None
    )


def compute_least_loss_q38(rules: Parameters) -> int:
    """What a perpetual's scenarios charge at least, as a fraction of its notional, whichever side it is."""
    falls, rises = [0], [0]
    for scenario in rules.scenarios:
        if scenario.counts:
            move = scenario.spot_move_q38
            least = rules.spot_scale.floor_q38 * move >> 38 if scenario.is_scaled else move
            falls.append(-(least * scenario.weight_q38 >> 38))
            rises.append(least * scenario.weight_q38 >> 38)
    return min(max(falls), max(rises))


def is_margin_enough(previous: Version, proposed: Version) -> bool:
    """In every tier initial margin is above the band and a floor, and maintenance above one of its own."""
    least = compute_least_loss_q38(proposed.rules)
    band_ppm = proposed.params.band_ppm
    return all(
        least * tier.initial_factor_q38 * PPM > max(band_ppm, INITIAL_MIN_PPM) << 76
        and least * tier.maintenance_factor_q38 * PPM >= MAINTENANCE_MIN_PPM << 76
        for tier in proposed.rules.tiers
    )


FENCES: tuple[tuple[str, Callable[[Version, Version], bool]], ...] = (
    ("range", are_numbers_in_range),
    ("debt", is_debt_bound_kept),
    ("peg", is_peg_kept),
    ("signers", are_signers_sound),
    ("assets", are_assets_kept),
    ("underlyings", are_underlyings_kept),
    ("shape", is_shape_kept),
    ("quarter", are_rules_near),
    ("rules", are_rules_defined),
    ("margin", is_margin_enough),
)
"""What the contract says when it refuses -> what it asks, in its order."""
