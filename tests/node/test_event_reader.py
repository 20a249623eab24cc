"""A reader sees every event once, in order, and says what to forget when the L1 takes blocks back."""

import pytest

from node.errors import L1Inconsistent, L1Unavailable
from node.event_reader import EventReader
from node.l1 import L1
from node.rollup import Rollup
from node.transactions import Sender
from state.l1_events import GenesisSet, L1Event, MessageSent
from tests.node.flaky_proxy import Answer, Silence, run_proxy
from tests.node.town import Town

ETHER_UNITS = 10**8


@pytest.fixture
def alice(town: Town) -> Sender:
    return town.open_sender("alice")


def amounts(events: tuple[L1Event, ...]) -> list[int]:
    """What was deposited, message by message."""
    return [int.from_bytes(event.data[-8:]) for event in events if isinstance(event, MessageSent)]


def test_every_event_is_seen_once(town: Town, alice: Sender) -> None:
    """From the deployment on, whatever the pace of reading."""
    reader = EventReader(town.rollup)
    first = reader.read()
    assert isinstance(first.events[0], GenesisSet)
    assert not first.is_reorg
    seen = []
    for number in range(1, 7):
        town.deposit_ether(alice, ETHER_UNITS + number)
        if number % 3 == 0:
            reading = reader.read()
            assert not reading.is_reorg
            seen += amounts(reading.events)

    assert seen == [ETHER_UNITS + number for number in range(1, 7)]
    assert reader.read().events == ()


def test_a_reorg_tells_what_to_forget(town: Town, alice: Sender) -> None:
    """After blocks are replaced, reading begins anew at the first that may differ, and what is gone is gone."""
    reader = EventReader(town.rollup)
    known: list[L1Event] = list(reader.read().events)
    town.deposit_ether(alice, ETHER_UNITS)
    known += reader.read().events
    town.deposit_ether(alice, 2 * ETHER_UNITS)
    known += reader.read().events
    town.anvil.request("anvil_rollback", 1)
    town.deposit_ether(town.open_sender("bob"), 3 * ETHER_UNITS)

    reading = reader.read()

    assert reading.is_reorg
    kept = [event for event in known if isinstance(event, GenesisSet) or event.block < reading.first]
    fresh = EventReader(town.rollup).read()
    assert (*kept, *reading.events) == fresh.events
    assert amounts(fresh.events) == [ETHER_UNITS, 3 * ETHER_UNITS]


def test_a_reorg_seen_by_a_broken_read_is_not_forgotten(town: Town, alice: Sender) -> None:
    """The endpoint falls silent in the middle of a read; the next whole read still says that blocks are gone."""
    with run_proxy(town.anvil.url) as proxy:
        reader = EventReader(Rollup(L1([proxy.url]), town.rollup.address))
        reader.read()
        town.deposit_ether(alice, ETHER_UNITS)
        reader.read()
        town.anvil.request("anvil_rollback", 1)
        town.deposit_ether(town.open_sender("bob"), 2 * ETHER_UNITS)
        proxy.rules["eth_getLogs"] = lambda request: Silence()
        with pytest.raises(L1Unavailable):
            reader.read()
        proxy.rules.clear()
        reading = reader.read()

    assert reading.is_reorg
    assert amounts(reading.events) == [2 * ETHER_UNITS]


def test_a_finalized_block_never_changes(town: Town, alice: Sender) -> None:
    """If one does, the endpoint is not to be trusted, and the reader says so instead of following."""
    reader = EventReader(town.rollup)
    town.deposit_ether(alice, ETHER_UNITS)
    town.anvil.request("anvil_mine", 30)
    assert reader.read().finalized > town.deployment.first_block
    town.anvil.request("anvil_rollback", 29)
    town.anvil.request("anvil_mine", 40)

    with pytest.raises(L1Inconsistent, match="was finalized and has changed"):
        reader.read()


def test_a_log_that_was_left_out_is_made_good(town: Town, alice: Sender) -> None:
    """An endpoint that hides a message is found out by the next one, and then everything is read anew."""
    with run_proxy(town.anvil.url) as proxy:
        reader = EventReader(Rollup(L1([proxy.url]), town.rollup.address))
        reader.read()
        town.deposit_ether(alice, ETHER_UNITS)
        proxy.rules["eth_getLogs"] = lambda request: Answer([])
        assert reader.read().events == ()
        proxy.rules.clear()
        town.deposit_ether(alice, 2 * ETHER_UNITS)
        with pytest.raises(L1Inconsistent, match="message must be next"):
            reader.read()
        reading = reader.read()

    assert reading.is_reorg
    assert isinstance(reading.events[0], GenesisSet)
    assert amounts(reading.events) == [ETHER_UNITS, 2 * ETHER_UNITS]


def test_a_first_block_behind_the_deployment_is_named(town: Town) -> None:
    """The genesis would be missing, and the advice says why it may be."""
    town.deposit_ether(town.open_sender("carol"), ETHER_UNITS)
    head = town.l1.get_block().number
    with pytest.raises(L1Inconsistent, match=r"leave l1\.first_block out"):
        EventReader(Rollup(town.l1, town.rollup.address, head)).read()


def test_only_final_blocks_are_read_when_asked(town: Town, alice: Sender) -> None:
    """With the tag `finalized` an event shows once no reorg can take it back."""
    reader = EventReader(town.rollup)
    town.anvil.request("anvil_mine", 20)
    reader.read("finalized")
    town.deposit_ether(alice, ETHER_UNITS)
    assert reader.read("finalized").events == ()

    town.anvil.request("anvil_mine", 20)

    assert amounts(reader.read("finalized").events) == [ETHER_UNITS]
