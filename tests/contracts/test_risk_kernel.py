"""The kernel in the EVM is the reference, bit for bit, and a price costs no more gas than it may."""

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import pytest

from node.contracts import MAX_RUNTIME_SIZE
from risk import black76, fixed_point, svi, tables
from risk.bounds import PRICE_END, SVI_A_END_Q38, SVI_B_END_Q38, SVI_RHO_END_Q38, SVI_SHIFT_END_Q38, TIME_END_MS
from tests.evm import Contract, Evm
from tests.risk.points import kernel_points, logarithm_points

PRICE_GAS_MAX = 1_100

BATCH = 1_024
CALLER = f"""
# Calls the kernel once for each row of arguments: a transaction for every point would take minutes.
interface Kernel:
    def ln_q38(u: int256) -> int256: view
    def exp_q38(x_q38: int256) -> int256: view
    def call_price_floor(forward: int256, strike: int256, x: int256, v: int256) -> int256: view
    def total_variance_q38(a: int256, b: int256, rho: int256, m: int256, s: int256, k: int256) -> int256: view
    def sqrt_years_floor_q38(time_ms: int256) -> int256: view

KERNEL: immutable(Kernel)

@deploy
def __init__(kernel: address):
    KERNEL = Kernel(kernel)

@external
@view
def ln_q38(rows: DynArray[int256[1], {BATCH}]) -> DynArray[int256, {BATCH}]:
    results: DynArray[int256, {BATCH}] = []
    for row: int256[1] in rows:
        results.append(staticcall KERNEL.ln_q38(row[0]))
    return results

@external
@view
def exp_q38(rows: DynArray[int256[1], {BATCH}]) -> DynArray[int256, {BATCH}]:
    results: DynArray[int256, {BATCH}] = []
    for row: int256[1] in rows:
        results.append(staticcall KERNEL.exp_q38(row[0]))
    return results

@external
@view
def call_price_floor(rows: DynArray[int256[4], {BATCH}]) -> DynArray[int256, {BATCH}]:
    results: DynArray[int256, {BATCH}] = []
    for row: int256[4] in rows:
        results.append(staticcall KERNEL.call_price_floor(row[0], row[1], row[2], row[3]))
    return results

@external
@view
def total_variance_q38(rows: DynArray[int256[6], {BATCH}]) -> DynArray[int256, {BATCH}]:
    results: DynArray[int256, {BATCH}] = []
    for row: int256[6] in rows:
        results.append(staticcall KERNEL.total_variance_q38(row[0], row[1], row[2], row[3], row[4], row[5]))
    return results

@external
@view
def sqrt_years_floor_q38(rows: DynArray[int256[1], {BATCH}]) -> DynArray[int256, {BATCH}]:
    results: DynArray[int256, {BATCH}] = []
    for row: int256[1] in rows:
        results.append(staticcall KERNEL.sqrt_years_floor_q38(row[0]))
    return results
"""


@pytest.fixture(scope="module")
def evm() -> Evm:
    return Evm()


@pytest.fixture(scope="module")
def kernel(evm: Evm) -> Contract:
    return evm.deploy("risk_kernel", list(tables.NORMAL), list(tables.LN), list(tables.EXP))


@pytest.fixture(scope="module")
def caller(evm: Evm, kernel: Contract) -> Contract:
    return evm.deploy_source(CALLER, kernel.address)


def assert_twins(caller: Contract, name: str, reference: Callable[..., int], rows: Sequence[tuple[int, ...]]) -> None:
    """Both answers to every row are the same integer."""
    for start in range(0, len(rows), BATCH):
        batch = rows[start : start + BATCH]
        answers = caller.read(name, batch).value
        for row, answer in zip(batch, answers, strict=True):
            assert answer == reference(*row), row


def test_prices(caller: Contract, seed: int) -> None:
    """Prices agree on 20,000 random quotes and on every boundary of moneyness, vol and table."""
    random = Random(seed)
    rows = [
        (random.randrange(1, PRICE_END << 3), random.randrange(1, PRICE_END), x, v)
        for x, v in kernel_points(random, 20_000)
    ]
    assert_twins(caller, "call_price_floor", black76.call_price_floor, rows)


def test_fractions(caller: Contract, seed: int) -> None:
    """On forward = strike = 1 in Q38 a price is the fraction g itself, to its last bit."""
    one = fixed_point.ONE_Q38
    rows = [(one, one, abs(x), v) for x, v in kernel_points(Random(seed), 1_000)]
    assert_twins(caller, "call_price_floor", lambda f, k, a, v: black76.otm_fraction_q38(a, v), rows)


def test_logarithms(caller: Contract, seed: int) -> None:
    """ln agrees around every power of two and on random integers of every length."""
    rows = [(u,) for u in logarithm_points(Random(seed), 2_000)]
    assert_twins(caller, "ln_q38", fixed_point.ln_q38, rows)


def test_exponentials(caller: Contract, seed: int) -> None:
    """exp agrees over its whole domain, its ends and 0 included."""
    random = Random(seed)
    first, last = fixed_point.EXP_ARGUMENT_MIN_Q38, fixed_point.EXP_ARGUMENT_MAX_Q38
    points = [first - 1, first, first + 1, -1, 0, 1, last, *(random.randrange(first, last) for _ in range(2_000))]
    assert_twins(caller, "exp_q38", fixed_point.exp_q38, [(x,) for x in points])


def test_variances(caller: Contract, seed: int) -> None:
    """SVI variances agree for parameters up to the ends of their formats."""
    random = Random(seed)
    ends = (SVI_A_END_Q38, SVI_B_END_Q38, SVI_RHO_END_Q38, SVI_SHIFT_END_Q38, SVI_SHIFT_END_Q38, 8 << 38)

    def draw(end: int) -> int:
        return random.choice((end - 1, random.randrange(end), int(2 ** random.uniform(0, end.bit_length() - 1))))

    rows = []
    for _ in range(2_000):
        a, b, rho, m, sigma, k = (draw(end) for end in ends)
        a, rho, m, k = (value * random.choice((-1, 1)) for value in (a, rho, m, k))
        rows.append((a, b, rho, m, sigma, k))

    def reference(a: int, b: int, rho: int, m: int, sigma: int, k: int) -> int:
        return svi.total_variance_q38(svi.Svi(a, b, rho, m, sigma, time_ms=1), k)

    assert_twins(caller, "total_variance_q38", reference, rows)


def test_times(caller: Contract, seed: int) -> None:
    """The root of time agrees from a millisecond to the last one allowed."""
    random = Random(seed)
    points = [1, 2, fixed_point.YEAR_MS, TIME_END_MS - 1, *(random.randrange(1, TIME_END_MS) for _ in range(500))]
    assert_twins(caller, "sqrt_years_floor_q38", fixed_point.sqrt_years_floor_q38, [(t,) for t in points])


def test_a_price_costs_at_most_its_gas(kernel: Contract, seed: int) -> None:
    """The dearest price found, the call's own dispatch and decoding included, keeps the published figure."""
    points = kernel_points(Random(seed), 200)
    quotes: list[tuple[Any, ...]] = [(10**12, 10**12 + (x >> 2), x, v) for x, v in points]
    dearest = max(kernel.read("call_price_floor", *quote).execution_gas for quote in quotes)
    print(f"dearest price: {dearest} gas")
    assert 900 < dearest <= PRICE_GAS_MAX


def test_the_contract_fits(kernel: Contract) -> None:
    """Code and tables stay below EIP-170's limit."""
    assert kernel.artifact.runtime_size < MAX_RUNTIME_SIZE
