"""Operations and their bytes (SPEC.md section 5): decoding is total and enforces every static rule.

`decode_operation` answers None for any bytes that are not exactly one well-formed op; a decoded op is within every
bound that can be read off its bytes. `encode()` of a decoded op gives the same bytes back.

Mirrors contracts/operations.vy, contracts/instruments.vy and contracts/orders.vy.
"""

import hashlib
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from math import gcd
from typing import ClassVar

from state.codes import Kind, MessageCode
from state.constants import (
    ACCOUNTS_MAX,
    AMOUNT_MAX,
    ASSETS_MAX,
    EXPIRY_SECOND_OF_DAY,
    EXPIRY_STEP,
    FEE_PPM_MAX,
    KEYS_MAX,
    LEGS_MAX,
    OP_BYTES_MAX,
    PPM,
    PRICE_MAX,
    QUANTITY_MAX,
    RATIO_MAX,
    SLOTS_PER_ACCOUNT,
    UNDERLYINGS_MAX,
)
from state.leaves import CALL, FUTURE, PERPETUAL, Expiry, Instrument, decode_instrument

_POSITION = struct.Struct(">BQ")
_U64 = struct.Struct(">Q")
_ORDER_BODY = struct.Struct(">IHQIIQBqQIIB")
_LEG = struct.Struct(">12sb")
_CANCEL_BODY = struct.Struct(">IHQI")
_FILL_BODY = struct.Struct(">IHIHqQ")
_TRANSFER_BODY = struct.Struct(">IQIHQ")
_WITHDRAW_BODY = struct.Struct(">IQHQ")
_ORACLE_BODY = struct.Struct(">HQQQIII")
_SURFACE_BODY = struct.Struct(">HIQ16sQqqqqqqI")
_LIQUIDATE_BODY = struct.Struct(">I16s16s16s8s")
_TAKE_CLAIMS = struct.Struct(">16s16s16s16s8s8s")
_TAKE_BODY = struct.Struct(">IQIIQQ")
_DELEVERAGE_BODY = struct.Struct(">II12sQ16s16s8s16sQ")
_BID_BODY = struct.Struct(">QH16s16s16s16s8s8s8s")
_BID_CLAIMS_AT = 19
_INTEREST_BODY = struct.Struct(">I16s")
_SIGNED_TAIL = struct.Struct(">B64s")

_IS_ACCOUNT = range(1, ACCOUNTS_MAX)
_IS_SLOT = range(SLOTS_PER_ACCOUNT)
_IS_PRICE = range(1, PRICE_MAX)
_IS_NET_PRICE = range(-PRICE_MAX + 1, PRICE_MAX)
_IS_QUANTITY = range(1, QUANTITY_MAX + 1)
_IS_AMOUNT = range(1, AMOUNT_MAX + 1)
_IS_PPM = range(PPM + 1)
_IS_VOLATILITY = range(1, 20 * PPM + 1)

# What a reading of a surface may say; the bounds are those of risk/SPEC.md section 2.
_INTEGRAL_END = 1 << 112
_RATE_MAX_Q38 = 1 << 38
_IS_SVI_A = range(-(1 << 46) + 1, 1 << 46)
_IS_SVI_B = range(1 << 42)
_IS_SVI_RHO = range(-(1 << 38) + 1, 1 << 38)
_IS_SVI_M = range(-(1 << 46) + 1, 1 << 46)
_IS_SVI_SIGMA = range(1, 1 << 46)

_STRIKE_DIGITS_END = 1_000

NO_ACTIVE = bytes(8)
"""Active scenarios (active_scenarios.py) that nobody asks for."""

# What may become of a bid from L1. With the first of these its op claims nothing of any margin; with the next but the
# target's and the slice's.
BID_CODES_BEFORE_TARGET = (
    MessageCode.SENDER_MUST_OWN,
    MessageCode.BID_SLICE_UNSOUND,
    MessageCode.BID_EXPIRED,
    MessageCode.BID_REPLAYED,
    MessageCode.BID_TARGET_NOT_OPEN,
)
BID_CODES_WITHOUT_CLAIMS = (*BID_CODES_BEFORE_TARGET, MessageCode.BID_NOT_DUE)
BID_CODES_BEFORE_DEAL = (*BID_CODES_WITHOUT_CLAIMS, MessageCode.BID_SLICE_UNHEDGES)
BID_CODES = (
    *BID_CODES_BEFORE_DEAL,
    MessageCode.BID_SLICE_TOO_LARGE,
    MessageCode.BID_DISCOUNT_TOO_SMALL,
    MessageCode.BID_BIDDER_FULL,
    MessageCode.BID_BIDDER_SHORT,
    MessageCode.DONE,
)


def is_instrument(instrument: Instrument) -> bool:
    """Whether twelve bytes name something that could be listed."""
    underlying, expiry, strike, kind = instrument
    if underlying >= UNDERLYINGS_MAX or kind > CALL:
        return False
    if kind == PERPETUAL:
        return expiry == 0 and strike == 0
    return is_expiry(expiry) and (strike == 0 if kind == FUTURE else is_strike_round(strike))


def is_expiry(expiry: int) -> bool:
    """Whether something may expire at this second."""
    return expiry % EXPIRY_STEP == EXPIRY_SECOND_OF_DAY


def is_strike_round(strike: int) -> bool:
    """Whether at most three digits of a strike say anything: nobody needs a strike a tick from another. 0 is none."""
    while strike >= _STRIKE_DIGITS_END and strike % 10 == 0:
        strike //= 10
    return 0 < strike < _STRIKE_DIGITS_END


@dataclass(frozen=True, slots=True)
class Open:
    """First step of a batch; its argument is the header."""

    kind: ClassVar[Kind] = Kind.OPEN

    def encode(self) -> bytes:
        """One byte."""
        return bytes([self.kind])


@dataclass(frozen=True, slots=True)
class Close:
    """Last step of a batch; its argument is the header."""

    kind: ClassVar[Kind] = Kind.CLOSE

    def encode(self) -> bytes:
        """One byte."""
        return bytes([self.kind])


@dataclass(frozen=True, slots=True)
class Tick:
    """Move state time to `time`, in seconds."""

    kind: ClassVar[Kind] = Kind.TICK
    position: int
    time: int

    def encode(self) -> bytes:
        """17 bytes."""
        return _POSITION.pack(self.kind, self.position) + _U64.pack(self.time)


@dataclass(frozen=True, slots=True)
class L1:
    """Take the L1 message with this inbox index. Where its account is short of margin, which a message may ask, the op
    names the scenarios that show it."""

    kind: ClassVar[Kind] = Kind.L1
    position: int
    index: int
    active: bytes | None = None

    def encode(self) -> bytes:
        """17 bytes, and 8 more where the account is short."""
        return _POSITION.pack(self.kind, self.position) + _U64.pack(self.index) + (self.active or b"")


@dataclass(frozen=True, slots=True)
class OracleSignature:
    """secp256k1 over the digest of a reading."""

    r: bytes
    s: bytes
    v: int


@dataclass(frozen=True, slots=True)
class Oracle:
    """A signed reading of one underlying; bit i of signer_mask says that signer i's signature is here."""

    kind: ClassVar[Kind] = Kind.ORACLE
    position: int
    underlying: int
    time: int
    spot: int
    mark: int
    spot_confidence: int
    mark_confidence: int
    volatility: int
    signer_mask: int
    signatures: tuple[OracleSignature, ...]

    def encode_signed(self) -> bytes:
        """What the signers sign, after domain and kind."""
        return _ORACLE_BODY.pack(
            self.underlying,
            self.time,
            self.spot,
            self.mark,
            self.spot_confidence,
            self.mark_confidence,
            self.volatility,
        )

    def encode(self) -> bytes:
        """48 bytes and 65 a signature."""
        head = _POSITION.pack(self.kind, self.position) + self.encode_signed()
        return head + encode_signatures(self.signer_mask, self.signatures)


def encode_signatures(signer_mask: int, signatures: tuple[OracleSignature, ...]) -> bytes:
    """What stands behind a reading: who signed, and the signatures, lowest bit first."""
    return bytes([signer_mask]) + b"".join(s.r + s.s + bytes([s.v]) for s in signatures)


@dataclass(frozen=True, slots=True)
class Surface:
    """A signed reading of one expiry of one underlying: its forward, rate and vols, and the integral of spot over time
    up to `time`. Prices in quote units a lot, the rest in Q38, confidence in parts per million.
    """

    kind: ClassVar[Kind] = Kind.SURFACE
    position: int
    underlying: int
    expiry: int
    time: int
    integral: int
    forward: int
    rate: int
    a: int
    b: int
    rho: int
    m: int
    sigma: int
    confidence: int
    signer_mask: int
    signatures: tuple[OracleSignature, ...]

    def encode_signed(self) -> bytes:
        """What the signers sign, after domain and kind."""
        return _SURFACE_BODY.pack(
            self.underlying,
            self.expiry,
            self.time,
            self.integral.to_bytes(16),
            self.forward,
            self.rate,
            self.a,
            self.b,
            self.rho,
            self.m,
            self.sigma,
            self.confidence,
        )

    def encode(self) -> bytes:
        """100 bytes and 65 a signature."""
        head = _POSITION.pack(self.kind, self.position) + self.encode_signed()
        return head + encode_signatures(self.signer_mask, self.signatures)

    def to_expiry(self, start_integral: int, settlement: int) -> Expiry:
        """The leaf that the reading makes."""
        return Expiry(
            time=self.time,
            forward=self.forward,
            rate=self.rate,
            a=self.a,
            b=self.b,
            rho=self.rho,
            m=self.m,
            sigma=self.sigma,
            confidence=self.confidence,
            start_integral=start_integral,
            integral=self.integral,
            settlement=settlement,
        )


@dataclass(frozen=True, slots=True)
class Index:
    """Price a basket from its components."""

    kind: ClassVar[Kind] = Kind.INDEX
    position: int
    underlying: int

    def encode(self) -> bytes:
        """11 bytes."""
        return _POSITION.pack(self.kind, self.position) + self.underlying.to_bytes(2)


@dataclass(frozen=True, slots=True)
class OrderTerms:
    """What a user signs to trade. Prices in quote units a lot, size in lots, fees in parts per million of notional.

    A lot of an order is `ratio` lots of each leg; its price is the sum of theirs, so it may be negative.
    """

    account: int
    slot: int
    counter: int
    generation: int
    epoch: int
    valid_until: int
    flags: int
    price: int
    size: int
    max_fee_ppm: int
    counterparty: int
    legs: tuple[tuple[Instrument, int], ...]

    def encode(self) -> bytes:
        """56 bytes and 13 a leg."""
        head = _ORDER_BODY.pack(
            self.account,
            self.slot,
            self.counter,
            self.generation,
            self.epoch,
            self.valid_until,
            self.flags,
            self.price,
            self.size,
            self.max_fee_ppm,
            self.counterparty,
            len(self.legs),
        )
        return head + b"".join(_LEG.pack(instrument.encode(), ratio) for instrument, ratio in self.legs)

    @property
    def instrument(self) -> Instrument:
        """The one leg's instrument."""
        return self.legs[0][0]


@dataclass(frozen=True, slots=True)
class OrderOp:
    """Register a signed order in its slot; `accepted` is the log position at which it was accepted."""

    kind: ClassVar[Kind] = Kind.ORDER
    position: int
    accepted: int
    terms: OrderTerms
    key_index: int
    signature: bytes

    @property
    def account(self) -> int:
        """Who signs."""
        return self.terms.account

    def encode_signed(self) -> bytes:
        """What the user signs, after domain and kind."""
        return self.terms.encode()

    def encode(self) -> bytes:
        """151 bytes with one leg."""
        head = _POSITION.pack(self.kind, self.position) + _U64.pack(self.accepted)
        return head + self.terms.encode() + _SIGNED_TAIL.pack(self.key_index, self.signature)


@dataclass(frozen=True, slots=True)
class Cancel:
    """Kill every order of a slot up to `counter`."""

    kind: ClassVar[Kind] = Kind.CANCEL
    position: int
    account: int
    slot: int
    counter: int
    generation: int
    key_index: int
    signature: bytes

    def encode_signed(self) -> bytes:
        """What the user signs, after domain and kind."""
        return _CANCEL_BODY.pack(self.account, self.slot, self.counter, self.generation)

    def encode(self) -> bytes:
        """92 bytes."""
        head = _POSITION.pack(self.kind, self.position)
        return head + self.encode_signed() + _SIGNED_TAIL.pack(self.key_index, self.signature)


@dataclass(frozen=True, slots=True)
class Fill:
    """Trade `quantity` lots between two registered orders at `price`. Of a side that is short of margin, and less so
    behind the trade, the op names the scenarios in which it was worst off before."""

    kind: ClassVar[Kind] = Kind.FILL
    position: int
    buyer: int
    buyer_slot: int
    seller: int
    seller_slot: int
    price: int
    quantity: int
    buyer_active: bytes = NO_ACTIVE
    seller_active: bytes = NO_ACTIVE

    def encode(self) -> bytes:
        """37 bytes, and 16 more where scenarios are named."""
        head = _POSITION.pack(self.kind, self.position)
        active = self.buyer_active + self.seller_active
        return (
            head
            + _FILL_BODY.pack(self.buyer, self.buyer_slot, self.seller, self.seller_slot, self.price, self.quantity)
            + (active if any(active) else b"")
        )


@dataclass(frozen=True, slots=True)
class Transfer:
    """Move `amount` units of an asset to another account."""

    kind: ClassVar[Kind] = Kind.TRANSFER
    position: int
    account: int
    sequence: int
    to: int
    asset: int
    amount: int
    key_index: int
    signature: bytes

    def encode_signed(self) -> bytes:
        """What the user signs, after domain and kind."""
        return _TRANSFER_BODY.pack(self.account, self.sequence, self.to, self.asset, self.amount)

    def encode(self) -> bytes:
        """100 bytes."""
        head = _POSITION.pack(self.kind, self.position)
        return head + self.encode_signed() + _SIGNED_TAIL.pack(self.key_index, self.signature)


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Move `amount` units of an asset to the outbox, for the account's owner to claim on L1."""

    kind: ClassVar[Kind] = Kind.WITHDRAW
    position: int
    account: int
    sequence: int
    asset: int
    amount: int
    key_index: int
    signature: bytes

    def encode_signed(self) -> bytes:
        """What the user signs, after domain and kind."""
        return _WITHDRAW_BODY.pack(self.account, self.sequence, self.asset, self.amount)

    def encode(self) -> bytes:
        """96 bytes."""
        head = _POSITION.pack(self.kind, self.position)
        return head + self.encode_signed() + _SIGNED_TAIL.pack(self.key_index, self.signature)


@dataclass(frozen=True, slots=True)
class Settle:
    """Turn an account's settled positions into cash."""

    kind: ClassVar[Kind] = Kind.SETTLE
    position: int
    account: int

    def encode(self) -> bytes:
        """13 bytes."""
        return _POSITION.pack(self.kind, self.position) + self.account.to_bytes(4)


@dataclass(frozen=True, slots=True)
class Liquidate:
    """Start or stop an account's auction, or write off what it owes; the op claims the account's margin, and names the
    scenarios that are its worst."""

    kind: ClassVar[Kind] = Kind.LIQUIDATE
    position: int
    account: int
    equity: int
    maintenance: int
    quote_equity: int
    active: bytes = NO_ACTIVE

    def encode(self) -> bytes:
        """69 bytes."""
        claims = (encode_i128(self.equity), encode_i128(self.maintenance), encode_i128(self.quote_equity))
        return _POSITION.pack(self.kind, self.position) + _LIQUIDATE_BODY.pack(self.account, *claims, self.active)


@dataclass(frozen=True, slots=True)
class Take:
    """Take over a slice of an account that is up for auction. The op claims, unsigned, the target's margin and what the
    slice is worth and relieves it of, and names the worst scenarios of the target and of what is left of it."""

    kind: ClassVar[Kind] = Kind.TAKE
    position: int
    equity: int
    maintenance: int
    value: int
    relief: int
    account: int
    sequence: int
    target: int
    slice_ppm: int
    discount_min: int
    valid_until: int
    key_index: int
    signature: bytes
    target_active: bytes = NO_ACTIVE
    rest_active: bytes = NO_ACTIVE

    def encode_signed(self) -> bytes:
        """What the bidder signs, after domain and kind."""
        return _TAKE_BODY.pack(
            self.account, self.sequence, self.target, self.slice_ppm, self.discount_min, self.valid_until
        )

    def encode(self) -> bytes:
        """190 bytes."""
        claims = _TAKE_CLAIMS.pack(
            encode_i128(self.equity),
            encode_i128(self.maintenance),
            encode_i128(self.value),
            self.relief.to_bytes(16),
            self.target_active,
            self.rest_active,
        )
        head = _POSITION.pack(self.kind, self.position) + claims
        return head + self.encode_signed() + _SIGNED_TAIL.pack(self.key_index, self.signature)


@dataclass(frozen=True, slots=True)
class Deleverage:
    """Close part of a bankrupt's position against one who holds the other side. The op claims the bankrupt's margin,
    and names the scenarios that are its worst."""

    kind: ClassVar[Kind] = Kind.DELEVERAGE
    position: int
    bankrupt: int
    counterparty: int
    instrument: Instrument
    quantity: int
    equity: int
    maintenance: int
    notional: int
    mark: int
    active: bytes = NO_ACTIVE

    def encode(self) -> bytes:
        """101 bytes."""
        body = _DELEVERAGE_BODY.pack(
            self.bankrupt,
            self.counterparty,
            self.instrument.encode(),
            self.quantity,
            encode_i128(self.equity),
            encode_i128(self.maintenance),
            self.active,
            self.notional.to_bytes(16),
            self.mark,
        )
        return _POSITION.pack(self.kind, self.position) + body


@dataclass(frozen=True, slots=True)
class Bid:
    """Take the L1 message with this inbox index, which asks to take over a slice. The op claims what becomes of it, and
    where that depends on margins what a `Take` claims; and names the bidder's worst scenarios where he is short."""

    kind: ClassVar[Kind] = Kind.BID
    position: int
    index: int
    code: MessageCode
    equity: int
    maintenance: int
    value: int
    relief: int
    target_active: bytes = NO_ACTIVE
    rest_active: bytes = NO_ACTIVE
    bidder_active: bytes = NO_ACTIVE

    def encode(self) -> bytes:
        """107 bytes."""
        claims = (encode_i128(self.equity), encode_i128(self.maintenance), encode_i128(self.value))
        active = (self.target_active, self.rest_active, self.bidder_active)
        body = _BID_BODY.pack(self.index, self.code, *claims, self.relief.to_bytes(16), *active)
        return _POSITION.pack(self.kind, self.position) + body


@dataclass(frozen=True, slots=True)
class Relay:
    """Take the L1 message with this inbox index, which carries a signed reading."""

    kind: ClassVar[Kind] = Kind.RELAY
    position: int
    index: int

    def encode(self) -> bytes:
        """17 bytes."""
        return _POSITION.pack(self.kind, self.position) + _U64.pack(self.index)


@dataclass(frozen=True, slots=True)
class Interest:
    """Charge an account for what it owes in quote, or start or stop the clock; the op claims its quote equity."""

    kind: ClassVar[Kind] = Kind.INTEREST
    position: int
    account: int
    quote_equity: int

    def encode(self) -> bytes:
        """29 bytes."""
        body = _INTEREST_BODY.pack(self.account, encode_i128(self.quote_equity))
        return _POSITION.pack(self.kind, self.position) + body


Operation = (
    Open
    | Close
    | Tick
    | L1
    | Oracle
    | OrderOp
    | Cancel
    | Fill
    | Transfer
    | Withdraw
    | Surface
    | Index
    | Settle
    | Liquidate
    | Take
    | Deleverage
    | Bid
    | Relay
    | Interest
)
MessageOperation = L1 | Bid | Relay
SignedOperation = OrderOp | Cancel | Transfer | Withdraw | Take


def encode_i128(number: int) -> bytes:
    """16 bytes. Raises OverflowError."""
    return number.to_bytes(16, signed=True)


def decode_i128(data: bytes) -> int:
    """From 16 bytes."""
    return int.from_bytes(data, signed=True)


def hash_domain(chain_id: int, rollup: bytes) -> bytes:
    """The domain that every signature of one rollup is bound to; `rollup` is its 20-byte address."""
    return hashlib.sha256(b"keel/1" + chain_id.to_bytes(32) + rollup).digest()


def hash_digest(domain: bytes, op: SignedOperation | Oracle | Surface) -> bytes:
    """The 32 bytes that are signed."""
    return hashlib.sha256(domain + bytes([op.kind]) + op.encode_signed()).digest()


def _read_u64(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 8])


def _decode_open(data: bytes) -> Operation | None:
    return Open() if len(data) == 1 else None


def _decode_close(data: bytes) -> Operation | None:
    return Close() if len(data) == 1 else None


def _decode_tick(data: bytes) -> Operation | None:
    if len(data) != 17:
        return None
    return Tick(_read_u64(data, 1), _read_u64(data, 9))


def _decode_l1(data: bytes) -> Operation | None:
    if len(data) not in (17, 25):
        return None
    return L1(_read_u64(data, 1), _read_u64(data, 9), data[17:] or None)


def _decode_signatures(data: bytes, at: int) -> tuple[int, tuple[OracleSignature, ...]] | None:
    """The mask at `at` and as many signatures as it names, to the end."""
    if len(data) <= at:
        return None
    mask = data[at]
    if not 1 <= mask <= 31 or len(data) != at + 1 + 65 * mask.bit_count():
        return None
    starts = range(at + 1, len(data), 65)
    return mask, tuple(OracleSignature(data[i : i + 32], data[i + 32 : i + 64], data[i + 64]) for i in starts)


def _decode_oracle(data: bytes) -> Operation | None:
    signed = _decode_signatures(data, 47)
    if signed is None:
        return None
    signer_mask, signatures = signed
    fields = _ORACLE_BODY.unpack_from(data, 9)
    underlying, _, spot, mark, spot_confidence, mark_confidence, volatility = fields
    is_sound = (
        underlying < UNDERLYINGS_MAX
        and spot in _IS_PRICE
        and mark in _IS_PRICE
        and spot_confidence in _IS_PPM
        and mark_confidence in _IS_PPM
        and volatility in _IS_VOLATILITY
    )
    return Oracle(*(_read_u64(data, 1), *fields, signer_mask, signatures)) if is_sound else None


def _decode_surface(data: bytes) -> Operation | None:
    signed = _decode_signatures(data, 99)
    if signed is None:
        return None
    signer_mask, signatures = signed
    fields = _SURFACE_BODY.unpack_from(data, 9)
    underlying, expiry, time, integral_bytes, forward, rate, a, b, rho, m, sigma, confidence = fields
    integral = int.from_bytes(integral_bytes)
    is_sound = (
        underlying < UNDERLYINGS_MAX
        and is_expiry(expiry)
        and time <= expiry
        and integral < _INTEGRAL_END
        and forward in _IS_PRICE
        and abs(rate) <= _RATE_MAX_Q38
        and a in _IS_SVI_A
        and b in _IS_SVI_B
        and rho in _IS_SVI_RHO
        and m in _IS_SVI_M
        and sigma in _IS_SVI_SIGMA
        and confidence in _IS_PPM
    )
    if not is_sound:
        return None
    return Surface(*(_read_u64(data, 1), *fields[:3], integral, *fields[4:], signer_mask, signatures))


def _decode_index(data: bytes) -> Operation | None:
    if len(data) != 11:
        return None
    underlying = int.from_bytes(data[9:])
    return Index(_read_u64(data, 1), underlying) if underlying < UNDERLYINGS_MAX else None


def _decode_order(data: bytes) -> Operation | None:
    leg_count, excess = divmod(len(data) - 138, _LEG.size)
    if excess or not 1 <= leg_count <= LEGS_MAX:
        return None
    fields = _ORDER_BODY.unpack_from(data, 17)
    account, slot, counter, _, _, _, flags, price, size, max_fee_ppm, counterparty, count_claimed = fields
    legs_end = 73 + leg_count * _LEG.size
    legs = _decode_legs(data[73:legs_end])
    key_index, signature = _SIGNED_TAIL.unpack_from(data, legs_end)
    is_sound = (
        account in _IS_ACCOUNT
        and slot in _IS_SLOT
        and counter >= 1
        and flags < 8
        and price in (_IS_PRICE if leg_count == 1 else _IS_NET_PRICE)
        and size in _IS_QUANTITY
        and max_fee_ppm <= FEE_PPM_MAX
        and counterparty < ACCOUNTS_MAX
        and count_claimed == leg_count
        and key_index < KEYS_MAX
    )
    if not is_sound or legs is None:
        return None
    terms = OrderTerms(*(*fields[:-1], legs))
    return OrderOp(_read_u64(data, 1), _read_u64(data, 9), terms, key_index, signature)


@lru_cache(maxsize=1 << 12)
def _decode_legs(data: bytes) -> tuple[tuple[Instrument, int], ...] | None:
    """None for legs that no order may have. There are few instruments, and very many orders of them."""
    legs = tuple((decode_instrument(instrument), ratio) for instrument, ratio in _LEG.iter_unpack(data))
    return legs if are_legs_sound(legs) else None


def are_legs_sound(legs: tuple[tuple[Instrument, int], ...]) -> bool:
    """Whether legs say it the one way: of one underlying, ascending, the first bought by a buyer, in lowest terms."""
    instruments = [instrument for instrument, _ in legs]
    ratios = [ratio for _, ratio in legs]
    return (
        all(is_instrument(instrument) for instrument in instruments)
        and all(left < right for left, right in pairwise(instruments))
        and instruments[0].underlying == instruments[-1].underlying
        and all(ratio != 0 and abs(ratio) <= RATIO_MAX for ratio in ratios)
        and ratios[0] > 0
        and gcd(*ratios) == 1
    )


def _decode_cancel(data: bytes) -> Operation | None:
    if len(data) != 92:
        return None
    account, slot, counter, generation = _CANCEL_BODY.unpack_from(data, 9)
    key_index, signature = _SIGNED_TAIL.unpack_from(data, 27)
    if account not in _IS_ACCOUNT or slot not in _IS_SLOT or counter < 1 or key_index >= KEYS_MAX:
        return None
    return Cancel(_read_u64(data, 1), account, slot, counter, generation, key_index, signature)


def _decode_fill(data: bytes) -> Operation | None:
    active = data[37:]
    if len(data) != 37 and (len(data) != 53 or not any(active)):
        return None
    buyer, buyer_slot, seller, seller_slot, price, quantity = _FILL_BODY.unpack_from(data, 9)
    if buyer not in _IS_ACCOUNT or seller not in _IS_ACCOUNT or buyer_slot not in _IS_SLOT:
        return None
    if seller_slot not in _IS_SLOT or price not in _IS_NET_PRICE or quantity not in _IS_QUANTITY:
        return None
    named = (active[:8], active[8:]) if active else (NO_ACTIVE, NO_ACTIVE)
    return Fill(_read_u64(data, 1), buyer, buyer_slot, seller, seller_slot, price, quantity, *named)


def _decode_transfer(data: bytes) -> Operation | None:
    if len(data) != 100:
        return None
    account, sequence, to, asset, amount = _TRANSFER_BODY.unpack_from(data, 9)
    key_index, signature = _SIGNED_TAIL.unpack_from(data, 35)
    if account not in _IS_ACCOUNT or to not in _IS_ACCOUNT or asset >= ASSETS_MAX:
        return None
    if amount not in _IS_AMOUNT or key_index >= KEYS_MAX:
        return None
    return Transfer(_read_u64(data, 1), account, sequence, to, asset, amount, key_index, signature)


def _decode_withdraw(data: bytes) -> Operation | None:
    if len(data) != 96:
        return None
    account, sequence, asset, amount = _WITHDRAW_BODY.unpack_from(data, 9)
    key_index, signature = _SIGNED_TAIL.unpack_from(data, 31)
    if account not in _IS_ACCOUNT or asset >= ASSETS_MAX or amount not in _IS_AMOUNT or key_index >= KEYS_MAX:
        return None
    return Withdraw(_read_u64(data, 1), account, sequence, asset, amount, key_index, signature)


def _decode_bid(data: bytes) -> Operation | None:
    if len(data) != 107:
        return None
    index, code, equity, maintenance, value, relief, target_active, rest_active, bidder_active = _BID_BODY.unpack_from(
        data, 9
    )
    if code not in BID_CODES or (code in BID_CODES_WITHOUT_CLAIMS and any(data[_BID_CLAIMS_AT:])):
        return None
    if code != MessageCode.BID_BIDDER_SHORT and any(bidder_active):
        return None
    if code == MessageCode.BID_SLICE_UNHEDGES and any(relief):
        return None
    return Bid(
        position=_read_u64(data, 1),
        index=index,
        code=MessageCode(code),
        equity=decode_i128(equity),
        maintenance=decode_i128(maintenance),
        value=decode_i128(value),
        relief=int.from_bytes(relief),
        target_active=target_active,
        rest_active=rest_active,
        bidder_active=bidder_active,
    )


def _decode_relay(data: bytes) -> Operation | None:
    return Relay(_read_u64(data, 1), _read_u64(data, 9)) if len(data) == 17 else None


def _decode_settle(data: bytes) -> Operation | None:
    if len(data) != 13:
        return None
    account = int.from_bytes(data[9:])
    return Settle(_read_u64(data, 1), account) if account in _IS_ACCOUNT else None


def _decode_liquidate(data: bytes) -> Operation | None:
    if len(data) != 69:
        return None
    account, *claims, active = _LIQUIDATE_BODY.unpack_from(data, 9)
    equity, maintenance, quote_equity = map(decode_i128, claims)
    if account not in _IS_ACCOUNT:
        return None
    return Liquidate(_read_u64(data, 1), account, equity, maintenance, quote_equity, active)


def _decode_take(data: bytes) -> Operation | None:
    if len(data) != 190:
        return None
    equity, maintenance, value, relief, target_active, rest_active = _TAKE_CLAIMS.unpack_from(data, 9)
    account, sequence, target, slice_ppm, discount_min, valid_until = _TAKE_BODY.unpack_from(data, 89)
    key_index, signature = _SIGNED_TAIL.unpack_from(data, 125)
    if account not in _IS_ACCOUNT or target not in _IS_ACCOUNT or not 1 <= slice_ppm <= PPM or key_index >= KEYS_MAX:
        return None
    return Take(
        position=_read_u64(data, 1),
        equity=decode_i128(equity),
        maintenance=decode_i128(maintenance),
        value=decode_i128(value),
        relief=int.from_bytes(relief),
        target_active=target_active,
        rest_active=rest_active,
        account=account,
        sequence=sequence,
        target=target,
        slice_ppm=slice_ppm,
        discount_min=discount_min,
        valid_until=valid_until,
        key_index=key_index,
        signature=signature,
    )


def _decode_deleverage(data: bytes) -> Operation | None:
    if len(data) != 101:
        return None
    fields = _DELEVERAGE_BODY.unpack_from(data, 9)
    bankrupt, counterparty, instrument_bytes, quantity, equity, maintenance, active, notional, mark = fields
    instrument = decode_instrument(instrument_bytes)
    is_sound = (
        bankrupt in _IS_ACCOUNT
        and counterparty in _IS_ACCOUNT
        and is_instrument(instrument)
        and quantity in _IS_QUANTITY
        and mark < PRICE_MAX
    )
    if not is_sound:
        return None
    return Deleverage(
        position=_read_u64(data, 1),
        bankrupt=bankrupt,
        counterparty=counterparty,
        instrument=instrument,
        quantity=quantity,
        equity=decode_i128(equity),
        maintenance=decode_i128(maintenance),
        active=active,
        notional=int.from_bytes(notional),
        mark=mark,
    )


def _decode_interest(data: bytes) -> Operation | None:
    if len(data) != 29:
        return None
    account, quote_equity = _INTEREST_BODY.unpack_from(data, 9)
    return Interest(_read_u64(data, 1), account, decode_i128(quote_equity)) if account in _IS_ACCOUNT else None


_DECODERS: dict[int, Callable[[bytes], Operation | None]] = {
    Kind.OPEN: _decode_open,
    Kind.CLOSE: _decode_close,
    Kind.TICK: _decode_tick,
    Kind.L1: _decode_l1,
    Kind.ORACLE: _decode_oracle,
    Kind.ORDER: _decode_order,
    Kind.CANCEL: _decode_cancel,
    Kind.FILL: _decode_fill,
    Kind.TRANSFER: _decode_transfer,
    Kind.WITHDRAW: _decode_withdraw,
    Kind.SURFACE: _decode_surface,
    Kind.INDEX: _decode_index,
    Kind.SETTLE: _decode_settle,
    Kind.LIQUIDATE: _decode_liquidate,
    Kind.TAKE: _decode_take,
    Kind.DELEVERAGE: _decode_deleverage,
    Kind.BID: _decode_bid,
    Kind.RELAY: _decode_relay,
    Kind.INTEREST: _decode_interest,
}


def decode_operation(data: bytes) -> Operation | None:
    """The op that these bytes are, or None when they are none."""
    if not 1 <= len(data) <= OP_BYTES_MAX:
        return None
    decoder = _DECODERS.get(data[0])
    return None if decoder is None else decoder(data)
