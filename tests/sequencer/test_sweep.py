"""Two ways to look at all accounts find the same: one after the other, and side by side in compiled code."""

from collections.abc import Mapping

import pytest

from devnet.crash_market import read_shipped
from devnet.crash_replay import Replay, Scene
from sequencer.sweep import AccountSweep, BookSweep
from state.leaves import Account
from state.ledger import Ledger


class BothSweeps:
    """Asks both and compares; counts what was found."""

    def __init__(self) -> None:
        self.book, self.one_by_one = BookSweep(), AccountSweep()
        self.looks = self.found = self.debtors = 0

    def find_changed(self, ledger: Ledger, accounts: Mapping[int, Account]) -> list[int]:
        """As sequencer.keeper.Sweep."""
        found = self.book.find_changed(ledger, accounts)
        assert sorted(found) == sorted(self.one_by_one.find_changed(ledger, accounts))
        self.looks += 1
        self.found += len(found)
        return found

    def find_debtors(self, ledger: Ledger, accounts: Mapping[int, Account]) -> list[int]:
        """As sequencer.keeper.Sweep."""
        found = self.book.find_debtors(ledger, accounts)
        assert sorted(found) == sorted(self.one_by_one.find_debtors(ledger, accounts))
        self.debtors += len(found)
        return found


@pytest.mark.parametrize("first", [1_890, 2_200])
def test_both_sweeps_find_the_same_accounts(first: int) -> None:
    """Through minutes of falling prices, and past an expiry, whoever falls short is found by both."""
    sweeps = BothSweeps()
    Replay(Scene(read_shipped(), first, 60, people=100), sweeps, lambda exchange: exchange.sealed.clear()).run(
        lambda minute, outcome: None
    )
    assert sweeps.looks >= 59
    assert sweeps.found > 0
    assert sweeps.debtors > 0
