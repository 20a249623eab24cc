"""Value at risk and expected shortfall of every account, simulated and historical. Advisory: for margin calls.

Every instrument is revalued in full on every path with the kernel's own integers; an account's P&L is then a sum over
its positions. Quote units throughout; losses are positive. A sweep over accounts goes through one seam, `Run`:
anything that maps a function over blocks of accounts, in order, may stand in for `map`, on this machine or on many.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from risk.fast import Integers, compiled, ln_q38, multiply_shift, price_floor
from risk.fast_margin import Book, Instrument
from risk.fast_scenarios import integers, saturate
from risk.fixed_point import LN_2_Q38, ONE_Q38, sqrt_years_floor_q38
from risk.fixed_point import ln_q38 as exact_ln_q38
from risk.margin_calls import CallLevel, rate_account
from risk.market import Market
from risk.parameters import Parameters
from risk.svi import clamp_to_wings_q38, reading_total_vol_q38

Reals = NDArray[np.float64]

LEVELS = (0.95, 0.99, 0.995)
BLOCK = 256
TOTAL_VOL_MAX_Q38 = 12 << 38


class Paths(NamedTuple):
    """Joint moves over the horizon, paths x underlyings: of spot and of vol, as factors in Q38."""

    spot_q38: Integers
    vol_q38: Integers


@dataclass(frozen=True, slots=True)
class TailRisk:
    """Accounts x LEVELS, quote units, losses positive: the quantile, and the mean of what lies at or beyond it."""

    value_at_risk: Reals
    expected_shortfall: Reals


Block = tuple[Book, int, int]
Run = Callable[[Callable[[Block], Reals], Iterable[Block]], Iterable[Reals]]


def simulate_paths(
    seed: int,
    correlations: Sequence[Sequence[float]],
    annual_vols: Sequence[float],
    *,
    days: float,
    count: int,
    vol_of_vol: float = 1.0,
    spot_vol_correlation: float = -0.3,
) -> Paths:
    """Correlated lognormal moves of spots; each vol moves with its own spot. The same seed gives the same paths."""
    generator = np.random.default_rng(seed)
    years = days / 365
    spots = generator.standard_normal((count, len(annual_vols))) @ np.linalg.cholesky(np.array(correlations)).T
    own = generator.standard_normal(spots.shape)
    vols = spot_vol_correlation * spots + np.sqrt(1 - spot_vol_correlation**2) * own
    deviation = np.array(annual_vols) * np.sqrt(years)
    return make_paths(spots * deviation - deviation**2 / 2, vols * vol_of_vol * np.sqrt(years))


def make_historical_paths(closes: Reals, window: int) -> Paths:
    """Every overlapping move over `window` rows of a table of closes (times x underlyings); vols stay."""
    moves = np.log(closes[window:] / closes[:-window])
    return make_paths(moves, np.zeros_like(moves))


def make_paths(log_spots: Reals, log_vols: Reals) -> Paths:
    """Log moves as factors, held between 1/100 and 20."""
    factors = (np.exp(np.clip(moves, -4.6, 3.0)) * ONE_Q38 for moves in (log_spots, log_vols))
    spot, vol = (np.rint(factor).astype(np.int64) for factor in factors)
    return Paths(spot, vol)


def revalue(
    parameters: Parameters, market: Market, instruments: Sequence[Instrument], paths: Paths, *, days: float
) -> Integers:
    """P&L of a lot of each instrument on each path (undiscounted), `days` on, in quote units."""
    rows = []
    for underlying, expiry, strike, is_call in instruments:
        reading = market.underlyings[underlying].expiries[expiry]
        log_strike = exact_ln_q38(strike) - exact_ln_q38(reading.forward)
        clamped = clamp_to_wings_q38(reading.svi, log_strike, parameters.wing_width)
        variance_root = reading_total_vol_q38(reading.svi, clamped)
        reading_root = sqrt_years_floor_q38(reading.svi.time_ms)
        left_ms = max(reading.time_ms - round(days * 86_400_000), 0)
        now, later = (
            variance_root * sqrt_years_floor_q38(time_ms) // reading_root for time_ms in (reading.time_ms, left_ms)
        )
        rows.append((underlying, reading.forward, strike, is_call, now, later))
    pnl = np.empty((len(rows), paths.spot_q38.shape[0]), np.int64)
    fill_pnl(integers(rows).reshape(-1, 6), paths.spot_q38, paths.vol_q38, pnl)
    return pnl


@compiled
def fill_pnl(rows: Integers, spots: Integers, vols: Integers, pnl: Integers) -> None:
    """Rows hold underlying, forward, strike, right, and the total vol now and at the horizon."""
    for row in range(rows.shape[0]):
        underlying, forward, strike = rows[row, 0], rows[row, 1], rows[row, 2]
        is_call = rows[row, 3] == 1
        ln_forward, ln_strike = ln_q38(forward), ln_q38(strike)
        vol = min(rows[row, 4], TOTAL_VOL_MAX_Q38) + 128 >> 8
        mark = price_floor(forward, strike, saturate(ln_forward - ln_strike + 128 >> 8), vol, is_call)
        for path in range(spots.shape[0]):
            factor = spots[path, underlying]
            moved = max(multiply_shift(forward, factor, 38), 1)
            x = saturate(ln_forward + ln_q38(factor) - 38 * LN_2_Q38 - ln_strike + 128 >> 8)
            shocked = min(multiply_shift(rows[row, 5], vols[path, underlying], 38), TOTAL_VOL_MAX_Q38) + 128 >> 8
            pnl[row, path] = price_floor(moved, strike, x, shocked, is_call) - mark


@compiled
def sum_accounts(book: Book, first: int, last: int, pnl: Reals, moves: Reals, out: Reals) -> None:
    """P&L of accounts first to last on every path: options by their rows, perpetuals and followers by spot's move."""
    for account in range(first, last):
        line = out[account - first]
        line[:] = 0
        for row in range(book.starts[account], book.starts[account + 1]):
            quantity, instrument = float(book.quantities[row]), book.instruments[row]
            for path in range(pnl.shape[1]):
                line[path] += quantity * pnl[instrument, path]
        for underlying in range(moves.shape[0]):
            linear = float(book.linear[account, underlying])
            for path in range(pnl.shape[1]):
                line[path] += linear * moves[underlying, path]


def compute_tail_risk(book: Book, pnl: Integers, paths: Paths, run: Run = map) -> TailRisk:
    """Every account's tail, block by block through the seam."""
    values = pnl.astype(np.float64)
    moves = np.ascontiguousarray(paths.spot_q38.T / ONE_Q38 - 1)

    def measure(block: Block) -> Reals:
        own, first, last = block
        totals = np.empty((last - first, values.shape[1]))
        sum_accounts(own, first, last, values, moves, totals)
        return measure_tails(totals)

    tails = np.concatenate(list(run(measure, make_blocks(book))))
    return TailRisk(tails[:, 0], tails[:, 1])


def make_blocks(book: Book) -> Iterator[Block]:
    """The unit of a sweep: BLOCK accounts of a book."""
    accounts = len(book.starts) - 1
    for first in range(0, accounts, BLOCK):
        yield book, first, min(first + BLOCK, accounts)


def measure_tails(pnl: Reals) -> Reals:
    """Accounts x (quantile, shortfall) x LEVELS of P&L by path. The tail holds ceil((1 - level) * paths) of them."""
    sizes = [max(int(np.ceil((1 - level) * pnl.shape[1] - 1e-9)), 1) for level in LEVELS]
    worst = np.sort(np.partition(pnl, sizes[0] - 1, axis=1)[:, : sizes[0]], axis=1)
    quantiles = np.stack([-worst[:, size - 1] for size in sizes], axis=1)
    shortfalls = np.stack([-worst[:, :size].mean(axis=1) for size in sizes], axis=1)
    return np.stack([quantiles, shortfalls], axis=1)


def rate_accounts(maintenance: Integers, tail: TailRisk) -> list[CallLevel]:
    """The level of every account from its maintenance surplus and its tail over the horizon, rounded against it."""
    columns = np.ceil(tail.value_at_risk[:, 0]), np.ceil(tail.expected_shortfall[:, 1])
    rows = zip(maintenance.tolist(), *(column.tolist() for column in columns), strict=True)
    return [rate_account(surplus, int(quantile), int(shortfall)) for surplus, quantile, shortfall in rows]
