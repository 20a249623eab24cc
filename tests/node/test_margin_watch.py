"""Margin calls over a real gateway: the level at once, then each change, and nothing in between."""

from contextlib import aclosing

import pytest
import trio

from node.client import Client, open_client
from node.feed import FEED_FULL
from node.gateway import ARGUMENT_WRONG, Gateway, MethodError
from node.margin_watch import MarginWatch, rate_margin
from node.wallet_trading_commands import describe_call
from risk.margin_calls import CallLevel
from state.ledger import Ledger
from state.process_liquidate import claim_liquidate
from tests.world import World, open_market

MARK = 17_000_000
LOTS = 1_000


def open_long() -> World:
    """Alice has bought from Bob, and withdrawn what she did not need beside her position twice over."""
    world = open_market(keep_steps=False)
    world.trade("alice", "bob", 0, LOTS, MARK)
    margin = rate_margin(Ledger(world.state.leaves), world.person("alice").account)
    world.play(world.sign_withdraw("alice", margin.initial - 2 * (margin.maintenance - margin.initial)))
    return world


def move(world: World, change: int) -> None:
    """A second later the price is another."""
    world.tick(1)
    world.price(0, MARK + change)


async def test_each_level_is_told_once_in_order() -> None:
    """As the price falls: nothing, then watch, call and liquidation; and none again when it has risen."""
    world = open_long()
    account = world.person("alice").account
    watch = MarginWatch(lambda: world.state.leaves)
    at_first = rate_margin(Ledger(world.state.leaves), account)
    assert at_first.level is CallLevel.NONE
    beyond = (at_first.maintenance - at_first.initial) // LOTS
    async with trio.open_nursery() as nursery:
        port = await nursery.start(Gateway({}, streams=watch.streams).serve, "127.0.0.1", 0)
        async with open_client("127.0.0.1", port) as client, aclosing(client.stream("margin_calls", account)) as calls:
            assert await anext(calls) == list(at_first)
            falls = (
                (-beyond * 3 // 2, CallLevel.WATCH),
                (-beyond * 9 // 4, CallLevel.CALL),
                (-beyond * 4, CallLevel.LIQUIDATION),
                (0, CallLevel.NONE),
            )
            for change, level in falls:
                move(world, change)
                watch.announce()
                watch.announce()
                with trio.fail_after(5):
                    call = await anext(calls)
                assert call == list(rate_margin(Ledger(world.state.leaves), account))
                assert call[0] is level.value
                assert level.name in describe_call(account, call)
        nursery.cancel_scope.cancel()


def test_who_is_in_auction_is_told_so() -> None:
    """An auction is told as long as it runs, whatever the price has become."""
    world = open_long()
    account = world.person("alice").account
    move(world, -MARK // 2)
    world.play(claim_liquidate(Ledger(world.state.leaves), world.position, account))
    move(world, 0)
    assert rate_margin(Ledger(world.state.leaves), account).level is CallLevel.LIQUIDATION


async def test_who_cannot_be_watched_is_told_why() -> None:
    """No such account, or one watcher too many; the place of one who has left is free."""
    world = open_long()
    watch = MarginWatch(lambda: world.state.leaves, watchers_max=1)
    async with trio.open_nursery() as nursery:
        port = await nursery.start(Gateway({}, streams=watch.streams).serve, "127.0.0.1", 0)
        async with open_client("127.0.0.1", port) as client:
            assert await refuse(client, 0) == ARGUMENT_WRONG
            assert await refuse(client, 999) == ARGUMENT_WRONG
            async with aclosing(client.stream("margin_calls", 1)) as calls:
                await anext(calls)
                async with open_client("127.0.0.1", port) as other:
                    assert await refuse(other, 2) == FEED_FULL
        nursery.cancel_scope.cancel()


async def refuse(client: Client, account: int) -> int:
    """The code with which a watch ends."""
    with pytest.raises(MethodError) as refused:
        async with aclosing(client.stream("margin_calls", account)) as calls:
            await anext(calls)
    return refused.value.code
