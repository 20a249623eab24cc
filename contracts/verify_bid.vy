# pragma version 0.4.3
"""
@title Verifier of bid
@notice What becomes of a bid that came through L1: state/SPEC.md sections 6 to 9, kind 17. The op claims it, and with
        it the margins on which it depends; one check compares the target's, one the bidder's.
@dev Answers true for fraud and false for what is not shown; reverts for a bad witness alone, whatever the op's bytes.
     What a slice is and what it costs is in slices.vy; what it does, contracts/verify_take_effect.vy judges.
     Mirrors state/process_bid.py.
"""
import accounts
import assets
import constants
import context as contexts
import fields
import margins
import messages
import operations
import slices
import valuation
import witness as witnesses

initializes: margins
initializes: slices[margins := margins]

interface Effect:
    def is_deal_wrong(
        context: contexts.Context,
        take: slices.Take,
        from_: uint256,
        message_hash: bytes32,
        witness: Bytes[constants.WITNESS_BYTES_MAX],
    ) -> bool: view
    def is_advance_wrong(
        context: contexts.Context,
        position: uint256,
        from_: uint256,
        message_hash: bytes32,
        witness: Bytes[constants.WITNESS_BYTES_MAX],
    ) -> bool: view

struct Bid:
    decodes: bool
    position: uint256
    index: uint256
    code: uint256  # what becomes of the message
    equity: int256
    maintenance: int256
    value: int256
    relief: uint256
    target_active: uint256  # scenarios that the claims name, of the target and of what is left of it
    rest_active: uint256
    bidder_active: uint256  # of the bidder, where he is short

# What is found before any margin is computed: the leaves, and why the bid fails, if it does.
struct Found:
    leaves: slices.Leaves
    code: uint256

OP_BYTES: constant(uint256) = 107
CLAIMS_AT: constant(uint256) = 19

# `head || sequence u64, target u32, slice_ppm u32, discount_min u64, valid_until u64`.
MESSAGE_BYTES: constant(uint256) = messages.HEAD_BYTES + 32

# Checks of SPEC.md section 6, behind those of messages.vy
CLAIMS_MUST_MATCH: constant(uint256) = 6
OUTCOME_MUST_MATCH: constant(uint256) = 7

# Codes of SPEC.md section 9. With the first of them the op claims nothing of any margin; with the next but the target's
# and the slice's.
DONE: constant(uint256) = 0
SENDER_MUST_OWN: constant(uint256) = 460
SLICE_UNSOUND: constant(uint256) = 485
EXPIRED: constant(uint256) = 486
REPLAYED: constant(uint256) = 487
TARGET_NOT_OPEN: constant(uint256) = 488
NOT_DUE: constant(uint256) = 489
SLICE_TOO_LARGE: constant(uint256) = 490
DISCOUNT_TOO_SMALL: constant(uint256) = 491
BIDDER_FULL: constant(uint256) = 492
BIDDER_SHORT: constant(uint256) = 493
SLICE_UNHEDGES: constant(uint256) = 497

VERIFY_EFFECT: immutable(address)


@deploy
def __init__(verify_effect: address, margin: address):
    """
    @param verify_effect The deployed contracts/verify_take_effect.vy
    @param margin The deployed contracts/margin.vy
    """
    assert verify_effect.is_contract, "effect"
    VERIFY_EFFECT = verify_effect
    margins.__init__(margin)


@external
@view
def evaluate(
    context: contexts.Context,
    op: Bytes[constants.OP_BYTES_MAX],
    ground: uint256,
    check: uint256,
    witness: Bytes[constants.WITNESS_BYTES_MAX],
) -> bool:
    """
    @notice Whether the ground convicts the step.
    @param op The disputed op; its first byte is bid
    @param check The number of the check within its kind; ignored for EFFECT
    """
    bid: Bid = self._decode_bid(op)
    header: contexts.Header = contexts._decode_header(context.header)
    if not (bid.decodes and contexts._may_stand(constants.BID, context.step, header)):
        return ground == constants.CHECK and check == 0
    if ground == constants.CHECK and check < messages.MESSAGE_MUST_BE_FOR_KIND:
        return messages._is_place_wrong(context, header, bid.position, bid.index, check, witness)
    # A message that the header does not claim is of no type here, and has no effect.
    if bid.index >= header.inbox_cursor or (ground == constants.EFFECT and bid.position == constants.NEVER):
        return False
    if ground != constants.EFFECT and (ground != constants.CHECK or check > OUTCOME_MUST_MATCH):
        return False
    message: messages.Message = empty(messages.Message)
    data: Bytes[constants.MESSAGE_BYTES_MAX] = b""
    message, data = messages._read(context.rollup, bid.index, witness)
    if ground == constants.CHECK and check <= messages.TIME_MUST_REACH_MESSAGE:
        return messages._is_message_wrong(context, constants.BID, message, check, witness)
    if message.type != messages.TAKE:
        if ground == constants.EFFECT:
            return False
        witnesses._finish(witness, message.end)
        return check == CLAIMS_MUST_MATCH or not self._is_before_deal(bid.code)
    take: slices.Take = self._get_take(bid, message, data)
    if ground == constants.EFFECT:
        return self._is_effect_wrong(context, bid, message, take, witness)
    if check == CLAIMS_MUST_MATCH:
        return not self._are_claims_true(context.pre_root, bid, message, take, witness)
    return not self._is_outcome_true(context.pre_root, bid, message, take, witness)


# Checks


@internal
@pure
def _is_before_target(code: uint256) -> bool:
    """
    @notice Whether a bid that comes to this fails before any margin is computed.
    """
    return code in [SENDER_MUST_OWN, SLICE_UNSOUND, EXPIRED, REPLAYED, TARGET_NOT_OPEN]


@internal
@pure
def _is_before_deal(code: uint256) -> bool:
    """
    @notice Whether a bid that comes to this fails before the bidder is asked for anything.
    """
    return code == NOT_DUE or code == SLICE_UNHEDGES or self._is_before_target(code)


@internal
@pure
def _find_refusal(
    root: bytes32,
    message: messages.Message,
    take: slices.Take,
    witness: Bytes[constants.WITNESS_BYTES_MAX],
) -> Found:
    """
    @notice Why a bid fails before any margin is computed, if it does; reading stops where it fails. Reads G, P,
            A(account), A(target).
    """
    found: Found = empty(Found)
    leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    leaves: slices.Leaves = slices._read_leaves(witness, message.end, root, slices.G | slices.P, take)
    found.leaves = leaves
    if operations._is_account(take.account):
        leaf, found.leaves.end = witnesses._read(
            witness, leaves.end, root, constants.ACCOUNTS, take.account
        )
    if len(leaf) > 0:
        found.leaves.bidder = accounts._decode_account(leaf)
    if len(leaf) == 0 or found.leaves.bidder.owner != message.sender:
        found.code = SENDER_MUST_OWN
    elif take.slice_ppm == 0 or take.slice_ppm > constants.PPM:
        found.code = SLICE_UNSOUND
    elif leaves.state.time > take.valid_until:
        found.code = EXPIRED
    elif take.sequence <= found.leaves.bidder.sequence:
        found.code = REPLAYED
    else:
        found.code = TARGET_NOT_OPEN
        if operations._is_account(take.target) and take.target != take.account:
            leaf, found.leaves.end = witnesses._read(
                witness, found.leaves.end, root, constants.ACCOUNTS, take.target
            )
            if len(leaf) > 0:
                found.leaves.target = accounts._decode_account(leaf)
                if slices._is_for_sale(found.leaves):
                    found.code = DONE
    return found


@internal
@view
def _are_claims_true(
    root: bytes32,
    bid: Bid,
    message: messages.Message,
    take: slices.Take,
    witness: Bytes[constants.WITNESS_BYTES_MAX],
) -> bool:
    """
    @notice Whether the op claims of the target and of the slice what is so, or that the bid fails before, or at that.
    """
    found: Found = self._find_refusal(root, message, take, witness)
    if found.code != DONE or self._is_before_target(bid.code):
        witnesses._finish(witness, found.leaves.end)
        return bid.code == found.code
    weighed: margins.Found = slices._weigh_slice(root, take, found.leaves, message.time, witness)
    if weighed.is_missing or not weighed.is_young:
        return bid.code == NOT_DUE
    if bid.code == NOT_DUE:
        return not slices._is_sale_needed(found.leaves, weighed.after)
    relief: int256 = slices._compute_relief(take, weighed)
    shown: uint256 = weighed.exhibit.before
    is_relief_true: bool = relief < 0 or shown != take.rest_active
    if bid.code != SLICE_UNHEDGES:
        is_relief_true = margins._is_number_true(relief, convert(take.relief, int256), shown, take.rest_active)
    return is_relief_true and slices._are_claims_held(take, found.leaves, weighed)


@internal
@view
def _is_outcome_true(
    root: bytes32,
    bid: Bid,
    message: messages.Message,
    take: slices.Take,
    witness: Bytes[constants.WITNESS_BYTES_MAX],
) -> bool:
    """
    @notice Whether with these claims the bid comes to what the op says. The bidder's margin is computed last, where the
            op says anything of it.
    """
    if self._is_before_deal(bid.code):
        witnesses._finish(witness, message.end)
        return True
    found: Found = self._find_refusal(root, message, take, witness)
    leaves: slices.Leaves = found.leaves
    if found.code != DONE:
        witnesses._finish(witness, leaves.end)
        return False
    leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    leaf, leaves.end = witnesses._read(witness, leaves.end, root, constants.ASSETS, 0)
    leaves.books = assets._decode_asset(leaf)
    price: slices.Price = slices._compute_price(take, leaves)
    moved: slices.Moved = slices._compute_bidder_after(take, leaves)
    code: uint256 = DONE
    if not slices._is_slice_small(take, leaves.target):
        code = SLICE_TOO_LARGE
    elif price.target_pays + price.fund_pays < take.discount_min:
        code = DISCOUNT_TOO_SMALL
    elif not (moved.has_room and valuation._is_within_caps(moved.account)):
        code = BIDDER_FULL
    elif bid.code == DONE or bid.code == BIDDER_SHORT:
        weighed: margins.Found = slices._weigh_bidder(root, moved.account, leaves, message.time, witness)
        is_short: bool = bid.code == BIDDER_SHORT
        if weighed.is_missing or not weighed.is_fresh:
            return is_short
        if is_short:
            return weighed.after.initial < 0 or weighed.exhibit.after != bid.bidder_active
        return weighed.after.initial >= 0
    witnesses._finish(witness, leaves.end)
    return bid.code == code


# Effect


@internal
@view
def _is_effect_wrong(
    context: contexts.Context,
    bid: Bid,
    message: messages.Message,
    take: slices.Take,
    witness: Bytes[constants.WITNESS_BYTES_MAX],
) -> bool:
    """
    @notice The slice moves, and is paid for; or nothing does but the cursor, and then only G is read.
    """
    if bid.code != DONE:
        return staticcall Effect(VERIFY_EFFECT).is_advance_wrong(
            context, bid.position, message.end, message.message_hash, witness
        )
    is_sound: bool = (
        operations._is_account(take.account)
        and operations._is_account(take.target)
        and 1 <= take.slice_ppm
        and take.slice_ppm <= constants.PPM
    )
    return is_sound and staticcall Effect(VERIFY_EFFECT).is_deal_wrong(
        context, take, message.end, message.message_hash, witness
    )


# The bytes of the op, and of the message


@internal
@pure
def _get_take(
    bid: Bid, message: messages.Message, data: Bytes[constants.MESSAGE_BYTES_MAX]
) -> slices.Take:
    """
    @notice The bid as if it had been signed, with the claims of the op.
    """
    payload: Bytes[MESSAGE_BYTES] = slice(data, 0, MESSAGE_BYTES)
    return slices.Take(
        decodes=True,
        position=bid.position,
        equity=bid.equity,
        maintenance=bid.maintenance,
        value=bid.value,
        relief=bid.relief,
        target_active=bid.target_active,
        rest_active=bid.rest_active,
        account=message.account,
        sequence=fields._uint(payload, 33, 8),
        target=fields._uint(payload, 41, 4),
        slice_ppm=fields._uint(payload, 45, 4),
        discount_min=fields._uint(payload, 49, 8),
        valid_until=fields._uint(payload, 57, 8),
        key_index=0,
    )


@internal
@pure
def _decode_bid(op: Bytes[constants.OP_BYTES_MAX]) -> Bid:
    """
    @notice `kind u8 || position u64 || index u64 || code u16 || equity i128 || maintenance i128 || value i128 || relief
            u128 || target_active b8 || rest_active b8 || bidder_active b8`; a code that comes before all margins claims
            nothing, and no other names what it does not rely on.
    """
    if len(op) != OP_BYTES:
        return empty(Bid)
    bid: Bid = Bid(
        decodes=False,
        position=fields._uint(op, 1, 8),
        index=fields._uint(op, 9, 8),
        code=fields._uint(op, 17, 2),
        equity=fields._int(op, CLAIMS_AT, 16),
        maintenance=fields._int(op, CLAIMS_AT + 16, 16),
        value=fields._int(op, CLAIMS_AT + 32, 16),
        relief=fields._uint(op, CLAIMS_AT + 48, 16),
        target_active=fields._uint(op, CLAIMS_AT + 64, 8),
        rest_active=fields._uint(op, CLAIMS_AT + 72, 8),
        bidder_active=fields._uint(op, CLAIMS_AT + 80, 8),
    )
    is_bare: bool = bid.code == NOT_DUE or self._is_before_target(bid.code)
    is_nothing_claimed: bool = (
        extract32(op, CLAIMS_AT) == empty(bytes32)
        and extract32(op, CLAIMS_AT + 32) == empty(bytes32)
        and extract32(op, OP_BYTES - 32) == empty(bytes32)
    )
    bid.decodes = (
        (is_bare or bid.code in [DONE, SLICE_UNHEDGES, SLICE_TOO_LARGE, DISCOUNT_TOO_SMALL, BIDDER_FULL, BIDDER_SHORT])
        and (not is_bare or is_nothing_claimed)
        and (bid.code == BIDDER_SHORT or bid.bidder_active == 0)
        and (bid.code != SLICE_UNHEDGES or bid.relief == 0)
    )
    return bid
