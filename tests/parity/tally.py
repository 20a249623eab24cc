"""How often each check was tried against the bytecode: failing and convicted, holding and not convicted."""

from collections import Counter

from fraud_proofs.grounds import Ground
from state.codes import Code
from tests.parity.tribunal import Ruling

LEAST = 20
"""So often each check must have failed, and so often held."""


class Tally:
    """Rulings on which contract and Python agreed, by check; EFFECT by kind is not counted here."""

    def __init__(self) -> None:
        self.convicted: Counter[Code] = Counter()
        self.acquitted: Counter[Code] = Counter()

    def add(self, ground: Ground, ruling: Ruling) -> None:
        """Count one ruling."""
        if ground.code is not None:
            if ruling is Ruling.FRAUD:
                self.convicted[ground.code] += 1
            elif ruling is Ruling.NOT_SHOWN:
                self.acquitted[ground.code] += 1

    def is_side_enough(self, code: Code, ruling: Ruling) -> bool:
        """Whether a check had this ruling often enough."""
        return (self.convicted if ruling is Ruling.FRAUD else self.acquitted)[code] >= LEAST

    def is_enough(self, code: Code) -> bool:
        """Whether a check was tried often enough on both sides."""
        return min(self.convicted[code], self.acquitted[code]) >= LEAST

    def list_counts(self) -> list[tuple[int, int, int]]:
        """As numbers, (code, convicted, acquitted): what a worker tells of its tests."""
        return [(int(code), self.convicted[code], self.acquitted[code]) for code in Code]

    def add_counts(self, counts: list[tuple[int, int, int]]) -> None:
        """Add what `list_counts` answered elsewhere."""
        for number, convicted, acquitted in counts:
            self.convicted[Code(number)] += convicted
            self.acquitted[Code(number)] += acquitted

    def list_rows(self) -> list[str]:
        """A table, one check a line."""
        head = f"{'check':45} {'convicted':>9} {'held':>9}"
        return [head, *(f"{code:4} {code.name:40} {self.convicted[code]:9} {self.acquitted[code]:9}" for code in Code)]
