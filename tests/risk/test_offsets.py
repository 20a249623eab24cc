"""Offsets between underlyings: exact properties, and how often they were too generous, counted."""

import csv
import math
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import numpy as np
import pytest

from risk.fixed_point import DAY_MS, ONE_Q38
from risk.margin import compute_underlying_risk
from risk.market import Market, Portfolio
from risk.offsets import combine_losses_ceil, is_offset_matrix, sqrt_ceil
from risk.parameter_sets import PARAMETER_SETS
from risk.parameters import Scenario, VolShock
from tests.risk.samples import make_market, make_portfolio, q38

Matrix = list[list[int]]


def uniform(count: int, correlation_q38: int) -> Matrix:
    return [[ONE_Q38 if i == j else correlation_q38 for j in range(count)] for i in range(count)]


def random_matrix(random: Random, count: int) -> Matrix:
    matrix = uniform(count, 0)
    for i in range(count):
        for j in range(i):
            matrix[i][j] = matrix[j][i] = random.choice((0, ONE_Q38, random.randrange(ONE_Q38)))
    return matrix


def test_combined_losses_lie_between_the_largest_and_the_sum(seed: int) -> None:
    """On random losses of any size and random matrices."""
    random = Random(seed)
    for _ in range(3_000):
        count = random.randrange(1, 9)
        losses = [int(2 ** random.uniform(0, 100)) * random.randrange(2) for _ in range(count)]
        matrix = random_matrix(random, count)
        assert is_offset_matrix(matrix, count)
        assert max(losses) <= combine_losses_ceil(losses, matrix) <= sum(losses)


def test_more_loss_or_more_correlation_never_helps(seed: int) -> None:
    """The combination rises with every single loss and with every entry."""
    random = Random(seed)
    for _ in range(3_000):
        count = random.randrange(2, 9)
        losses = [int(2 ** random.uniform(0, 60)) for _ in range(count)]
        matrix = random_matrix(random, count)
        before = combine_losses_ceil(losses, matrix)
        worse = list(losses)
        worse[random.randrange(count)] += random.randrange(1 << 40)
        assert combine_losses_ceil(worse, matrix) >= before
        i, j = random.sample(range(count), 2)
        matrix[i][j] = matrix[j][i] = random.randrange(matrix[i][j], ONE_Q38 + 1)
        assert combine_losses_ceil(losses, matrix) >= before


def test_the_ends_are_exact() -> None:
    """Full correlation adds up, a single loss is itself, and the root of nothing is nothing."""
    assert combine_losses_ceil([3, 5, 7], uniform(3, ONE_Q38)) == 15
    assert combine_losses_ceil([3, 5, 7], ()) == 15
    assert combine_losses_ceil([0, 5, 0], uniform(3, 0)) == 5
    assert combine_losses_ceil([3, 4], uniform(2, 0)) == 5
    assert [sqrt_ceil(square) for square in (0, 1, 2, 4, 5)] == [0, 1, 2, 2, 3]


@pytest.mark.parametrize(
    "matrix",
    [[[ONE_Q38]], [[ONE_Q38, 1], [2, ONE_Q38]], [[ONE_Q38, -1], [-1, ONE_Q38]], [[1, 0], [0, ONE_Q38]]],
)
def test_what_is_no_offset_matrix_is_refused(matrix: Matrix) -> None:
    """Wrong shape, asymmetry, a negative entry, a diagonal that is not 1."""
    assert not is_offset_matrix(matrix, 2)


def revalue_jointly(market: Market, portfolio: Portfolio, moves: Sequence[float]) -> int:
    """Loss when each underlying makes its own move today, vols unchanged: full revaluation, no dampening."""
    pnl = 0
    for index, move in enumerate(moves):
        scenario = Scenario(q38(math.expm1(move)), VolShock.NONE)
        parameters = PARAMETER_SETS["deribit_pm"]
        plain = type(parameters)(
            name="joint",
            source="",
            scenarios=(scenario,),
            vol_range=parameters.vol_range,
            initial_factor_q38=ONE_Q38,
            maintenance_factor_q38=ONE_Q38,
        )
        pnl += compute_underlying_risk(plain, market, portfolio, index).pnl[0]
    return max(-pnl, 0)


def count_breaches(random: Random, returns: Sequence[Sequence[float]], correlation_q38: int) -> tuple[int, int]:
    """(breaches, trials) of joint moves against the combined loss of a random portfolio under `keel`."""
    breaches = 0
    for moves in returns:
        market = make_market(random, underlyings=len(moves))
        portfolio = make_portfolio(random, market, options=6)
        risks = [
            compute_underlying_risk(PARAMETER_SETS["keel"], market, portfolio, index) for index in range(len(moves))
        ]
        combined = combine_losses_ceil([risk.loss for risk in risks], uniform(len(moves), correlation_q38))
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
        breaches, trials = count_breaches(random, returns, q38(correlation))
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
    breaches, trials = count_breaches(random, [tuple(row) for row in returns], q38(0.6))
    print(f"random correlations, offset 0.6: {breaches} breaches in {trials}")
    assert breaches <= trials // 20
