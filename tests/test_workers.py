"""Pieces go to workers whole, and nothing runs beside what compares times."""

from types import SimpleNamespace
from typing import Any

import pytest

from tests.workers import ALONE, PieceByPiece

LONE = f"{ALONE[0]}::test_times"
KERNELS = ["tests/risk/test_one.py::test_it", "tests/risk/test_other.py::test_it"]
OTHERS = [f"tests/state/test_{file}.py::test_{number}" for file in "abcd" for number in range(4)]


class Worker:
    """What the scheduler knows of a process: it holds the last test that it was given until it is told what follows."""

    def __init__(self, name: str) -> None:
        self.gateway = SimpleNamespace(id=name)
        self.given: list[str] = []
        self.done = 0
        self.shutting_down = False

    def send_runtest_some(self, indices: list[int]) -> None:
        self.given += [ALL[index] for index in indices]

    def shutdown(self) -> None:
        self.shutting_down = True

    @property
    def running(self) -> str | None:
        """The test that it is at."""
        can_run = self.done + (not self.shutting_down) < len(self.given)
        return self.given[self.done] if can_run else None


ALL = [*KERNELS, *OTHERS, LONE]


def make_scheduler(workers: list[Worker]) -> PieceByPiece:
    """Of these workers, all of whom have collected."""
    config: Any = SimpleNamespace(getvalue=lambda _: ["popen"] * len(workers))
    config.option = SimpleNamespace(loadscopereorder=False)
    scheduler = PieceByPiece(config, None)
    for worker in workers:
        scheduler.add_node(worker)  # type: ignore[arg-type,unused-ignore]
        scheduler.add_node_collection(worker, ALL)  # type: ignore[arg-type,unused-ignore]
    scheduler.schedule()
    return scheduler


@pytest.mark.parametrize("quick", [0, 1], ids=["the first is quick", "the second is quick"])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_what_compares_times_runs_last_and_alone(count: int, quick: int) -> None:
    """However fast the workers are, each test runs once, a piece at one worker, and beside the lone one none."""
    workers = [Worker(f"gw{number}") for number in range(count)]
    scheduler = make_scheduler(workers)
    ran: list[str] = []
    while scheduler.has_pending:
        running = [worker for worker in workers if worker.running]
        assert running, "nobody can go on"
        if any(worker.running == LONE for worker in running):
            assert len(running) == 1
        ahead = workers[quick % count]
        worker = ahead if ahead.running else running[0]
        test = worker.running
        assert test is not None
        ran.append(test)
        worker.done += 1
        scheduler.mark_test_complete(worker, ALL.index(test))

    assert sorted(ran) == sorted(ALL)
    assert ran[-1] == LONE
    assert any(set(KERNELS) <= set(worker.given) for worker in workers)
    assert all(worker.shutting_down for worker in workers)
