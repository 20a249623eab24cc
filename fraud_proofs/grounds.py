"""What a proof names: the ground on which a step is wrong (SPEC.md section 1)."""

from dataclasses import dataclass
from enum import IntEnum

from state.codes import Code


class GroundKind(IntEnum):
    """The byte that stands in a proof."""

    MALFORMED = 0
    CHECK = 1
    EFFECT = 2


@dataclass(frozen=True, slots=True)
class Ground:
    """MALFORMED, CHECK with its code, or EFFECT."""

    kind: GroundKind
    code: Code | None = None

    @property
    def check(self) -> int:
        """The byte that names a check within its kind; 0 for the other grounds."""
        return 0 if self.code is None else self.code % 100

    def __str__(self) -> str:
        return self.kind.name if self.code is None else f"CHECK {self.code.name}"


MALFORMED = Ground(GroundKind.MALFORMED)
EFFECT = Ground(GroundKind.EFFECT)


def check_ground(code: Code) -> Ground:
    """The ground that this numbered check fails."""
    return Ground(GroundKind.CHECK, code)
