"""Attacks on an honest sequencer through L1: convictions of others, reorgs, silence at a bad moment."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import trio.testing

from fraud_proofs.replica import Replica
from node.chain_follower import ChainFollower, Progress
from node.errors import L1Unavailable
from node.event_reader import Reading
from node.l1 import Block
from node.logs import Log
from node.rollup import Rollup
from node.sequencer_role import Convicted, Sequencer, SequencerSettings
from node.transactions import Sender
from state.l1_events import BatchPosted, L1Event, RolledBack
from state.store import Store
from tests.node.test_sequencer_core import Desk

US, LIAR, PROVER = b"\x01" * 20, b"\x02" * 20, b"\x03" * 20
HEAD = Block(100, bytes(32), 1_700_000_000, 1)


class Stranger:
    """All that a sequencer asks of a rollup and of a sender before it has looked at L1."""

    first_block = None
    address = US

    def __init__(self, domain: bytes) -> None:
        self._domain = domain

    def get_domain(self) -> bytes:
        return self._domain


@pytest.fixture
def sequencer(tmp_path: Path) -> Iterator[Sequencer]:
    """One that is at work in generation 2."""
    desk = Desk(tmp_path / "desk")
    world = desk.market.world
    stranger = Stranger(world.domain)
    with Store(tmp_path / "store") as store:
        one = Sequencer(
            cast(Rollup, stranger), cast(Sender, stranger), store, b"\x07" * 32, SequencerSettings(), Log("test")
        )
        one.core.restart(desk.leaves, generation=2, index=world.batch_index - 1, parent=world.parent)
        yield one


def tell(sequencer: Sequencer, *events: L1Event, is_restarted: bool = False) -> None:
    """What one look at L1 brings."""
    sequencer._note(Progress(Reading(events, 0, HEAD, 0, False), events, (), is_restarted, 0))


def post(index: int, submitter: bytes, generation: int) -> BatchPosted:
    return BatchPosted(1, index, submitter, b"", bytes(32), generation, 0)


def test_conviction_of_another(sequencer: Sequencer) -> None:
    """A liar posts into the open slot and is convicted, so that the honest sequencer who came after him stops."""
    tell(sequencer, post(1, LIAR, 1))
    sequencer._must_begin_anew = False
    tell(sequencer, RolledBack(2, 1, 2, PROVER))

    assert sequencer._must_begin_anew


def test_own_conviction(sequencer: Sequencer) -> None:
    """A sequencer that was convicted itself does stop: something in it is wrong."""
    tell(sequencer, post(1, US, 2))
    with pytest.raises(Convicted):
        tell(sequencer, RolledBack(2, 1, 3, PROVER))


def test_reorg_after_a_conviction_long_ago(sequencer: Sequencer) -> None:
    """After a reorg history is read again, with a conviction in it that is years old."""
    head, sequencer.core.head = sequencer.core.head, None
    history = (post(1, US, 1), RolledBack(2, 1, 2, PROVER), post(1, US, 2))
    tell(sequencer, *history)
    sequencer.core.head = head

    tell(sequencer, *history, is_restarted=True)

    assert sequencer._must_post_again


def test_reorg_is_not_forgotten_by_the_next_look(sequencer: Sequencer) -> None:
    """L1 is looked at twice while the engine is busy; the batches that a reorg threw out must still be posted again."""
    tell(sequencer, is_restarted=True)
    tell(sequencer)

    assert sequencer._must_post_again


def test_silence_in_the_middle_of_a_reorg() -> None:
    """The endpoint falls silent where it should tell of a reorg; the next look that succeeds tells of it."""
    follower = ChainFollower(cast(Rollup, Stranger(bytes(32))))
    answers: list[Any] = [L1Unavailable("silence"), Reading((), 5, HEAD, 0, True)]

    def read() -> Reading:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return cast(Reading, answer)

    class Endpoint:
        def __init__(self) -> None:
            self.read = read

    follower._reader = cast(Any, Endpoint())

    with pytest.raises(L1Unavailable):
        follower.advance()
    assert follower.advance().is_restarted


async def test_generation_on_ground_that_gives_way(
    sequencer: Sequencer, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    """Another's batch raises the generation and a reorg takes it back: nobody was given receipts in between."""
    looks = iter(
        [
            Progress(Reading((), 101, HEAD, 60, False), (), (), False, 0),
            Progress(Reading((), 101, HEAD, 90, False), (), (), False, 0),
            Progress(Reading((), 95, HEAD, 94, True), (), (), True, 0),
        ]
    )
    begun: list[int] = []

    async def look() -> None:
        sequencer._note(next(looks))

    async def get_next_generation() -> int:
        return 3 if sequencer._unsettled else 2

    monkeypatch.setattr(sequencer, "_catch_up", look)
    monkeypatch.setattr(sequencer, "_get_next_generation", get_next_generation)
    monkeypatch.setattr(sequencer, "_is_on_chain", lambda generation: generation == 2)
    monkeypatch.setattr(sequencer, "_begin_anew", begun.append)
    foreign = replace(post(1, LIAR, 3), block=98)
    sequencer._note(Progress(Reading((foreign,), 90, HEAD, 60, False), (foreign,), (), False, 0))
    assert sequencer._must_begin_anew

    await sequencer._go_on()

    assert begun == []
    assert next(looks, None) is None
    assert sequencer.core.head is not None
    assert sequencer.core.head.generation == 2


async def test_batch_before_the_slot_is_taken(sequencer: Sequencer) -> None:
    """A bot sees `take_slot` in the pool and posts a batch before it, so that the new holder builds on an old tip."""
    world_tip = 3
    ahead = iter([1, 2, world_tip])
    looks = 0

    class Late:
        replica = Replica(bytes(32))

        async def advance_beside(self) -> Progress:
            nonlocal looks
            looks += 1
            self.replica.tip = next(ahead)
            return Progress(Reading((), 0, HEAD, 0, False), (), (), False, 0)

    sequencer._follower = cast(Any, Late())
    sequencer._settings = replace(sequencer._settings, poll_seconds=0)
    cast(Any, sequencer._rollup).view = lambda name: world_tip

    await sequencer._catch_up()

    assert looks == 3


async def test_convicted_and_started_again(sequencer: Sequencer) -> None:
    """A supervisor starts the convicted sequencer again and again, and each time it posts another bond to be lost."""
    sequencer.core.head = None
    tell(sequencer, post(1, US, 1), RolledBack(2, 1, 2, PROVER))
    answers = {"required_bond": 10, "bond_of": 0}
    rollup = cast(Any, sequencer._rollup)
    rollup.get_slot_holder = lambda: None
    rollup.view = lambda name, *_: answers[name]

    with pytest.raises(Convicted):
        await sequencer._hold_slot()
