"""A queue that takes from every source in turn: whoever sends much waits behind himself, not others behind him."""

from collections import deque
from typing import Generic, TypeVar

Item = TypeVar("Item")


class FairQueue(Generic[Item]):
    """Items of one source stay in order."""

    def __init__(self) -> None:
        self._by_source: dict[object, deque[Item]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def put(self, source: object, item: Item) -> None:
        """At the end of its source's line."""
        self._by_source.setdefault(source, deque()).append(item)
        self._count += 1

    def take(self, count_max: int) -> list[Item]:
        """Up to so many: one of each source, then one more of each, and so on; the next call goes on from there."""
        taken: list[Item] = []
        while self._by_source and len(taken) < count_max:
            source = next(iter(self._by_source))
            line = self._by_source.pop(source)
            taken.append(line.popleft())
            if line:
                self._by_source[source] = line
        self._count -= len(taken)
        return taken
