"""bid: a take that came through Ethereum, because a sequencer that lives left it out (SPEC.md sections 6 to 9).

The message's account and payload are the fields that a bidder signs for a `take`. It must be taken, so it is evaluated
whole; but no effect computes a margin, and no proof holds two. Therefore the op claims what becomes of the message, and
where that depends on margins their numbers: one check compares the target's, one the bidder's, and the effect believes.

Prices are as old as they were when L1 took the message. [Else whoever takes the message lets them grow old first.]

Mirrors contracts/verify_bid.vy.
"""

from dataclasses import replace
from struct import Struct
from typing import cast

from state.codes import Code, MessageCode
from state.constants import ACCOUNTS_MAX, PPM
from state.context import Process, Receipt, StepContext, is_position_next
from state.ledger import Ledger, SubjectMissing
from state.operations import BID_CODES_WITHOUT_CLAIMS, Bid, Operation, Take
from state.process_inbox import (
    Message,
    MessageType,
    advance_inbox,
    decode_message,
    get_message,
    get_owned_account,
    is_index_at_cursor,
    is_index_within_header,
    is_message_for_kind,
    is_message_reached,
)
from state.slices import (
    compute_bidder_after,
    compute_claims,
    compute_price,
    cut_slice,
    is_for_sale,
    is_initial_covered,
    is_slice_small,
    move_deal,
)
from state.valuation import is_within_caps

_PAYLOAD = Struct(">QIIQQ")


def encode_bid(sequence: int, target: int, slice_ppm: int, discount_min: int, valid_until: int) -> bytes:
    """Payload of a bid."""
    return _PAYLOAD.pack(sequence, target, slice_ppm, discount_min, valid_until)


def decode_bid(payload: bytes) -> tuple[int, int, int, int, int]:
    """Sequence, target, slice_ppm, discount_min and valid_until from the payload of a bid."""
    return cast(tuple[int, int, int, int, int], _PAYLOAD.unpack(payload))


def read_take(op: Bid, message: Message) -> Take:
    """The bid as if it had been signed. Raises SubjectMissing for a message of another type."""
    if message.type != MessageType.TAKE:
        raise SubjectMissing("a bid")
    sequence, target, slice_ppm, discount_min, valid_until = decode_bid(message.payload)
    return Take(
        position=op.position,
        equity=op.equity,
        maintenance=op.maintenance,
        value=op.value,
        relief=op.relief,
        account=message.account,
        sequence=sequence,
        target=target,
        slice_ppm=slice_ppm,
        discount_min=discount_min,
        valid_until=valid_until,
        key_index=0,
        signature=bytes(64),
    )


def is_bid_sound(take: Take) -> bool:
    """What a signed bid's bytes would have to say."""
    are_accounts = 0 < take.account < ACCOUNTS_MAX and 0 < take.target < ACCOUNTS_MAX
    return are_accounts and take.account != take.target and 1 <= take.slice_ppm <= PPM


def find_refusal(ledger: Ledger, message: Message, take: Take) -> MessageCode | None:
    """Why a bid fails before any margin is computed, if it does; reading stops where it fails."""
    time = ledger.get_globals().time
    ledger.get_params()  # read beside the globals, whether or not a price is asked for
    account = get_owned_account(ledger, message)
    if account is None:
        return MessageCode.SENDER_MUST_OWN
    if not 1 <= take.slice_ppm <= PPM:
        return MessageCode.BID_SLICE_UNSOUND
    if time > take.valid_until:
        return MessageCode.BID_EXPIRED
    if take.sequence <= account.sequence:
        return MessageCode.BID_REPLAYED
    is_other = 0 < take.target < ACCOUNTS_MAX and take.target != take.account
    target = ledger.get_account(take.target) if is_other else None
    if target is None or not is_for_sale(target, time):
        return MessageCode.BID_TARGET_NOT_OPEN
    return None


def find_outcome(ledger: Ledger, take: Take, asked_at: int) -> MessageCode:
    """What becomes of a bid whose claims are true: DONE, or why it fails. The bidder's margin is computed last."""
    params, time = ledger.get_params(), ledger.get_globals().time
    bidder, target = ledger.require_account(take.account), ledger.require_account(take.target)
    price = compute_price(take, target, params, ledger.require_asset(0), time)
    if not is_slice_small(take, target):
        return MessageCode.BID_SLICE_TOO_LARGE
    if price.discount < take.discount_min:
        return MessageCode.BID_DISCOUNT_TOO_SMALL
    try:
        after = compute_bidder_after(take, bidder, cut_slice(target, take.slice_ppm), price)
    except SubjectMissing:
        return MessageCode.BID_BIDDER_FULL
    if not is_within_caps(after):
        return MessageCode.BID_BIDDER_FULL
    try:
        is_covered = is_initial_covered(ledger, after, asked_at)
    except SubjectMissing:
        is_covered = False
    return MessageCode.DONE if is_covered else MessageCode.BID_BIDDER_SHORT


def claim_bid(ledger: Ledger, position: int, index: int, data: bytes) -> Bid:
    """The op that takes the message `data` and claims what is true of the state as it stands."""
    message = decode_message(data)
    bare = Bid(position, index, MessageCode.BID_NOT_DUE, 0, 0, 0, 0)
    refusal = find_refusal(ledger, message, read_take(bare, message))
    if refusal is not None:
        return replace(bare, code=refusal)
    take = read_take(bare, message)
    try:
        claims, is_due = compute_claims(ledger, ledger.require_account(take.target), take.slice_ppm, message.time)
    except SubjectMissing:
        return bare
    if not is_due:
        return bare
    claimed = replace(bare, **claims._asdict())
    return replace(claimed, code=find_outcome(ledger, read_take(claimed, message), message.time))


def are_claims_true(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """The op claims of the target and of the slice what is so, or that the bid fails before, or at that."""
    bid, message = cast(Bid, op), get_message(context, op)
    take = read_take(bid, message)
    refusal = find_refusal(ledger, message, take)
    if refusal is not None:
        return bid.code is refusal
    try:
        claims, is_due = compute_claims(ledger, ledger.require_account(take.target), take.slice_ppm, message.time)
    except SubjectMissing:
        is_due = False
    if not is_due:
        return bid.code is MessageCode.BID_NOT_DUE
    is_claimed = bid.code not in BID_CODES_WITHOUT_CLAIMS
    return is_claimed and claims == (bid.equity, bid.maintenance, bid.value, bid.relief)


def is_outcome_true(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """With these claims the bid comes to what the op says."""
    bid, message = cast(Bid, op), get_message(context, op)
    if bid.code in BID_CODES_WITHOUT_CLAIMS:
        return True
    take = read_take(bid, message)
    if find_refusal(ledger, message, take) is not None:
        return False
    return bid.code is find_outcome(ledger, take, message.time)


def apply_bid(ledger: Ledger, context: StepContext, op: Operation) -> Receipt:
    """The slice moves, and is paid for; or nothing does but the cursor."""
    bid = cast(Bid, op)
    # EFFECTS
    message = advance_inbox(ledger, context, op)
    take = read_take(bid, message)
    if bid.code is not MessageCode.DONE:
        return Receipt(bid.code)
    if not is_bid_sound(take):
        raise SubjectMissing("a bid of two accounts for a slice")
    move_deal(ledger, take)
    # RECEIPT
    return Receipt(account=take.account)


BID = Process(
    checks=(
        (Code.BID_POSITION_MUST_INCREASE, is_position_next),
        (Code.BID_INDEX_MUST_BE_CURSOR, is_index_at_cursor),
        (Code.BID_INDEX_MUST_NOT_PASS_HEADER, is_index_within_header),
        (Code.BID_MESSAGE_MUST_BE_A_TAKE, is_message_for_kind),
        (Code.BID_TIME_MUST_REACH_MESSAGE, is_message_reached),
        (Code.BID_CLAIMS_MUST_MATCH, are_claims_true),
        (Code.BID_OUTCOME_MUST_MATCH, is_outcome_true),
    ),
    apply_effects=apply_bid,
)
