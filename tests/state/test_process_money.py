"""state/process_money.py: what an account's own key may send away."""

import pytest

from state.codes import Code, Kind, MessageCode
from state.leaves import Asset, Withdrawal, decode_withdrawal
from state.ledger import Ledger
from state.tree import Collection, leaf_key
from tests.stories import Story, list_stories
from tests.world import open_market

CASH = 1_000_000_000_000


@pytest.mark.parametrize("story", list_stories(Kind.TRANSFER, Kind.WITHDRAW), ids=lambda story: story.name)
def test_refusals(story: Story) -> None:
    """The story's op is refused with just its code, and the op beside it is not."""
    refused, accepted = story.tell()
    assert refused.outcome is story.code
    assert accepted.outcome is MessageCode.DONE


def test_a_transfer_moves_cash() -> None:
    """What Alice sends Bob has; the sequence is used."""
    world = open_market()
    world.play(world.sign_transfer("alice", "bob", 300, sequence=9))
    assert (world.account_of("alice").cash, world.account_of("bob").cash) == (CASH - 300, CASH + 300)
    assert (world.account_of("alice").sequence, world.account_of("bob").sequence) == (9, 0)


def test_a_transfer_moves_collateral() -> None:
    """Ether appears in one account and disappears from the other; an amount of 0 is no entry."""
    world = open_market()
    world.deposit("alice", 500, asset=1)
    world.play(world.sign_transfer("alice", "bob", 200, 1))
    assert (world.account_of("alice").collateral, world.account_of("bob").collateral) == (((1, 300),), ((1, 200),))
    world.play(world.sign_transfer("alice", "bob", 300, 1))
    assert (world.account_of("alice").collateral, world.account_of("bob").collateral) == ((), ((1, 500),))


def test_a_withdrawal_goes_to_the_outbox() -> None:
    """The owner may claim on L1 what has left account and custody; withdrawals are numbered from 0."""
    world = open_market()
    results = [world.play(world.sign_withdraw("alice", amount)) for amount in (300, 5)]
    assert [result.receipt.withdrawal for result in results] == [0, 1]
    ledger, alice = Ledger(world.state.leaves), world.person("alice")
    leaves = [decode_withdrawal(world.state.leaves[leaf_key(Collection.OUTBOX, number)]) for number in (0, 1)]
    assert leaves == [Withdrawal(alice.address, 0, amount, alice.account) for amount in (300, 5)]
    assert ledger.require_account(alice.account).cash == CASH - 305
    assert ledger.require_asset(0) == Asset(custody=3 * CASH - 305)
    assert world.globals.outbox_count == 2


def test_a_gain_can_be_withdrawn_before_it_is_realised() -> None:
    """Alice's cash is deep below 0, for she paid for her lots; what counts is what they are worth."""
    world = open_market()
    world.trade("alice", "bob", 0, 100_000, 17_000_000)
    assert world.account_of("alice").cash < 0
    world.tick(1)
    world.price(0, 18_000_000)
    world.play(world.sign_withdraw("alice", CASH - 180_000_000_000))


def test_sequences_may_leave_gaps() -> None:
    """Any higher number will do, and the highest possible is the last."""
    world = open_market()
    world.play(world.sign_withdraw("alice", 1, sequence=(1 << 64) - 1))
    assert world.refuse(world.sign_withdraw("alice", 1, sequence=(1 << 64) - 1)) is Code.WITHDRAW_SEQUENCE_MUST_RISE
