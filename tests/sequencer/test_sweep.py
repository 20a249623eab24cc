"""Two ways to look at all accounts find the same: one after the other, and side by side in compiled code."""

import random
from collections.abc import Mapping
from dataclasses import replace
from typing import cast

import pytest

from devnet.crash_market import read_shipped
from devnet.crash_replay import Replay, Scene
from sequencer.sweep import AccountSweep, BookSweep
from state.constants import RULES_OFFSET
from state.leaves import Account, decode_account
from state.ledger import Ledger
from state.process_interest import is_interest_due
from state.rules import encode_rules
from state.tree import GLOBALS_KEY, Collection, LeafKey, get_account_index, leaf_key


class BothSweeps:
    """Asks both and compares; counts what was found."""

    def __init__(self) -> None:
        self.book, self.one_by_one = BookSweep(), AccountSweep()
        self.looks = self.found = 0

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


def test_both_sweeps_find_the_same_debtors(seed: int) -> None:
    """Of accounts that owe or do not, with a clock that runs or does not, both name those that are due."""
    chance, sweeps = random.Random(seed), BothSweeps()
    replay = Replay(Scene(read_shipped(), 1_890, 10, people=50), sweeps, lambda exchange: exchange.sealed.clear())
    replay.run(lambda minute, outcome: None)
    leaves = replay.exchange.engine.leaves
    accounts = {
        index: replace(
            cast(Account, decode_account(data)),
            cash=chance.choice((-1, 1)) * 10**15,
            interest_from=chance.choice((0, 1)),
            liquidation_from=chance.choice((0, 0, 1)),
        )
        for key, data in leaves.items()
        if (index := get_account_index(key)) is not None
    }
    ledger, time = Ledger(leaves), Ledger(leaves).get_globals().time
    found = sweeps.find_debtors(ledger, accounts)
    owing = {index: -1 if account.cash < 0 else 0 for index, account in accounts.items()}
    params = ledger.get_params()
    assert sorted(found) == [i for i, held in accounts.items() if is_interest_due(held, owing[i], params, time)]
    assert 0 < len(found) < len(accounts)


class NextVersion:
    """The same leaves when harder parameters have come into force: other correlations, an entry for an underlying that
    is not listed yet, and all that scenarios charge to keep a position doubled."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        state, params, rules = ledger.get_globals(), ledger.get_params(), ledger.get_rules()
        version, entries = state.params_version + 1, [terms._replace(correlation_q20=0) for terms in params.underlyings]
        tiers = [replace(tier, maintenance_factor_q38=2 * tier.initial_factor_q38) for tier in rules.tiers]
        self._leaves = {
            GLOBALS_KEY: replace(state, params_version=version).encode(),
            leaf_key(Collection.PARAMS, version): replace(params, underlyings=(*entries, entries[0])).encode(),
            leaf_key(Collection.PARAMS, RULES_OFFSET + version): encode_rules(replace(rules, tiers=tuple(tiers))),
        }

    def get(self, key: LeafKey, default: bytes, /) -> bytes:
        """As Leaves."""
        return self._leaves.get(key) or self._ledger.get(key) or default


class SweepsAcrossVersions(BothSweeps):
    """Looks also as if a version had just come into force, with sweeps that have seen the one before."""

    def __init__(self) -> None:
        super().__init__()
        self.found_later = 0

    def find_changed(self, ledger: Ledger, accounts: Mapping[int, Account]) -> list[int]:
        """As sequencer.keeper.Sweep."""
        found = super().find_changed(ledger, accounts)
        later = Ledger(NextVersion(ledger))
        found_later = self.book.find_changed(later, accounts)
        assert sorted(found_later) == sorted(self.one_by_one.find_changed(later, accounts))
        self.found_later += len(found_later)
        return found


def test_sweeps_see_a_new_version_at_once() -> None:
    """Nothing of the old rules is kept between two looks: under harder ones both find the same, and more of it."""
    sweeps = SweepsAcrossVersions()
    Replay(Scene(read_shipped(), 2_200, 12, people=60), sweeps, lambda exchange: exchange.sealed.clear()).run(
        lambda minute, outcome: None
    )
    assert sweeps.found_later > sweeps.found
