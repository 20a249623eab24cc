"""risk/SPEC.md says what the code does: its tables are read and executed."""

import hashlib
from fractions import Fraction
from pathlib import Path
from random import Random

import pytest

from risk import black76, bounds, fixed_point, greeks, normal, parameter_bounds, svi, tables
from risk.bounds import RiskCode
from risk.margin_calls import CallLevel
from tests.risk.exact import REAL, Real, from_fixed, mills, otm_fraction

SPEC = Path(__file__).resolve().parents[2] / "risk" / "SPEC.md"
MODULES = (fixed_point, normal, black76, greeks, svi, bounds)


def read_tables(*header: str) -> list[list[str]]:
    """All rows of all tables whose header starts with these columns."""
    rows: list[list[str]] = []
    is_inside = False
    for line in SPEC.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not line.startswith("|"):
            is_inside = False
        elif tuple(cells[: len(header)]) == header:
            is_inside = True
        elif is_inside and set(cells[0]) != {"-"}:
            rows.append(cells)
    assert rows, header
    return rows


@pytest.mark.parametrize(("name", "value", "meaning"), read_tables("name", "value"))
def test_constants(name: str, value: str, meaning: str) -> None:
    """Every constant of the text is the code's, found in exactly the modules that define or import it."""
    found = {getattr(module, name) for module in MODULES if hasattr(module, name)}
    assert found == {int(value)}


def test_codes() -> None:
    """The table of refusals is the enumeration."""
    assert [(int(row[0]), row[1]) for row in read_tables("code", "name")] == [(int(c), c.name) for c in RiskCode]


def test_margin_calls() -> None:
    """The table of margin-call levels is the enumeration."""
    told = [(int(level), name) for level, name, _ in read_tables("level", "margin call")]
    assert told == [(int(level), level.name) for level in CallLevel]


def test_bounds_of_parameters() -> None:
    """The table of parameters' bounds is the code's, without one more or less."""
    numbers = {"T": bounds.TIME_END_MS - 1, "2^-16": Fraction(1, 1 << 16)}
    told = {}
    for names, *ends in read_tables("parameter", "least"):
        for name in names.split(", "):
            path = name if name in parameter_bounds.BOUNDS else f"{name}_q38"
            unit = fixed_point.ONE_Q38 if path.endswith("_q38") else 1
            ordered = (numbers[end] if end in numbers else int(end) for end in ends)
            told[path] = tuple(unit * one for one in ordered)  # type: ignore[operator]
    assert told == parameter_bounds.BOUNDS


@pytest.mark.parametrize(("name", "words", "digest"), read_tables("table", "words"))
def test_tables_are_pinned(name: str, words: str, digest: str) -> None:
    """The shipped coefficients have the published number and digest."""
    table = getattr(tables, name)
    assert len(table) == int(words)
    assert hashlib.sha256(b"".join(word.to_bytes(32, "big") for word in table)).hexdigest() == digest


def measure_error(function: str, random: Random) -> Real:
    """Distance from fifty digits at one random argument; exp's is what exceeds its absolute part, relative."""
    if function == "ln_q38":
        u = random.randrange(1, 1 << random.randrange(1, 63))
        return abs(from_fixed(fixed_point.ln_q38(u)) - REAL.log(u))
    if function == "exp_q38":
        x = random.randrange(-20 << 38, 16 << 38)
        exact = REAL.exp(from_fixed(x))
        return (abs(from_fixed(fixed_point.exp_q38(x)) - exact) - 4e-12) / exact
    if function == "otm_fraction_q38":
        v = int(2**30 * 10 ** random.uniform(-4, 1.079))
        a = int(min(random.choice((8 * 2**30, 6 * v)) * random.random(), black76.LOG_MONEYNESS_MAX_Q30))
        return abs(from_fixed(black76.otm_fraction_q38(a, v)) - otm_fraction(from_fixed(a, 30), from_fixed(v, 30)))
    z = random.randrange(normal.TABLE_END_Q31)
    exact = {"mills_q38": mills, "density_q38": REAL.npdf, "distribution_q38": REAL.ncdf}[function](from_fixed(z, 31))
    return abs(from_fixed(getattr(normal, function)(z)) - exact)


@pytest.mark.parametrize(("function", "bound", "argument"), read_tables("function", "bound"))
def test_errors(function: str, bound: str, argument: str, seed: int) -> None:
    """Each function keeps its published error, and comes near enough to it that the bound says something."""
    random = Random(seed)
    worst = max(measure_error(function, random) for _ in range(1_500))
    assert float(bound) / 5 < worst <= float(bound)
