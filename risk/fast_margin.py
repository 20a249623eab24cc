"""Margin of many accounts at once: risk arrays per instrument, then one pass over each account's positions. Advisory.

Every instrument is priced once in every scenario and step; an account is then sums of quantity times price,
discounted by expiry. The answers are margin.compute_margin's, bit for bit (tests/risk/test_fast_margin.py). Sums are
int64, so `fits` must hold of a book; an account that is too large for it belongs to the reference.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from risk.fast import Integer, Integers, combine_losses_ceil, compiled, inlined, multiply_shift
from risk.fast_scenarios import (
    HALF_MASK,
    LANES,
    LOW_MASK,
    Flags,
    Rules,
    Terms,
    add_pnl,
    fill_prices,
    fill_shocks,
    fill_terms,
    find_basis,
    integers,
    make_terms,
    pack_readings,
    pack_rules,
)
from risk.fixed_point import ONE_Q38
from risk.margin import compute_charges, value_collateral_floor
from risk.market import Market, Option, Portfolio
from risk.parameters import Parameters
from risk.scenarios import fixed_of_forward
from risk.settlement import settle_to_cash

Instrument = tuple[int, int, int, bool]

ONE = ONE_Q38
VALUES_END = 1 << 61
SUM_END = 1 << 62
QUOTE_EQUITY, EQUITY, INITIAL, MAINTENANCE = range(4)
"""Columns of a sweep's answer."""

INITIAL_FACTOR, MAINTENANCE_FACTOR, GAMMA_THRESHOLD, VEGA_THRESHOLD, MINIMUM_EQUITY, MAXIMUM_USE = range(6)
MOVE_SQUARED, VOL_UP, GAMMA_FRACTION, VEGA_FRACTION = range(6, 10)
"""Columns of the tiers: what a depegged stablecoin adds is in the initial factor already; the last four are alike."""


class RiskArrays(NamedTuple):
    """What accounts are multiplied with. Expiries are numbered through all underlyings.

    By instrument: `prices` is a stretch of scenarios for every step, in whole blocks of LANES, undiscounted; `lots` the
    mark and the exposures of concentration.py. `factors` is spot's in Q38 by underlying and scenario. Without loadings
    losses add up.
    """

    rules: Rules
    tiers: Integers
    terms: Terms
    expiry: Integers
    strike_group: Integers
    prices: Integers
    lots: Integers
    underlying_of: Integers
    confidence: Integers
    factors: Integers
    spot: Integers
    spot_confidence: Integers
    mark_confidence: Integers
    loadings: Integers


class Book(NamedTuple):
    """Accounts side by side: account i has the positions starts[i] to starts[i + 1], ascending by instrument.

    By account: `linear` is what moves with each underlying (quote units), `holds` whether it has a perpetual of it;
    `cash` counts futures, `collateral` what is worth; `charges` are the contingencies that depend on neither options
    nor their prices: maintenance and initial; `tiers` the chosen ones.
    """

    starts: Integers
    instruments: Integers
    quantities: Integers
    linear: Integers
    holds: Flags
    cash: Integers
    collateral: Integers
    charges: Integers
    tiers: Integers


def compute_risk_arrays(
    parameters: Parameters,
    market: Market,
    instruments: Sequence[Instrument],
    loadings_q20: Sequence[int] = (),
) -> RiskArrays:
    """Price every instrument (underlying, expiry, strike, is_call), which ascend, in every scenario and step.

    Instruments of expiries that have settled are not among them: `make_book` takes those positions for cash.
    """
    rules = pack_rules(parameters)
    steps, scenarios, count = len(parameters.steps_ms), len(parameters.scenarios), len(instruments)
    live = [
        (u, e)
        for u, underlying in enumerate(market.underlyings)
        for e, reading in enumerate(underlying.expiries)
        if reading.settlement == 0
    ]
    rows = {key: row for row, key in enumerate(live)}
    underlying_of = integers([u for u, _ in live])
    readings = [market.underlyings[u].expiries[e] for u, e in live]
    expiry = integers([rows[u, e] for u, e, _, _ in instruments])
    terms = make_terms(len(live), steps, scenarios)
    shocks = np.empty((len(market.underlyings), scenarios, 2), np.int64)
    prices, lots = np.zeros((count, steps * len(rules.is_skew)), np.int64), np.empty((count, 3), np.int64)
    volatilities = integers([underlying.volatility_q38 for underlying in market.underlyings])
    strikes, rights = integers([i[2] for i in instruments]), np.array([i[3] for i in instruments], dtype=np.bool_)
    fill_arrays(
        rules,
        volatilities,
        underlying_of,
        pack_readings(readings),
        expiry,
        strikes,
        rights,
        shocks,
        terms,
        prices,
        lots,
    )
    return RiskArrays(
        rules=rules,
        tiers=pack_tiers(parameters, market),
        terms=terms,
        expiry=expiry,
        strike_group=number_strikes(instruments),
        prices=prices,
        lots=lots,
        underlying_of=underlying_of,
        confidence=integers([reading.confidence_q38 for reading in readings]),
        factors=np.ascontiguousarray(shocks[:, :, 0]),
        spot=integers([underlying.spot for underlying in market.underlyings]),
        spot_confidence=integers([underlying.spot_confidence_q38 for underlying in market.underlyings]),
        mark_confidence=integers([underlying.mark_confidence_q38 for underlying in market.underlyings]),
        loadings=integers(loadings_q20),
    )


def pack_tiers(parameters: Parameters, market: Market) -> Integers:
    """One row a tier."""
    charges, size = parameters.contingencies, parameters.concentration
    peg_loss = max(charges.peg_threshold_q38 - market.stable_q38, 0) * charges.peg_factor_q38 >> 38
    return integers(
        [
            (
                *(tier.initial_factor_q38 + peg_loss, tier.maintenance_factor_q38),
                *(tier.gamma_threshold, tier.vega_threshold, tier.minimum_equity, tier.maximum_use_q38),
                *(size.move_q38 * size.move_q38 >> 38, parameters.vol_range.up_q38),
                *(size.gamma_fraction_q38, size.vega_fraction_q38),
            )
            for tier in parameters.tiers
        ]
    )


def make_book(
    parameters: Parameters,
    market: Market,
    instruments: Sequence[Instrument],
    portfolios: Sequence[Portfolio],
    tiers: Sequence[int] = (),
) -> Book:
    """Lay accounts out, all in the first tier unless told. Every live option of theirs is among the instruments."""
    index = {instrument: row for row, instrument in enumerate(instruments)}
    held = [settle_to_cash(market, portfolio) for portfolio in portfolios]
    values = [[value_collateral_floor(c.value, market.stable_q38) for c in portfolio.collateral] for portfolio in held]
    charges = [compute_charges(parameters, market, without_options(portfolio)) for portfolio in held]

    def find(option: Option) -> int:
        return index[option.underlying, option.expiry, option.strike, option.is_call]

    return Book(
        starts=integers([0, *itertools.accumulate(len(portfolio.options) for portfolio in held)]),
        instruments=integers([find(option) for portfolio in held for option in portfolio.options]),
        quantities=integers([option.quantity for portfolio in held for option in portfolio.options]),
        linear=integers(
            [sum_linear(parameters, market, portfolio, own) for portfolio, own in zip(held, values, strict=True)]
        ),
        holds=np.array([[quantity != 0 for quantity in portfolio.perpetuals] for portfolio in held]),
        cash=integers([portfolio.cash + value_futures(market, portfolio) for portfolio in held]),
        collateral=integers([sum(own) for own in values]),
        charges=integers([(own.maintenance, own.initial) for own in charges]),
        tiers=integers(tiers or [0] * len(held)),
    )


def without_options(portfolio: Portfolio) -> Portfolio:
    """What charges are left when options have their own."""
    return Portfolio(portfolio.cash, portfolio.perpetuals, (), portfolio.collateral, portfolio.futures)


def value_futures(market: Market, portfolio: Portfolio) -> int:
    """All futures at their forwards."""
    return sum(f.quantity * market.underlyings[f.underlying].expiries[f.expiry].forward for f in portfolio.futures)


def sum_linear(parameters: Parameters, market: Market, portfolio: Portfolio, values: Sequence[int]) -> list[int]:
    """What moves with each underlying's spot, as margin.compute_underlying_risk has it."""
    sums = [q * underlying.mark for q, underlying in zip(portfolio.perpetuals, market.underlyings, strict=True)]
    for future in portfolio.futures:
        expiry = market.underlyings[future.underlying].expiries[future.expiry]
        sums[future.underlying] += future.quantity * (expiry.forward - fixed_of_forward(parameters, expiry))
    for collateral, value in zip(portfolio.collateral, values, strict=True):
        if collateral.follows >= 0:
            sums[collateral.follows] += value
    return sums


def number_strikes(instruments: Sequence[Instrument]) -> Integers:
    """The same number for call and put of one strike, which are neighbours."""
    groups: list[int] = []
    for row, (*strike, _) in enumerate(instruments):
        is_same = row > 0 and list(instruments[row - 1][:3]) == strike
        groups.append(groups[-1] if is_same else row)
    return integers(groups)


def fits(parameters: Parameters, arrays: RiskArrays, book: Book) -> bool:
    """Whether no sum of the pass can leave int64: from the largest gross quantity and the dearest of everything else.

    Quantities are below checks.QUANTITY_END, and an account has at most checks.OPTIONS_MAX of them.
    """
    charges, size = parameters.contingencies, parameters.concentration
    gross = find_largest_gross(book.starts, book.quantities)
    values = gross * max(find_largest(arrays.prices), find_largest(arrays.lots[:, 0]))
    gamma, vega = (gross * find_largest(arrays.lots[:, column]) for column in (1, 2))
    linear = arrays.spot.shape[0] * 8 * find_largest(book.linear)
    weight = max(ONE, find_largest(arrays.rules.weights))
    loss = ((2 * values + linear) * weight + 2 * values * find_largest(arrays.terms.basis_factor)) >> 38
    add_ons = (gamma * (size.move_q38**2 >> 38) >> 39) * size.gamma_fraction_q38 + (
        vega * parameters.vol_range.up_q38 >> 38
    ) * size.vega_fraction_q38
    fractions = charges.naked_maintenance_q38 + charges.naked_initial_q38 + charges.confidence_margin_q38
    notional = gross * find_largest(arrays.spot)
    rest = sum(find_largest(column) for column in (book.cash, book.collateral, book.charges))
    factor = max(ONE, find_largest(arrays.tiers[:, :2]))
    total = (loss * factor + add_ons + notional * (fractions + ONE) >> 38) + 2 * rest + values
    return bool(values < VALUES_END and max(total, gamma, vega) < SUM_END)


def find_largest(values: Integers) -> int:
    """By magnitude."""
    return max(int(values.max(initial=0)), -int(values.min(initial=0)))


@compiled
def find_largest_gross(starts: Integers, quantities: Integers) -> Integer:
    """Of every account's sum of absolute quantities the largest."""
    largest = 0
    for account in range(starts.shape[0] - 1):
        gross = 0
        for row in range(starts[account], starts[account + 1]):
            gross += abs(quantities[row])
        largest = max(largest, gross)
    return largest


@compiled
def fill_arrays(
    rules: Rules,
    volatilities: Integers,
    underlying_of: Integers,
    readings: Integers,
    expiry: Integers,
    strikes: Integers,
    rights: Flags,
    shocks: Integers,
    terms: Terms,
    prices: Integers,
    lots: Integers,
) -> None:
    """Shocks of every underlying, terms of every expiry, prices of every instrument."""
    for underlying in range(volatilities.shape[0]):
        fill_shocks(rules, volatilities[underlying], shocks[underlying])
    for row in range(readings.shape[0]):
        fill_terms(rules, readings[row], shocks[underlying_of[row]], row, terms)
    stride, vols = rules.is_skew.shape[0], np.empty((rules.steps_ms.shape[0], 5), np.int64)
    for row in range(expiry.shape[0]):
        fill_prices(rules.kinds, stride, terms, expiry[row], strikes[row], rights[row], vols, prices[row], lots[row])


@compiled
def multiply_ceil(value: Integer, fraction_q38: Integer) -> Integer:
    """As fixed_point.multiply_ceil_q38."""
    return -multiply_shift(-value, fraction_q38, 38)


@compiled
def compute_margins(arrays: RiskArrays, book: Book, first: Integer, last: Integer, out: Integers) -> None:
    """Quote equity, equity, initial and maintenance surplus of the accounts from first to last, as rows of `out`."""
    rules, terms = arrays.rules, arrays.terms
    width, underlyings = arrays.prices.shape[1], arrays.spot.shape[0]
    values, pnl = np.empty(width, np.int64), np.empty((underlyings, width), np.int64)
    basis, losses = np.empty(underlyings, np.int64), np.empty(underlyings, np.int64)
    gamma, vega = np.empty(underlyings, np.int64), np.empty(underlyings, np.int64)
    for account in range(first, last):
        pnl[:] = 0
        basis[:] = 0
        gamma[:] = 0
        vega[:] = 0
        mark = 0
        row, end = book.starts[account], book.starts[account + 1]
        while row < end:
            expiry = arrays.expiry[book.instruments[row]]
            underlying = arrays.underlying_of[expiry]
            undiscounted = 0
            is_first = True  # sets the values, which the others add to
            while row < end and arrays.expiry[book.instruments[row]] == expiry:
                quantity, prices = book.quantities[row], arrays.prices[book.instruments[row]]
                if is_first:
                    for column in range(width):
                        values[column] = quantity * prices[column]
                    is_first = False
                else:
                    for column in range(width):
                        values[column] += quantity * prices[column]
                lot = arrays.lots[book.instruments[row]]
                undiscounted += quantity * lot[0]
                gamma[underlying] += quantity * lot[1]
                vega[underlying] += quantity * lot[2]
                row += 1
            own_mark = multiply_shift(undiscounted, terms.discount[expiry], 38)
            mark += own_mark
            basis[underlying] += find_basis(
                values, rules.basis_up, rules.basis_down, terms.discount[expiry], terms.basis_factor[expiry], own_mark
            )
            add_pnl(rules.is_skew, values, terms.static[expiry], own_mark, pnl[underlying])
        for underlying in range(underlyings):
            losses[underlying] = find_loss(
                rules.counts,
                rules.weights,
                pnl[underlying],
                arrays.factors[underlying],
                book.linear[account, underlying],
            )
            losses[underlying] = max(losses[underlying], -basis[underlying])
        maintenance, initial = charge_options(arrays, book, account)
        own = out[account - first]
        own[QUOTE_EQUITY] = book.cash[account] + mark
        own[EQUITY] = own[QUOTE_EQUITY] + book.collateral[account]
        maintenance += book.charges[account, 0]
        initial += book.charges[account, 1] + maintenance
        loss = combine_losses_ceil(losses, arrays.loadings)
        chosen = min(book.tiers[account], arrays.tiers.shape[0] - 1)
        apply_tier(arrays.tiers[0], loss, gamma, vega, initial, maintenance, own)
        if chosen > 0 and is_eligible(arrays.tiers[chosen], own[EQUITY], own[INITIAL]):
            first_initial, first_maintenance = own[INITIAL], own[MAINTENANCE]
            apply_tier(arrays.tiers[chosen], loss, gamma, vega, initial, maintenance, own)
            own[INITIAL] = max(own[INITIAL], first_initial)
            own[MAINTENANCE] = max(own[MAINTENANCE], first_maintenance)


@compiled
def find_loss(counts: Flags, weights: Integers, pnl: Integers, factors: Integers, linear: Integer) -> Integer:
    """The scenario loss of one underlying: the worst step of the worst scenario. Overwrites the first step's P&L.

    As in `fast_scenarios.add_pnl` the linear part is multiplied in pieces, so that it may be done in vectors.
    """
    scenarios = factors.shape[0]
    stride = -(-scenarios // LANES) * LANES
    totals = pnl[:scenarios]
    for step in range(1, pnl.shape[0] // stride):
        others = pnl[step * stride : step * stride + scenarios]
        for scenario in range(scenarios):
            totals[scenario] = min(totals[scenario], others[scenario])
    high, low = linear >> 38, linear & LOW_MASK
    least = 0
    for scenario in range(scenarios):
        move = factors[scenario] - ONE
        totals[scenario] += high * move + (low * (move >> 19) + (low * (move & HALF_MASK) >> 19) >> 19)
    for scenario in range(scenarios):
        total = totals[scenario]
        if weights[scenario] != ONE:
            total = multiply_shift(total, weights[scenario], 38)
        if counts[scenario]:
            least = min(least, total)
    return -least


@compiled
def is_eligible(tier: Integers, equity: Integer, initial: Integer) -> bool:
    """As tiers.is_eligible."""
    return bool(equity >= tier[MINIMUM_EQUITY] and equity - initial <= multiply_ceil(equity, tier[MAXIMUM_USE]))


@compiled
def apply_tier(
    tier: Integers,
    loss: Integer,
    gamma: Integers,
    vega: Integers,
    initial: Integer,
    maintenance: Integer,
    own: Integers,
) -> None:
    """Both surpluses under one tier; `initial` and `maintenance` are all charges but the add-on for size."""
    size: Integer = 0
    for underlying in range(gamma.shape[0]):
        gamma_pnl = multiply_shift(gamma[underlying], tier[MOVE_SQUARED], 39)
        vega_pnl = multiply_shift(vega[underlying], tier[VOL_UP], 38)
        size += multiply_ceil(max(-gamma_pnl - tier[GAMMA_THRESHOLD], 0), tier[GAMMA_FRACTION])
        size += multiply_ceil(max(abs(vega_pnl) - tier[VEGA_THRESHOLD], 0), tier[VEGA_FRACTION])
    rest = own[EQUITY] - size
    own[INITIAL] = rest - initial - multiply_ceil(loss, tier[INITIAL_FACTOR])
    own[MAINTENANCE] = rest - maintenance - multiply_ceil(loss, tier[MAINTENANCE_FACTOR])


@inlined
def charge_options(arrays: RiskArrays, book: Book, account: Integer) -> tuple[Integer, Integer]:
    """(maintenance, initial) contingencies that come from options: naked shorts and thin confidence."""
    rules = arrays.rules
    naked: Integer = 0
    oracle: Integer = 0
    net: Integer = 0
    row, end = book.starts[account], book.starts[account + 1]
    while row < end:
        instrument = book.instruments[row]
        quantity = book.quantities[row]
        expiry = arrays.expiry[instrument]
        underlying = arrays.underlying_of[expiry]
        confidence = min(arrays.spot_confidence[underlying], arrays.confidence[expiry])
        if book.holds[account, underlying]:
            confidence = min(confidence, arrays.mark_confidence[underlying])
        if confidence < rules.confidence_threshold:
            missing = multiply_ceil(abs(quantity) * arrays.spot[underlying], ONE - confidence)
            oracle += multiply_ceil(missing, rules.confidence_margin)
        net += quantity
        row += 1
        if row == end or arrays.strike_group[book.instruments[row]] != arrays.strike_group[instrument]:
            naked += max(-net, 0) * arrays.spot[underlying]
            net = 0
    return multiply_ceil(naked, rules.naked_maintenance), multiply_ceil(naked, rules.naked_initial) + oracle


@compiled
def sum_scenarios(
    starts: Integers, instruments: Integers, quantities: Integers, prices: Integers, out: Integers
) -> None:
    """The plain grid: every account's worst sum of quantity times P&L, no discounts, no contingencies."""
    values = np.empty(prices.shape[1], np.int64)
    for account in range(starts.shape[0] - 1):
        values[:] = 0
        for row in range(starts[account], starts[account + 1]):
            quantity, line = quantities[row], prices[instruments[row]]
            for column in range(prices.shape[1]):
                values[column] += quantity * line[column]
        out[account] = values.min()


Block = tuple[int, int]
Run = Callable[[Callable[[Block], Integers], Iterable[Block]], Iterable[Integers]]
"""The seam of a sweep: anything that maps a function over blocks of accounts, in order, may stand in for `map`, on this
machine or on many."""

BLOCK = 1024


def sweep(
    parameters: Parameters,
    market: Market,
    instruments: Sequence[Instrument],
    book: Book,
    loadings_q20: Sequence[int] = (),
    run: Run = map,
) -> Integers:
    """Re-margin every account at these prices: QUOTE_EQUITY to MAINTENANCE by account.

    Raises OverflowError where an account is too large for int64; the reference takes it.
    """
    arrays = compute_risk_arrays(parameters, market, instruments, loadings_q20)
    if not fits(parameters, arrays, book):
        raise OverflowError("an account of this book is too large for 64 bits")

    def work(block: Block) -> Integers:
        out = np.empty((block[1] - block[0], 4), np.int64)
        compute_margins(arrays, book, *block, out)
        return out

    return np.concatenate([np.empty((0, 4), np.int64), *run(work, make_blocks(len(book.cash)))])


def make_blocks(accounts: int) -> Iterator[Block]:
    """The unit of a sweep: BLOCK accounts, from the first up to the last, which is not among them."""
    for first in range(0, accounts, BLOCK):
        yield first, min(first + BLOCK, accounts)
