# pragma version 0.4.3
"""
@title Verifier of take
@notice Who takes over which slice of an account that is up for auction, and at what price: state/SPEC.md sections 6 to
        8, kind 15.
@dev Answers true for fraud and false for what is not shown; reverts for a bad witness alone, whatever the op's bytes.
     What a slice is and what it costs is in slices.vy; the other ground, EFFECT, is handed to a contract that judges it
     for bids too, contracts/verify_take_effect.vy.
     Mirrors state/process_take.py.
"""
import accounts
import constants
import context as contexts
import fields
import globals
import margins
import operations
import signatures
import slices
import valuation
import witness as witnesses

initializes: margins
initializes: slices[margins := margins]
initializes: signatures

interface Effect:
    def is_deal_wrong(
        context: contexts.Context,
        take: slices.Take,
        from_: uint256,
        message_hash: bytes32,
        witness: Bytes[constants.WITNESS_BYTES_MAX],
    ) -> bool: view

OP_BYTES: constant(uint256) = 190
SIGNED_AT: constant(uint256) = 89
SIGNED_BYTES: constant(uint256) = 36
KEY_INDEX_AT: constant(uint256) = 125

# Checks of SPEC.md section 6
MUST_DECODE: constant(uint256) = 0
POSITION_MUST_INCREASE: constant(uint256) = 1
ACCOUNT_MUST_EXIST: constant(uint256) = 2
TARGET_MUST_BE_OPEN: constant(uint256) = 3
MUST_NOT_BE_EXPIRED: constant(uint256) = 4
SEQUENCE_MUST_RISE: constant(uint256) = 5
MARGIN_MUST_MATCH: constant(uint256) = 6
SLICE_MUST_BE_NEEDED: constant(uint256) = 7
DISCOUNT_MUST_SUFFICE: constant(uint256) = 8
BIDDER_MUST_FIT: constant(uint256) = 9
BIDDER_MARGIN_MUST_HOLD: constant(uint256) = 10
KEY_MUST_BE_LIVE: constant(uint256) = 11
SIGNATURE_MUST_VERIFY: constant(uint256) = 12
CHECKS: constant(uint256) = 13

# Reads of SPEC.md section 6, a row a check; each is a part of the one order G, P, A(account), A(target), S(0). M*
# follows in the witness, and contracts/margin.vy reads it.
READS: constant(uint256[CHECKS]) = [
    0,
    slices.G,
    slices.A,
    slices.G | slices.T,
    slices.G,
    slices.A,
    slices.G | slices.P | slices.T,
    slices.G | slices.P | slices.T,
    slices.G | slices.P | slices.T | slices.S,
    slices.G | slices.P | slices.A | slices.T | slices.S,
    slices.G | slices.P | slices.A | slices.T | slices.S,
    slices.G | slices.A,
    slices.A,
]


VERIFY_EFFECT: immutable(address)


@deploy
def __init__(verify_effect: address, ed25519: address, margin: address):
    """
    @param verify_effect The deployed contracts/verify_take_effect.vy
    @param ed25519 The deployed contracts/ed25519.vy
    @param margin The deployed contracts/margin.vy
    """
    assert verify_effect.is_contract, "effect"
    VERIFY_EFFECT = verify_effect
    signatures.__init__(ed25519)
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
    @param op The disputed op; its first byte is take
    @param check The number of the check within its kind; ignored for EFFECT
    """
    take: slices.Take = self._decode_take(op)
    header: contexts.Header = contexts._decode_header(context.header)
    if not (take.decodes and contexts._may_stand(constants.TAKE, context.step, header)):
        return ground == constants.CHECK and check == MUST_DECODE
    if ground == constants.EFFECT:
        if take.position == constants.NEVER:
            return False
        return staticcall Effect(VERIFY_EFFECT).is_deal_wrong(context, take, 0, empty(bytes32), witness)
    if ground != constants.CHECK or check == MUST_DECODE or check >= CHECKS:
        return False
    leaves: slices.Leaves = slices._read_leaves(witness, 0, context.pre_root, READS[check], take)
    if not leaves.is_missing:
        if check == MARGIN_MUST_MATCH:
            return not self._are_claims_true(context.pre_root, take, leaves, witness)
        if check == BIDDER_MARGIN_MUST_HOLD:
            moved: slices.Moved = slices._compute_bidder_after(take, leaves)
            if moved.has_room and accounts._is_cash_in_field(moved.account):
                found: margins.Found = slices._weigh_bidder(
                    context.pre_root, moved.account, leaves, leaves.state.time, witness
                )
                return found.is_missing or not found.is_fresh or found.after.initial < 0
        if check == SIGNATURE_MUST_VERIFY:
            return self._is_signature_invalid(context.domain, op, take, leaves, witness)
    witnesses._finish(witness, leaves.end)
    return leaves.is_missing or not self._does_hold(header, take, check, leaves)


# Checks


@internal
@view
def _are_claims_true(
    root: bytes32, take: slices.Take, leaves: slices.Leaves, witness: Bytes[constants.WITNESS_BYTES_MAX]
) -> bool:
    """
    @notice Whether what the op claims of the target and of the slice is so, at young prices, and the target still needs
            it.
    """
    found: margins.Found = slices._weigh_slice(root, take, leaves, leaves.state.time, witness)
    relief: int256 = slices._compute_relief(take, found)
    return (
        not found.is_missing
        and found.is_young
        and slices._are_claims_held(take, leaves, found)
        and margins._is_number_true(
            relief, convert(take.relief, int256), found.exhibit.before, take.rest_active
        )
    )


@internal
@pure
def _does_hold(header: contexts.Header, take: slices.Take, check: uint256, leaves: slices.Leaves) -> bool:
    """
    @notice Whether a check that reads nothing but its leaves holds; they are there.
    """
    state: globals.Globals = leaves.state
    if check == POSITION_MUST_INCREASE:
        return contexts._is_position_next(state, header, take.position)
    if check == ACCOUNT_MUST_EXIST:
        return True
    if check == TARGET_MUST_BE_OPEN:
        return take.target != take.account and slices._is_for_sale(leaves)
    if check == MUST_NOT_BE_EXPIRED:
        return state.time <= take.valid_until
    if check == SEQUENCE_MUST_RISE:
        return take.sequence > leaves.bidder.sequence
    if check == SLICE_MUST_BE_NEEDED:
        return slices._is_slice_small(take, leaves.target)
    if check == DISCOUNT_MUST_SUFFICE:
        price: slices.Price = slices._compute_price(take, leaves)
        return price.target_pays + price.fund_pays >= take.discount_min
    if check == BIDDER_MARGIN_MUST_HOLD:
        return False  # no leaf has room for what the bidder would then have
    if check == BIDDER_MUST_FIT:
        moved: slices.Moved = slices._compute_bidder_after(take, leaves)
        return moved.has_room and valuation._is_within_caps(moved.account)
    # KEY_MUST_BE_LIVE
    return contexts._is_key_live(leaves.bidder, take.key_index, accounts.SCOPE_TRADE, state.time)


@internal
@view
def _is_signature_invalid(
    domain: bytes32,
    op: Bytes[constants.OP_BYTES_MAX],
    take: slices.Take,
    leaves: slices.Leaves,
    witness: Bytes[constants.WITNESS_BYTES_MAX],
) -> bool:
    """
    @notice Whether the op is not signed by the key that it names; a key that does not exist signs nothing.
    """
    if take.key_index >= leaves.bidder.key_count:
        witnesses._finish(witness, leaves.end)
        return True
    return signatures._is_invalid(
        leaves.bidder.keys[take.key_index].public_key,
        signatures._hash_digest(domain, op, SIGNED_AT, SIGNED_BYTES),
        extract32(op, KEY_INDEX_AT + 1),
        extract32(op, KEY_INDEX_AT + 33),
        witness,
        leaves.end,
    )


# The bytes of the op


@internal
@pure
def _decode_take(op: Bytes[constants.OP_BYTES_MAX]) -> slices.Take:
    """
    @notice `kind u8 || position u64 || equity i128 || maintenance i128 || value i128 || relief u128 || target_active
            b8 || rest_active b8 || [account u32, sequence u64, target u32, slice_ppm u32, discount_min u64, valid_until
            u64] || key_index u8 || signature b64`.
    """
    if len(op) != OP_BYTES:
        return empty(slices.Take)
    take: slices.Take = slices.Take(
        decodes=False,
        position=fields._uint(op, 1, 8),
        equity=fields._int(op, 9, 16),
        maintenance=fields._int(op, 25, 16),
        value=fields._int(op, 41, 16),
        relief=fields._uint(op, 57, 16),
        target_active=fields._uint(op, 73, 8),
        rest_active=fields._uint(op, 81, 8),
        account=fields._uint(op, 89, 4),
        sequence=fields._uint(op, 93, 8),
        target=fields._uint(op, 101, 4),
        slice_ppm=fields._uint(op, 105, 4),
        discount_min=fields._uint(op, 109, 8),
        valid_until=fields._uint(op, 117, 8),
        key_index=fields._uint(op, KEY_INDEX_AT, 1),
    )
    take.decodes = (
        operations._is_account(take.account)
        and operations._is_account(take.target)
        and 1 <= take.slice_ppm
        and take.slice_ppm <= constants.PPM
        and take.key_index < constants.KEYS_MAX
    )
    return take
