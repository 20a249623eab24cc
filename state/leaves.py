"""The leaves of the state and their canonical bytes (SPEC.md section 3).

Every leaf is a frozen value with `encode()`; `decode_*` is its inverse and answers None for an empty leaf. Decoding is
only ever asked about bytes that a root binds, so anything else is a broken invariant and raises LeafError.

Mirrors contracts/globals.vy, contracts/instruments.vy, contracts/accounts.vy, contracts/orders.vy,
contracts/underlyings.vy, contracts/expiries.vy, contracts/params.vy and contracts/assets.vy.
"""

import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from state.constants import BASKET_MAX, ORACLE_SIGNERS_MAX


class LeafError(Exception):
    """Bytes under a root are not the encoding of a leaf: a broken invariant, or a leaf of another collection."""


_GLOBALS = struct.Struct(">QQIQ32sQ32sQIHBHQ")


@dataclass(frozen=True, slots=True)
class Globals:
    """The singletons: time, cursors, counters."""

    time: int
    batch: int
    generation: int
    next_position: int
    log_hash: bytes
    inbox_cursor: int
    inbox_hash: bytes
    outbox_count: int
    account_count: int
    underlying_count: int
    asset_count: int
    params_version: int
    cancel_only_until: int

    def encode(self) -> bytes:
        """125 bytes."""
        return _GLOBALS.pack(
            self.time,
            self.batch,
            self.generation,
            self.next_position,
            self.log_hash,
            self.inbox_cursor,
            self.inbox_hash,
            self.outbox_count,
            self.account_count,
            self.underlying_count,
            self.asset_count,
            self.params_version,
            self.cancel_only_until,
        )


@lru_cache(maxsize=64)
def decode_globals(data: bytes) -> Globals | None:
    """None when empty."""
    if not data:
        return None
    if len(data) != _GLOBALS.size:
        raise LeafError("globals: wrong length")
    return Globals(*_GLOBALS.unpack(data))


class Instrument(NamedTuple):
    """An instrument id, field by field; ordered as its bytes are."""

    underlying: int
    expiry: int
    strike: int
    kind: int

    def encode(self) -> bytes:
        """12 bytes: underlying u16, expiry u32, strike u40, kind u8."""
        return (self.underlying << 80 | self.expiry << 48 | self.strike << 8 | self.kind).to_bytes(12)

    @property
    def is_option(self) -> bool:
        """A put or a call."""
        return self.kind >= PUT


PERPETUAL = 0
FUTURE = 1
PUT = 2
CALL = 3


def perpetual(underlying: int) -> Instrument:
    """The perpetual future on an underlying."""
    return Instrument(underlying, 0, 0, PERPETUAL)


def future(underlying: int, expiry: int) -> Instrument:
    """The future on an underlying that settles at `expiry`."""
    return Instrument(underlying, expiry, 0, FUTURE)


def put(underlying: int, expiry: int, strike: int) -> Instrument:
    """The right to sell, European, settled in cash; strike in quote units a lot."""
    return Instrument(underlying, expiry, strike, PUT)


def call(underlying: int, expiry: int, strike: int) -> Instrument:
    """The right to buy, European, settled in cash; strike in quote units a lot."""
    return Instrument(underlying, expiry, strike, CALL)


def decode_instrument(data: bytes) -> Instrument:
    """Any 12 bytes name an instrument; whether it is listed is a check."""
    number = int.from_bytes(data)
    return Instrument(number >> 80, number >> 48 & 0xFFFFFFFF, number >> 8 & 0xFFFFFFFFFF, number & 0xFF)


SCOPE_TRADE = 1
SCOPE_TRANSFER = 2
SCOPE_WITHDRAW = 4


class SessionKey(NamedTuple):
    """An Ed25519 key that may sign for an account within its scope, strictly before its expiry."""

    public_key: bytes
    scope: int
    expiry: int


_ACCOUNT = struct.Struct(">20sQIBBBBQQQ16s")
_KEY = struct.Struct(">32sBQ")
_COLLATERAL = struct.Struct(">H16s")
_POSITION = struct.Struct(">12sq")


@dataclass(frozen=True, slots=True)
class Account:
    """One account: keys in order of registration, collateral by asset, positions by instrument.

    `liquidation_from` is when its auction began, 0 for none; `close_from` when its owner asked L1 to close it,
    `interest_from` since when a negative quote equity has not been charged for, 0 for none.
    """

    owner: bytes
    sequence: int = 0
    epoch: int = 0
    tier: int = 0
    liquidation_from: int = 0
    close_from: int = 0
    interest_from: int = 0
    cash: int = 0
    keys: tuple[SessionKey, ...] = ()
    collateral: tuple[tuple[int, int], ...] = ()
    positions: tuple[tuple[Instrument, int], ...] = ()

    def encode(self) -> bytes:
        """76 bytes, 41 a key, 18 a collateral, 20 a position."""
        head = _ACCOUNT.pack(
            self.owner,
            self.sequence,
            self.epoch,
            self.tier,
            len(self.keys),
            len(self.collateral),
            len(self.positions),
            self.liquidation_from,
            self.close_from,
            self.interest_from,
            self.cash.to_bytes(16, signed=True),
        )
        keys = [_KEY.pack(*key) for key in self.keys]
        collateral = [_COLLATERAL.pack(asset, amount.to_bytes(16)) for asset, amount in self.collateral]
        positions = [_POSITION.pack(instrument.encode(), quantity) for instrument, quantity in self.positions]
        return b"".join((head, *keys, *collateral, *positions))

    def get_position(self, instrument: Instrument) -> int:
        """Signed lots held; 0 when none."""
        for held, quantity in self.positions:
            if held == instrument:
                return quantity
        return 0

    def get_collateral(self, asset: int) -> int:
        """Units held of a non-quote asset; 0 when none."""
        for held, amount in self.collateral:
            if held == asset:
                return amount
        return 0


@lru_cache(maxsize=1 << 15)
def decode_account(data: bytes) -> Account | None:
    """None when empty."""
    if not data:
        return None
    if len(data) < _ACCOUNT.size:
        raise LeafError("account: too short")
    owner, sequence, epoch, tier, key_count, collateral_count, position_count, *rest = _ACCOUNT.unpack_from(data)
    liquidation_from, close_from, interest_from, cash = rest
    keys_end = _ACCOUNT.size + key_count * _KEY.size
    collateral_end = keys_end + collateral_count * _COLLATERAL.size
    if len(data) != collateral_end + position_count * _POSITION.size:
        raise LeafError("account: length and counts disagree")
    return Account(
        owner=owner,
        sequence=sequence,
        epoch=epoch,
        tier=tier,
        liquidation_from=liquidation_from,
        close_from=close_from,
        interest_from=interest_from,
        cash=int.from_bytes(cash, signed=True),
        keys=tuple(SessionKey(*_KEY.unpack_from(data, at)) for at in range(_ACCOUNT.size, keys_end, _KEY.size)),
        collateral=tuple(
            (asset, int.from_bytes(amount)) for asset, amount in _COLLATERAL.iter_unpack(data[keys_end:collateral_end])
        ),
        positions=tuple(
            (decode_instrument(instrument), quantity)
            for instrument, quantity in _POSITION.iter_unpack(data[collateral_end:])
        ),
    )


def read_epoch(account: bytes) -> int:
    """The epoch of an account's leaf, read off its bytes."""
    return int.from_bytes(account[28:32])


def read_key(account: bytes, index: int) -> SessionKey | None:
    """A key of an account's leaf, read off its bytes; None where there is none."""
    if not account or index >= account[33]:
        return None
    return SessionKey(*_KEY.unpack_from(account, _ACCOUNT.size + index * _KEY.size))


def may_owe(data: bytes) -> bool:
    """Whether an account has positions, an auction, interest running or negative cash: read off the bytes, since there
    are many."""
    is_timed = data[36:44] != bytes(8) or data[52:60] != bytes(8)
    return bool(data) and (data[35] > 0 or is_timed or data[60] >= 0x80)


FLAG_SELL = 1
FLAG_REDUCE_ONLY = 2
FLAG_POST_ONLY = 4

_ORDER = struct.Struct(">QQIIQBqQIIB")
_LEG = struct.Struct(">12sb")


@dataclass(frozen=True, slots=True)
class Order:
    """A registered order's slot. `remaining` 0: nothing lives here and only the counter matters."""

    counter: int
    accepted: int = 0
    generation: int = 0
    epoch: int = 0
    valid_until: int = 0
    flags: int = 0
    price: int = 0
    remaining: int = 0
    max_fee_ppm: int = 0
    counterparty: int = 0
    legs: tuple[tuple[Instrument, int], ...] = ()

    def encode(self) -> bytes:
        """58 bytes and 13 a leg."""
        head = _ORDER.pack(
            self.counter,
            self.accepted,
            self.generation,
            self.epoch,
            self.valid_until,
            self.flags,
            self.price,
            self.remaining,
            self.max_fee_ppm,
            self.counterparty,
            len(self.legs),
        )
        return head + b"".join(_LEG.pack(instrument.encode(), ratio) for instrument, ratio in self.legs)

    @property
    def is_sell(self) -> bool:
        """Which side of the market it takes."""
        return bool(self.flags & FLAG_SELL)


@lru_cache(maxsize=1 << 14)
def decode_order(data: bytes) -> Order | None:
    """None when the slot was never used."""
    if not data:
        return None
    if len(data) < _ORDER.size:
        raise LeafError("order: too short")
    *fields, leg_count = _ORDER.unpack_from(data)
    if len(data) != _ORDER.size + leg_count * _LEG.size:
        raise LeafError("order: length and leg count disagree")
    legs = tuple((decode_instrument(i), ratio) for i, ratio in _LEG.iter_unpack(data[_ORDER.size :]))
    return Order(*(*fields, legs))


_UNDERLYING = struct.Struct(">8sQQQIIIqQqQQB20s")
_COMPONENT = struct.Struct(">BI")


@dataclass(frozen=True, slots=True)
class Underlying:
    """A listed underlying: last reading, funding, open interest. Prices in quote units a lot, confidences and
    volatility (a year, at the money) in parts per million.

    A basket's components are (underlying, weight_ppm); it has no oracle of its own.
    """

    symbol: bytes
    oracle_time: int = 0
    spot: int = 0
    mark: int = 0
    spot_confidence: int = 0
    mark_confidence: int = 0
    volatility: int = 0
    funding_index: int = 0
    index_time: int = 0
    premium: int = 0
    open_interest: int = 0
    halted_until: int = 0
    basket: tuple[tuple[int, int], ...] = ()

    def encode(self) -> bytes:
        """105 bytes."""
        return _UNDERLYING.pack(
            self.symbol,
            self.oracle_time,
            self.spot,
            self.mark,
            self.spot_confidence,
            self.mark_confidence,
            self.volatility,
            self.funding_index,
            self.index_time,
            self.premium,
            self.open_interest,
            self.halted_until,
            len(self.basket),
            encode_basket(self.basket),
        )


def encode_basket(basket: tuple[tuple[int, int], ...]) -> bytes:
    """20 bytes: underlying u8, weight_ppm u32 for each of BASKET_MAX components, zero where there is none."""
    return b"".join(_COMPONENT.pack(*component) for component in basket).ljust(_COMPONENT.size * BASKET_MAX, b"\0")


def decode_basket(count: int, data: bytes) -> tuple[tuple[int, int], ...]:
    """The first `count` components."""
    return tuple(_COMPONENT.iter_unpack(data))[:count]


@lru_cache(maxsize=1024)
def decode_underlying(data: bytes) -> Underlying | None:
    """None when not listed."""
    if not data:
        return None
    if len(data) != _UNDERLYING.size:
        raise LeafError("underlying: wrong length")
    *fields, count, basket = _UNDERLYING.unpack(data)
    return Underlying(*(*fields, decode_basket(count, basket)))


_EXPIRY = struct.Struct(">QQqqqqqqI16s16sQ")


@dataclass(frozen=True, slots=True)
class Expiry:
    """One expiry of one underlying: the last reading of its forward (quote units a lot), rate and surface (Q38), and
    the integrals of spot over time from which it settles. `settlement` 0: not yet. The surface is as of `time`.
    """

    time: int = 0
    forward: int = 0
    rate: int = 0
    a: int = 0
    b: int = 0
    rho: int = 0
    m: int = 0
    sigma: int = 0
    confidence: int = 0
    start_integral: int = 0
    integral: int = 0
    settlement: int = 0

    def encode(self) -> bytes:
        """108 bytes."""
        return _EXPIRY.pack(
            self.time,
            self.forward,
            self.rate,
            self.a,
            self.b,
            self.rho,
            self.m,
            self.sigma,
            self.confidence,
            self.start_integral.to_bytes(16),
            self.integral.to_bytes(16),
            self.settlement,
        )


@lru_cache(maxsize=1024)
def decode_expiry(data: bytes) -> Expiry | None:
    """None when it has no surface yet, so that nothing on it is listed."""
    if not data:
        return None
    if len(data) != _EXPIRY.size:
        raise LeafError("expiry: wrong length")
    *fields, start_integral, integral, settlement = _EXPIRY.unpack(data)
    return Expiry(*(*fields, int.from_bytes(start_integral), int.from_bytes(integral), settlement))


class AssetTerms(NamedTuple):
    """How an asset counts as collateral. underlying 65535: the quote asset, which needs no price.

    The initial haircut comes on top of the maintenance one; below the threshold of spot's confidence more is charged.
    """

    underlying: int
    maintenance_haircut_ppm: int
    initial_haircut_ppm: int
    confidence_threshold_ppm: int
    units_per_lot: int
    create_min: int


class UnderlyingTerms(NamedTuple):
    """How far an underlying moves with the others (Q20, at most one), and the most lots that may be held long."""

    correlation_q20: int
    open_interest_max: int


QUOTE_UNDERLYING = 0xFFFF

_PARAMS = struct.Struct(">BB100sIIIIIIIIIQIIIIIIQHIQBH")
_ASSET_TERMS = struct.Struct(">HIIIQQ")
_UNDERLYING_TERMS = struct.Struct(">IQ")


@dataclass(frozen=True, slots=True)
class Params:
    """One version of the parameters; the rules of margin that go with it are rules.py's.

    peg_underlying QUOTE_UNDERLYING: the quote asset is a dollar. active_from is state time, in seconds.
    """

    oracle_threshold: int
    oracle_signers: tuple[bytes, ...]
    oracle_age_max: int
    oracle_skew_max: int
    price_age_max: int
    guard_ppm: int
    halt_ppm: int
    halt_seconds: int
    band_ppm: int
    maker_fee_ppm: int
    taker_fee_ppm: int
    l1_fee: int
    funding_period: int
    funding_cap_ppm: int
    cancel_only_interval: int
    auction_seconds: int
    close_delay: int
    penalty_ppm: int
    quote_debt_max: int
    peg_underlying: int
    debt_rate_ppm: int
    active_from: int
    assets: tuple[AssetTerms, ...]
    underlyings: tuple[UnderlyingTerms, ...]

    def encode(self) -> bytes:
        """195 bytes, 30 an asset, 12 an underlying."""
        head = _PARAMS.pack(
            self.oracle_threshold,
            len(self.oracle_signers),
            b"".join(self.oracle_signers).ljust(20 * ORACLE_SIGNERS_MAX, b"\0"),
            self.oracle_age_max,
            self.oracle_skew_max,
            self.price_age_max,
            self.guard_ppm,
            self.halt_ppm,
            self.halt_seconds,
            self.band_ppm,
            self.maker_fee_ppm,
            self.taker_fee_ppm,
            self.l1_fee,
            self.funding_period,
            self.funding_cap_ppm,
            self.cancel_only_interval,
            self.auction_seconds,
            self.close_delay,
            self.penalty_ppm,
            self.quote_debt_max,
            self.peg_underlying,
            self.debt_rate_ppm,
            self.active_from,
            len(self.assets),
            len(self.underlyings),
        )
        assets = [_ASSET_TERMS.pack(*asset) for asset in self.assets]
        underlyings = [_UNDERLYING_TERMS.pack(*underlying) for underlying in self.underlyings]
        return b"".join((head, *assets, *underlyings))


@lru_cache(maxsize=16)
def decode_params(data: bytes) -> Params | None:
    """None when there is no such version."""
    if not data:
        return None
    if len(data) < _PARAMS.size:
        raise LeafError("params: too short")
    threshold, signer_count, signers, *fields, asset_count, underlying_count = _PARAMS.unpack_from(data)
    assets_end = _PARAMS.size + asset_count * _ASSET_TERMS.size
    if len(data) != assets_end + underlying_count * _UNDERLYING_TERMS.size:
        raise LeafError("params: length and counts disagree")
    asset_terms = tuple(AssetTerms(*terms) for terms in _ASSET_TERMS.iter_unpack(data[_PARAMS.size : assets_end]))
    underlying_terms = tuple(UnderlyingTerms(*terms) for terms in _UNDERLYING_TERMS.iter_unpack(data[assets_end:]))
    addresses = tuple(signers[20 * i : 20 * i + 20] for i in range(signer_count))
    return Params(*(threshold, addresses, *fields, asset_terms, underlying_terms))


_OUTBOX = struct.Struct(">20sHQI")


class Withdrawal(NamedTuple):
    """An outbox leaf: who may claim how many units of which asset on L1. account 0: a refunded deposit."""

    owner: bytes
    asset: int
    amount: int
    account: int

    def encode(self) -> bytes:
        """34 bytes."""
        return _OUTBOX.pack(*self)


def decode_withdrawal(data: bytes) -> Withdrawal | None:
    """None when nothing was written at this index."""
    if not data:
        return None
    if len(data) != _OUTBOX.size:
        raise LeafError("outbox: wrong length")
    return Withdrawal(*_OUTBOX.unpack(data))


@dataclass(frozen=True, slots=True)
class Asset:
    """What the rollup holds of one asset, in units, and how it is booked beside the accounts."""

    custody: int = 0
    house_cash: int = 0
    fund: int = 0
    fees: int = 0
    bad_debt: int = 0

    def encode(self) -> bytes:
        """80 bytes."""
        return b"".join(
            (
                self.custody.to_bytes(16),
                self.house_cash.to_bytes(16, signed=True),
                self.fund.to_bytes(16, signed=True),
                self.fees.to_bytes(16, signed=True),
                self.bad_debt.to_bytes(16),
            )
        )


@lru_cache(maxsize=64)
def decode_asset(data: bytes) -> Asset | None:
    """None when not listed."""
    if not data:
        return None
    if len(data) != 80:
        raise LeafError("asset: wrong length")
    return Asset(
        custody=int.from_bytes(data[0:16]),
        house_cash=int.from_bytes(data[16:32], signed=True),
        fund=int.from_bytes(data[32:48], signed=True),
        fees=int.from_bytes(data[48:64], signed=True),
        bad_debt=int.from_bytes(data[64:80]),
    )
