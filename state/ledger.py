"""A typed view over leaves for one step: it records what the step reads, in order, and holds back what it writes.

A step that turns out invalid is dropped with its ledger; a valid one's `writes` are the whole change. The reads are
what a proof of the step must supply (SPEC.md section 6, column "reads").
"""

import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol, TypeVar

from risk.parameters import Parameters
from state.constants import RULES_OFFSET
from state.leaves import (
    Account,
    Asset,
    Expiry,
    Globals,
    Order,
    Params,
    Underlying,
    Withdrawal,
    decode_account,
    decode_asset,
    decode_expiry,
    decode_globals,
    decode_order,
    decode_params,
    decode_underlying,
)
from state.rules import decode_rules
from state.tree import (
    GLOBALS_KEY,
    Collection,
    LeafKey,
    account_key,
    expiry_key,
    leaf_key,
    order_key,
    underlying_key,
)


class SubjectMissing(Exception):
    """An effect needs a leaf that is empty. A valid step never meets this: one of its checks has failed before."""


class BoundPassed(SubjectMissing):
    """An effect would carry a number out of its field. A valid step never meets this either."""


class Leaves(Protocol):
    """What a ledger reads through to: leaves by key, as a dictionary gives them."""

    def get(self, key: LeafKey, default: bytes, /) -> bytes:
        """The leaf's bytes, or the default where there is none."""


class Encodable(Protocol):
    """A leaf's value."""

    def encode(self) -> bytes:
        """The leaf's bytes. Raises struct.error or OverflowError for a number that does not fit."""


Value = TypeVar("Value")


class Slot(NamedTuple):
    """Where an order stands."""

    account: int
    slot: int


class Exhibit(NamedTuple):
    """The scenarios that a proof names for an account before and after an op, a byte for each underlying with options
    (active_scenarios.py); None stands for the worst ones."""

    before: bytes | None
    after: bytes | None

    def encode(self) -> bytes:
        """16 bytes, of named ones."""
        assert self.before is not None
        assert self.after is not None
        return self.before + self.after


class Ledger:
    """Reads through to `leaves`; `reads` and `writes` are ordered by first touch.

    A leaf is decoded once a step: the checks of one op ask for the same few again and again. `shared` is where they
    keep for each other what follows from leaves; every write empties it.

    `exhibit_at` says before which of the reads the scenarios of a proof stand, None where no margin was read;
    `list_exhibits` which are worth showing against the check that read it. A proof's ledger has them `exhibited`.
    """

    __slots__ = ("_leaves", "_values", "exhibit_at", "exhibited", "list_exhibits", "reads", "shared", "writes")

    def __init__(self, leaves: Leaves) -> None:
        self._leaves = leaves
        self.reads: dict[LeafKey, bytes] = {}
        self.writes: dict[LeafKey, bytes] = {}
        self._values: dict[LeafKey, object] = {}
        self.shared: dict[object, object] = {}
        self.exhibited: Exhibit | None = None
        self.exhibit_at: int | None = None
        self.list_exhibits: Callable[[], tuple[Exhibit, ...]] = tuple

    def get(self, key: LeafKey) -> bytes:
        """A leaf's bytes as this step sees them; empty when there is none."""
        if key in self.writes:
            return self.writes[key]
        if key not in self.reads:
            self.reads[key] = self._leaves.get(key, b"")
        return self.reads[key]

    def put(self, key: LeafKey, data: bytes) -> None:
        """Write a leaf. It counts as read first, since a proof must authenticate what it replaces."""
        self.get(key)
        self.writes[key] = data
        self._values.pop(key, None)
        self.shared.clear()

    def view(self, key: LeafKey, decode: Callable[[bytes], Value | None]) -> Value | None:
        """A leaf's value as this step sees it; each key has one decoder."""
        known = self._values.get(key)
        if known is None:
            known = self._values[key] = decode(self.get(key))
        return known  # type: ignore[return-value]

    def put_value(self, key: LeafKey, value: Encodable) -> None:
        """Write a leaf. Raises BoundPassed."""
        try:
            data = value.encode()
        except (struct.error, OverflowError) as error:
            raise BoundPassed(str(error)) from None
        self.put(key, data)
        self._values[key] = value

    def get_globals(self) -> Globals:
        """The globals leaf; every state has one."""
        found = self.view(GLOBALS_KEY, decode_globals)
        if found is None:
            raise SubjectMissing("globals")
        return found

    def put_globals(self, value: Globals) -> None:
        """Replace the globals."""
        self.put_value(GLOBALS_KEY, value)

    def get_params(self) -> Params:
        """The active parameters; reads globals for their version."""
        version = self.get_globals().params_version
        found = self.view(leaf_key(Collection.PARAMS, version), decode_params)
        if found is None:
            raise SubjectMissing("params")
        return found

    def get_next_params(self) -> Params | None:
        """The parameters that wait for their day; None when none do, or no version may follow."""
        version = self.get_globals().params_version + 1
        if version >= RULES_OFFSET:
            return None
        return self.view(leaf_key(Collection.PARAMS, version), decode_params)

    def get_rules(self) -> Parameters:
        """The active rules of margin; reads globals for their version."""
        version = self.get_globals().params_version
        found = self.view(leaf_key(Collection.PARAMS, RULES_OFFSET + version), decode_rules)
        if found is None:
            raise SubjectMissing("rules")
        return found

    def peek_accounts(self) -> Iterator[tuple[int, Account]]:
        """Every account in order, as it was before the step. A proof cannot show them all, so these are no reads."""
        for index in range(1, self.get_globals().account_count):
            account = decode_account(self._leaves.get(account_key(index), b""))
            if account is not None:
                yield index, account

    def get_account(self, account: int) -> Account | None:
        """None for an account that was never created."""
        return self.view(account_key(account), decode_account)

    def require_account(self, account: int) -> Account:
        """The account. Raises SubjectMissing."""
        found = self.get_account(account)
        if found is None:
            raise SubjectMissing("account")
        return found

    def put_account(self, account: int, value: Account) -> None:
        """Replace an account."""
        self.put_value(account_key(account), value)

    def get_order(self, slot: Slot) -> Order | None:
        """None for a slot that was never used."""
        return self.view(order_key(slot.account, slot.slot), decode_order)

    def require_order(self, slot: Slot) -> Order:
        """The order that lives in a slot, its legs readable. Raises SubjectMissing."""
        found = self.get_order(slot)
        if found is None or not found.legs:
            raise SubjectMissing("order")
        return found

    def put_order(self, slot: Slot, value: Order) -> None:
        """Replace a slot's order."""
        self.put_value(order_key(slot.account, slot.slot), value)

    def get_underlying(self, underlying: int) -> Underlying | None:
        """None when not listed."""
        return self.view(underlying_key(underlying), decode_underlying)

    def require_underlying(self, underlying: int) -> Underlying:
        """The underlying. Raises SubjectMissing."""
        found = self.get_underlying(underlying)
        if found is None:
            raise SubjectMissing("underlying")
        return found

    def put_underlying(self, underlying: int, value: Underlying) -> None:
        """Replace an underlying."""
        self.put_value(underlying_key(underlying), value)

    def get_expiry(self, underlying: int, expiry: int) -> Expiry | None:
        """None for an expiry without a surface."""
        return self.view(expiry_key(underlying, expiry), decode_expiry)

    def require_expiry(self, underlying: int, expiry: int) -> Expiry:
        """The expiry. Raises SubjectMissing."""
        found = self.get_expiry(underlying, expiry)
        if found is None:
            raise SubjectMissing("expiry")
        return found

    def put_expiry(self, underlying: int, expiry: int, value: Expiry) -> None:
        """Replace an expiry."""
        self.put_value(expiry_key(underlying, expiry), value)

    def require_asset(self, asset: int) -> Asset:
        """The asset's books. Raises SubjectMissing."""
        found = self.view(leaf_key(Collection.ASSETS, asset), decode_asset)
        if found is None:
            raise SubjectMissing("asset")
        return found

    def put_asset(self, asset: int, value: Asset) -> None:
        """Replace an asset's books."""
        self.put_value(leaf_key(Collection.ASSETS, asset), value)

    def put_withdrawal(self, index: int, value: Withdrawal) -> None:
        """Write the next outbox leaf."""
        self.put_value(leaf_key(Collection.OUTBOX, index), value)
