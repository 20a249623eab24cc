"""Attacks by gifts: what anybody can put into another's account must not tie that account's hands."""

import pytest

from state.codes import Code, MessageCode
from state.process_inbox import MessageType, encode_amount
from tests.world import World, open_market

BTC, ETH = 0, 1
PRICE = 17_000_000


@pytest.fixture
def world() -> World:
    """Alice is long, Mallory has given her one unit of ether, and the price of ether has not been told for long."""
    world = open_market(people=("alice", "bob", "mallory"), keep_steps=False)
    world.trade("alice", "bob", BTC, 100, PRICE)
    mallory, alice = world.person("mallory"), world.person("alice")
    world.send(MessageType.DEPOSIT, mallory.address, alice.account, encode_amount(ETH, 1))
    world.tick(400)
    world.price(BTC, PRICE)
    return world


def test_dust_of_a_stale_asset_blocks_no_withdrawal(world: World) -> None:
    """A unit of an asset without a fresh price is sent to a trader, so that he can withdraw nothing."""
    world.play(world.sign_withdraw("alice", 1_000_000))


def test_dust_of_a_stale_asset_blocks_no_forced_withdrawal(world: World) -> None:
    """The same closes the door through L1."""
    alice = world.person("alice")
    payload = encode_amount(0, 1_000_000)
    receipt = world.send(MessageType.FORCE_WITHDRAW, alice.address, alice.account, payload).receipt

    assert receipt.message_code is MessageCode.DONE


def test_dust_of_a_stale_asset_blocks_no_trade(world: World) -> None:
    """The same keeps a market maker from trading."""
    world.trade("alice", "bob", BTC, 5, PRICE)


def test_stale_collateral_covers_nothing(world: World) -> None:
    """What has no fresh price is no cover: a trader who lives on it alone can take on nothing."""
    world.deposit("alice", 10**12, ETH)
    world.rewrite_account("alice", cash=-100 * PRICE)
    assert world.refuse(world.sign_withdraw("alice", 1)) is Code.WITHDRAW_BALANCE_MUST_COVER
    assert world.refuse(world.sign_transfer("alice", "bob", 1, ETH)) is Code.TRANSFER_MARGIN_MUST_HOLD

    world.price(ETH, 7_000_000)

    world.play(world.sign_transfer("alice", "bob", 1, ETH, position=world.position))


def test_stale_mark_still_blocks(world: World) -> None:
    """A stale price of what he holds is another matter: nobody knows what he is worth."""
    world.tick(301)
    assert world.refuse(world.sign_withdraw("alice", 1_000_000)) is Code.WITHDRAW_MARGIN_MUST_HOLD
