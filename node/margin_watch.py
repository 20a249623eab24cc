"""Margin calls to whoever asks for an account's: its level at once, and then each time that it is another.

Advisory, and not in the log: any reader who has the state computes the same. A follower serves it and no sequencer, for
each watched account costs a margin at every price. What may be lost over the horizon (risk/margin_calls.py) is here
what the rules of margin themselves think of: the initial margin beyond the maintenance margin, once and twice.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import trio

from node.feed import FEED_FULL
from node.gateway import ARGUMENT_WRONG, MethodError, Send, Stream, take_int
from risk.margin_calls import CallLevel, rate_account
from state.codec import Value
from state.constants import ACCOUNTS_MAX
from state.ledger import Ledger
from state.process_liquidate import is_margin_bad, needs_margin
from state.tree import LeafKey
from state.valuation import compute_account_margin, read_quotes

PACE_SECONDS = 0.25
UNITS_END = 1 << 63


class MarginCall(NamedTuple):
    """How near an account is to liquidation, in quote units (`initial` and `maintenance` are surpluses), and when."""

    level: CallLevel
    equity: int
    initial: int
    maintenance: int
    generation: int
    position: int
    time: int


def rate_margin(ledger: Ledger, account: int) -> MarginCall:
    """The call that stands. Raises SubjectMissing when there is no such account."""
    params, state, leaf = ledger.get_params(), ledger.get_globals(), ledger.require_account(account)
    margin = compute_account_margin(leaf, read_quotes(ledger, leaf, params), state.time, params)
    beyond = margin.maintenance - margin.initial
    if leaf.liquidation_from > 0 or is_margin_bad(leaf, margin.maintenance, margin.quote_equity, params):
        level = CallLevel.LIQUIDATION
    else:
        level = rate_account(margin.maintenance, beyond, 2 * beyond) if needs_margin(leaf) else CallLevel.NONE
    return MarginCall(
        level=level,
        equity=_saturate(margin.equity),
        initial=_saturate(margin.initial),
        maintenance=_saturate(margin.maintenance),
        generation=state.generation,
        position=state.next_position,
        time=state.time,
    )


class MarginWatch:
    """Answers `margin_calls` over the state that `get_leaves` shows; `announce` says that it has changed."""

    def __init__(self, get_leaves: Callable[[], Mapping[LeafKey, bytes]], *, watchers_max: int = 256) -> None:
        self._get_leaves = get_leaves
        self._watchers_max = watchers_max
        self._watchers = 0
        self._news = trio.Event()

    @property
    def streams(self) -> dict[str, Stream]:
        """By name."""
        return {"margin_calls": self._watch}

    def announce(self) -> None:
        """The state may be another."""
        self._news.set()
        self._news = trio.Event()

    async def _watch(self, send: Send, arguments: list[Value]) -> Value:
        """[account] -> [level, equity, initial, maintenance, generation, position, time], now and at each new level."""
        account = take_int(arguments, 0, "account", ACCOUNTS_MAX)
        if self._watchers >= self._watchers_max:
            raise MethodError(FEED_FULL, "too many watchers: ask another follower")
        self._watchers += 1
        told: CallLevel | None = None
        try:
            while True:
                news, ledger = self._news, Ledger(self._get_leaves())
                if ledger.get_account(account) is None:
                    raise MethodError(ARGUMENT_WRONG, f"account: there is no account {account}")
                call = rate_margin(ledger, account)
                if call.level is not told:
                    await send(list(call))
                    told = call.level
                await news.wait()
                # A level that lasts no longer than this is not told.
                await trio.sleep(PACE_SECONDS)
        finally:
            self._watchers -= 1


def _saturate(units: int) -> int:
    """As an answer can hold it."""
    return max(-UNITS_END, min(UNITS_END - 1, units))
