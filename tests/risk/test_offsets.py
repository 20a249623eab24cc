"""Offsets between underlyings: exact properties, and how often they were too generous, counted."""

import csv
import math
from collections.abc import Sequence
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from random import Random

import numpy as np

from risk.fixed_point import DAY_MS
from risk.margin import compute_underlying_risk
from risk.market import Market, Portfolio
from risk.offsets import CORRELATION_ONE, LOSS_SUM_END, combine_losses_ceil, sqrt_ceil
from risk.parameter_sets import PARAMETER_SETS
from risk.parameters import Parameters, Scenario, VolShock
from tests.risk.samples import make_market, make_portfolio, q38


def draw_loading(random: Random) -> int:
    return random.choice((0, CORRELATION_ONE, random.randrange(CORRELATION_ONE)))


def test_combined_losses_lie_between_the_largest_and_the_sum(seed: int) -> None:
    """On random losses of any size and random loadings."""
    random = Random(seed)
    for _ in range(3_000):
        count = random.randrange(1, 9)
        losses = [int(2 ** random.uniform(0, 108)) * random.randrange(2) for _ in range(count)]
        loadings = [draw_loading(random) for _ in range(count)]
        assert max(losses) <= combine_losses_ceil(losses, loadings) <= sum(losses)


def test_more_loss_or_more_correlation_never_helps(seed: int) -> None:
    """The combination rises with every single loss and with every loading."""
    random = Random(seed)
    for _ in range(3_000):
        count = random.randrange(2, 9)
        losses = [int(2 ** random.uniform(0, 108)) for _ in range(count)]
        loadings = [draw_loading(random) for _ in range(count)]
        before = combine_losses_ceil(losses, loadings)
        worse = list(losses)
        worse[random.randrange(count)] += random.randrange(1 << random.randrange(1, 107))
        assert combine_losses_ceil(worse, loadings) >= before
        index = random.randrange(count)
        loadings[index] = random.randrange(loadings[index], CORRELATION_ONE + 1)
        assert combine_losses_ceil(losses, loadings) >= before


def test_the_ends_are_exact() -> None:
    """Full loadings add up, a single loss is itself, and the root of nothing is nothing."""
    assert combine_losses_ceil([3, 5, 7], [CORRELATION_ONE] * 3) == 15
    assert combine_losses_ceil([3, 5, 7], ()) == 15
    assert combine_losses_ceil([0, 5, 0], [0] * 3) == 5
    assert combine_losses_ceil([3, 4], [0, CORRELATION_ONE]) == 5
    assert [sqrt_ceil(square) for square in (0, 1, 2, 4, 5)] == [0, 1, 2, 2, 3]


def test_losses_beyond_every_account_add_up() -> None:
    """From LOSS_SUM_END on there is no offset, and just below it the form is still far from 256 bits."""
    half = LOSS_SUM_END // 2
    assert combine_losses_ceil([half, half], [0, 0]) == LOSS_SUM_END
    below = combine_losses_ceil([half, half - 1], [0, 0])
    assert half < below < LOSS_SUM_END - 1
    assert ((LOSS_SUM_END - 1) * CORRELATION_ONE) ** 2 < 1 << 252


def test_it_is_the_quadratic_form_of_a_correlation_matrix(seed: int) -> None:
    """The same as l' C l with C_ij = c_i c_j beside a diagonal of ones, to the rounding of the root."""
    random = Random(seed)
    for _ in range(300):
        losses = [random.randrange(10**9) for _ in range(random.randrange(1, 9))]
        loadings = [draw_loading(random) for _ in losses]
        form = sum(
            Fraction(a * b * c * d, CORRELATION_ONE**2) if i != j else Fraction(a * a)
            for i, (a, c) in enumerate(zip(losses, loadings, strict=True))
            for j, (b, d) in enumerate(zip(losses, loadings, strict=True))
        )
        combined = combine_losses_ceil(losses, loadings)
        assert (combined - 1) ** 2 < form <= combined**2 or combined == form == 0


def revalue_jointly(market: Market, portfolio: Portfolio, moves: Sequence[float]) -> int:
    """Loss when each underlying makes its own move today, vols unchanged: full revaluation, no dampening."""
    pnl = 0
    for index, move in enumerate(moves):
        scenario = Scenario(q38(math.expm1(move)), VolShock.NONE)
        parameters = PARAMETER_SETS["deribit_pm"]
        plain = Parameters("joint", "", (scenario,), parameters.vol_range, parameters.tiers)
        pnl += compute_underlying_risk(plain, market, portfolio, index).pnl[0]
    return max(-pnl, 0)


def count_breaches(random: Random, returns: Sequence[Sequence[float]], loading: int) -> tuple[int, int]:
    """(breaches, trials) of joint moves against the combined loss of a random portfolio under `keel`."""
    breaches = 0
    for moves in returns:
        market = make_market(random, underlyings=len(moves))
        portfolio = make_portfolio(random, market, options=6)
        risks = [
            compute_underlying_risk(PARAMETER_SETS["keel"], market, portfolio, index) for index in range(len(moves))
        ]
        combined = combine_losses_ceil([risk.loss for risk in risks], [loading] * len(moves))
        breaches += revalue_jointly(market, portfolio, moves) > combined
    return breaches, len(returns)


def read_joint_returns(folder: Path, hours: int) -> list[tuple[float, ...]]:
    """Log returns of BTC, ETH, LTC and XRP over windows of some hours in the crash of December 2017."""
    prices: dict[int, dict[str, float]] = {}
    for file in sorted(folder.glob("*2017*.csv")):
        for row in csv.DictReader(file.read_text().splitlines()):
            prices.setdefault(int(row["timestamp_ms"]), {})[row["symbol"]] = float(row["close"])
    symbols = sorted({symbol for quotes in prices.values() for symbol in quotes})
    times = [time for time in sorted(prices) if len(prices[time]) == len(symbols)]
    marks = [time for time in times if datetime.fromtimestamp(time / 1000, UTC).minute == 0]
    window = hours * DAY_MS // 24
    pairs = [(time, time + window) for time in marks if len(prices.get(time + window, {})) == len(symbols)]
    return [tuple(math.log(prices[b][s] / prices[a][s]) for s in symbols) for a, b in pairs]


def test_breaches_on_historical_joint_windows(shared: Path, seed: int) -> None:
    """On the crash's joint twelve-hour moves the offset at 0.6 is breached seldom, and never less often than none."""
    returns = read_joint_returns(shared / "data/market", hours=12)
    assert returns
    random = Random(seed)
    for correlation in (1.0, 0.6):
        breaches, trials = count_breaches(random, returns, round(correlation * CORRELATION_ONE))
        print(f"historical joint windows, offset {correlation}: {breaches} breaches in {trials}")
        assert breaches <= trials // 10


def test_breaches_under_random_correlations(seed: int) -> None:
    """Under random correlation matrices, normal daily moves of 5 % almost never exceed the combined loss."""
    random, generator = Random(seed), np.random.default_rng(seed)
    returns = []
    for _ in range(60):
        factors = generator.normal(size=(4, 4))
        covariance = factors @ factors.T
        deviations = np.sqrt(np.diag(covariance))
        returns.append(generator.multivariate_normal(np.zeros(4), covariance / np.outer(deviations, deviations)) * 0.05)
    breaches, trials = count_breaches(random, [tuple(row) for row in returns], round(0.6 * CORRELATION_ONE))
    print(f"random correlations, offset 0.6: {breaches} breaches in {trials}")
    assert breaches <= trials // 20
