"""Leaves, and money rules without margin, on L1: bit by bit those of state/, to the edges of the bounds."""

import random
from dataclasses import fields as dataclass_fields
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
from state.leaves import (
    QUOTE_UNDERLYING,
    Account,
    AssetTerms,
    Expiry,
    Instrument,
    Order,
    Params,
    SessionKey,
    Underlying,
    UnderlyingTerms,
    decode_instrument,
)
from state.leaving import needs_prices
from state.marks import compute_payoff
from state.operations import is_instrument
from state.valuation import (
    add_balance,
    add_position,
    compute_fee_ceil,
    compute_funding_index_floor,
    compute_premium_clamped,
    is_within_caps,
)
from tests.evm import Contract, Evm
from tests.world import WEEK, build_params

ROUNDS = 60

VALUATION = """
# pragma version 0.4.3
import accounts
import constants
import expiries
import instruments
import orders
import params as parameters
import underlyings
import valuation

@external
@pure
def encode(account: Bytes[2052]) -> Bytes[2052]:
    return accounts._encode_account(accounts._decode_account(account))

@external
@pure
def add_position(account: Bytes[2052], instrument: uint256, quantity: int256) -> Bytes[2052]:
    return accounts._encode_account(
        valuation._add_position(accounts._decode_account(account), instrument, quantity)
    )

@external
@pure
def add_balance(account: Bytes[2052], asset: uint256, amount: int256) -> Bytes[2052]:
    return accounts._encode_account(valuation._add_balance(accounts._decode_account(account), asset, amount))

@external
@pure
def is_within_caps_with(account: Bytes[2052], instrument: uint256, quantity: int256) -> bool:
    return valuation._is_within_caps(
        valuation._add_position(accounts._decode_account(account), instrument, quantity)
    )

@external
@pure
def compute_funding_index_floor(underlying: Bytes[2052], time: uint256, params: Bytes[2052]) -> int256:
    return valuation._compute_funding_index_floor(
        underlyings._decode_underlying(underlying), time, parameters._decode_params(params)
    )

@external
@pure
def compute_premium_clamped(spot: uint256, mark: uint256, params: Bytes[2052]) -> int256:
    return valuation._compute_premium_clamped(spot, mark, parameters._decode_params(params))

@external
@pure
def compute_fee_ceil(quantity: uint256, price: uint256, rate_ppm: uint256, l1_fee: uint256) -> uint256:
    return valuation._compute_fee_ceil(quantity, price, rate_ppm, l1_fee)

@external
@pure
def needs_prices(account: Bytes[2052], asset: uint256, amount: uint256) -> bool:
    return valuation._needs_prices(accounts._decode_account(account), asset, amount)

@external
@pure
def list_needed(account: Bytes[2052], params: Bytes[2052]) -> uint256:
    return valuation._list_needed(accounts._decode_account(account), parameters._decode_params(params), params)

@external
@pure
def recode_underlying(leaf: Bytes[2052]) -> Bytes[2052]:
    return underlyings._encode_underlying(underlyings._decode_underlying(leaf))

@external
@pure
def recode_expiry(leaf: Bytes[2052]) -> Bytes[2052]:
    return expiries._encode_expiry(expiries._decode_expiry(leaf))

@external
@pure
def recode_order(leaf: Bytes[2052]) -> Bytes[2052]:
    return orders._encode_order(orders._decode_order(leaf))

@external
@pure
def is_instrument(instrument: uint256) -> bool:
    return instruments._is_instrument(instrument)

@external
@pure
def compute_payoff(instrument: uint256, settlement: uint256) -> uint256:
    return instruments._compute_payoff(instrument, settlement)

@external
@pure
def get_asset_terms(params: Bytes[2052], asset: uint256) -> parameters.AssetTerms:
    return parameters._get_asset_terms(params, asset)

@external
@pure
def get_underlying_terms(params: Bytes[2052], underlying: uint256) -> parameters.UnderlyingTerms:
    return parameters._get_underlying_terms(params, parameters._decode_params(params), underlying)

@external
@pure
def get_head(params: Bytes[2052]) -> uint256[24]:
    head: parameters.Params = parameters._decode_params(params)
    return [
        head.oracle_threshold, head.oracle_count, head.oracle_age_max, head.oracle_skew_max, head.price_age_max,
        head.guard_ppm, head.halt_ppm, head.halt_seconds, head.band_ppm, head.maker_fee_ppm, head.taker_fee_ppm,
        head.l1_fee, head.funding_period, head.funding_cap_ppm, head.cancel_only_interval, head.auction_seconds,
        head.close_delay, head.penalty_ppm, head.quote_debt_max, head.peg_underlying, head.debt_rate_ppm,
        head.active_from, head.asset_entries, head.underlying_entries,
    ]
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
        Instrument(rng.choice(underlyings), rng.choice((0, 0, 5, 1 << 31)), rng.getrandbits(40), rng.randrange(3))
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
        liquidation_from=rng.getrandbits(64),
        close_from=rng.getrandbits(64),
        interest_from=rng.getrandbits(64),
        keys=tuple(
            SessionKey(rng.randbytes(32), rng.randrange(256), pick(rng, 0, (1 << 64) - 1))
            for _ in range(rng.choice((0, 1, KEYS_MAX)))
        ),
        collateral=tuple((asset, pick(rng, 1, CUSTODY_MAX)) for asset in sorted(held)),
        positions=tuple(sorted(quantities.items())),
    )


def build_terms(rng: random.Random, assets: int, underlyings: int) -> Params:
    """Parameters of that many assets and underlyings, and any number in every other field."""
    numbers = {
        name: pick(rng, 0 if name != "funding_period" else 1, (1 << 32) - 1)
        for name in (
            *(
                "oracle_age_max",
                "oracle_skew_max",
                "price_age_max",
                "guard_ppm",
                "halt_ppm",
                "halt_seconds",
                "band_ppm",
            ),
            *("maker_fee_ppm", "taker_fee_ppm", "funding_period", "funding_cap_ppm", "cancel_only_interval"),
            *("auction_seconds", "close_delay", "penalty_ppm", "debt_rate_ppm"),
        )
    }
    return build_params(
        **numbers,
        l1_fee=rng.getrandbits(64),
        quote_debt_max=rng.getrandbits(64),
        peg_underlying=rng.choice((QUOTE_UNDERLYING, rng.randrange(underlyings))),
        active_from=rng.getrandbits(64),
        assets=(
            AssetTerms(QUOTE_UNDERLYING, 0, 0, 0, 1, 0),
            *(
                AssetTerms(  # type: ignore[call-arg]
                    rng.randrange(underlyings),
                    *(pick(rng, 0, PPM) for _ in range(3)),
                    pick(rng, 1, (1 << 64) - 1),
                    rng.getrandbits(64),
                )
                for _ in range(assets - 1)
            ),
        ),
        underlyings=tuple(UnderlyingTerms(pick(rng, 0, 1 << 20), rng.getrandbits(64)) for _ in range(underlyings)),
    )


def build_underlying(rng: random.Random, time: int) -> Underlying:
    """Prices and funding as they may be at state time `time`."""
    return Underlying(
        symbol=rng.randbytes(8),
        oracle_time=max(0, time - rng.choice((0, 299, 300, 301))),
        spot=pick(rng, 1, PRICE_MAX - 1),
        mark=pick(rng, 1, PRICE_MAX - 1),
        spot_confidence=rng.randint(0, PPM),
        mark_confidence=rng.randint(0, PPM),
        volatility=rng.getrandbits(32),
        funding_index=pick(rng, -FUNDING_INDEX_MAX, FUNDING_INDEX_MAX),
        index_time=max(0, time - pick(rng, 0, 1 << 33)),
        premium=pick(rng, -PRICE_MAX, PRICE_MAX),
        open_interest=rng.getrandbits(64),
        halted_until=rng.getrandbits(64),
        basket=tuple((rng.randrange(64), rng.getrandbits(32)) for _ in range(rng.randint(0, 4))),
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
        (expiries, Instrument(1, 23, 7, 2), 1, True),
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


def test_what_margin_needs_is_listed(contract: Contract, rng: random.Random) -> None:
    """Underlyings of positions and of collateral, and the peg's."""
    for _ in range(ROUNDS):
        count = rng.choice((1, 9, UNDERLYINGS_MAX))
        params = build_terms(rng, 16, count)
        account = build_account(rng, rng.sample(range(count), min(count, 8)), 16)
        needed = {instrument.underlying for instrument, _ in account.positions}
        needed |= {params.assets[asset].underlying for asset, _ in account.collateral}
        needed |= {params.peg_underlying} - {QUOTE_UNDERLYING}

        bits = contract.read("list_needed", account.encode(), params.encode()).value

        assert bits == sum(1 << underlying for underlying in needed)


def test_prices_and_orders_keep_their_bytes(contract: Contract, rng: random.Random) -> None:
    """An underlying, an expiry and an order that are read and written are what they were."""
    for _ in range(ROUNDS):
        underlying = build_underlying(rng, 1 << 33).encode()
        assert contract.read("recode_underlying", underlying).value == underlying
        expiry = Expiry(  # type: ignore[call-arg]
            *(rng.getrandbits(64) for _ in range(2)),
            *(pick(rng, -(1 << 63), (1 << 63) - 1) for _ in range(6)),
            rng.getrandbits(32),
            rng.getrandbits(128),
            rng.getrandbits(128),
            rng.getrandbits(64),
        ).encode()
        assert contract.read("recode_expiry", expiry).value == expiry
        legs = tuple((decode_instrument(rng.randbytes(12)), pick(rng, -128, 127)) for _ in range(rng.randint(0, 4)))
        order = Order(
            counter=rng.getrandbits(64), price=pick(rng, -(1 << 63), (1 << 63) - 1), remaining=5, legs=legs
        ).encode()
        assert contract.read("recode_order", order).value == order


def test_parameters_are_read_to_the_last_entry(contract: Contract, rng: random.Random) -> None:
    """Every field of the head, and every entry of the lists."""
    for _ in range(10):
        assets, underlyings = rng.randint(1, 16), rng.choice((1, 7, UNDERLYINGS_MAX))
        params = build_terms(rng, assets, underlyings)
        leaf = params.encode()
        head = contract.read("get_head", leaf).value
        fields = (getattr(params, field.name) for field in dataclass_fields(params))
        numbers = [value for value in fields if isinstance(value, int)]

        assert list(head) == [
            numbers[0],
            len(params.oracle_signers),
            *numbers[1:],
            len(params.assets),
            len(params.underlyings),
        ]
        for asset in range(assets):
            assert contract.read("get_asset_terms", leaf, asset).value == tuple(params.assets[asset])
        for underlying in range(underlyings):
            terms = contract.read("get_underlying_terms", leaf, underlying).value
            assert terms == tuple(params.underlyings[underlying])


def test_instruments_are_told_from_other_bytes(contract: Contract, rng: random.Random) -> None:
    """Kind, expiry and strike belong together, and a strike has few digits."""
    verdicts = set()
    for _ in range(600):
        instrument = Instrument(
            rng.choice((0, 63, 64)),
            rng.choice((0, 0, WEEK, WEEK, WEEK, WEEK + 1)),
            rng.choice((0, 0, 0, 1, 999, 1_000, 1_010, 1_001, 123_000_000, 10**12, rng.getrandbits(40))),
            rng.randrange(5),
        )
        answer = contract.read("is_instrument", number(instrument)).value
        assert answer == is_instrument(instrument)
        verdicts.add((answer, instrument.kind))
        if answer and instrument.expiry:
            settlement = pick(rng, 1, PRICE_MAX - 1)
            payoff = contract.read("compute_payoff", number(instrument), settlement).value
            assert payoff == compute_payoff(instrument, settlement)
    assert {(True, kind) for kind in range(4)} <= verdicts


def test_prices_are_needed_when_cash_runs_out(contract: Contract, rng: random.Random) -> None:
    """By an account with positions, or one whose cash falls below zero."""
    for _ in range(ROUNDS):
        account = build_account(rng, [0], 3)
        asset, amount = rng.randrange(3), pick(rng, 1, (1 << 63) - 1)
        if rng.random() < 0.5:
            account = replace(account, cash=amount + rng.choice((-1, 0)), positions=())
        answer = contract.read("needs_prices", account.encode(), asset, amount).value

        assert answer == needs_prices(account, asset, amount)
