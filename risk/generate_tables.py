"""Write tables.py: the polynomial coefficients of the kernel, packed into 256-bit words.

    python -m risk.generate_tables > risk/tables.py

The integers in tables.py are the definition, this file is how they were found: another version of mpmath might round
a coefficient differently, so nothing at run time depends on it. Each function is cut into equal segments and replaced
on each by the polynomial through its Chebyshev nodes, in t = (position in the segment) / (its length), 0 <= t < 1.
Coefficients are Q38; where signs alternate the magnitudes are kept, so that a word holds unsigned fields (SPEC.md,
section 3).
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import mpmath

Q38 = 1 << 38
MILLS_SEGMENTS = 489  # of 1/64 each: every |d1|, |d2| that the kernel reads lies below 489/64 (SPEC.md section 4)
LN_SEGMENTS = 64
EXP_SEGMENTS = 32

MILLS_BITS = (40, 34, 28, 23)
DENSITY_BITS = (38, 33, 28, 23)
LN_BITS = (40, 36, 30, 24, 16)
EXP_BITS = (39, 34, 28, 21)

Real = Any  # mpmath.mpf, which carries no types


def mills(z: Real) -> Real:
    """(1 - Phi(z)) / phi(z)."""
    return mpmath.sqrt(mpmath.pi / 2) * mpmath.exp(z * z / 2) * mpmath.erfc(z / mpmath.sqrt(2))


def fit(function: Callable[[Real], Real], start: Real, length: Real, degree: int) -> list[Real]:
    """Coefficients, constant first, of the polynomial in t that meets function(start + length * t) at the nodes."""
    count = degree + 1
    nodes = [(1 - mpmath.cos(mpmath.pi * (2 * i + 1) / (2 * count))) / 2 for i in range(count)]
    powers = mpmath.matrix([[node**power for power in range(count)] for node in nodes])
    values = mpmath.matrix([function(start + length * node) for node in nodes])
    return list(mpmath.lu_solve(powers, values))


def fit_segments(
    function: Callable[[Real], Real], segments: int, length: Real, signs: Sequence[int]
) -> list[list[int]]:
    """Q38 coefficients times their expected signs, one row a segment."""
    rows = []
    for segment in range(segments):
        coefficients = fit(function, segment * length, length, len(signs) - 1)
        rows.append([int(mpmath.nint(c * sign * Q38)) for c, sign in zip(coefficients, signs, strict=True)])
    return rows


def pack(fields: Sequence[int], bits: Sequence[int], *, signed: bool = False) -> int:
    """Fields from the highest bits of the result down; refuses what does not fit."""
    word = 0
    for position, (field, width) in enumerate(zip(fields, bits, strict=True)):
        lowest = -(1 << (width - 1)) if signed and position else 0
        highest = (1 << (width - 1)) if signed and position else 1 << width
        if not lowest <= field < highest:
            raise ValueError(f"coefficient {field} does not fit {width} bits")
        word = word << width | field & ((1 << width) - 1)
    return word


def generate() -> dict[str, list[int]]:
    """All three tables, as packed words."""
    mpmath.mp.dps = 40
    step = mpmath.mpf(1) / 64
    densities = fit_segments(mpmath.npdf, MILLS_SEGMENTS, step, (1, 1, 1, 1))
    ratios = fit_segments(mills, MILLS_SEGMENTS, step, (1, -1, 1, -1))
    logarithms = fit_segments(mpmath.log1p, LN_SEGMENTS, mpmath.mpf(1) / LN_SEGMENTS, (1, 1, -1, 1, -1))
    powers = fit_segments(lambda f: mpmath.power(2, -f), EXP_SEGMENTS, mpmath.mpf(1) / EXP_SEGMENTS, (1, -1, 1, -1))
    logarithms[0][0] = 0  # the fits miss these ends by 1e-10: ln 1 is 0,
    powers[0][0] = Q38  # and a rate of zero discounts nothing
    return {
        "NORMAL": [
            pack(d, DENSITY_BITS, signed=True) << sum(MILLS_BITS) | pack(m, MILLS_BITS)
            for d, m in zip(densities, ratios, strict=True)
        ],
        "LN": [pack(row, LN_BITS) for row in logarithms],
        "EXP": [pack(row, EXP_BITS) for row in powers],
    }


def digest(words: Sequence[int]) -> str:
    """SHA-256 of the words as the EVM holds them, 32 bytes big-endian each."""
    return hashlib.sha256(b"".join(word.to_bytes(32, "big") for word in words)).hexdigest()


def main() -> None:
    """Print tables.py."""
    print('"""The kernel\'s tables: written by generate_tables.py, pinned in SPEC.md section 3."""')
    for name, words in generate().items():
        print(f"\n{name}: tuple[int, ...] = (")
        for word in words:
            print(f"    0x{word:064X},")
        print(")")


if __name__ == "__main__":
    main()
