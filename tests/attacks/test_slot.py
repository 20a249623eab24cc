"""Attacks on the sequencer's slot: to hold it and do nothing, to leave it before silence costs."""

import pytest

from tests.contracts.rollup_chain import BOND, BURNED, ETH, SILENCE, WINDOW, Chain, address

NOBODY = address("")


@pytest.fixture
def chain() -> Chain:
    return Chain()


def test_squatter_renews_his_clock(chain: Chain) -> None:
    """A squatter posts nothing, leaves a second before he is silent, and takes the slot again with a new clock."""
    squatter = chain.holder("squatter")
    chain.wait(SILENCE)
    assert not chain.read("is_silent")

    chain.do("withdraw_bond", sender=squatter)

    assert chain.read("balance_of", ETH, squatter) == BOND - BOND // 10
    assert chain.read("balance_of", ETH, BURNED) == BOND // 10
    assert chain.read("required_bond") == 2 * BOND


def test_silent_holder_runs_before_eviction(chain: Chain) -> None:
    """A holder who once served sees his eviction in the pool and takes his bond out before it."""
    holder = chain.holder("holder")
    chain.wait(1)
    index = chain.post(holder)
    chain.wait(WINDOW)
    chain.do("finalise", index)
    assert chain.read("is_silent")

    chain.do("withdraw_bond", sender=holder)

    assert chain.read("balance_of", ETH, BURNED) == BOND // 10


def test_squatter_leaves_and_keeps_his_bond_in(chain: Chain) -> None:
    """A squatter steps out of the slot and in again without touching his bond."""
    squatter = chain.holder("squatter")
    chain.wait(SILENCE)

    chain.do("leave_slot", sender=squatter)

    assert chain.read("bond_of", squatter) == BOND - BOND // 10
    assert chain.refuse("take_slot", sender=squatter) == "rollup: bond"


def test_who_served_leaves_for_nothing(chain: Chain) -> None:
    """The rule against squatters takes nothing from a holder who did his duty, though his batch is still pending."""
    holder = chain.holder("holder")
    index = chain.post(holder)
    assert chain.refuse("withdraw_bond", sender=holder) == "rollup: pending"
    assert chain.refuse("leave_slot", sender=chain.person("other")) == "rollup: holder"

    chain.do("leave_slot", sender=holder)

    assert chain.read("slot_holder") == NOBODY
    assert chain.read("required_bond") == BOND
    chain.wait(WINDOW)
    chain.do("finalise", index)
    chain.do("withdraw_bond", sender=holder)
    assert chain.read("balance_of", ETH, holder) == BOND


def test_service_of_an_earlier_term_does_not_count(chain: Chain) -> None:
    """A squatter serves once, leaves, and lives on that in his next terms."""
    squatter = chain.holder("squatter")
    chain.post(squatter)
    chain.do("leave_slot", sender=squatter)
    chain.do("take_slot", sender=squatter)

    chain.do("leave_slot", sender=squatter)

    assert chain.read("balance_of", ETH, BURNED) == BOND // 10
