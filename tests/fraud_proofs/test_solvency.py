"""fraud_proofs/solvency.py: what an audit tells of a whole state."""

from fraud_proofs.solvency import examine_solvency
from state.leaves import perpetual
from tests.workload import random_steps
from tests.world import World, open_mixed_market


def find_departures(world: World) -> tuple[str, ...]:
    return examine_solvency(world.state.leaves).departures


def test_an_honest_state_departs_from_nothing(seed: int) -> None:
    """Whatever has happened, settlements and auctions among it; those who may fall short come worst first."""
    world = open_mixed_market(seed)
    for _ in random_steps(world, 250):
        pass
    solvency = examine_solvency(world.state.leaves)
    assert solvency.departures == ()
    surpluses = [account.maintenance for account in solvency.accounts]
    assert surpluses
    assert surpluses == sorted(surpluses)


def test_every_invariant_that_is_broken_is_named() -> None:
    """A unit of cash and a lot from nowhere are three departures: of money, of open interest, of positions."""
    world = open_mixed_market()
    world.trade("alice", "bob", 0, 100, 17_000_000)
    assert find_departures(world) == ()
    alice = world.account_of("alice")
    world.rewrite_account("alice", cash=alice.cash + 1, positions=((perpetual(0), 101),))
    assert find_departures(world) == (
        "1 units of asset 0 from nowhere",
        "open interest of underlying 0 is 1 lots short",
        f"1 lots of {perpetual(0).encode().hex()} from nowhere",
    )
