"""Attacks by a clock: one that runs ahead, jumps or goes back, at the sequencer's side."""

import random
from dataclasses import replace

from node.chain_follower import Progress
from node.event_reader import Reading
from node.sequencer_role import CLOCK_AHEAD_MAX, Sequencer
from sequencer.oplog import RecordKind
from tests.attacks.test_bystanders import HEAD, sequencer

__all__ = ["sequencer"]


def see_head(one: Sequencer, time: int) -> None:
    """A look at L1 whose head has this time."""
    one._note(Progress(Reading((), 0, replace(HEAD, time=time), 0, False), (), (), False, 0))


def test_state_time_follows_no_clock_beyond_the_l1(sequencer: Sequencer, seed: int) -> None:
    """Whatever the machine's clock says, a year ahead or behind: time never goes back, and never far ahead of L1."""
    rng = random.Random(seed)
    head = sequencer.core.engine.globals.time
    last = head
    for _ in range(200):
        head += rng.choice((0, 0, 1, 12, -3))
        see_head(sequencer, head)
        skewed = head + rng.choice((0, 5, CLOCK_AHEAD_MAX, 60, 365 * 86_400, -60, -365 * 86_400))
        sequencer._clock = lambda skewed=skewed: skewed  # type: ignore[misc]
        records = sequencer._take_clock()
        now = sequencer.core.engine.globals.time
        assert now == max(last, min(skewed, head + CLOCK_AHEAD_MAX))
        assert [record.kind for record in records] == [RecordKind.POSTED] * (now > last)
        last = now
