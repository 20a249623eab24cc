"""state/ledger.py: what a step reads is recorded in order, what it writes is held back."""

import pytest

from state.leaves import Account, Asset, Order, Underlying, Withdrawal, perpetual
from state.ledger import BoundPassed, Ledger, Slot, SubjectMissing
from state.tree import GLOBALS_KEY, Collection, account_key, leaf_key, order_key, underlying_key
from tests.world import World

OWNER = bytes(20)


def test_reads_are_recorded_once_and_in_order() -> None:
    """A leaf is read where it is first asked for, there or not; asking again adds nothing."""
    ledger = Ledger(World().state.leaves)
    ledger.get_account(7)
    ledger.get_params()
    ledger.get_account(7)
    ledger.get_underlying(2)
    assert list(ledger.reads) == [account_key(7), GLOBALS_KEY, leaf_key(Collection.PARAMS, 0), underlying_key(2)]
    assert ledger.reads[account_key(7)] == b""


def test_writes_are_seen_by_the_step_alone() -> None:
    """What a step wrote it reads back; the leaves beneath are as they were, and so is what it read first."""
    leaves = {account_key(7): Account(OWNER, cash=1).encode()}
    ledger = Ledger(leaves)
    ledger.put_account(7, Account(OWNER, cash=2))
    assert ledger.require_account(7).cash == 2
    assert ledger.reads == leaves
    assert ledger.writes == {account_key(7): Account(OWNER, cash=2).encode()}
    assert Ledger(leaves).require_account(7).cash == 1


def test_a_value_is_what_its_bytes_say_however_it_was_written() -> None:
    """What a step put, as a value or as bytes, it reads back as anybody would decode it."""
    leaves = {account_key(7): Account(OWNER, cash=1).encode()}
    ledger = Ledger(leaves)
    assert ledger.require_account(7).cash == 1
    ledger.put(account_key(7), Account(OWNER, cash=2).encode())
    assert ledger.require_account(7).cash == 2
    ledger.put_account(7, Account(OWNER, cash=3))
    assert ledger.require_account(7) == Ledger(ledger.writes).require_account(7)
    ledger.put(account_key(7), b"")
    assert ledger.get_account(7) is None


def test_a_write_counts_as_read() -> None:
    """A proof must authenticate what a write replaces, even if nothing asked for it."""
    ledger = Ledger({})
    ledger.put_withdrawal(3, Withdrawal(OWNER, 0, 1, 1))
    assert ledger.reads == {leaf_key(Collection.OUTBOX, 3): b""}


def test_what_must_be_there_and_is_not() -> None:
    """Each kind of leaf has a way to be asked for that fails when it is empty."""
    ledger = Ledger({})
    for ask in (
        ledger.get_globals,
        ledger.get_params,
        lambda: ledger.require_account(1),
        lambda: ledger.require_order(Slot(1, 0)),
        lambda: ledger.require_underlying(0),
        lambda: ledger.require_asset(0),
    ):
        with pytest.raises(SubjectMissing):
            ask()


def test_params_need_their_version() -> None:
    """The globals name a version of the parameters that may not exist."""
    leaves = dict(World().state.leaves)
    del leaves[leaf_key(Collection.PARAMS, 0)]
    with pytest.raises(SubjectMissing):
        Ledger(leaves).get_params()


def test_a_cancelled_order_has_no_legs_to_trade() -> None:
    """Its counter can be asked for; the order itself is not there."""
    leaves = {order_key(1, 0): Order(counter=5).encode()}
    order = Ledger(leaves).get_order(Slot(1, 0))
    assert order is not None
    assert order.counter == 5
    with pytest.raises(SubjectMissing):
        Ledger(leaves).require_order(Slot(1, 0))
    living = {order_key(1, 0): Order(counter=5, legs=((perpetual(0), 1),)).encode()}
    assert Ledger(living).require_order(Slot(1, 0)).counter == 5


def test_a_number_outside_its_field_is_no_leaf() -> None:
    """What does not fit is not written."""
    ledger = Ledger({})
    for put in (
        lambda: ledger.put_order(Slot(1, 0), Order(counter=1, remaining=-1)),
        lambda: ledger.put_account(1, Account(OWNER, cash=1 << 127)),
        lambda: ledger.put_account(1, Account(OWNER, collateral=((1, -1),))),
        lambda: ledger.put_asset(0, Asset(custody=-1)),
        lambda: ledger.put_underlying(0, Underlying(bytes(8), open_interest=1 << 64)),
    ):
        with pytest.raises(BoundPassed):
            put()
    assert ledger.writes == {}
