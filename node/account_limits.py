"""How much one account may ask in one second, with room of its own for what takes risk away."""


class AccountLimits:
    """Counts what is verified to come from an account; forgets everything when the second changes."""

    def __init__(self, requests_max: int) -> None:
        """So many cancels, and so many requests of any other kind."""
        self._requests_max = requests_max
        self._second = 0
        self._seen: dict[tuple[int, bool], int] = {}

    def admit(self, account: int, is_cancel: bool, second: int) -> bool:
        """Count a request; False when it is one too many."""
        if second != self._second:
            self._second = second
            self._seen.clear()
        seen = self._seen[account, is_cancel] = self._seen.get((account, is_cancel), 0) + 1
        return seen <= self._requests_max
