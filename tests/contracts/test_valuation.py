"""Money rules on L1: bit by bit those of state/valuation.py and risk/linear.py, to the edges of the bounds."""

import random
from dataclasses import replace

import pytest

from state.constants import (
    ACCOUNT_UNDERLYINGS_MAX,
    CASH_MAX,
    CUSTODY_MAX,
    FUNDING_INDEX_MAX,
    KEYS_MAX,
    POSITIONS_MAX,
    PPM,
    PRICE_MAX,
    QUANTITY_MAX,
    UNDERLYINGS_MAX,
)
from state.leaves import Account, AssetTerms, Instrument, Params, SessionKey, Underlying, UnderlyingTerms
from state.valuation import (
    add_balance,
    add_position,
    compute_account_margin,
    compute_fee_ceil,
    compute_funding_index_floor,
    compute_premium_clamped,
    drop_stale_spots,
    is_fresh,
    is_within_caps,
    needs_prices,
)
from tests.evm import Contract, Evm
from tests.world import build_params

ROUNDS = 60

VALUATION = """
# pragma version 0.4.3
import accounts
import constants
import params as parameters
import underlyings
import valuation

@external
@pure
def encode(account: Bytes[1968]) -> Bytes[1968]:
    return accounts._encode_account(accounts._decode_account(account))

@external
@pure
def add_position(account: Bytes[1968], instrument: uint256, quantity: int256) -> Bytes[1968]:
    return accounts._encode_account(
        valuation._add_position(accounts._decode_account(account), instrument, quantity)
    )

@external
@pure
def add_balance(account: Bytes[1968], asset: uint256, amount: int256) -> Bytes[1968]:
    return accounts._encode_account(valuation._add_balance(accounts._decode_account(account), asset, amount))

@external
@pure
def is_within_caps_with(account: Bytes[1968], instrument: uint256, quantity: int256) -> bool:
    return valuation._is_within_caps(
        valuation._add_position(accounts._decode_account(account), instrument, quantity)
    )

@external
@pure
def compute_funding_index_floor(underlying: Bytes[1968], time: uint256, params: Bytes[1968]) -> int256:
    return valuation._compute_funding_index_floor(
        underlyings._decode_underlying(underlying), time, parameters._decode_params(params)
    )

@external
@pure
def compute_premium_clamped(spot: uint256, mark: uint256, params: Bytes[1968]) -> int256:
    return valuation._compute_premium_clamped(spot, mark, parameters._decode_params(params))

@external
@pure
def compute_fee_ceil(quantity: uint256, price: uint256, rate_ppm: uint256, l1_fee: uint256) -> uint256:
    return valuation._compute_fee_ceil(quantity, price, rate_ppm, l1_fee)

@external
@pure
def needs_prices(account: Bytes[1968], asset: uint256, amount: uint256) -> bool:
    return valuation._needs_prices(accounts._decode_account(account), asset, amount)

@external
@pure
def list_needed(account: Bytes[1968], params: Bytes[1968]) -> uint256:
    return valuation._list_needed(accounts._decode_account(account), parameters._decode_params(params))

@external
@pure
def value_account(
    account: Bytes[1968], leaves: Bytes[32768], needed: uint256, time: uint256, params: Bytes[1968]
) -> (int256, int256, int256, bool):
    terms: parameters.Params = parameters._decode_params(params)
    quotes: valuation.Quotes = valuation._peek_quotes(leaves, 0, needed, time, terms)
    margin: valuation.Margin = valuation._compute_account_margin(
        accounts._decode_account(account), quotes, terms
    )
    is_fresh: bool = valuation._is_fresh(accounts._decode_account(account), quotes)
    return margin.quote_equity, margin.equity, margin.initial, is_fresh
"""


@pytest.fixture(scope="module")
def contract() -> Contract:
    """The module behind functions that take leaves."""
    return Evm().deploy_source(VALUATION)


@pytest.fixture
def rng(seed: int) -> random.Random:
    """This test's own chance."""
    return random.Random(seed)


def pick(rng: random.Random, low: int, high: int) -> int:
    """Any number of a range, often at or near an end, of any magnitude."""
    magnitude = rng.randint(0, max(abs(low), abs(high)).bit_length())
    near = rng.choice((-1, 1)) * rng.getrandbits(magnitude + 1)
    return max(low, min(high, rng.choice((low, high, low + 1, high - 1, near, near, near))))


def number(instrument: Instrument) -> int:
    """An instrument as the contract names it."""
    return int.from_bytes(instrument.encode())


def build_account(rng: random.Random, underlyings: list[int], assets: int) -> Account:
    """Positions in some of these underlyings, perpetual or not, and collateral in some of these assets."""
    instruments = [
        Instrument(rng.choice(underlyings), rng.choice((0, 0, 5, 1 << 31)), rng.randrange(3), rng.getrandbits(40))
        for _ in range(rng.choice((0, 1, 5, POSITIONS_MAX)))
    ]
    quantities = {i: pick(rng, -QUANTITY_MAX, QUANTITY_MAX) or 1 for i in instruments}
    held = rng.sample(range(1, assets), rng.randint(0, assets - 1))
    return Account(
        owner=rng.randbytes(20),
        sequence=pick(rng, 0, (1 << 64) - 1),
        epoch=pick(rng, 0, (1 << 32) - 1),
        tier=rng.randrange(256),
        cash=pick(rng, -CASH_MAX, CASH_MAX),
        keys=tuple(
            SessionKey(rng.randbytes(32), rng.randrange(256), pick(rng, 0, (1 << 64) - 1))
            for _ in range(rng.choice((0, 1, KEYS_MAX)))
        ),
        collateral=tuple((asset, pick(rng, 1, CUSTODY_MAX)) for asset in sorted(held)),
        positions=tuple(sorted(quantities.items())),
    )


def build_terms(rng: random.Random, assets: int, underlyings: int) -> Params:
    """Parameters of that many assets and underlyings."""
    return build_params(
        price_age_max=rng.choice((0, 300)),
        funding_period=pick(rng, 1, (1 << 32) - 1),
        funding_cap_ppm=pick(rng, 0, (1 << 32) - 1),
        assets=(
            AssetTerms(0xFFFF, 0, 1, 0),
            *(
                AssetTerms(rng.randrange(underlyings), pick(rng, 0, PPM), pick(rng, 1, (1 << 64) - 1), 0)
                for _ in range(assets - 1)
            ),
        ),
        underlyings=tuple(
            UnderlyingTerms(pick(rng, 0, (1 << 32) - 1), rng.getrandbits(32)) for _ in range(underlyings)
        ),
    )


def build_underlying(rng: random.Random, time: int) -> Underlying:
    """Prices and funding as they may be at state time `time`."""
    return Underlying(
        symbol=rng.randbytes(8),
        oracle_time=max(0, time - rng.choice((0, 299, 300, 301))),
        spot=pick(rng, 1, PRICE_MAX),
        mark=pick(rng, 1, PRICE_MAX),
        funding_index=pick(rng, -FUNDING_INDEX_MAX, FUNDING_INDEX_MAX),
        index_time=max(0, time - pick(rng, 0, 1 << 33)),
        premium=pick(rng, -PRICE_MAX, PRICE_MAX),
        open_interest=rng.getrandbits(64),
    )


def test_account_keeps_its_bytes(contract: Contract, rng: random.Random) -> None:
    """An account that is read and written is what it was."""
    for _ in range(ROUNDS):
        leaf = build_account(rng, list(range(UNDERLYINGS_MAX)), 16).encode()

        assert contract.read("encode", leaf).value == leaf


def test_account_of_another_length_is_refused(contract: Contract, rng: random.Random) -> None:
    """A leaf whose length does not follow from its counts is no account."""
    leaf = build_account(rng, [3], 16).encode()

    for wrong in (leaf[:-1], leaf + b"\0", leaf[:51], leaf[:33] + b"\xff" + leaf[34:]):
        assert contract.read("encode", wrong).reverted


def test_lots_are_added(contract: Contract, rng: random.Random) -> None:
    """A position grows, shrinks, turns, appears in its place or vanishes, and the caps are seen."""
    for _ in range(ROUNDS):
        account = build_account(rng, rng.sample(range(UNDERLYINGS_MAX), 8), 4)
        held = [instrument for instrument, _ in account.positions]
        instrument = rng.choice([*held, Instrument(rng.randrange(UNDERLYINGS_MAX), 0, 0, 0)])
        closing = -account.get_position(instrument)
        quantity = rng.choice((closing, pick(rng, -QUANTITY_MAX, QUANTITY_MAX))) or 1
        after = add_position(account, instrument, quantity)

        arguments = account.encode(), number(instrument), quantity
        assert contract.read("is_within_caps_with", *arguments).value == is_within_caps(after)
        assert contract.read("add_position", *arguments).value == after.encode()


def test_caps_bind_at_their_numbers(contract: Contract) -> None:
    """One underlying, expiry, lot or unit of cash more than the caps allow does not fit."""
    full = Account(
        owner=bytes(20),
        cash=CASH_MAX,
        positions=tuple((Instrument(u, 0, 0, 0), 1) for u in range(ACCOUNT_UNDERLYINGS_MAX - 1)),
    )
    eight = replace(full, positions=(*full.positions, (Instrument(8, 0, 0, 0), 1)))
    expiries = replace(full, positions=tuple((Instrument(1, e, 0, 0), 1) for e in range(23)))
    every_expiry = replace(full, positions=(*expiries.positions, (Instrument(1, 23, 0, 0), 1)))
    for account, instrument, quantity, fits in (
        (full, Instrument(200, 0, 0, 0), 1, True),
        (full, Instrument(0, 1, 0, 0), 1, True),
        (eight, Instrument(9, 0, 0, 0), 1, False),
        (full, Instrument(0, 0, 0, 0), QUANTITY_MAX - 1, True),
        (full, Instrument(0, 0, 0, 0), QUANTITY_MAX, False),
        (full, Instrument(0, 0, 0, 0), -QUANTITY_MAX - 1, True),
        (full, Instrument(0, 0, 0, 0), -QUANTITY_MAX - 2, False),
        (replace(full, cash=CASH_MAX + 1), Instrument(0, 0, 0, 0), 1, False),
        (replace(full, cash=-CASH_MAX), Instrument(0, 0, 0, 0), 1, True),
        (replace(full, cash=-CASH_MAX - 1), Instrument(0, 0, 0, 0), 1, False),
        (expiries, Instrument(1, 23, 0, 0), 1, True),
        (expiries, Instrument(1, 23, 0, 7), 1, True),
        (every_expiry, Instrument(2, 0, 0, 0), 1, False),
    ):
        assert is_within_caps(add_position(account, instrument, quantity)) == fits
        assert contract.read("is_within_caps_with", account.encode(), number(instrument), quantity).value == fits


def test_money_is_added(contract: Contract, rng: random.Random) -> None:
    """Cash, or a collateral that grows, shrinks, appears in its place or vanishes."""
    for _ in range(ROUNDS):
        account = build_account(rng, [0], 16)
        asset = rng.randrange(16)
        least = -account.get_collateral(asset) if asset else -CASH_MAX
        amount = rng.choice((0, least, pick(rng, least, CUSTODY_MAX)))

        after = contract.read("add_balance", account.encode(), asset, amount).value

        assert after == add_balance(account, asset, amount).encode()


def test_funding_accrues(contract: Contract, rng: random.Random) -> None:
    """The index is floored for either sign and saturates; the premium is clamped."""
    for _ in range(ROUNDS):
        params, time = build_terms(rng, 1, 1), pick(rng, 0, 1 << 34)
        underlying = build_underlying(rng, time)
        index = contract.read("compute_funding_index_floor", underlying.encode(), time, params.encode()).value
        premium = contract.read("compute_premium_clamped", underlying.spot, underlying.mark, params.encode()).value

        assert index == compute_funding_index_floor(underlying, time, params)
        assert premium == compute_premium_clamped(underlying.spot, underlying.mark, params)


def test_fees_are_rounded_against_the_payer(contract: Contract, rng: random.Random) -> None:
    """To the largest trade, rate and fixed fee."""
    for _ in range(ROUNDS):
        arguments = (
            pick(rng, 1, QUANTITY_MAX),
            pick(rng, 1, PRICE_MAX),
            pick(rng, 0, (1 << 32) - 1),
            pick(rng, 0, (1 << 64) - 1),
        )

        assert contract.read("compute_fee_ceil", *arguments).value == compute_fee_ceil(*arguments)


def test_accounts_are_valued(contract: Contract, rng: random.Random) -> None:
    """Equity, initial margin and freshness of any account at any prices."""
    for _ in range(ROUNDS):
        count, time = rng.choice((1, 9, UNDERLYINGS_MAX)), pick(rng, 1000, 1 << 34)
        params = build_terms(rng, 16, count)
        account = build_account(rng, rng.sample(range(count), min(count, 8)), 16)
        needed = {instrument.underlying for instrument, _ in account.positions}
        needed |= {params.assets[asset].underlying for asset, _ in account.collateral}
        quotes = {underlying: build_underlying(rng, time) for underlying in sorted(needed)}
        entries = b"".join((64).to_bytes(2) + quote.encode() + bytes(8) for quote in quotes.values())
        bits = sum(1 << underlying for underlying in needed)
        margin = compute_account_margin(account, drop_stale_spots(quotes, time, params), time, params)

        assert contract.read("list_needed", account.encode(), params.encode()).value == bits
        assert contract.read("value_account", account.encode(), entries, bits, time, params.encode()).value == (
            margin.quote_equity,
            margin.equity,
            margin.initial,
            is_fresh(account, quotes, time, params),
        )


def test_prices_are_needed_when_cash_runs_out(contract: Contract, rng: random.Random) -> None:
    """By an account with positions, or one whose cash falls below zero."""
    for _ in range(ROUNDS):
        account = build_account(rng, [0], 3)
        asset, amount = rng.randrange(3), pick(rng, 1, (1 << 63) - 1)
        if rng.random() < 0.5:
            account = replace(account, cash=amount + rng.choice((-1, 0)), positions=())
        answer = contract.read("needs_prices", account.encode(), asset, amount).value

        assert answer == needs_prices(account, asset, amount)
