"""What no history may break: money and positions are conserved, and are counted where they stand."""

from collections import defaultdict
from collections.abc import Mapping

from state.leaves import Account, Instrument
from state.ledger import Ledger
from state.marks import compute_payoff
from state.tree import Collection, LeafKey, get_collection, get_index


def list_accounts(leaves: Mapping[LeafKey, bytes]) -> dict[int, Account]:
    """Every account by its index."""
    ledger = Ledger(leaves)
    keys = [key for key in leaves if get_collection(key) == Collection.ACCOUNTS]
    return {get_index(key): ledger.require_account(get_index(key)) for key in keys}


def assert_conserved(leaves: Mapping[LeafKey, bytes]) -> None:
    """Accounts and books add up to custody, longs to open interest, positions to 0; and once some have settled, what
    the others are still paid is what the house holds."""
    ledger, accounts = Ledger(leaves), list_accounts(leaves).values()
    state = ledger.get_globals()
    held = defaultdict[int, int](int)
    lots = defaultdict[Instrument, list[int]](list)
    for account in accounts:
        held[0] += account.cash
        for asset, amount in account.collateral:
            held[asset] += amount
        for instrument, quantity in account.positions:
            lots[instrument].append(quantity)
    for asset in range(state.asset_count):
        books = ledger.require_asset(asset)
        booked = books.house_cash + books.fund + books.fees - books.bad_debt
        assert held[asset] + booked == books.custody, f"asset {asset} is not conserved"
    assert all(asset < state.asset_count for asset in held)
    longs, unpaid = defaultdict[int, int](int), 0
    for instrument, quantities in lots.items():
        expiry = ledger.require_expiry(instrument.underlying, instrument.expiry) if instrument.expiry else None
        if expiry is not None and expiry.settlement:
            unpaid += sum(quantities) * compute_payoff(instrument, expiry.settlement)
        else:
            assert sum(quantities) == 0, f"{instrument} is not conserved"
        longs[instrument.underlying] += sum(quantity for quantity in quantities if quantity > 0)
    for index in range(state.underlying_count):
        assert ledger.require_underlying(index).open_interest == longs[index]
    assert ledger.require_asset(0).house_cash == unpaid, "the house gains or loses by settlements"
