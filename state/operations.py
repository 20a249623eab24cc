"""Operations and their bytes (SPEC.md section 5): decoding is total and enforces every static rule.

`decode_operation` answers None for any bytes that are not exactly one well-formed op; a decoded op is within every
bound that can be read off its bytes. `encode()` of a decoded op gives the same bytes back.

Mirrors contracts/operations.vy and contracts/orders.vy.
"""

import hashlib
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from state.codes import Kind
from state.constants import (
    ACCOUNTS_MAX,
    AMOUNT_MAX,
    ASSETS_MAX,
    FEE_PPM_MAX,
    KEYS_MAX,
    OP_BYTES_MAX,
    PRICE_MAX,
    QUANTITY_MAX,
    SLOTS_PER_ACCOUNT,
    UNDERLYINGS_MAX,
)
from state.leaves import PERPETUAL, Instrument, decode_instrument

_POSITION = struct.Struct(">BQ")
_U64 = struct.Struct(">Q")
_ORDER_BODY = struct.Struct(">IHQIIQBqQIIB")
_LEG = struct.Struct(">12sb")
_CANCEL_BODY = struct.Struct(">IHQI")
_FILL_BODY = struct.Struct(">IHIHqQ")
_TRANSFER_BODY = struct.Struct(">IQIHQ")
_WITHDRAW_BODY = struct.Struct(">IQHQ")
_ORACLE_BODY = struct.Struct(">HQQQ")
_SIGNED_TAIL = struct.Struct(">B64s")

_IS_ACCOUNT = range(1, ACCOUNTS_MAX)
_IS_SLOT = range(SLOTS_PER_ACCOUNT)
_IS_PRICE = range(1, PRICE_MAX + 1)
_IS_QUANTITY = range(1, QUANTITY_MAX + 1)
_IS_AMOUNT = range(1, AMOUNT_MAX + 1)


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
    """Take the L1 message with this inbox index."""

    kind: ClassVar[Kind] = Kind.L1
    position: int
    index: int

    def encode(self) -> bytes:
        """17 bytes."""
        return _POSITION.pack(self.kind, self.position) + _U64.pack(self.index)


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
    signer_mask: int
    signatures: tuple[OracleSignature, ...]

    def encode_signed(self) -> bytes:
        """What the signers sign, after domain and kind."""
        return _ORACLE_BODY.pack(self.underlying, self.time, self.spot, self.mark)

    def encode(self) -> bytes:
        """36 bytes and 65 a signature."""
        signatures = b"".join(s.r + s.s + bytes([s.v]) for s in self.signatures)
        return _POSITION.pack(self.kind, self.position) + self.encode_signed() + bytes([self.signer_mask]) + signatures


@dataclass(frozen=True, slots=True)
class OrderTerms:
    """What a user signs to trade. Prices in quote units a lot, size in lots, fees in parts per million of notional."""

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
    """Trade `quantity` lots between two registered orders at `price`."""

    kind: ClassVar[Kind] = Kind.FILL
    position: int
    buyer: int
    buyer_slot: int
    seller: int
    seller_slot: int
    price: int
    quantity: int

    def encode(self) -> bytes:
        """37 bytes."""
        head = _POSITION.pack(self.kind, self.position)
        return head + _FILL_BODY.pack(
            self.buyer, self.buyer_slot, self.seller, self.seller_slot, self.price, self.quantity
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


Operation = Open | Close | Tick | L1 | Oracle | OrderOp | Cancel | Fill | Transfer | Withdraw
SignedOperation = OrderOp | Cancel | Transfer | Withdraw


def hash_domain(chain_id: int, rollup: bytes) -> bytes:
    """The domain that every signature of one rollup is bound to; `rollup` is its 20-byte address."""
    return hashlib.sha256(b"keel/1" + chain_id.to_bytes(32) + rollup).digest()


def hash_digest(domain: bytes, op: SignedOperation | Oracle) -> bytes:
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
    if len(data) != 17:
        return None
    return L1(_read_u64(data, 1), _read_u64(data, 9))


def _decode_oracle(data: bytes) -> Operation | None:
    if len(data) < 36:
        return None
    underlying, time, spot, mark = _ORACLE_BODY.unpack_from(data, 9)
    mask = data[35]
    if not 1 <= mask <= 31 or len(data) != 36 + 65 * mask.bit_count():
        return None
    if underlying >= UNDERLYINGS_MAX or spot not in _IS_PRICE or mark not in _IS_PRICE:
        return None
    signatures = tuple(
        OracleSignature(data[at : at + 32], data[at + 32 : at + 64], data[at + 64]) for at in range(36, len(data), 65)
    )
    return Oracle(_read_u64(data, 1), underlying, time, spot, mark, mask, signatures)


def _decode_order(data: bytes) -> Operation | None:
    if len(data) != 151:
        return None
    fields = _ORDER_BODY.unpack_from(data, 17)
    account, slot, counter, _, _, _, flags, price, size, max_fee_ppm, counterparty, leg_count = fields
    instrument_bytes, ratio = _LEG.unpack_from(data, 73)
    instrument = decode_instrument(instrument_bytes)
    key_index, signature = _SIGNED_TAIL.unpack_from(data, 86)
    is_sound = (
        account in _IS_ACCOUNT
        and slot in _IS_SLOT
        and counter >= 1
        and flags < 8
        and price in _IS_PRICE
        and size in _IS_QUANTITY
        and max_fee_ppm <= FEE_PPM_MAX
        and counterparty < ACCOUNTS_MAX
        and leg_count == 1
        and ratio == 1
        and instrument.underlying < UNDERLYINGS_MAX
        and instrument[1:] == (0, PERPETUAL, 0)
        and key_index < KEYS_MAX
    )
    if not is_sound:
        return None
    terms = OrderTerms(*(*fields[:-1], ((instrument, ratio),)))
    return OrderOp(_read_u64(data, 1), _read_u64(data, 9), terms, key_index, signature)


def _decode_cancel(data: bytes) -> Operation | None:
    if len(data) != 92:
        return None
    account, slot, counter, generation = _CANCEL_BODY.unpack_from(data, 9)
    key_index, signature = _SIGNED_TAIL.unpack_from(data, 27)
    if account not in _IS_ACCOUNT or slot not in _IS_SLOT or counter < 1 or key_index >= KEYS_MAX:
        return None
    return Cancel(_read_u64(data, 1), account, slot, counter, generation, key_index, signature)


def _decode_fill(data: bytes) -> Operation | None:
    if len(data) != 37:
        return None
    buyer, buyer_slot, seller, seller_slot, price, quantity = _FILL_BODY.unpack_from(data, 9)
    if buyer not in _IS_ACCOUNT or seller not in _IS_ACCOUNT or buyer_slot not in _IS_SLOT:
        return None
    if seller_slot not in _IS_SLOT or price not in _IS_PRICE or quantity not in _IS_QUANTITY:
        return None
    return Fill(_read_u64(data, 1), buyer, buyer_slot, seller, seller_slot, price, quantity)


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
}


def decode_operation(data: bytes) -> Operation | None:
    """The op that these bytes are, or None when they are none."""
    if not 1 <= len(data) <= OP_BYTES_MAX:
        return None
    decoder = _DECODERS.get(data[0])
    return None if decoder is None else decoder(data)
