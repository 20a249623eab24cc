"""The fair queue: one who floods waits behind himself."""

import random

from node.fair_queue import FairQueue


def test_a_flood_delays_the_others_by_one_item_each() -> None:
    """However much stands in a line, each source is served in its turn."""
    queue: FairQueue[str] = FairQueue()
    for number in range(1000):
        queue.put("flood", f"flood {number}")
    queue.put("alice", "alice 0")
    queue.put("bob", "bob 0")

    assert queue.take(4) == ["flood 0", "alice 0", "bob 0", "flood 1"]
    assert len(queue) == 998


def test_nothing_is_lost_and_each_line_keeps_its_order(seed: int) -> None:
    """Whatever comes and goes, in whatever portions."""
    rng = random.Random(seed)
    queue: FairQueue[tuple[int, int]] = FairQueue()
    put, taken = [0] * 5, [0] * 5
    for _ in range(2000):
        if rng.random() < 0.6:
            source = rng.randrange(5)
            queue.put(source, (source, put[source]))
            put[source] += 1
        for source, number in queue.take(rng.randrange(4)):
            assert number == taken[source]
            taken[source] += 1
    for source, number in queue.take(len(queue)):
        assert number == taken[source]
        taken[source] += 1
    assert taken == put
    assert queue.take(1) == []
