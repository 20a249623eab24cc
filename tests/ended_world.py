"""States in which a rollup may end: debtors, uncovered debts, books of every kind, settlements half paid."""

from collections import defaultdict
from dataclasses import replace
from random import Random

from state.leaves import Account, Asset, Instrument, call, future, perpetual, put
from state.ledger import Ledger
from state.marks import compute_payoff
from state.tree import (
    GLOBALS_KEY,
    Collection,
    LeafKey,
    account_key,
    expiry_key,
    get_collection,
    leaf_key,
    underlying_key,
)
from tests.world import MIX, WEEK, open_mixed_market

INSTRUMENTS = (
    *(perpetual(underlying) for underlying in range(MIX + 1)),
    *(future(underlying, WEEK) for underlying in (0, MIX)),
    put(0, WEEK, 17_000_000),
    call(0, WEEK, 15_000_000),
    call(MIX, WEEK, 5_000_000),
)
MILLION = 1_000_000

Positions = dict[int, dict[Instrument, int]]


def draw_ended_leaves(random: Random, accounts: int = 6, *, is_ruined: bool = True) -> dict[LeafKey, bytes]:
    """The leaves of a state that conserves money and positions. When it is ruined, some owe more than they have."""
    world = open_mixed_market(random.getrandbits(32), keep_steps=False)
    leaves = {key: data for key, data in world.state.leaves.items() if get_collection(key) != Collection.ACCOUNTS}
    ledger = Ledger(leaves)
    for underlying in (0, MIX):
        expiry = replace(ledger.require_expiry(underlying, WEEK), rate=random.randrange(-(1 << 36), 1 << 36))
        leaves[expiry_key(underlying, WEEK)] = expiry.encode()
    ledger = Ledger(leaves)
    if random.random() < 0.5:
        expiry = ledger.require_expiry(MIX, WEEK)
        leaves[expiry_key(MIX, WEEK)] = replace(expiry, settlement=random.randrange(1, 20 * MILLION)).encode()
    positions = draw_positions(random, accounts, leaves) if is_ruined else {}
    held = [draw_account(random, is_ruined=is_ruined) for _ in range(accounts)]
    held = [replace(one, positions=tuple(sorted(positions.get(n, {}).items()))) for n, one in enumerate(held)]
    books = [draw_books(random, is_ruined=is_ruined) for _ in range(2)]
    house_cash = compute_house_cash(leaves, positions)
    cash = sum(one.cash for one in held) + house_cash + books[0].fund + books[0].fees - books[0].bad_debt
    if cash < 0:
        held[0] = replace(held[0], cash=held[0].cash - cash)
    ether = sum(one.get_collateral(1) for one in held) + books[1].fund + books[1].fees - books[1].bad_debt
    if ether < 0:
        held[0] = replace(held[0], collateral=((1, held[0].get_collateral(1) - ether),))
    books[0] = replace(books[0], custody=max(cash, 0), house_cash=house_cash)
    books[1] = replace(books[1], custody=max(ether, 0))
    for number, account in enumerate(held):
        leaves[account_key(number + 1)] = account.encode()
    for asset, book in enumerate(books):
        leaves[leaf_key(Collection.ASSETS, asset)] = book.encode()
    write_open_interest(leaves, positions)
    leaves[GLOBALS_KEY] = replace(world.globals, account_count=accounts + 1).encode()
    return leaves


def draw_account(random: Random, *, is_ruined: bool) -> Account:
    """With cash or a debt, with ether or without; each has an owner of his own."""
    low = -20_000 * MILLION if is_ruined else 0
    cash = random.choice((0, random.randrange(low, 30_000 * MILLION)))
    ether = random.choice((0, random.randrange(1, 40 * 10**9)))
    return Account(random.randbytes(20), cash=cash, collateral=((1, ether),) if ether else ())


def draw_positions(random: Random, accounts: int, leaves: dict[LeafKey, bytes]) -> Positions:
    """Trades between two accounts each; of what has settled one side may have been paid already."""
    held: Positions = defaultdict(lambda: defaultdict(int))
    settled = Ledger(leaves).require_expiry(MIX, WEEK).settlement
    for _ in range(random.randrange(4 * accounts)):
        instrument, quantity = random.choice(INSTRUMENTS), random.randrange(1, 500)
        buyer, seller = random.sample(range(accounts), 2)
        held[buyer][instrument] += quantity
        if not (settled and instrument.underlying == MIX and instrument.expiry and random.random() < 0.5):
            held[seller][instrument] -= quantity
    return {account: {one: lots for one, lots in owned.items() if lots} for account, owned in held.items()}


def draw_books(random: Random, *, is_ruined: bool) -> Asset:
    """What is booked beside the accounts; a fund that has paid too much stands below zero."""
    if not is_ruined:
        return Asset(fund=random.randrange(MILLION), fees=random.randrange(MILLION))
    fund = random.choice((0, random.randrange(-MILLION, 5_000 * MILLION)))
    return Asset(fund=fund, fees=random.randrange(MILLION), bad_debt=random.choice((0, random.randrange(10**10))))


def compute_house_cash(leaves: dict[LeafKey, bytes], positions: Positions) -> int:
    """What the house holds for those who have not touched what has settled."""
    ledger, total = Ledger(leaves), 0
    for owned in positions.values():
        for instrument, quantity in owned.items():
            settlement = ledger.require_expiry(instrument.underlying, WEEK).settlement if instrument.expiry else 0
            total += quantity * compute_payoff(instrument, settlement) if settlement else 0
    return total


def write_open_interest(leaves: dict[LeafKey, bytes], positions: Positions) -> None:
    """Count the long lots where they are counted."""
    longs: dict[int, int] = defaultdict(int)
    for owned in positions.values():
        for instrument, quantity in owned.items():
            longs[instrument.underlying] += max(quantity, 0)
    for index in range(MIX + 1):
        underlying = Ledger(leaves).require_underlying(index)
        leaves[underlying_key(index)] = replace(underlying, open_interest=longs[index]).encode()
