"""The kernel compiled for arrays: the same integers as the reference, at the speed of floating point. Advisory.

Function by function the twin of fixed_point.py, normal.py, black76.py, greeks.py and svi.py; tests/risk/test_fast.py
holds them to the last bit. Inputs are int64 within the bounds of SPEC.md section 2; products that need more go through
`multiply_shift`, quotients through `shift_divide`.
"""

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from risk import black76, fixed_point, greeks, normal, svi

Integers = NDArray[np.int64]
Integer = Any  # an int outside, an int64 once compiled
P = ParamSpec("P")
R = TypeVar("R")

SATURATION = 1 << 62
Pair = tuple[int, int]

QUOTIENT_MAX = np.uint64(1 << 40)
ONE = fixed_point.ONE_Q38
LN_2 = fixed_point.LN_2_Q38
LOG2_E = fixed_point.LOG2_E_Q38
DAY_MS = fixed_point.DAY_MS
YEAR_MS = fixed_point.YEAR_MS
HALF_DAY_BITS = 9
HALF_DAY_ODD = DAY_MS // 2 >> HALF_DAY_BITS  # exact: half a day is 84,375 * 2^9 ms
EXP_ARGUMENT_MIN = fixed_point.EXP_ARGUMENT_MIN_Q38
TAIL = normal.TAIL_Q31
TABLE_END = normal.TABLE_END_Q31
TOTAL_VOL_MIN_Q38 = greeks.TOTAL_VOL_MIN_Q38
TOTAL_VOL_MAX_Q38 = greeks.TOTAL_VOL_MAX_Q38
TOTAL_VARIANCE_MAX = svi.TOTAL_VARIANCE_MAX_Q38
LOG_MONEYNESS_MAX = black76.LOG_MONEYNESS_MAX_Q30

LN = np.array(fixed_point.LN_COEFFICIENTS, dtype=np.int64)
EXP = np.array(fixed_point.EXP_COEFFICIENTS, dtype=np.int64)
NORMAL = np.array(
    [m + d for m, d in zip(normal.MILLS_COEFFICIENTS, normal.DENSITY_COEFFICIENTS, strict=True)], dtype=np.int64
)
"""Both cubics of a segment side by side, in one cache line."""


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile on first use, for whatever integers come, and keep the result on disk."""
    return cast(Callable[P, R], njit(cache=True)(function))


def inlined(function: Callable[P, R]) -> Callable[P, R]:
    """As `compiled`, within the loops that call it."""
    return cast(Callable[P, R], njit(inline="always")(function))


def _multiply_shift(typing_context: Any, a: Any, b: Any, bits: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        wide = ir.IntType(128)
        left, right, shift = arguments
        product = builder.mul(builder.sext(left, wide), builder.sext(right, wide))
        return builder.trunc(builder.ashr(product, builder.zext(shift, wide)), ir.IntType(64))

    return types.int64(types.int64, types.int64, types.int64), generate


multiply_shift = cast(Callable[[Integer, Integer, Integer], Integer], intrinsic(_multiply_shift))
"""floor(a * b / 2^bits) with a 128-bit product; the result must fit int64."""


def _multiply_saturated(typing_context: Any, a: Any, b: Any, bits: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        wide = ir.IntType(128)
        left, right, shift = arguments
        product = builder.mul(builder.sext(left, wide), builder.sext(right, wide))
        shifted = builder.ashr(product, builder.zext(shift, wide))
        for bound, is_beyond in ((SATURATION, ">"), (-SATURATION, "<")):
            limit = ir.Constant(wide, bound)
            shifted = builder.select(builder.icmp_signed(is_beyond, shifted, limit), limit, shifted)
        return builder.trunc(shifted, ir.IntType(64))

    return types.int64(types.int64, types.int64, types.int64), generate


multiply_saturated = cast(Callable[[Integer, Integer, Integer], Integer], intrinsic(_multiply_saturated))
"""As multiply_shift, held within +-SATURATION: for what a bound far below that cuts next."""


def _wide_multiply_add(typing_context: Any, a: Any, b: Any, c: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        wide, half = ir.IntType(128), ir.IntType(64)

        def join(pair: Any) -> Any:
            high, low = (builder.extract_value(pair, index) for index in range(2))
            return builder.or_(builder.shl(builder.sext(high, wide), ir.Constant(wide, 64)), builder.zext(low, wide))

        left, right, addend = map(join, arguments)
        total = builder.add(builder.mul(left, right), addend)
        limbs = (builder.trunc(builder.lshr(total, ir.Constant(wide, bits)), half) for bits in (64, 0))
        return context.make_tuple(builder, signature.return_type, tuple(limbs))

    pair = types.UniTuple(types.int64, 2)
    return pair(pair, pair, pair), generate


wide_multiply_add = cast(Callable[[Pair, Pair, Pair], Pair], intrinsic(_wide_multiply_add))
"""a * b + c of 128-bit integers modulo 2^128; a pair is the upper half, signed, and the lower."""


@inlined
def shift_divide(numerator: Integer, first_bits: Integer, second_bits: Integer, denominator: Integer) -> Integer:
    """floor(numerator * 2^(first + second) / denominator), as a division in two digits: numerator * 2^first fits."""
    shifted = numerator << first_bits
    digit = shifted // denominator
    rest = shifted - digit * denominator
    return (digit << second_bits) + (rest << second_bits) // denominator


@inlined
def divide_q38(numerator: Integer, denominator: Integer) -> Integer:
    """floor(numerator * 2^38 / denominator), which must fit, of a numerator that is not negative.

    From a quotient that is near it and the remainder modulo 2^64, which is exact, being small.
    """
    near = np.int64(np.float64(numerator) * np.float64(1 << 38) / np.float64(denominator))
    return near + ((numerator << 38) - near * denominator) // denominator


@compiled
def ln_q38(u: Integer) -> Integer:
    exponent = 0
    rest = u
    for step in (32, 16, 8, 4, 2, 1):
        if rest >> step:
            rest >>= step
            exponent += step
    mantissa = u << (62 - exponent)
    row = mantissa >> 56 & 63
    t = mantissa >> 26 & (1 << 30) - 1
    tail = (LN[row, 2] - ((LN[row, 3] - (LN[row, 4] * t >> 30)) * t >> 30)) * t >> 30
    return exponent * LN_2 + LN[row, 0] + ((LN[row, 1] - tail) * t >> 30)


@compiled
def exp_q38(x: Integer) -> Integer:
    if x <= EXP_ARGUMENT_MIN:
        return 0
    halvings_q38 = multiply_shift(-x, LOG2_E, 38)
    halvings = halvings_q38 >> 38
    fraction = halvings_q38 & (ONE - 1)
    row = fraction >> 33
    t = fraction & (1 << 33) - 1
    tail = multiply_shift(EXP[row, 2] - (EXP[row, 3] * t >> 33), t, 33)
    power = EXP[row, 0] - multiply_shift(EXP[row, 1] - tail, t, 33)
    return power >> halvings if halvings >= 0 else power << -halvings


@compiled
def root_of(high_guess: Integer, wrapped_square: Integer) -> Integer:
    """The floor of a square root from a guess that is near it and the radicand modulo 2^64.

    The radicand itself may need 90 bits, but radicand - guess^2 does not, so its remainder modulo 2^64 is exact.
    """
    root = high_guess
    rest = wrapped_square - root * root
    while rest < 0:
        root -= 1
        rest += 2 * root + 1
    while rest > 2 * root:
        rest -= 2 * root + 1
        root += 1
    return root


@compiled
def sqrt_floor_q38(x: Integer) -> Integer:
    return root_of(np.int64(np.sqrt(np.float64(x)) * np.float64(1 << 19)), x << 38)


@compiled
def hypotenuse_floor_q38(x: Integer, y: Integer) -> Integer:
    return root_of(np.int64(np.sqrt(np.float64(x) ** 2 + np.float64(y) ** 2)), x * x + y * y)


@compiled
def years_floor_q38(time_ms: Integer) -> Integer:
    return shift_divide(time_ms, 19, 19, YEAR_MS)


@compiled
def sqrt_years_floor_q38(time_ms: Integer) -> Integer:
    """The radicand, time * 2^76 / year, in three digits of which the last 64 bits suffice."""
    shifted = time_ms << 24
    first = shifted // YEAR_MS
    shifted = (shifted - first * YEAR_MS) << 26
    second = shifted // YEAR_MS
    third = ((shifted - second * YEAR_MS) << 26) // YEAR_MS
    guess = np.sqrt(np.float64(time_ms) / np.float64(YEAR_MS)) * np.float64(1 << 38)
    return root_of(np.int64(guess), (first << 52) + (second << 26) + third)


@inlined
def widen(value: Integer) -> Pair:
    return value >> 63, value


@compiled
def loss_excess(form: Pair, root: Integer) -> Pair:
    """form - root^2 * 2^40."""
    square = wide_multiply_add(widen(root), widen(root), widen(0))
    return wide_multiply_add(square, widen(-(1 << 40)), form)


@compiled
def combine_losses_ceil(losses: Integers, loadings: Integers) -> Integer:
    """The twin of offsets.combine_losses_ceil for losses whose sum is below 2^62.

    The form may need 164 bits, but what it exceeds a near root's square by does not, so that modulo 2^128 is enough.
    """
    total: Integer = 0
    for loss in losses:
        total += loss
    if loadings.shape[0] == 0:
        return total
    common, near, own_near = widen(0), 0.0, 0.0
    for i in range(losses.shape[0]):
        common = wide_multiply_add(widen(losses[i]), widen(loadings[i]), common)
        near += float(losses[i]) * float(loadings[i])
    form = wide_multiply_add(common, common, widen(0))
    for i in range(losses.shape[0]):
        rest = (1 << 40) - loadings[i] * loadings[i]
        square = wide_multiply_add(widen(losses[i]), widen(losses[i]), widen(0))
        form = wide_multiply_add(square, widen(rest), form)
        own_near += float(losses[i]) ** 2 * float(rest)
    root = np.int64(np.sqrt(near * near + own_near) / 2.0**20)
    high, low = loss_excess(form, root)
    root += np.int64((float(high) * 2.0**64 + float(np.uint64(low))) / (2.0**41 * max(float(root), 1.0)))
    while is_positive(loss_excess(form, root)):
        root += 1
    while root > 0 and not is_positive(loss_excess(form, root - 1)):
        root -= 1
    return root


@inlined
def is_positive(pair: Pair) -> bool:
    return pair[0] > 0 or (pair[0] == 0 and pair[1] != 0)


@inlined
def mills_q38(z: Integer) -> Integer:
    row = z >> 25
    t = z & (1 << 25) - 1
    return NORMAL[row, 0] - ((NORMAL[row, 1] - ((NORMAL[row, 2] - (NORMAL[row, 3] * t >> 25)) * t >> 25)) * t >> 25)


@inlined
def density_q38(z: Integer) -> Integer:
    row = z >> 25
    t = z & (1 << 25) - 1
    return NORMAL[row, 4] + ((NORMAL[row, 5] + ((NORMAL[row, 6] + (NORMAL[row, 7] * t >> 25)) * t >> 25)) * t >> 25)


@compiled
def distribution_q38(z: Integer) -> Integer:
    magnitude = min(abs(z), TAIL)
    tail = 0
    if magnitude < TAIL:
        tail = multiply_nearest(density_q38(magnitude), mills_q38(magnitude))
    return ONE - tail if z > 0 else tail


@inlined
def multiply_nearest(a: Integer, b: Integer) -> Integer:
    """Product of two Q38, rounded to nearest: the half unit is added to a quotient that keeps one bit more."""
    return multiply_shift(a, b, 37) + 1 >> 1


@inlined
def otm_fraction_q38(distance_q30: Integer, total_vol_q30: Integer) -> Integer:
    if total_vol_q30 == 0:
        return 0
    # Unsigned, since a distance below 8 fills 64 bits; held far beyond the tail, where the int64 begins to matter.
    exact_quotient = (np.uint64(distance_q30) << np.uint64(31)) // np.uint64(total_vol_q30)
    quotient = np.int64(min(exact_quotient, QUOTIENT_MAX))
    d = quotient - total_vol_q30
    if d >= TAIL:
        return 0
    # Both signs of d in one path, since a branch that goes either way costs more: `below` is -1 where d < 0, else 0.
    below = d >> 63
    magnitude = (d ^ below) - below
    ratio = ((mills_q38(magnitude) ^ below) - below) - mills_q38(quotient + total_vol_q30)
    return multiply_nearest(density_q38(magnitude), ratio) + (below & ONE)


@inlined
def price_floor(
    forward: Integer, strike: Integer, log_moneyness_q30: Integer, total_vol_q30: Integer, is_call: bool
) -> Integer:
    time_value = multiply_shift(min(forward, strike), otm_fraction_q38(abs(log_moneyness_q30), total_vol_q30), 38)
    call_value = max(forward - strike, 0)
    return time_value + call_value - (0 if is_call else forward - strike)


@compiled
def total_variance_q38(
    a: Integer, b: Integer, rho: Integer, m: Integer, sigma: Integer, log_strike_q38: Integer
) -> Integer:
    distance = log_strike_q38 - m
    wing = multiply_shift(rho, distance, 38) + hypotenuse_floor_q38(distance, sigma)
    return min(max(a + multiply_shift(b, wing, 38), 0), TOTAL_VARIANCE_MAX)


@compiled
def ln_array_q38(values: Integers, out: Integers) -> None:
    """Logarithms, to be kept beside forwards and strikes, which change seldom."""
    for i in range(values.shape[0]):
        out[i] = ln_q38(values[i])


@compiled
def total_variance_array_q38(surface: Integers, log_strikes_q38: Integers, out: Integers) -> None:
    """w at every strike of one surface (a, b, rho, m, sigma)."""
    a, b, rho, m, sigma = surface[0], surface[1], surface[2], surface[3], surface[4]
    for i in range(log_strikes_q38.shape[0]):
        out[i] = total_variance_q38(a, b, rho, m, sigma, log_strikes_q38[i])


@compiled
def price_array_floor(
    forwards: Integers,
    strikes: Integers,
    ln_forwards_q38: Integers,
    ln_strikes_q38: Integers,
    total_vols_q30: Integers,
    are_calls: NDArray[np.bool_],
    out: Integers,
) -> None:
    """Undiscounted prices in ticks."""
    for i in range(forwards.shape[0]):
        x = ln_forwards_q38[i] - ln_strikes_q38[i] + 128 >> 8
        out[i] = price_floor(forwards[i], strikes[i], x, total_vols_q30[i], are_calls[i])


@compiled
def greeks_array_q38(
    log_moneyness_q38: Integers,
    vols_q38: Integers,
    times_ms: Integers,
    sqrt_years_q38: Integers,
    discounts_q38: Integers,
    prices_q38: Integers,
    are_calls: NDArray[np.bool_],
    out: Integers,
) -> None:
    """Delta, gamma, vega, theta, vanna, charm and volga of greeks.Greeks as the columns of `out`."""
    for i in range(log_moneyness_q38.shape[0]):
        x, time_ms, discount, root = log_moneyness_q38[i], times_ms[i], discounts_q38[i], sqrt_years_q38[i]
        total_vol = min(max(multiply_shift(vols_q38[i], root, 38), TOTAL_VOL_MIN_Q38), TOTAL_VOL_MAX_Q38)
        quotient = shift_divide(abs(x), 21, 10, total_vol)
        signed = quotient if x >= 0 else -quotient
        d1 = max(min(signed + (total_vol >> 8), TABLE_END - 1), 1 - TABLE_END)
        d2 = max(min(signed - (total_vol >> 8), TABLE_END - 1), 1 - TABLE_END)
        log_discount = ln_q38(discount) - 38 * LN_2
        daily_rate = multiply_shift(shift_divide(abs(log_discount), 19, 19, time_ms), DAY_MS, 38)
        if log_discount > 0:
            daily_rate = -daily_rate
        density = multiply_shift(discount, density_q38(abs(d1)), 38)
        delta = multiply_shift(discount, distribution_q38(d1) - (0 if are_calls[i] else ONE), 38)
        gamma = shift_divide(density, 24, 14, total_vol)
        vanna = multiply_shift(-multiply_shift(gamma, d2, 31), root, 38)
        decay = shift_divide(multiply_shift(density, total_vol, 38) * HALF_DAY_ODD, 0, HALF_DAY_BITS, time_ms)
        drift = shift_divide(multiply_shift(density, abs(d2), 31) * HALF_DAY_ODD, 0, HALF_DAY_BITS, time_ms)
        out[i, 0] = delta
        out[i, 1] = gamma
        out[i, 2] = multiply_shift(density, root, 38)
        out[i, 3] = multiply_shift(prices_q38[i], daily_rate, 38) - decay
        out[i, 4] = vanna
        out[i, 5] = multiply_shift(delta, daily_rate, 38) + (drift if d2 >= 0 else -drift)
        out[i, 6] = multiply_shift(multiply_shift(-vanna, d1, 31), root, 38)
