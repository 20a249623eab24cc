"""How tests are spread over the workers of `make test`: file by file, the slow ones first, and what measures time last
and alone.

A file stays with one worker, so that what its tests share is made once. Files that compile the same kernels for the
first time on a machine stay together too. The order of files is no more than that: every test passes by itself.
"""

from typing import Any

import pytest
from xdist.scheduler.loadscope import LoadScopeScheduling

TOGETHER = ("tests/risk/",)
"""Folders that are one piece of work: their tests compile the same kernels."""

ALONE = ("tests/attacks/test_siege.py",)
"""Files that compare times; nothing runs beside them."""


def sort_for_workers(items: list[pytest.Item]) -> None:
    """Files with slow tests first, so that the end is short; those that run alone at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (find_piece(item.nodeid) in ALONE, item.path not in slow))


def find_piece(nodeid: str) -> str:
    """What goes to one worker as a whole: the test's file, or the folder that stays together."""
    path = nodeid.partition("::")[0]
    return next((folder for folder in TOGETHER if path.startswith(folder)), path)


class PieceByPiece(LoadScopeScheduling):
    """Gives out pieces in the order of collection. For one that runs alone a single worker is kept; it waits until the
    others, who get no more, are done."""

    def _split_scope(self, nodeid: str) -> str:
        return find_piece(nodeid)

    def mark_test_complete(self, node: Any, item_index: int, duration: float = 0) -> None:
        super().mark_test_complete(node, item_index, duration)
        for other in self.nodes:
            self._reschedule(other)

    def _reschedule(self, node: Any) -> None:
        if self._is_next_alone() and any(not other.shutting_down for other in self.nodes if other is not node):
            if not node.shutting_down:
                node.shutdown()  # after what it has already
            return
        super()._reschedule(node)

    def _assign_work_unit(self, node: Any) -> None:
        is_quiet = not any(self._pending_of(work) for other, work in self.assigned_work.items() if other is not node)
        if is_quiet or not self._is_next_alone():
            super()._assign_work_unit(node)

    def _is_next_alone(self) -> bool:
        return next(iter(self.workqueue), None) in ALONE
