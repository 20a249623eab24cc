"""Attacks by a hostile L1 endpoint: what it forges must neither end a watcher nor pass for a lie of the sequencer's."""

from dataclasses import replace

import pytest

from fraud_proofs.replica import ForeignContract, Replica, Verdict
from state.l1_events import BatchPosted, GenesisSet, L1Event, MessageSent
from state.process_inbox import decode_message
from tests.fraud_proofs.test_replica import follow, play_batches, post
from tests.world import World

Story = tuple[World, list[MessageSent], BatchPosted]


@pytest.fixture(scope="module")
def story() -> Story:
    """A world, its messages, and the first batch, which takes them."""
    world, batches, _ = play_batches(1)
    _, events = follow(world)
    return world, [event for event in events if isinstance(event, MessageSent)], post(batches[0], 1)


@pytest.mark.parametrize("forgery", ["garbage", "another sender", "nothing"])
def test_forged_message(story: Story, forgery: str) -> None:
    """An endpoint tells of a message that the contract never wrote, and of the honest batch that took the real one."""
    world, messages, batch = story
    real = messages[1]
    data = {
        "garbage": b"\xff",
        "another sender": replace(decode_message(real.data), sender=bytes(20)).encode(),
        "nothing": b"",
    }[forgery]
    told = [replace(message, data=data) if message is real else message for message in messages]
    replica = Replica(world.domain)
    events: list[L1Event] = [GenesisSet(world.genesis.encode(), world.genesis_root), *told]
    for event in events:
        replica.apply(event)

    with pytest.raises(ForeignContract, match="inbox"):
        replica.apply(batch)


def test_true_messages(story: Story) -> None:
    """The same batch after the true messages is honest."""
    world, _, batch = story
    verdict = follow(world)[0].apply(batch)

    assert isinstance(verdict, Verdict)
    assert verdict.is_valid
