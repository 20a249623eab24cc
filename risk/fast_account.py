"""Margin of one account, its options revalued by compiled code: for whoever checks accounts one by one.

The answer is margin.compute_margin's to the last bit but for the breakdown by expiry, which is left out
(tests/risk/test_fast_account.py): the definition stays the reference's, which also answers where a sum over an account
might leave int64, and until `load` has been called. An account without options never needs compiled code.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from risk.bounds import TIME_END_MS
from risk.fixed_point import DAY_MS, ONE_Q38, YEAR_MS
from risk.margin import Margin, Measured, compute_margin, measure
from risk.market import Expiry, Market, Option, Portfolio, Underlying
from risk.parameter_sets import PARAMETER_SETS
from risk.parameters import Parameters
from risk.scenarios import OptionsRisk, revalue_options
from risk.svi import Svi

SUM_END = 1 << 61
"""What quantities times prices of one account may come to, so that discounted sums of them fit int64, and after them
the basis contingency.
"""

RULES_KEPT = 16

_packed: list[tuple[Parameters, Any, int]] = []
_loaded: list[Any] = []


def load() -> None:
    """Make compiled code ready, from the disk or, for the first time on a machine, within seconds; for a thread of its
    own. Answers are the same before and after."""
    from risk import fast_margin, fast_scenarios

    rules = PARAMETER_SETS["keel"]
    svi = Svi(a=0, b=0, rho=0, m=0, sigma=1, time_ms=DAY_MS)
    underlying = Underlying(1, 1, 0, 0, 0, (Expiry(DAY_MS, 1, 0, 0, 0, svi),))
    market, option = Market((underlying,), ONE_Q38), Option(0, 0, 1, True, 1)
    instruments, portfolio = [(0, 0, 1, True)], Portfolio(0, (0,), (option,), ())
    book = fast_margin.make_book(rules, market, instruments, [portfolio])
    fast_margin.sweep(rules, market, instruments, book, [0])
    rows = fast_scenarios.integers([(0, 1, True, 1)])
    fast_scenarios.revalue(fast_scenarios.pack_rules(rules), 0, fast_scenarios.pack_readings(underlying.expiries), rows)
    _loaded.append(fast_scenarios)


def is_loaded() -> bool:
    """Whether compiled code answers."""
    return bool(_loaded)


def compute_account_margin(
    parameters: Parameters, market: Market, portfolio: Portfolio, loadings_q20: Sequence[int] = (), tier: int = 0
) -> Margin:
    """As margin.compute_margin. Parameters are packed once, so let the same version be the same object."""
    return compute_margin(parameters, market, portfolio, loadings_q20, tier, revalue_compiled)


def measure_account(parameters: Parameters, market: Market, portfolio: Portfolio) -> Measured:
    """As margin.measure."""
    return measure(parameters, market, portfolio, revalue_compiled)


def revalue_compiled(parameters: Parameters, underlying: Underlying, options: Sequence[Option]) -> OptionsRisk:
    """As scenarios.revalue_options."""
    if not _loaded:
        return replace(revalue_options(parameters, underlying, options), expiries=())
    fast_scenarios = _loaded[0]
    held: dict[int, int] = {}
    for option in options:
        held.setdefault(option.expiry, len(held))
    expiries = [underlying.expiries[expiry] for expiry in held]
    dearest = max(max(expiry.forward for expiry in expiries) << 3, max(option.strike for option in options))
    rules, room = pack_once(parameters)
    if sum(abs(option.quantity) for option in options) * dearest >= room:
        return replace(revalue_options(parameters, underlying, options), expiries=())
    rows = [(held[option.expiry], option.strike, option.is_call, option.quantity) for option in options]
    mark, basis, pnl, exposures = fast_scenarios.revalue(
        rules,
        underlying.volatility_q38,
        fast_scenarios.pack_readings(expiries),
        fast_scenarios.integers(rows),
    )
    lots = exposures.tolist()
    return OptionsRisk(
        mark=mark,
        pnl=tuple(pnl.tolist()),
        basis=basis,
        gamma=sum(option.quantity * gamma for option, (gamma, _) in zip(options, lots, strict=True)),
        vega=sum(option.quantity * vega for option, (_, vega) in zip(options, lots, strict=True)),
    )


def pack_once(parameters: Parameters) -> tuple[Any, int]:
    """The rules for compiled code, and what its sums may come to under them. The same object is packed once."""
    for known, rules, room in _packed:
        if known is parameters:
            return rules, room
    if len(_packed) == RULES_KEPT:
        _packed.clear()
    charges = parameters.contingencies
    basis_q38 = charges.basis_add_q38 + charges.basis_multiple_q38 * (TIME_END_MS // YEAR_MS)
    room = (SUM_END << 38) // max(basis_q38, ONE_Q38)
    rules = _loaded[0].pack_rules(parameters)
    _packed.append((parameters, rules, room))
    return rules, room
