"""Margin calls: how near an account is to liquidation, told in time, from its surplus and the tail of its P&L.

Quote units; what may be lost over the horizon is positive. Pure, so that whoever streams events to owners, keepers or
pagers decides alike. Advisory: margin itself never asks. SPEC.md section 11 names the levels.
"""

from collections.abc import Iterator, Mapping
from enum import IntEnum


class CallLevel(IntEnum):
    """What an account's owner is told, least first."""

    NONE = 0
    WATCH = 1
    CALL = 2
    LIQUIDATION = 3


def rate_account(maintenance: int, value_at_risk: int, expected_shortfall: int) -> CallLevel:
    """The level of one account: its maintenance surplus against VaR at 95 % and expected shortfall at 99 %."""
    if maintenance < 0:
        return CallLevel.LIQUIDATION
    if maintenance < value_at_risk:
        return CallLevel.CALL
    return CallLevel.WATCH if maintenance < expected_shortfall else CallLevel.NONE


def find_changes(before: Mapping[int, CallLevel], after: Mapping[int, CallLevel]) -> Iterator[tuple[int, CallLevel]]:
    """(account, its new level) for each whose level is another one than before, accounts ascending. Whoever is absent
    has none."""
    for account in sorted({*before, *after}):
        level = after.get(account, CallLevel.NONE)
        if level != before.get(account, CallLevel.NONE):
            yield account, level
