"""What risk costs: prices, re-margining and tail risk, beside floating point and other libraries in the same run."""

import functools
from random import Random

import numpy as np
import QuantLib as ql
from scipy.special import ndtr
from vollib.black import black

from risk.fast import Integers, ln_array_q38, price_array_floor
from risk.fast_account import compute_account_margin, load
from risk.fast_margin import (
    Book,
    RiskArrays,
    compute_margins,
    compute_risk_arrays,
    fits,
    sum_scenarios,
    sweep,
)
from risk.market import Market, Portfolio
from risk.parameter_sets import KEEL_LOADING, PARAMETER_SETS
from risk.value_at_risk import compute_tail_risk, revalue, simulate_paths
from tests.bench import Measurement, measure_us
from tests.risk.samples import make_market, make_portfolio

OPTIONS = 10_000
ACCOUNTS = 10_000
POSITIONS = 20
RUNS = 30
KEEL = PARAMETER_SETS["keel"]


@functools.cache
def make_quotes() -> tuple[Integers, Integers, Integers, np.ndarray]:
    """Forwards, strikes, total vols in Q30 and rights."""
    generator = np.random.default_rng(1)
    forwards = generator.integers(1 << 36, 1 << 40, OPTIONS)
    strikes = (forwards * np.exp(generator.normal(0, 0.3, OPTIONS))).astype(np.int64)
    vols = (generator.uniform(0.02, 1.5, OPTIONS) * 2**30).astype(np.int64)
    return forwards, strikes, vols, generator.random(OPTIONS) < 0.5


@functools.cache
def time_kernel() -> float:
    """Microseconds a price, logarithms cached."""
    forwards, strikes, vols, rights = make_quotes()
    ln_forwards, ln_strikes, out = (np.empty(OPTIONS, np.int64) for _ in range(3))
    ln_array_q38(forwards, ln_forwards)
    ln_array_q38(strikes, ln_strikes)

    def price() -> int:
        price_array_floor(forwards, strikes, ln_forwards, ln_strikes, vols, rights, out)
        return OPTIONS

    price()
    return min(measure_us(price, RUNS))


def bench_risk_price_ns() -> Measurement:
    """A price by the compiled kernel."""
    return Measurement((time_kernel() * 1000,), "ns")


def bench_risk_price_to_float_ratio() -> Measurement:
    """The kernel's time over numpy's and scipy's float64, both with their logarithms cached."""
    forwards, strikes, vols, rights = (column.astype(np.float64) for column in make_quotes())
    vols /= 2**30
    logs, sign = np.log(forwards / strikes), np.where(rights > 0, 1.0, -1.0)

    def price() -> int:
        d1 = logs / vols + vols / 2
        np.multiply(sign, forwards * ndtr(sign * d1) - strikes * ndtr(sign * (d1 - vols)))
        return OPTIONS

    return Measurement((time_kernel() / min(measure_us(price, RUNS)),), "x float64", target=1.0)


def bench_risk_price_to_quantlib_ratio() -> Measurement:
    """The kernel's time over QuantLib's analytic European engine, an option object each."""
    today = ql.Date(1, 1, 2026)
    ql.Settings.instance().evaluationDate = today
    flat = ql.YieldTermStructureHandle(ql.FlatForward(today, 0.0, ql.Actual365Fixed()))
    vol = ql.BlackVolTermStructureHandle(ql.BlackConstantVol(today, ql.NullCalendar(), 0.6, ql.Actual365Fixed()))
    spot = ql.SimpleQuote(100.0)
    engine = ql.AnalyticEuropeanEngine(ql.BlackProcess(ql.QuoteHandle(spot), flat, vol))
    options = []
    for strike in range(60, 160):
        option = ql.EuropeanOption(ql.PlainVanillaPayoff(ql.Option.Call, strike), ql.EuropeanExercise(today + 90))
        option.setPricingEngine(engine)
        options.append(option)

    def price() -> int:
        spot.setValue(100.0 if spot.value() == 101.0 else 101.0)  # else the objects answer from memory
        for option in options:
            option.NPV()
        return len(options)

    return Measurement((time_kernel() / min(measure_us(price, RUNS)),), "x QuantLib", target=0.1)


def bench_risk_price_to_vollib_ratio() -> Measurement:
    """The kernel's time over vollib's Black."""

    def price() -> int:
        for strike in range(60, 160):
            black("c", 100.0, float(strike), 0.25, 0.0, 0.6)
        return 100

    price()
    return Measurement((time_kernel() / min(measure_us(price, 5)),), "x vollib", target=0.1)


@functools.cache
def make_accounts() -> tuple[Market, list[tuple[int, int, int, bool]], RiskArrays, Book]:
    """500 instruments of two underlyings and twenty expiries; accounts of 20 random positions and both perpetuals."""
    market = make_market(Random(1), underlyings=2, expiries=10)
    instruments = sorted(
        (u, e, int(underlying.expiries[e].forward * (0.6 + 0.04 * rank)), bool(rank & 1))
        for u, underlying in enumerate(market.underlyings)
        for e in range(10)
        for rank in range(25)
    )
    generator = np.random.default_rng(1)
    picked = [np.sort(generator.choice(len(instruments), POSITIONS, replace=False)) for _ in range(ACCOUNTS)]
    book = Book(
        starts=np.arange(0, POSITIONS * ACCOUNTS + 1, POSITIONS),
        instruments=np.concatenate(picked),
        quantities=generator.integers(-200, 200, POSITIONS * ACCOUNTS),
        linear=generator.integers(-(10**12), 10**12, (ACCOUNTS, 2)),
        holds=np.ones((ACCOUNTS, 2), dtype=np.bool_),
        cash=generator.integers(0, 10**13, ACCOUNTS),
        collateral=generator.integers(0, 10**13, ACCOUNTS),
        charges=generator.integers(0, 10**9, (ACCOUNTS, 2)),
        tiers=generator.integers(0, 2, ACCOUNTS),
    )
    arrays = compute_risk_arrays(KEEL, market, instruments)
    assert fits(KEEL, arrays, book)
    return market, instruments, arrays, book


def to_milliseconds(runs: tuple[float, ...], target: float | None) -> Measurement:
    return Measurement(tuple(run / 1000 for run in runs), "ms", target)


def bench_risk_arrays_ms() -> Measurement:
    """Terms of twenty expiries and 500 instruments in 62 valuations."""
    market, instruments, _, _ = make_accounts()

    def compute() -> int:
        compute_risk_arrays(KEEL, market, instruments)
        return 1

    return to_milliseconds(measure_us(compute, RUNS), None)


def bench_risk_margin_keel_ms() -> Measurement:
    """IM and MM of 10,000 accounts of 20 positions: the whole keel set, two dates and every contingency."""
    _, _, arrays, book = make_accounts()
    out = np.empty((ACCOUNTS, 4), np.int64)

    def compute() -> int:
        compute_margins(arrays, book, 0, ACCOUNTS, out)
        return 1

    compute()
    return to_milliseconds(measure_us(compute, RUNS), 15)


def bench_risk_sweeps_a_second() -> Measurement:
    """Full updates: every price of 500 instruments anew, then IM and MM of 10,000 accounts, one after another."""
    market, instruments, _, book = make_accounts()

    def compute() -> int:
        sweep(KEEL, market, instruments, book, loadings_q20=[KEEL_LOADING] * 2)
        return 1

    compute()
    rates = tuple(1e6 / run for run in measure_us(compute, RUNS))
    return Measurement(rates, "sweeps/s", target=50, more_is_better=True)


@functools.cache
def make_account(options: int) -> tuple[Market, Portfolio]:
    """Two underlyings with three expiries, and an account with both perpetuals."""
    market = make_market(Random(1))
    return market, make_portfolio(Random(1), market, options)


def measure_account(options: int, target: float) -> Measurement:
    market, portfolio = make_account(options)
    load()

    def compute() -> int:
        for _ in range(20):
            compute_account_margin(KEEL, market, portfolio)
        return 20

    compute()
    return Measurement(measure_us(compute, RUNS), "us", target)


def bench_risk_account_of_options_us() -> Measurement:
    """The margin of one account of twenty options over six expiries, as the node asks for it before an order."""
    return measure_account(20, 500)


def bench_risk_account_of_perpetuals_us() -> Measurement:
    """The same of one with two perpetuals and two futures alone."""
    return measure_account(0, 100)


def bench_risk_margin_plain_ms() -> Measurement:
    """Worst of 27 scenarios for the same accounts, no discounts, no contingencies."""
    _, _, arrays, book = make_accounts()
    prices, out = np.ascontiguousarray(arrays.prices[:, :27]), np.empty(ACCOUNTS, np.int64)

    def compute() -> int:
        sum_scenarios(book.starts, book.instruments, book.quantities, prices, out)
        return 1

    compute()
    return to_milliseconds(measure_us(compute, RUNS), 3)


def bench_risk_margin_dense_float_ms() -> Measurement:
    """The same 27 scenarios as one dense float64 product, for comparison."""
    _, _, arrays, book = make_accounts()
    dense = np.zeros((ACCOUNTS, arrays.prices.shape[0]))
    dense[np.repeat(np.arange(ACCOUNTS), POSITIONS), book.instruments] = book.quantities
    prices = np.ascontiguousarray(arrays.prices[:, :27]).astype(np.float64)

    def compute() -> int:
        (dense @ prices).min(axis=1)
        return 1

    return to_milliseconds(measure_us(compute, RUNS), None)


def bench_risk_tails_s() -> Measurement:
    """VaR and shortfall of 10,000 accounts on 10,000 simulated paths, revaluation of every instrument included."""
    market, instruments, _, book = make_accounts()

    def compute() -> int:
        paths = simulate_paths(1, [[1, 0.8], [0.8, 1]], [0.8, 0.9], days=1, count=10_000)
        compute_tail_risk(book, revalue(KEEL, market, instruments, paths, days=1), paths)
        return 1

    return Measurement(tuple(run / 1e6 for run in measure_us(compute, 2)), "s", target=5)
