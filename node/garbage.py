"""When a busy process looks for garbage: often and among little, so that nobody waits for it.

Python's own collector stops everything for as long as there are objects younger than its last look, and of requests
that rest in a book there are many, none of which is garbage. Here a look is taken between two pieces of work, among
what is new since the last, and what survives it is set aside. What dies later in a ring of references, such as a
connection, is found by a look at everything, which is taken when nothing is waiting, or after a while in any case.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

# Allocations less releases: a look among so many takes a fraction of a millisecond.
YOUNG_MAX = 2_000
QUIET_SECONDS_MIN = 60.0
SECONDS_MAX = 900.0


class Sweeper:
    """Looks when it is told that there is a moment for it; use `sweep_by_hand`. Times in seconds of any one clock."""

    def __init__(self) -> None:
        self._last_whole: float | None = None
        self.young_looks = 0
        self.whole_looks = 0

    def sweep(self, now: float, is_quiet: bool) -> None:
        """Look among what is new, if there is enough of it; at everything, if it is time. `is_quiet`: nobody waits."""
        if self._last_whole is None:
            self._last_whole = now
        if now - self._last_whole >= (QUIET_SECONDS_MIN if is_quiet else SECONDS_MAX):
            self._last_whole = now
            self.whole_looks += 1
            gc.unfreeze()
            gc.collect()
            gc.freeze()
        elif gc.get_count()[0] >= YOUNG_MAX:
            self.young_looks += 1
            gc.collect(0)
            gc.freeze()


@contextmanager
def look_for_none() -> Iterator[None]:
    """While very much is loaded, and nothing of it is garbage."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@contextmanager
def sweep_by_hand() -> Iterator[Sweeper]:
    """For the length of a `with` block no garbage is looked for but by the sweeper; what there is now is set aside."""
    was_enabled = gc.isenabled()
    # Without a look at all that a start has loaded, which would take a second or two: it waits for a quiet moment.
    gc.freeze()
    gc.disable()
    try:
        yield Sweeper()
    finally:
        gc.unfreeze()
        if was_enabled:
            gc.enable()
