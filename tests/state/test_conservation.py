"""state/conservation.py: what a change takes from nowhere is found in the leaves that it has written."""

from dataclasses import replace

import pytest

from state.conservation import find_leak
from state.leaves import perpetual
from state.ledger import Ledger
from state.tree import Collection, LeafKey, account_key, leaf_key, underlying_key
from tests.workload import random_steps
from tests.world import World, open_mixed_market

BOOKS = leaf_key(Collection.ASSETS, 0)


def collect_changes(before: dict[LeafKey, bytes], after: dict[LeafKey, bytes]) -> dict[LeafKey, bytes]:
    """What every leaf that differs was."""
    return {key: before.get(key, b"") for key, data in after.items() if before.get(key, b"") != data}


@pytest.mark.parametrize("history", range(4))
def test_nothing_leaks_in_a_random_history(history: int, seed: int) -> None:
    """Neither from step to step nor over many steps at once, settlements and auctions among them."""
    world = open_mixed_market(seed)
    start = dict(world.state.leaves)
    for _ in random_steps(world, 250):
        step = world.steps[-1].leaves
        assert find_leak(collect_changes(step, world.state.leaves), world.state.leaves) is None
    assert find_leak(collect_changes(start, world.state.leaves), world.state.leaves) is None


def trade() -> tuple[World, dict[LeafKey, bytes]]:
    """A trade, and the leaves before it."""
    world = open_mixed_market()
    before = dict(world.state.leaves)
    world.trade("alice", "bob", 0, 100, 17_000_000)
    return world, before


def tell_leak(world: World, before: dict[LeafKey, bytes]) -> str:
    """What is said of all that has changed."""
    return find_leak(collect_changes(before, world.state.leaves), world.state.leaves) or ""


def test_a_unit_from_nowhere_is_found() -> None:
    """One quote unit more in an account than a trade has moved."""
    world, before = trade()
    world.rewrite_account("alice", cash=world.account_of("alice").cash + 1)
    assert tell_leak(world, before) == "1 units of asset 0 from nowhere"


def test_a_fee_that_nobody_books_is_found() -> None:
    """Fees that leave accounts are in the books, or they are lost."""
    world, before = trade()
    world.rewrite(BOOKS, before[BOOKS])
    assert tell_leak(world, before).endswith("of asset 0 from nowhere")


def test_lots_from_nowhere_are_found() -> None:
    """A lot long of which nobody is short, with the open interest to match."""
    world, before = trade()
    world.rewrite_account("alice", positions=((perpetual(0), 101),))
    assert tell_leak(world, before) == "open interest of underlying 0 is 1 lots short"
    underlying = Ledger(world.state.leaves).require_underlying(0)
    world.rewrite(underlying_key(0), replace(underlying, open_interest=101).encode())
    assert tell_leak(world, before) == f"1 lots of {perpetual(0).encode().hex()} from nowhere"


def test_collateral_from_nowhere_is_found() -> None:
    """Ether that custody has not received."""
    world, before = trade()
    world.rewrite_account("bob", collateral=((1, 5),))
    assert tell_leak(world, before) == "5 units of asset 1 from nowhere"


def test_a_house_that_earns_is_found() -> None:
    """Between those who have settled and those who have not nothing may stay with the house."""
    world, before = trade()
    books = Ledger(world.state.leaves).require_asset(0)
    world.rewrite(BOOKS, replace(books, house_cash=7, fees=books.fees - 7).encode())
    assert tell_leak(world, before) == "the house holds 7 units of nobody's"


def test_an_account_that_disappears_is_found() -> None:
    """With all that was in it."""
    world, before = trade()
    world.rewrite(account_key(world.person("carol").account), b"")
    changed = collect_changes(before, world.state.leaves) | {
        account_key(world.person("carol").account): before[account_key(world.person("carol").account)]
    }
    assert find_leak(changed, world.state.leaves) == "-1000000000000 units of asset 0 from nowhere"
