"""The end pays everybody by one rule, and never more than there is."""

from collections import defaultdict
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from state.constants import CASH_MAX, CUSTODY_MAX
from state.ledger import Ledger
from state.tree import LeafKey
from state.wind_down import (
    QUOTE,
    Ending,
    NotOwed,
    Payment,
    compute_pot_share_floor,
    compute_seized_ceil,
    compute_share_floor,
)
from tests.conservation import assert_conserved
from tests.ended_world import draw_ended_leaves
from tests.workload import random_steps
from tests.world import open_mixed_market

histories = pytest.mark.parametrize("history", range(12))
Paid = dict[int, list[Payment]]


def end(leaves: dict[LeafKey, bytes], shuffle: Callable[[list[int]], None] = lambda order: None) -> tuple[Ending, Paid]:
    """Register every debtor and pay everybody else, in an order."""
    ending, paid = Ending(leaves), dict[int, list[Payment]]()
    debtors = [account for account, _ in ending.list_debtors()]
    others = [account for account, _ in Ledger(leaves).peek_accounts() if account not in debtors]
    shuffle(debtors)
    shuffle(others)
    for account in debtors:
        paid[account] = ending.register(account)
    for account in others:
        paid[account] = ending.claim(account)
    return ending, paid


def add_up(paid: Paid) -> dict[int, int]:
    """Units by asset."""
    sums: dict[int, int] = defaultdict(int)
    for payments in paid.values():
        for payment in payments:
            sums[payment.asset] += payment.units
    return sums


def assert_fair(leaves: dict[LeafKey, bytes]) -> None:
    """Never more than there is, at one factor, and what is kept back is what was not owed or could not be divided."""
    ending, paid = end(leaves)
    sums = add_up(paid)
    claims = {account: ending.value(account).claim for account in paid}
    owed = {account: claim for account, claim in claims.items() if claim > 0}
    for asset, pool in enumerate(ending.pools):
        assert sums[asset] == pool.custody - pool.left <= pool.custody
    quote = ending.pools[QUOTE]
    # The options of one expiry are discounted together and rounded down: of each there may be a unit that nobody has.
    dated = [{(i.underlying, i.expiry): 0 for i, _ in held.positions} for _, held in Ledger(leaves).peek_accounts()]
    assert 0 <= quote.total - sum(owed.values()) <= sum(map(len, dated)), "claims are not what the books say"
    for account, claim in owed.items():
        units = sum(payment.units for payment in paid[account] if payment.asset == QUOTE)
        assert units == (claim if quote.custody >= quote.total else claim * quote.custody // quote.total)
    if owed:
        assert quote.left <= max(quote.custody - quote.total, 0) + len(owed) + sum(map(len, dated))


@histories
def test_nobody_is_paid_what_is_not_there(history: int, seed: int) -> None:
    """States of ruin: per asset the payments fit custody, and all who are owed bear the same share of what lacks."""
    random = Random(f"{seed} {history}")
    for _ in range(8):
        leaves = draw_ended_leaves(random, random.randrange(2, 9))
        assert_conserved(leaves)
        assert_fair(leaves)


@histories
def test_histories_end_fairly(history: int, seed: int) -> None:
    """Whatever a chain has gone through, it can be paid out: liquidations, settlements, bad debt and all."""
    world = open_mixed_market(seed + history, keep_steps=False)
    for _ in random_steps(world, 60):
        pass
    assert_fair(dict(world.state.leaves))


@histories
def test_order_changes_nothing(history: int, seed: int) -> None:
    """Who registers or is paid first is paid as who comes last."""
    random = Random(f"{seed} {history}")
    leaves = draw_ended_leaves(random)
    _, paid = end(leaves)
    for _ in range(4):
        assert end(leaves, random.shuffle)[1] == paid


@histories
def test_where_nothing_lacks_everybody_is_paid_in_full(history: int, seed: int) -> None:
    """Without debts every unit of every account is paid; fund and fees stay."""
    leaves = draw_ended_leaves(Random(f"{seed} {history}"), is_ruined=False)
    ending, paid = end(leaves)
    for account, held in Ledger(leaves).peek_accounts():
        units = {payment.asset: payment.units for payment in paid[account]}
        assert units == {asset: amount for asset, amount in ((0, held.cash), *held.collateral) if amount}
        assert all(payment.to == held.owner for payment in paid[account])
    for asset, pool in enumerate(ending.pools):
        books = Ledger(leaves).require_asset(asset)
        assert pool.left == books.fund + books.fees


@histories
def test_debts_that_nobody_registers_do_not_reach_what_is_beside_custody(history: int, seed: int) -> None:
    """The first are paid too much and the last too little, but never a unit that was not there; the debtor keeps none
    of what covers his debt."""
    random = Random(f"{seed} {history}")
    for _ in range(4):
        leaves = draw_ended_leaves(random)
        ending, everybody = Ending(leaves), end(leaves)[1]
        debtors = dict(ending.list_debtors())
        order = [account for account, _ in Ledger(leaves).peek_accounts()]
        random.shuffle(order)
        paid = {account: ending.claim(account) for account in order}
        for asset, units in add_up(paid).items():
            assert units <= ending.pools[asset].custody
        for account in debtors:
            assert add_up({account: paid[account]}) == add_up({account: everybody[account]})


@histories
def test_an_account_is_settled_once(history: int, seed: int) -> None:
    """Registered or paid, in either order; who is owed something cannot be registered, and nobody who is not there."""
    leaves = draw_ended_leaves(Random(f"{seed} {history}"))
    ending = Ending(leaves)
    debtors = dict(ending.list_debtors())
    for account, _ in Ledger(leaves).peek_accounts():
        if account in debtors:
            ending.register(account)
        else:
            with pytest.raises(NotOwed, match="owes nothing"):
                ending.register(account)
            ending.claim(account)
        for act in (ending.register, ending.claim):
            with pytest.raises(NotOwed, match="has been settled"):
                act(account)
    with pytest.raises(NotOwed, match="does not exist"):
        ending.claim(99)


@given(
    owed=st.lists(st.integers(0, 2 * CASH_MAX), min_size=1, max_size=9),
    custody=st.integers(0, CUSTODY_MAX),
    pot=st.integers(0, CUSTODY_MAX),
)
def test_shares_fit(owed: list[int], custody: int, pot: int) -> None:
    """Of any claims that make the total the shares fit what there is, and lose less than a unit each."""
    total = sum(owed)
    for held, compute in ((custody, compute_share_floor), (pot, compute_pot_share_floor)):
        paid = sum(compute(one, held, total) for one in owed) if total else 0
        assert paid <= (min(held, total) if compute is compute_share_floor else held)
        assert not total or paid > min(held, total if compute is compute_share_floor else held) - len(owed)


@given(amount=st.integers(1, CUSTODY_MAX), debt=st.integers(1, 2 * CASH_MAX), worth=st.integers(0, 2 * CASH_MAX))
def test_what_is_seized_covers_the_debt(amount: int, debt: int, worth: int) -> None:
    """As far as there is something, and not by a unit more than needed."""
    seized = compute_seized_ceil(amount, debt, worth)
    assert 0 < seized <= amount
    assert seized * worth >= min(debt, worth) * amount
    assert (seized - 1) * worth < min(debt, worth) * amount or worth == 0
