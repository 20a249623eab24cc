"""Garbage by hand: what is new is looked through often, what is old rarely, and in the end everything is found."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from node.garbage import QUIET_SECONDS_MIN, SECONDS_MAX, YOUNG_MAX, Sweeper, sweep_by_hand


class Ring:
    """Refers to itself: only a look for garbage finds it when it is dropped."""

    def __init__(self) -> None:
        self.ring = self


@pytest.fixture
def sweeper() -> Iterator[Sweeper]:
    with sweep_by_hand() as sweeper:
        yield sweeper


def test_what_is_new_is_looked_through_when_there_is_enough_of_it(sweeper: Sweeper) -> None:
    """Below the threshold nothing happens; above it a young ring is found."""
    ring = Ring()
    dropped = weakref.ref(ring)
    del ring
    sweeper.sweep(0.0, is_quiet=True)
    assert (sweeper.young_looks, sweeper.whole_looks) == (0, 0)
    assert dropped() is not None

    kept = [Ring() for _ in range(YOUNG_MAX)]
    sweeper.sweep(0.0, is_quiet=False)

    assert sweeper.young_looks == 1
    assert dropped() is None
    assert gc.get_freeze_count() >= len(kept)
    sweeper.sweep(0.0, is_quiet=False)
    assert sweeper.young_looks == 1


@pytest.mark.parametrize(("is_quiet", "seconds"), [(True, QUIET_SECONDS_MIN), (False, SECONDS_MAX)])
def test_what_died_old_is_found_in_the_end(sweeper: Sweeper, is_quiet: bool, seconds: float) -> None:
    """In a quiet moment soon, and under load at the latest when the time is up."""
    old = Ring()
    dropped = weakref.ref(old)
    kept = [Ring() for _ in range(YOUNG_MAX)]
    sweeper.sweep(0.0, is_quiet)
    del old

    sweeper.sweep(seconds - 1, is_quiet)
    assert dropped() is not None
    sweeper.sweep(seconds, is_quiet)

    assert dropped() is None
    assert sweeper.whole_looks == 1
    assert len(kept) == YOUNG_MAX


def test_afterwards_python_looks_for_itself_again() -> None:
    """And what was set aside is under its eyes again."""
    assert gc.isenabled()
    with sweep_by_hand():
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0
