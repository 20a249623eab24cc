"""l1: what people ask of the rollup through Ethereum (SPEC.md section 9).

A message must be taken, so it is evaluated whole: one that fails does nothing but move the cursor, with a numbered
reason; a deposit that fails goes back through the outbox.

Mirrors contracts/inbox.vy and contracts/messages.vy, and contracts/verify_inbox.vy for the checks.
"""

import hashlib
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import NamedTuple, cast

from risk.margin import Margin
from state.active_scenarios import Scales, list_tried, weigh_account
from state.codes import Code, MessageCode
from state.constants import (
    ACCOUNTS_MAX,
    AMOUNT_MAX,
    CASH_MAX,
    CUSTODY_MAX,
    KEYS_MAX,
    RULES_OFFSET,
)
from state.context import Process, Receipt, StepContext, is_position_next
from state.leaves import Account, SessionKey, Withdrawal
from state.leaving import is_balance_covered, needs_prices, weigh_leaving
from state.ledger import Exhibit, Ledger
from state.operations import L1, NO_ACTIVE, Bid, MessageOperation, Operation, Relay
from state.process_liquidate import is_margin_bad, raise_epoch
from state.process_money import move_to_outbox
from state.tree import Collection, leaf_key
from state.valuation import add_balance, is_young


class MessageType(IntEnum):
    """First byte of an L1 message."""

    DEPOSIT = 1
    REGISTER_KEY = 2
    FORCE_WITHDRAW = 3
    CANCEL_ALL = 5
    FORCE_CLOSE = 6
    FORCE_LIQUIDATE = 7
    TAKE = 8
    READING = 9
    SURFACE = 10
    PARAMS = 11


_MESSAGE = struct.Struct(">B20sQI")
MESSAGE_HEAD_BYTES = _MESSAGE.size
_DEPOSIT = struct.Struct(">HQ")
_REGISTER_KEY = struct.Struct(">32sBQ")
_FORCE_CLOSE = struct.Struct(">B")
_PARAMS = struct.Struct(">H32s32s")


@dataclass(frozen=True, slots=True)
class Message:
    """One L1 message: who sent it, when L1 took it, the account it names, and its payload."""

    type: int
    sender: bytes
    time: int
    account: int
    payload: bytes

    def encode(self) -> bytes:
        """33 bytes and the payload."""
        return _MESSAGE.pack(self.type, self.sender, self.time, self.account) + self.payload


def decode_message(data: bytes) -> Message:
    """From bytes that the contract wrote."""
    return Message(*(*_MESSAGE.unpack_from(data), data[_MESSAGE.size :]))


def encode_amount(asset: int, amount: int) -> bytes:
    """Payload of a deposit and of a forced withdrawal."""
    return _DEPOSIT.pack(asset, amount)


def encode_key(key: SessionKey) -> bytes:
    """Payload of a key registration."""
    return _REGISTER_KEY.pack(*key)


def encode_close(is_on: bool) -> bytes:
    """Payload of a forced close."""
    return _FORCE_CLOSE.pack(is_on)


class Proposal(NamedTuple):
    """A version of parameters and rules to come, as leaves, and the hashes of those that it was compared with."""

    version: int
    previous_params_hash: bytes
    previous_rules_hash: bytes
    params: bytes
    rules: bytes

    def encode(self) -> bytes:
        """Payload of a message of parameters."""
        head = _PARAMS.pack(self.version, self.previous_params_hash, self.previous_rules_hash)
        return b"".join((head, len(self.params).to_bytes(2), self.params, len(self.rules).to_bytes(2), self.rules))


def decode_proposal(payload: bytes) -> Proposal:
    """From bytes that the governor's contract wrote."""
    rules_at = _PARAMS.size + 2 + int.from_bytes(payload[_PARAMS.size : _PARAMS.size + 2])
    return Proposal(*(*_PARAMS.unpack_from(payload), payload[_PARAMS.size + 2 : rules_at], payload[rules_at + 2 :]))


def hash_accumulator(accumulator: bytes, message: bytes) -> bytes:
    """The inbox hash after one more message."""
    return hashlib.sha256(accumulator + hashlib.sha256(message).digest()).digest()


OPS_OF_THEIR_OWN: dict[int, type[Operation]] = {
    MessageType.TAKE: Bid,
    MessageType.READING: Relay,
    MessageType.SURFACE: Relay,
}
"""What takes a message that an l1 op does not take."""


def get_message(context: StepContext, op: Operation) -> Message:
    """The message that an op takes."""
    return decode_message(context.get_message(cast(MessageOperation, op).index))


def is_index_at_cursor(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """Messages are taken in order."""
    return cast(MessageOperation, op).index == ledger.get_globals().inbox_cursor


def is_index_within_header(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """No message beyond those that L1 has checked exist."""
    return cast(MessageOperation, op).index < context.header.inbox_cursor


def is_message_for_kind(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """Each type of message is taken by one kind of op."""
    taker = OPS_OF_THEIR_OWN.get(get_message(context, op).type)
    return isinstance(op, taker) if taker else not isinstance(op, Bid | Relay)


def is_message_reached(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """State time has reached the message's: nobody takes it back to before it was sent."""
    return ledger.get_globals().time >= get_message(context, op).time


def refuse_deposit(ledger: Ledger, message: Message, asset: int, amount: int, code: MessageCode) -> Receipt:
    """Send a deposit back to whoever made it; custody never counted it."""
    state = ledger.get_globals()
    ledger.put_withdrawal(state.outbox_count, Withdrawal(message.sender, asset, amount, 0))
    ledger.put_globals(replace(state, outbox_count=state.outbox_count + 1))
    return Receipt(code, withdrawal=state.outbox_count)


def apply_deposit(ledger: Ledger, message: Message) -> Receipt:
    """Credit an account, or create one for the sender."""
    asset, amount = _DEPOSIT.unpack(message.payload)
    state, creates = ledger.get_globals(), message.account == 0
    # CHECKS
    if asset >= state.asset_count:
        return Receipt(MessageCode.DEPOSIT_ASSET_UNKNOWN)
    params, books = ledger.get_params(), ledger.require_asset(asset)
    target = state.account_count if creates else message.account
    if creates and target >= ACCOUNTS_MAX:
        return refuse_deposit(ledger, message, asset, amount, MessageCode.DEPOSIT_ACCOUNTS_FULL)
    account = ledger.get_account(target) if target < ACCOUNTS_MAX else None
    if creates:
        account = Account(owner=message.sender)
    if account is None:
        return refuse_deposit(ledger, message, asset, amount, MessageCode.DEPOSIT_ACCOUNT_UNKNOWN)
    if creates and amount < params.assets[asset].create_min:
        return refuse_deposit(ledger, message, asset, amount, MessageCode.DEPOSIT_BELOW_MINIMUM)
    if books.bad_debt > 0:
        return refuse_deposit(ledger, message, asset, amount, MessageCode.DEPOSIT_BAD_DEBT)
    if books.custody + amount > CUSTODY_MAX:
        return refuse_deposit(ledger, message, asset, amount, MessageCode.DEPOSIT_CUSTODY_FULL)
    account = add_balance(account, asset, amount)
    if account.cash > CASH_MAX:
        return refuse_deposit(ledger, message, asset, amount, MessageCode.DEPOSIT_CASH_FULL)
    # EFFECTS
    ledger.put_asset(asset, replace(books, custody=books.custody + amount))
    ledger.put_account(target, account)
    if creates:
        ledger.put_globals(replace(state, account_count=target + 1))
    # RECEIPT
    return Receipt(account=target)


def get_owned_account(ledger: Ledger, message: Message) -> Account | None:
    """The account that the message names, if its owner sent the message."""
    if not 0 < message.account < ACCOUNTS_MAX:
        return None
    account = ledger.get_account(message.account)
    return account if account is not None and account.owner == message.sender else None


def apply_register_key(ledger: Ledger, message: Message) -> Receipt:
    """Add, replace or (expiry 0) remove a session key."""
    key = SessionKey(*_REGISTER_KEY.unpack(message.payload))
    # CHECKS
    account = get_owned_account(ledger, message)
    if account is None:
        return Receipt(MessageCode.SENDER_MUST_OWN)
    known = any(held.public_key == key.public_key for held in account.keys)
    if key.expiry == 0 and not known:
        return Receipt(MessageCode.KEY_UNKNOWN)
    if not known and len(account.keys) == KEYS_MAX:
        return Receipt(MessageCode.KEYS_FULL)
    # EFFECTS
    if key.expiry == 0:
        keys = tuple(held for held in account.keys if held.public_key != key.public_key)
    elif known:
        keys = tuple(key if held.public_key == key.public_key else held for held in account.keys)
    else:
        keys = (*account.keys, key)
    ledger.put_account(message.account, replace(account, keys=keys))
    # RECEIPT
    return Receipt(account=message.account)


def apply_force_withdraw(ledger: Ledger, message: Message, is_short: bool) -> Receipt:
    """A withdrawal that the sequencer cannot leave out, but for want of margin, which the op claims."""
    asset, amount = _DEPOSIT.unpack(message.payload)
    # CHECKS
    ledger.get_params()  # in the order of reads it comes before the account
    account = get_owned_account(ledger, message)
    if account is None:
        return Receipt(MessageCode.SENDER_MUST_OWN)
    if not 1 <= amount <= AMOUNT_MAX or asset >= ledger.get_globals().asset_count:
        return Receipt(MessageCode.FORCED_AMOUNT)
    if not is_balance_covered(ledger, account, asset, amount):
        return Receipt(MessageCode.FORCED_BALANCE)
    if is_short:
        return Receipt(MessageCode.FORCED_MARGIN)
    books = ledger.require_asset(asset)
    if books.custody + books.bad_debt < amount:
        return Receipt(MessageCode.FORCED_CUSTODY)
    # EFFECTS
    index = move_to_outbox(ledger, message.account, account, asset, amount)
    # RECEIPT
    return Receipt(account=message.account, withdrawal=index)


def apply_cancel_all(ledger: Ledger, message: Message) -> Receipt:
    """Kill every order that the account has signed."""
    # CHECKS
    account = get_owned_account(ledger, message)
    if account is None:
        return Receipt(MessageCode.SENDER_MUST_OWN)
    # EFFECTS
    ledger.put_account(message.account, raise_epoch(account))
    # RECEIPT
    return Receipt(account=message.account)


def apply_force_close(ledger: Ledger, message: Message) -> Receipt:
    """Put the account up for sale after a delay, so that its owner can leave when nobody trades with it; or not."""
    (is_on,) = _FORCE_CLOSE.unpack(message.payload)
    time = ledger.get_globals().time
    # CHECKS
    account = get_owned_account(ledger, message)
    if account is None:
        return Receipt(MessageCode.SENDER_MUST_OWN)
    if is_on and not account.positions and not account.collateral:
        return Receipt(MessageCode.CLOSE_NOTHING)
    # EFFECTS
    ledger.put_account(message.account, replace(account, close_from=time if is_on else 0))
    # RECEIPT
    return Receipt(account=message.account)


def apply_force_liquidate(ledger: Ledger, message: Message, is_short: bool) -> Receipt:
    """Put an account that is short of margin, as the op claims, up for auction, whoever says so: the sequencer shields
    nobody."""
    time = ledger.get_globals().time
    # CHECKS
    account = ledger.get_account(message.account) if 0 < message.account < ACCOUNTS_MAX else None
    if account is None:
        return Receipt(MessageCode.LIQUIDATE_ACCOUNT_UNKNOWN)
    if account.liquidation_from > 0 or not is_short:
        return Receipt(MessageCode.LIQUIDATE_NOT_DUE)
    # EFFECTS
    ledger.put_account(message.account, replace(raise_epoch(account), liquidation_from=time))
    # RECEIPT
    return Receipt(account=message.account)


def apply_params(ledger: Ledger, message: Message) -> Receipt:
    """Let a version wait for its day, in the place of one that may be waiting. The governor's contract has compared it
    with the version that it names, so that must be the active one."""
    proposal, active = decode_proposal(message.payload), ledger.get_globals().params_version
    # CHECKS
    if proposal.version != active + 1 or proposal.version >= RULES_OFFSET:
        return Receipt(MessageCode.PARAMS_VERSION_NOT_NEXT)
    params, rules = (ledger.get(leaf_key(Collection.PARAMS, offset + active)) for offset in (0, RULES_OFFSET))
    hashes = (hashlib.sha256(params).digest(), hashlib.sha256(rules).digest())
    if hashes != (proposal.previous_params_hash, proposal.previous_rules_hash):
        return Receipt(MessageCode.PARAMS_PREVIOUS_NOT_ACTIVE)
    # EFFECTS
    ledger.put(leaf_key(Collection.PARAMS, proposal.version), proposal.params)
    ledger.put(leaf_key(Collection.PARAMS, RULES_OFFSET + proposal.version), proposal.rules)
    # RECEIPT
    return Receipt()


_MESSAGES: dict[int, Callable[[Ledger, Message], Receipt]] = {
    MessageType.DEPOSIT: apply_deposit,
    MessageType.REGISTER_KEY: apply_register_key,
    MessageType.CANCEL_ALL: apply_cancel_all,
    MessageType.FORCE_CLOSE: apply_force_close,
    MessageType.PARAMS: apply_params,
}


_MARGINED_MESSAGES: dict[int, Callable[[Ledger, Message, bool], Receipt]] = {
    MessageType.FORCE_WITHDRAW: apply_force_withdraw,
    MessageType.FORCE_LIQUIDATE: apply_force_liquidate,
}
"""Those of which the op says whether an account is short of margin."""


def advance_inbox(ledger: Ledger, context: StepContext, op: Operation) -> Message:
    """The message that an op takes; cursor and hash move."""
    taken = cast(MessageOperation, op)
    data = context.get_message(taken.index)
    state = ledger.get_globals()
    ledger.put_globals(
        replace(
            state,
            next_position=taken.position + 1,
            inbox_cursor=state.inbox_cursor + 1,
            inbox_hash=hash_accumulator(state.inbox_hash, data),
        )
    )
    return decode_message(data)


Shortage = Callable[[Margin], bool]


def weigh_message(ledger: Ledger, message: Message) -> tuple[Scales, bool, Shortage] | None:
    """The account of a message that asks for its margin, whether its prices serve, and what it is to be short. None
    where nothing asks for margin; reading stops where that shows. Raises SubjectMissing."""
    params = ledger.get_params()
    if message.type == MessageType.FORCE_WITHDRAW:
        asset, amount = _DEPOSIT.unpack(message.payload)
        owned = get_owned_account(ledger, message)
        if owned is None or not 1 <= amount <= AMOUNT_MAX or asset >= ledger.get_globals().asset_count:
            return None
        if not needs_prices(owned, asset, amount) or not is_balance_covered(ledger, owned, asset, amount):
            return None
        return *weigh_leaving(ledger, owned, asset, amount), lambda margin: margin.initial < 0
    if message.type != MessageType.FORCE_LIQUIDATE:
        return None
    account = ledger.get_account(message.account) if 0 < message.account < ACCOUNTS_MAX else None
    if account is None or account.liquidation_from > 0:
        return None
    scales, quotes = weigh_account(ledger, account)
    is_priced = is_young(account, quotes, ledger.get_globals().time, params)
    return scales, is_priced, lambda margin: is_margin_bad(account, margin.maintenance, margin.quote_equity, params)


def claim_l1(ledger: Ledger, position: int, index: int, data: bytes) -> L1:
    """The op that takes the message `data` and claims what is true of the state as it stands."""
    message, bare = decode_message(data), L1(position, index)
    weighed = weigh_message(ledger, message)
    if weighed is None:
        return bare
    scales, is_priced, is_short = weighed
    if is_priced and is_short(scales.compute_after(None)):
        return replace(bare, active=scales.name_worst_after())
    # A withdrawal waits for prices; nobody is liquidated without them.
    is_refused = not is_priced and message.type == MessageType.FORCE_WITHDRAW
    return replace(bare, active=NO_ACTIVE) if is_refused else bare


def is_claimed_shortage_true(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """The op says of an account that is short of margin, and of no other, in which scenarios it is."""
    taken, message = cast(L1, op), get_message(context, op)
    weighed = weigh_message(ledger, message)
    if weighed is None:
        return taken.active is None
    scales, is_priced, is_short = weighed
    active = taken.active

    def is_true(exhibit: Exhibit) -> bool:
        is_shown = is_short(scales.compute_after(exhibit.after))
        return not is_shown if active is None else is_shown or exhibit.after != active

    tried = list_tried(ledger, scales, None if active is None else Exhibit(active, active))
    if not is_priced:
        return (active is not None) == (message.type == MessageType.FORCE_WITHDRAW)
    return all(map(is_true, tried))


def apply_l1(ledger: Ledger, context: StepContext, op: Operation) -> Receipt:
    """Take one message: the cursor and the hash move whatever becomes of it."""
    # EFFECTS
    message = advance_inbox(ledger, context, op)
    margined = _MARGINED_MESSAGES.get(message.type)
    if margined is not None:
        return margined(ledger, message, cast(L1, op).active is not None)
    process = _MESSAGES.get(message.type)
    # RECEIPT
    return Receipt(MessageCode.MESSAGE_TYPE_UNKNOWN) if process is None else process(ledger, message)


PROCESS_L1 = Process(
    checks=(
        (Code.L1_POSITION_MUST_INCREASE, is_position_next),
        (Code.L1_INDEX_MUST_BE_CURSOR, is_index_at_cursor),
        (Code.L1_INDEX_MUST_NOT_PASS_HEADER, is_index_within_header),
        (Code.L1_MESSAGE_MUST_BE_PLAIN, is_message_for_kind),
        (Code.L1_MARGIN_MUST_MATCH, is_claimed_shortage_true),
    ),
    apply_effects=apply_l1,
)
