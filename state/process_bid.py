"""bid: a take that came through Ethereum, because a sequencer that lives left it out (SPEC.md sections 6 to 9).

The message's account and payload are the fields that a bidder signs for a `take`. It must be taken, so it is evaluated
whole; but no effect computes a margin, and no proof holds two. Therefore the op claims what becomes of the message, and
where that depends on margins their numbers: one check compares the target's, one the bidder's, and the effect believes.

Prices are as old as they were when L1 took the message. [Else whoever takes the message lets them grow old first.]

Mirrors contracts/verify_bid.vy, and contracts/verify_take_effect.vy for what a bid that came to nothing does.
"""

from dataclasses import replace
from struct import Struct
from typing import cast

from state.active_scenarios import is_number_true, list_tried
from state.codes import Code, MessageCode
from state.constants import ACCOUNTS_MAX, PPM
from state.context import Process, Receipt, StepContext, is_position_next
from state.leaves import Account
from state.ledger import Exhibit, Ledger, SubjectMissing
from state.operations import BID_CODES_BEFORE_DEAL, BID_CODES_BEFORE_TARGET, Bid, Operation, Take
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
    are_claims_held,
    compute_bidder_after,
    compute_claims,
    compute_price,
    compute_relief,
    cut_slice,
    is_for_sale,
    is_sale_needed,
    is_slice_small,
    move_deal,
    weigh_bidder,
    weigh_slice,
)
from state.valuation import is_within_caps, is_young

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
        target_active=op.target_active,
        rest_active=op.rest_active,
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


def find_bidder(ledger: Ledger, take: Take) -> Account | MessageCode:
    """The bidder behind a deal whose claims are true, or why there is none before any margin of his is computed."""
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
    return after if is_within_caps(after) else MessageCode.BID_BIDDER_FULL


def claim_bid(ledger: Ledger, position: int, index: int, data: bytes) -> Bid:
    """The op that takes the message `data` and claims what is true of the state as it stands."""
    message = decode_message(data)
    bare = Bid(position, index, MessageCode.BID_NOT_DUE, 0, 0, 0, 0)
    take = read_take(bare, message)
    refusal = find_refusal(ledger, message, take)
    if refusal is not None:
        return replace(bare, code=refusal)
    params, target = ledger.get_params(), ledger.require_account(take.target)
    asked_at = min(message.time, ledger.get_globals().time)
    try:
        scales, quotes = weigh_slice(ledger, target, take.slice_ppm)
    except SubjectMissing:
        return bare
    margin, claims = scales.compute_after(None), compute_claims(scales)
    is_needed = is_sale_needed(target, margin.maintenance, margin.quote_equity, params)
    if not is_needed or not is_young(target, quotes, asked_at, params):
        return bare
    named = replace(bare, target_active=scales.name_worst_after(), rest_active=scales.name_worst_before())
    if claims.relief < 0:
        return replace(named, code=MessageCode.BID_SLICE_UNHEDGES, **claims._replace(relief=0)._asdict())
    return claim_outcome(ledger, replace(named, **claims._asdict()), message)


def claim_outcome(ledger: Ledger, bid: Bid, message: Message) -> Bid:
    """The same op, whose claims are true, with what comes of them."""
    bidder = find_bidder(ledger, read_take(bid, message))
    if not isinstance(bidder, Account):
        return replace(bid, code=bidder)
    try:
        scales, is_fresh = weigh_bidder(ledger, bidder, message.time)
    except SubjectMissing:
        return replace(bid, code=MessageCode.BID_BIDDER_SHORT)
    if is_fresh and scales.compute_after(None).initial >= 0:
        return replace(bid, code=MessageCode.DONE)
    return replace(bid, code=MessageCode.BID_BIDDER_SHORT, bidder_active=scales.name_worst_after())


def are_claims_true(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """The op claims of the target and of the slice what is so, or that the bid fails before, or at that."""
    bid, message = cast(Bid, op), get_message(context, op)
    take = read_take(bid, message)
    refusal = find_refusal(ledger, message, take)
    if refusal is not None or bid.code in BID_CODES_BEFORE_TARGET:
        return bid.code is refusal
    params, target = ledger.get_params(), ledger.require_account(take.target)
    asked_at = min(message.time, ledger.get_globals().time)
    is_claimed = bid.code is not MessageCode.BID_NOT_DUE
    try:
        scales, quotes = weigh_slice(ledger, target, take.slice_ppm)
    except SubjectMissing:
        return not is_claimed

    def is_true(exhibit: Exhibit) -> bool:
        if not is_claimed:
            margin = scales.compute_after(exhibit.after)
            return not is_sale_needed(target, margin.maintenance, margin.quote_equity, params)
        relief, shown = compute_relief(take, scales, exhibit.before), exhibit.before
        if bid.code is MessageCode.BID_SLICE_UNHEDGES:
            is_relief_true = relief < 0 or shown != bid.rest_active
        else:
            is_relief_true = is_number_true(relief, bid.relief, shown, bid.rest_active)
        return is_relief_true and are_claims_held(take, target, params, scales, exhibit)

    tried = list_tried(ledger, scales, Exhibit(bid.rest_active, bid.target_active))
    if not is_young(target, quotes, asked_at, params):
        return not is_claimed
    return all(map(is_true, tried))


def is_outcome_true(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """With these claims the bid comes to what the op says."""
    bid, message = cast(Bid, op), get_message(context, op)
    if bid.code in BID_CODES_BEFORE_DEAL:
        return True
    take = read_take(bid, message)
    if find_refusal(ledger, message, take) is not None:
        return False
    bidder = find_bidder(ledger, take)
    if not isinstance(bidder, Account):
        return bid.code is bidder
    if bid.code not in (MessageCode.DONE, MessageCode.BID_BIDDER_SHORT):
        return False
    is_short = bid.code is MessageCode.BID_BIDDER_SHORT
    try:
        scales, is_fresh = weigh_bidder(ledger, bidder, message.time)
    except SubjectMissing:
        return is_short

    def is_true(exhibit: Exhibit) -> bool:
        is_covered = scales.compute_after(exhibit.after).initial >= 0
        return not is_covered or exhibit.after != bid.bidder_active if is_short else is_covered

    tried = list_tried(ledger, scales, Exhibit(bid.bidder_active, bid.bidder_active))
    return all(map(is_true, tried)) if is_fresh else is_short


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
