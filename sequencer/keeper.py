"""The keeper: what the chain owes its accounts whether anybody asks or not.

After every price it looks at all accounts and posts what is due, in this order: baskets priced anew, expired positions
settled, interest charged, auctions begun and ended and debts written off, and, where an auction has failed, positions
deleveraged. None of it is the node's discretion: every op is judged by checks that anyone can have judged on L1.

Which accounts are short of margin or owe quote is asked of a sweep (sweep.py); the op's own claims decide. Interest is
looked at once in INTEREST_PERIOD of state time, so that what has begun at one look is due at the next.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Protocol, cast

from sequencer.engine import MESSAGE_KINDS, Accepted, Engine
from sequencer.oplog import LogRecord, RecordKind
from state.codes import Kind
from state.constants import INTEREST_PERIOD
from state.leaves import Account, Instrument, Params, decode_account, decode_expiry, may_owe
from state.ledger import Ledger
from state.operations import Index, Operation, Settle
from state.process_deleverage import claim_deleverage, compute_value, find_first
from state.process_interest import claim_interest
from state.process_liquidate import claim_liquidate, is_only_debt_left
from state.tree import LeafKey, expiry_key, get_account_index

_PRICE_KINDS = (Kind.ORACLE, Kind.SURFACE, Kind.TAKE, *MESSAGE_KINDS)

DELEVERAGES_AT_ONCE = 16
"""Of one account in one look: each needs a look at everybody."""


class Sweep(Protocol):
    """Which of many accounts are short of margin, or no longer: the seam behind which other machines may stand."""

    def find_changed(self, ledger: Ledger, accounts: Mapping[int, Account]) -> Iterable[int]:
        """Accounts whose auction should begin or end at the prices that the ledger shows."""
        ...

    def find_debtors(self, ledger: Ledger, accounts: Mapping[int, Account]) -> Iterable[int]:
        """Accounts for which interest is to be charged, or its clock started or stopped."""
        ...


class Keeper:
    """One for one engine. It stops, and goes on at the next look, when the open batch has `bytes_max` bytes."""

    def __init__(self, engine: Engine, sweep: Sweep, bytes_max: int) -> None:
        self._engine = engine
        self._sweep = sweep
        self._bytes_max = bytes_max
        self._held: dict[int, Account] = {}
        self._is_unfinished = False
        self._charged_at = 0  # state time of the last whole look at interest
        engine.touched.clear()
        self._observe(engine.leaves)

    def _observe(self, leaves: Mapping[LeafKey, bytes]) -> None:
        """Leaves that have been written, or all of them."""
        for key, data in leaves.items():
            index = get_account_index(key)
            if index is None:
                continue
            if may_owe(data):
                self._held[index] = cast(Account, decode_account(data))
            else:
                self._held.pop(index, None)

    def is_in_auction(self, account: int) -> bool:
        """Whether an account is up for auction."""
        held = self._held.get(account)
        return held is not None and held.liquidation_from > 0

    def is_due(self, records: Iterable[LogRecord]) -> bool:
        """Whether a look is worth while behind these records: a price has come, or time has passed in an auction."""
        kinds = {record.body[0] for record in records if record.kind is RecordKind.POSTED}
        is_waiting = any(held.liquidation_from for held in self._held.values()) if Kind.TICK in kinds else False
        return self._is_unfinished or is_waiting or not kinds.isdisjoint(_PRICE_KINDS)

    def keep(self) -> list[LogRecord]:
        """Post everything that is due; answers the records, which are to be made durable like any others."""
        records: list[LogRecord] = []
        self._is_unfinished = False
        self._catch_up()
        due: list[Index | Settle] = [*self._list_baskets(), *self._list_settlements()]
        for op in due:
            self._post(partial(_place, op), records)
        self._charge(records)
        ledger = Ledger(self._engine.leaves)
        for account in list(self._sweep.find_changed(ledger, self._held)):
            self._liquidate(account, records)
        for account in [index for index, held in self._held.items() if is_only_debt_left(held)]:
            self._liquidate(account, records)
        for account in list(self._held):
            self._deleverage(account, records)
        return records

    def _catch_up(self) -> None:
        self._observe(self._engine.touched)
        self._engine.touched.clear()

    def _post(self, build: Callable[[Ledger, int], Operation], records: list[LogRecord]) -> bool:
        if self._engine.pending_bytes >= self._bytes_max:
            self._is_unfinished = True
            return False
        outcome = self._engine.keep(build)
        if not isinstance(outcome, Accepted):
            return False
        records += outcome.records
        self._catch_up()
        return True

    def _charge(self, records: list[LogRecord]) -> None:
        time = self._engine.globals.time
        if time < self._charged_at + INTEREST_PERIOD:
            return
        for account in list(self._sweep.find_debtors(Ledger(self._engine.leaves), self._held)):
            self._post(partial(_claim_interest, account), records)
        if not self._is_unfinished:
            self._charged_at = time

    def _liquidate(self, account: int, records: list[LogRecord]) -> None:
        self._post(lambda ledger, position: claim_liquidate(ledger, position, account), records)

    def _list_baskets(self) -> list[Index]:
        ledger = Ledger(self._engine.leaves)
        underlyings = [ledger.require_underlying(index) for index in range(ledger.get_globals().underlying_count)]
        return [
            Index(0, index)
            for index, basket in enumerate(underlyings)
            if basket.basket and min(underlyings[part].oracle_time for part, _ in basket.basket) > basket.oracle_time
        ]

    def _list_settlements(self) -> list[Settle]:
        time = self._engine.globals.time
        return [
            Settle(0, index)
            for index, account in self._held.items()
            if any(0 < held.expiry <= time and self._is_settled(held) for held, _ in account.positions)
        ]

    def _is_settled(self, instrument: Instrument) -> bool:
        expiry = decode_expiry(self._engine.leaves.get(expiry_key(instrument.underlying, instrument.expiry), b""))
        return expiry is not None and expiry.settlement > 0

    def _deleverage(self, bankrupt: int, records: list[LogRecord]) -> None:
        """Close the account's positions one after the other against whoever is first in line, as long as it must."""
        for _ in range(DELEVERAGES_AT_ONCE):
            account, ledger = self._held.get(bankrupt), Ledger(self._engine.leaves)
            params, time = ledger.get_params(), ledger.get_globals().time
            if account is None or not account.positions or not is_overdue(account, params, time):
                return
            instrument, quantity = account.positions[0]

            def build(ledger: Ledger, position: int, held: int = quantity, what: Instrument = instrument) -> Operation:
                return build_deleverage(ledger, position, bankrupt, what, held)

            if not self._post(build, records):
                return


def is_overdue(account: Account, params: Params, time: int) -> bool:
    """Whether both phases of an account's auction have passed."""
    return account.liquidation_from > 0 and time >= account.liquidation_from + 2 * params.auction_seconds


def build_deleverage(ledger: Ledger, position: int, bankrupt: int, instrument: Instrument, held: int) -> Operation:
    """The next closing of a bankrupt's position, with whoever is first in line on the other side."""
    claimed = claim_deleverage(ledger, position, bankrupt, bankrupt, instrument, abs(held))
    value = compute_value(ledger, claimed, ledger.require_underlying(instrument.underlying))
    first = find_first(ledger, instrument, value, -held)
    if first is None:
        return claimed
    quantity = min(abs(held), first.lots)
    return claim_deleverage(ledger, position, bankrupt, first.account, instrument, quantity)


def _claim_interest(account: int, ledger: Ledger, position: int) -> Operation:
    return claim_interest(ledger, position, account)


def _place(op: Index | Settle, ledger: Ledger, position: int) -> Operation:
    return replace(op, position=position)
