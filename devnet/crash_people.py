"""Who is in the crash: two thousand leveraged accounts, the makers on the other side, and how each of them sizes.

Everything is drawn from one seed. A portfolio is a list of trades of legs; how many lots of it an account takes on is
decided by the margin that one lot needs, so that everybody begins with a drawn share of equity in use.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum

from state.leaves import Instrument, call, perpetual, put

DOLLAR = 1_000_000
DEPOSIT_MEDIAN, DEPOSIT_SPREAD = 20_000, 1.0
DEPOSIT_MIN, DEPOSIT_MAX = 1_000, 1_000_000
USE_MIN, USE_MAX = 0.50, 0.97
LONG_SHARE = 0.78

MAKERS = 6
MAKER_DEPOSIT = 60_000_000 * DOLLAR

Legs = tuple[tuple[Instrument, int], ...]


class Style(Enum):
    """What an account does; the number is its share of all accounts, in hundredths."""

    PERPETUAL = 55
    COVERED_CALL = 13
    SHORT_STRANGLE = 12
    CALENDAR = 8
    COMBINATION = 12


@dataclass(slots=True)
class Person:
    """One account of the replay. `number` is its place in the draw, `account` its index once it has deposited."""

    number: int
    style: Style
    deposit: int
    use: float
    account: int = 0
    counter: int = 0
    sequence: int = 0


@dataclass(frozen=True, slots=True)
class Trade:
    """One order of a portfolio: canonical legs, and lots of them for one lot of the portfolio; negative sells."""

    legs: Legs
    lots: int


@dataclass(frozen=True, slots=True)
class Chain:
    """The options on one underlying: expiries ascending, and each one's strikes ascending."""

    underlying: int
    expiries: tuple[int, ...]
    strikes: tuple[tuple[int, ...], ...]


def draw_people(seed: int, count: int) -> list[Person]:
    """Styles in their shares, deposits lognormal, each with the share of equity that it will use."""
    dice = random.Random(seed)
    styles, shares = list(Style), [style.value for style in Style]
    people = []
    for number in range(count):
        dollars = DEPOSIT_MEDIAN * dice.lognormvariate(0, DEPOSIT_SPREAD)
        deposit = round(min(max(dollars, DEPOSIT_MIN), DEPOSIT_MAX)) * DOLLAR
        (style,) = dice.choices(styles, shares)
        people.append(Person(number, style, deposit, dice.uniform(USE_MIN, USE_MAX)))
    return people


def draw_portfolio(
    dice: random.Random, style: Style, underlyings: Sequence[int], chains: Sequence[Chain]
) -> list[Trade]:
    """What one lot of somebody's portfolio is made of. Without options everybody trades perpetuals."""
    if style is Style.PERPETUAL or not chains:
        side = 1 if dice.random() < LONG_SHARE else -1
        return [Trade(((perpetual(dice.choice(underlyings)), 1),), side)]
    return _STYLES[style](dice, dice.choice(chains))


def _draw_expiry(dice: random.Random, chain: Chain) -> int:
    return dice.randrange(len(chain.expiries))


def _covered_call(dice: random.Random, chain: Chain) -> list[Trade]:
    """Long the perpetual, short a call above it."""
    at = _draw_expiry(dice, chain)
    sold = call(chain.underlying, chain.expiries[at], chain.strikes[at][-1])
    return [Trade(((perpetual(chain.underlying), 1),), 1), Trade(((sold, 1),), -1)]


def _short_strangle(dice: random.Random, chain: Chain) -> list[Trade]:
    """Short a put below and a call above."""
    at = _draw_expiry(dice, chain)
    low = put(chain.underlying, chain.expiries[at], chain.strikes[at][0])
    high = call(chain.underlying, chain.expiries[at], chain.strikes[at][-1])
    return [Trade(((low, 1),), -1), Trade(((high, 1),), -1)]


def _calendar(dice: random.Random, chain: Chain) -> list[Trade]:
    """Short the near put, long the far one: one order of two legs, if there are two expiries."""
    near, far = sorted(dice.sample(range(len(chain.expiries)), 2)) if len(chain.expiries) > 1 else (0, 0)
    sold = put(chain.underlying, chain.expiries[near], chain.strikes[near][len(chain.strikes[near]) // 2])
    if near == far:
        return [Trade(((sold, 1),), -1)]
    bought = put(chain.underlying, chain.expiries[far], chain.strikes[far][len(chain.strikes[far]) // 2])
    return [Trade(((sold, 1), (bought, -1)), -1)]


def _combination(dice: random.Random, chain: Chain) -> list[Trade]:
    """A put spread sold, or a risk reversal bought: one order of two legs."""
    at = _draw_expiry(dice, chain)
    low, *_, high = chain.strikes[at]
    sold = put(chain.underlying, chain.expiries[at], low)
    if dice.random() < 0.5:
        return [Trade(((sold, 1), (put(chain.underlying, chain.expiries[at], high), -1)), 1)]
    return [Trade(((sold, 1), (call(chain.underlying, chain.expiries[at], high), -1)), -1)]


_STYLES: dict[Style, Callable[[random.Random, Chain], list[Trade]]] = {
    Style.COVERED_CALL: _covered_call,
    Style.SHORT_STRANGLE: _short_strangle,
    Style.CALENDAR: _calendar,
    Style.COMBINATION: _combination,
}


@dataclass(slots=True)
class Crowd:
    """Everybody: people, and makers, who take the other side of all and bid in auctions."""

    people: list[Person]
    makers: list[Person] = field(default_factory=list)

    def __post_init__(self) -> None:
        count = len(self.people)
        self.makers = [Person(count + i, Style.PERPETUAL, MAKER_DEPOSIT, 0.0) for i in range(MAKERS)]
