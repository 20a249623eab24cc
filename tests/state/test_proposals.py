"""state/proposals.py: what a governor may propose, each fence broken alone; the contract is asked the same."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from risk.fixed_point import ONE_Q38
from state.constants import PPM
from state.proposals import RANGES, compute_least_loss_q38, decode_version, find_refusal
from state.rules import encode_rules
from tests.governed import ACTIVE, BREAKS, RuleEdge, bend_params, bend_part, list_edges, list_rule_edges


def test_a_version_may_follow_itself() -> None:
    """What is in order stays so: a version that changes nothing but its day is taken."""
    assert find_refusal(ACTIVE, ACTIVE) is None
    assert find_refusal(ACTIVE, bend_params(active_from=1)) is None


@pytest.mark.parametrize("name", BREAKS)
def test_each_fence_stands(name: str) -> None:
    """Each way to break a fence is refused, and by that fence."""
    fence, version = BREAKS[name]
    assert find_refusal(ACTIVE, version) == fence


@pytest.mark.parametrize("field", RANGES)
def test_ranges_are_closed(field: str) -> None:
    """The least and the most of each number of the parameters are taken, the numbers beside them are not."""
    for number, is_taken in list_edges(field):
        version = bend_params(**{field: number})
        assert (find_refusal(ACTIVE, version) is None) == is_taken, number


def test_a_governor_cannot_run_away_in_one_step() -> None:
    """A number of the rules may move by a quarter of itself, either way, and by nothing more."""
    part = ACTIVE.rules.concentration
    for name in ("gamma_fraction_q38", "vega_fraction_q38"):
        quarter = getattr(part, name) // 4
        for step, is_taken in ((quarter, True), (-quarter, True), (quarter + 1, False), (-quarter - 1, False)):
            version = bend_part("concentration", **{name: getattr(part, name) + step})
            assert (find_refusal(ACTIVE, version) is None) == is_taken


@pytest.mark.parametrize("edge", list_rule_edges(), ids=lambda edge: edge.name)
def test_rules_stay_defined(edge: RuleEdge) -> None:
    """However slowly a number of the rules creeps, it stops at the bound behind which a formula is not defined."""
    assert find_refusal(edge.within, edge.within) != "rules"
    assert find_refusal(edge.within, edge.beyond) == "rules"


def test_margin_of_the_thief_is_not_nothing() -> None:
    """Whoever lowers the rules by a quarter again and again stops where a perpetual still needs a fiftieth."""
    active, steps = ACTIVE, 0
    while True:
        scenarios = tuple(
            replace(one, weight_q38=one.weight_q38 - one.weight_q38 // 4) for one in active.rules.scenarios
        )
        following = bend_params(band_ppm=1_000)._replace(rules=replace(active.rules, scenarios=scenarios))
        if find_refusal(active, following) is not None:
            break
        active, steps = following, steps + 1
    assert find_refusal(active, following) == "margin"
    assert steps > 1
    for tier in active.rules.tiers:
        assert compute_least_loss_q38(active.rules) * tier.initial_factor_q38 * PPM > 20_000 * ONE_Q38**2


@pytest.mark.parametrize(
    "cut",
    [lambda data: data[:-1], lambda data: data + b"\0", lambda data: b"", lambda data: data[:1]],
    ids=["short", "long", "empty", "cut off"],
)
def test_only_leaves_are_versions(cut: Callable[[bytes], bytes]) -> None:
    """Bytes that are no leaf, or not the only ones that say the same, are no version."""
    params, rules = ACTIVE.params.encode(), encode_rules(ACTIVE.rules)
    assert decode_version(params, rules) == ACTIVE._replace(rules=replace(ACTIVE.rules, name="", source=""))
    assert decode_version(cut(params), rules) is None
    assert decode_version(params, cut(rules)) is None
    behind_the_signers = params[:2] + params[2:82].ljust(99, b"\0") + b"\1" + params[102:]
    assert decode_version(behind_the_signers, rules) is None
