"""Margin calls: levels in order, each from its bound on, and told once."""

from random import Random

from risk.margin_calls import CallLevel, find_changes, rate_account


def test_levels_come_in_order() -> None:
    """As the surplus shrinks an account is watched, called, then due; each bound from both sides."""
    levels = [rate_account(surplus, 100, 150) for surplus in (150, 149, 100, 99, 0, -1)]
    assert [level.name for level in levels] == ["NONE", "WATCH", "WATCH", "CALL", "CALL", "LIQUIDATION"]


def test_less_surplus_or_more_tail_is_never_milder(seed: int) -> None:
    """The level rises with every cause of it."""
    random = Random(seed)
    for _ in range(1_000):
        surplus, quantile = random.randrange(-10, 100), random.randrange(100)
        shortfall = quantile + random.randrange(50)
        level = rate_account(surplus, quantile, shortfall)
        assert rate_account(surplus - random.randrange(20), quantile, shortfall) >= level
        assert rate_account(surplus, quantile + 5, shortfall + 5) >= level


def test_only_changes_are_told() -> None:
    """A level that stays is silent; one that is gone is told as none."""
    before = {1: CallLevel.WATCH, 2: CallLevel.CALL, 3: CallLevel.CALL}
    after = {4: CallLevel.WATCH, 2: CallLevel.CALL, 1: CallLevel.LIQUIDATION, 5: CallLevel.NONE}
    assert list(find_changes(before, after)) == [(1, CallLevel.LIQUIDATION), (3, CallLevel.NONE), (4, CallLevel.WATCH)]
    assert list(find_changes(after, after)) == []
