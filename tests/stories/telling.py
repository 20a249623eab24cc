"""What a story is: for one code an op that is refused with it, and the nearest op that is not."""

from collections.abc import Callable
from typing import NamedTuple

from state.codes import Code, MessageCode
from state.context import StepContext
from state.ledger import Ledger
from state.operations import Operation, decode_operation
from tests.world import Attempt

Pair = tuple[Attempt, Attempt]


class Story(NamedTuple):
    """`tell` builds a world and gives two attempts: the refused one, and its accepted neighbour."""

    code: Code | MessageCode
    tell: Callable[[], Pair]

    @property
    def name(self) -> str:
        """For a test's id."""
        return f"{self.code.name}: {self.tell.__name__}"


TOLD: list[Story] = []


def story(code: Code | MessageCode) -> Callable[[Callable[[], Pair]], Callable[[], Pair]]:
    """Count a function among the stories."""

    def tell(function: Callable[[], Pair]) -> Callable[[], Pair]:
        TOLD.append(Story(code, function))
        return function

    return tell


class Scene(NamedTuple):
    """An attempt taken apart, for asking one check or the effects alone."""

    ledger: Ledger
    context: StepContext
    op: Operation


def set_scene(attempt: Attempt) -> Scene:
    """A fresh ledger, the context, the op; fails for bytes that are no op."""
    op = decode_operation(attempt.op)
    assert op is not None
    return Scene(Ledger(attempt.leaves), attempt.context, op)
