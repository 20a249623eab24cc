# pragma version 0.4.3
"""
@title Verifier of take
@notice Who takes over which slice of an account that is up for auction, and at what price: state/SPEC.md sections 6 to
        8, kind 15.
@dev Answers true for fraud and false for what is not shown; reverts for a bad witness alone, whatever the op's bytes.
     BOUNDS. Claims may be any number of their fields: relief is below 2**128 and equity below 2**127, so that no
     product here passes 2**255; what the claims make of an account or of the fund is held against its field before it
     is written.
     Mirrors state/process_take.py.
"""
import accounts
import assets
import constants
import context as contexts
import fields
import globals
import instruments
import margins
import operations
import params as parameters
import signatures
import underlyings
import valuation
import witness as witnesses

initializes: margins
initializes: signatures

struct Take:
    decodes: bool
    position: uint256
    equity: int256  # claims of the target, and of what the slice changes
    maintenance: int256
    value: int256
    relief: uint256
    account: uint256  # what the bidder signs
    sequence: uint256
    target: uint256
    slice_ppm: uint256
    discount_min: uint256
    valid_until: uint256
    key_index: uint256

# What is paid, in quote units: by the target out of its equity, by the fund, and to the fund.
struct Price:
    target_pays: uint256
    fund_pays: uint256
    penalty: uint256

# The leaves that a check or the effect reads, and where the witness goes on behind them.
struct Leaves:
    state: globals.Globals
    params: parameters.Params
    params_leaf: Bytes[constants.LEAF_BYTES_MAX]
    bidder: accounts.Account
    target: accounts.Account
    books: assets.Asset
    is_missing: bool  # a subject does not exist, so the check fails
    end: uint256

# What a slice makes of one of its two accounts.
struct Moved:
    account: accounts.Account
    has_room: bool  # else it would hold more positions than a leaf has

OP_BYTES: constant(uint256) = 174
SIGNED_AT: constant(uint256) = 73
SIGNED_BYTES: constant(uint256) = 36
KEY_INDEX_AT: constant(uint256) = 109

# Beyond twice what is missing, so much more may be taken at once.
SLICE_ROOM_PPM: constant(uint256) = 50_000

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
G: constant(uint256) = 1
P: constant(uint256) = 2
A: constant(uint256) = 4
T: constant(uint256) = 8  # A(target)
S: constant(uint256) = 16
READ_COUNT: constant(uint256) = 5
COLLECTIONS: constant(uint256[READ_COUNT]) = [
    constants.GLOBALS, constants.PARAMS, constants.ACCOUNTS, constants.ACCOUNTS, constants.ASSETS
]
READS: constant(uint256[CHECKS]) = [
    0,
    G,
    A,
    G | P | T,
    G,
    A,
    G | P | T,
    G | P | T,
    G | P | T | S,
    G | P | A | T | S,
    G | P | A | T | S,
    G | A,
    A,
]


@deploy
def __init__(ed25519: address, margin: address):
    """
    @param ed25519 The deployed contracts/ed25519.vy
    @param margin The deployed contracts/margin.vy
    """
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
    take: Take = self._decode_take(op)
    header: contexts.Header = contexts._decode_header(context.header)
    if not (take.decodes and contexts._may_stand(constants.TAKE, context.step, header)):
        return ground == constants.CHECK and check == MUST_DECODE
    if ground == constants.EFFECT:
        return self._is_effect_wrong(context, take, witness)
    if ground != constants.CHECK or check == MUST_DECODE or check >= CHECKS:
        return False
    leaves: Leaves = self._read_leaves(witness, context.pre_root, READS[check], take)
    if not leaves.is_missing:
        if check == MARGIN_MUST_MATCH:
            return not self._are_claims_true(context.pre_root, take, leaves, witness)
        if check == BIDDER_MARGIN_MUST_HOLD:
            return not self._is_bidder_margined(context.pre_root, take, leaves, witness)
        if check == SIGNATURE_MUST_VERIFY:
            return self._is_signature_invalid(context.domain, op, take, leaves, witness)
    witnesses._finish(witness, leaves.end)
    return leaves.is_missing or not self._does_hold(header, take, check, leaves)


# Checks


@internal
@pure
def _does_hold(header: contexts.Header, take: Take, check: uint256, leaves: Leaves) -> bool:
    """
    @notice Whether a check that reads nothing but its leaves holds; they are there.
    """
    state: globals.Globals = leaves.state
    if check == POSITION_MUST_INCREASE:
        return contexts._is_position_next(state, header, take.position)
    if check == ACCOUNT_MUST_EXIST:
        return True
    if check == TARGET_MUST_BE_OPEN:
        return take.target != take.account and self._is_open(leaves)
    if check == MUST_NOT_BE_EXPIRED:
        return state.time <= take.valid_until
    if check == SEQUENCE_MUST_RISE:
        return take.sequence > leaves.bidder.sequence
    if check == SLICE_MUST_BE_NEEDED:
        return self._is_slice_needed(take, leaves.target)
    if check == DISCOUNT_MUST_SUFFICE:
        price: Price = self._compute_price(take, leaves)
        return price.target_pays + price.fund_pays >= take.discount_min
    if check == BIDDER_MUST_FIT:
        moved: Moved = self._compute_bidder_after(take, leaves)
        return moved.has_room and valuation._is_within_caps(moved.account)
    # KEY_MUST_BE_LIVE
    return contexts._is_key_live(leaves.bidder, take.key_index, accounts.SCOPE_TRADE, state.time)


@internal
@pure
def _is_open(leaves: Leaves) -> bool:
    """
    @notice Whether the target's auction has begun.
    """
    clock: uint256 = self._get_clock(leaves.target, leaves.params)
    return 0 < clock and clock <= leaves.state.time


@internal
@pure
def _is_slice_needed(take: Take, target: accounts.Account) -> bool:
    """
    @notice Nobody loses more of his portfolio at once than about twice what he is short of.
    """
    if target.liquidation_from == 0 or take.equity <= 0:
        return True
    requirement: int256 = max(take.equity - take.maintenance, 1)
    missing_ppm: int256 = max(-take.maintenance, 0) * convert(constants.PPM, int256) // requirement
    return take.slice_ppm <= 2 * convert(missing_ppm, uint256) + SLICE_ROOM_PPM


@internal
@view
def _are_claims_true(
    root: bytes32, take: Take, leaves: Leaves, witness: Bytes[constants.WITNESS_BYTES_MAX]
) -> bool:
    """
    @notice What the op claims of the target and of the slice is so, at young prices, and the target still needs it.
    @dev The target stands as the account after, for it is the one that has to be young.
    """
    parts: accounts.Account = self._cut(leaves.target, take.slice_ppm)
    rest: Moved = self._move(leaves.target, parts, -1)
    # Encoded first: a call among the arguments would have the witness copied once more.
    rest_leaf: Bytes[constants.LEAF_BYTES_MAX] = accounts._encode_account(rest.account)
    target_leaf: Bytes[constants.LEAF_BYTES_MAX] = accounts._encode_account(leaves.target)
    found: margins.Found = margins._compute(
        witness,
        leaves.end,
        leaves.state.time,
        leaves.state.params_version,
        leaves.params_leaf,
        rest_leaf,
        target_leaf,
        False,
    )
    assert found.root == root, "root"
    witnesses._finish(witness, found.end)
    if found.is_missing or not found.is_young:
        return False
    relief: int256 = take.equity - take.maintenance - (found.before.equity - found.before.maintenance)
    return (
        (leaves.target.liquidation_from == 0 or margins._is_bad(leaves.target, found.after, leaves.params))
        and found.after.equity == take.equity
        and found.after.maintenance == take.maintenance
        and found.after.equity - found.before.equity == take.value
        and relief == convert(take.relief, int256)
    )


@internal
@view
def _is_bidder_margined(
    root: bytes32, take: Take, leaves: Leaves, witness: Bytes[constants.WITNESS_BYTES_MAX]
) -> bool:
    """
    @notice Whether the bidder covers its initial margin with what it has taken.
    """
    moved: Moved = self._compute_bidder_after(take, leaves)
    if not (moved.has_room and accounts._is_cash_in_field(moved.account)):
        witnesses._finish(witness, leaves.end)
        return False
    leaf: Bytes[constants.LEAF_BYTES_MAX] = accounts._encode_account(moved.account)
    found: margins.Found = margins._compute(
        witness,
        leaves.end,
        leaves.state.time,
        leaves.state.params_version,
        leaves.params_leaf,
        leaf,
        leaf,
        True,
    )
    assert found.root == root, "root"
    witnesses._finish(witness, found.end)
    return not found.is_missing and found.is_fresh and found.after.initial >= 0


@internal
@view
def _is_signature_invalid(
    domain: bytes32,
    op: Bytes[constants.OP_BYTES_MAX],
    take: Take,
    leaves: Leaves,
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


@internal
@pure
def _read_leaves(
    witness: Bytes[constants.WITNESS_BYTES_MAX], root: bytes32, reads: uint256, take: Take
) -> Leaves:
    """
    @notice The leaves that `reads` names, under `root`, or where that is zero NOT authenticated; reading stops at a
            subject that does not exist.
    """
    leaves: Leaves = empty(Leaves)
    leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    for i: uint256 in range(READ_COUNT):
        if (reads >> i) & 1 == 0:
            continue
        # A witness gives each leaf once, also when an op names one account twice.
        if 1 << i != T or take.target != take.account or reads & A == 0:
            at: uint256 = leaves.end
            leaf, leaves.end = witnesses._peek(witness, at)
            if root != empty(bytes32):
                # Written back as it is: that authenticates it, and leaves the root.
                index: uint256 = self._get_index(i, take, leaves.state)
                assert witnesses._write(witness, at, root, COLLECTIONS[i], index, leaf) == root
        if i == 0:
            leaves.state = globals._decode_globals(leaf)
        elif i == 1:
            leaves.params_leaf = leaf
            leaves.params = parameters._decode_params(leaf)
        elif len(leaf) == 0:
            leaves.is_missing = True
            return leaves
        elif 1 << i == A:
            leaves.bidder = accounts._decode_account(leaf)
        elif 1 << i == T:
            leaves.target = accounts._decode_account(leaf)
        else:
            leaves.books = assets._decode_asset(leaf)
    return leaves


@internal
@pure
def _get_index(read: uint256, take: Take, state: globals.Globals) -> uint256:
    """
    @notice Where the leaf of a read stands in its collection.
    """
    return [0, state.params_version, take.account, take.target, 0][read]


# The deal


@internal
@pure
def _get_clock(account: accounts.Account, params: parameters.Params) -> uint256:
    """
    @notice State time from which the account is up for auction; 0 when it is not.
    """
    if account.liquidation_from > 0:
        return account.liquidation_from
    return account.close_from + params.close_delay if account.close_from > 0 else 0


@internal
@pure
def _compute_price(take: Take, leaves: Leaves) -> Price:
    """
    @notice The price of the slice now. Every floor is in favour of the target or of the fund.
    """
    params: parameters.Params = leaves.params
    clock: uint256 = self._get_clock(leaves.target, params)
    elapsed: uint256 = max(leaves.state.time, clock) - clock
    length: uint256 = params.auction_seconds
    discount_ppm: uint256 = min(constants.PPM, constants.PPM * elapsed // length)
    requirement: uint256 = convert(max(take.equity - take.maintenance, 1), uint256)
    share: uint256 = convert(max(take.equity, 0), uint256) * take.relief // requirement
    target_pays: uint256 = min(take.relief * discount_ppm // constants.PPM, share)
    if leaves.target.liquidation_from == 0:
        return Price(target_pays=target_pays, fund_pays=0, penalty=0)
    extra_ppm: uint256 = min(constants.PPM, constants.PPM * (max(elapsed, length) - length) // length)
    uncovered: uint256 = max(take.relief, share) - share
    return Price(
        target_pays=target_pays,
        fund_pays=min(
            uncovered * extra_ppm // constants.PPM, convert(max(leaves.books.fund, 0), uint256)
        ),
        penalty=min(take.relief * params.penalty_ppm // constants.PPM, share - target_pays),
    )


@internal
@pure
def _cut(target: accounts.Account, slice_ppm: uint256) -> accounts.Account:
    """
    @notice The parts of the target that move, as an account with nothing else; none of them is 0.
    """
    parts: accounts.Account = empty(accounts.Account)
    for i: uint256 in range(target.position_count, bound=constants.POSITIONS_MAX):
        held: accounts.Position = target.positions[i]
        lots: int256 = convert(convert(abs(held.quantity), uint256) * slice_ppm // constants.PPM, int256)
        if lots != 0:
            if held.quantity < 0:
                lots = -lots
            parts.positions[parts.position_count] = accounts.Position(instrument=held.instrument, quantity=lots)
            parts.position_count += 1
    for i: uint256 in range(target.collateral_count, bound=constants.ASSETS_MAX):
        held: accounts.Collateral = target.collateral[i]
        units: uint256 = held.amount * slice_ppm // constants.PPM
        if units != 0:
            parts.collateral[parts.collateral_count] = accounts.Collateral(asset=held.asset, amount=units)
            parts.collateral_count += 1
    return parts


@internal
@pure
def _move(account: accounts.Account, parts: accounts.Account, sign: int256) -> Moved:
    """
    @notice The account with the parts (+1) or without them (-1), both in order; cash stays.
    """
    moved: Moved = Moved(account=account, has_room=True)
    for i: uint256 in range(parts.collateral_count, bound=constants.ASSETS_MAX):
        held: accounts.Collateral = parts.collateral[i]
        moved.account = valuation._add_balance(moved.account, held.asset, sign * convert(held.amount, int256))
    moved.account.position_count = 0
    mine: uint256 = 0
    others: uint256 = 0
    for i: uint256 in range(2 * constants.POSITIONS_MAX):
        has_mine: bool = mine < account.position_count
        has_others: bool = others < parts.position_count
        if not (has_mine or has_others):
            break
        next: accounts.Position = empty(accounts.Position)
        if has_mine and (
            not has_others or account.positions[mine].instrument <= parts.positions[others].instrument
        ):
            next = account.positions[mine]
            mine += 1
        else:
            next.instrument = parts.positions[others].instrument
        if has_others and parts.positions[others].instrument == next.instrument:
            next.quantity += sign * parts.positions[others].quantity
            others += 1
        if next.quantity == 0:
            continue
        if moved.account.position_count == constants.POSITIONS_MAX:
            moved.has_room = False
            break
        moved.account.positions[moved.account.position_count] = next
        moved.account.position_count += 1
    return moved


@internal
@pure
def _compute_bidder_after(take: Take, leaves: Leaves) -> Moved:
    """
    @notice The bidder pays the value less the discount.
    """
    price: Price = self._compute_price(take, leaves)
    moved: Moved = self._move(leaves.bidder, self._cut(leaves.target, take.slice_ppm), 1)
    moved.account.cash += convert(price.target_pays + price.fund_pays, int256) - take.value
    moved.account.sequence = take.sequence
    return moved


@internal
@pure
def _compute_target_after(take: Take, leaves: Leaves) -> accounts.Account:
    """
    @notice The target is paid the value less its share of the discount and the penalty; when all is sold, the clocks
            end.
    """
    price: Price = self._compute_price(take, leaves)
    moved: Moved = self._move(leaves.target, self._cut(leaves.target, take.slice_ppm), -1)
    after: accounts.Account = moved.account
    after.cash += take.value - convert(price.target_pays + price.penalty, int256)
    if after.position_count == 0 and after.collateral_count == 0 and after.cash >= 0:
        after.liquidation_from = 0
        after.close_from = 0
    return after


@internal
@pure
def _count_long_change(
    before: accounts.Account, after: accounts.Account, parts: accounts.Account, underlying: uint256
) -> int256:
    """
    @notice By how many lots of an underlying an account is longer, in the instruments that moved.
    """
    change: int256 = 0
    for i: uint256 in range(parts.position_count, bound=constants.POSITIONS_MAX):
        instrument: uint256 = parts.positions[i].instrument
        if instruments._get_underlying(instrument) == underlying:
            change += max(0, accounts._get_position(after, instrument))
            change -= max(0, accounts._get_position(before, instrument))
    return change


# Effect


@internal
@pure
def _is_effect_wrong(
    context: contexts.Context, take: Take, witness: Bytes[constants.WITNESS_BYTES_MAX]
) -> bool:
    """
    @notice Reads G, P, A(account), A(target), the underlyings of the parts, S(0). The slice moves, and is paid for; a
            penalty repays bad debt before it fills the fund.
    """
    if take.position == constants.NEVER or take.account == take.target:
        return False
    leaves: Leaves = self._read_leaves(witness, empty(bytes32), G | P | A | T, take)
    if leaves.is_missing or not self._is_open(leaves):
        return False
    parts: accounts.Account = self._cut(leaves.target, take.slice_ppm)
    traded: uint256 = 0
    for i: uint256 in range(parts.position_count, bound=constants.POSITIONS_MAX):
        traded |= 1 << instruments._get_underlying(parts.positions[i].instrument)
    leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    end: uint256 = leaves.end
    # The underlyings, and the books of the quote asset as one more.
    for u: uint256 in range(constants.UNDERLYINGS_MAX + 1):
        if (traded >> u) & 1 == 1 or u == constants.UNDERLYINGS_MAX:
            leaf, end = witnesses._peek(witness, end)
            if len(leaf) == 0:
                return False
    witnesses._finish(witness, end)
    leaves.books = assets._decode_asset(leaf)
    # EFFECTS
    bidder: Moved = self._compute_bidder_after(take, leaves)
    if not (bidder.has_room and accounts._is_cash_in_field(bidder.account)):
        return False
    after: Leaves = leaves
    after.state.next_position = take.position + 1
    after.bidder = bidder.account
    after.target = self._compute_target_after(take, leaves)
    after.books = self._compute_books_after(take, leaves)
    if not accounts._is_cash_in_field(after.target) or after.books.fund > convert(max_value(int128), int256):
        return False
    return self._is_root_wrong(context, take, leaves, after, parts, traded, witness)


@internal
@pure
def _is_root_wrong(
    context: contexts.Context,
    take: Take,
    leaves: Leaves,
    after: Leaves,
    parts: accounts.Account,
    traded: uint256,
    witness: Bytes[constants.WITNESS_BYTES_MAX],
) -> bool:
    """
    @notice Whether another root than the claimed one comes after the deal; every leaf is authenticated on the way.
    """
    root: bytes32 = context.pre_root
    leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    next: uint256 = 0
    end: uint256 = 0
    for i: uint256 in range(READ_COUNT + constants.UNDERLYINGS_MAX):
        collection: uint256 = constants.UNDERLYINGS
        index: uint256 = i - min(i, READ_COUNT - 1)
        if i < READ_COUNT - 1:
            collection = COLLECTIONS[i]
            index = self._get_index(i, take, leaves.state)
        elif index == constants.UNDERLYINGS_MAX:
            collection = constants.ASSETS
            index = 0
        elif (traded >> index) & 1 == 0:
            continue
        leaf, end = witnesses._peek(witness, next)
        if i == 0:
            leaf = globals._encode_globals(after.state)
        elif i == 2:
            leaf = accounts._encode_account(after.bidder)
        elif i == 3:
            leaf = accounts._encode_account(after.target)
        elif collection == constants.ASSETS:
            leaf = assets._encode_asset(after.books)
        elif collection == constants.UNDERLYINGS:
            underlying: underlyings.Underlying = underlyings._decode_underlying(leaf)
            open_interest: int256 = convert(underlying.open_interest, int256)
            open_interest += self._count_long_change(leaves.bidder, after.bidder, parts, index)
            open_interest += self._count_long_change(leaves.target, after.target, parts, index)
            if open_interest < 0 or open_interest > convert(max_value(uint64), int256):
                return False
            underlying.open_interest = convert(open_interest, uint256)
            leaf = underlyings._encode_underlying(underlying)
        root = witnesses._write(witness, next, root, collection, index, leaf)
        next = end
    return root != context.post_root


@internal
@pure
def _compute_books_after(take: Take, leaves: Leaves) -> assets.Asset:
    """
    @notice The penalty repays bad debt first; the rest is the fund's, which pays its part of the discount.
    """
    price: Price = self._compute_price(take, leaves)
    books: assets.Asset = leaves.books
    repaid: uint256 = min(price.penalty, books.bad_debt)
    books.bad_debt -= repaid
    books.fund += convert(price.penalty - repaid, int256) - convert(price.fund_pays, int256)
    return books


# The bytes of the op


@internal
@pure
def _decode_take(op: Bytes[constants.OP_BYTES_MAX]) -> Take:
    """
    @notice `kind u8 || position u64 || equity i128 || maintenance i128 || value i128 || relief u128 || [account u32,
            sequence u64, target u32, slice_ppm u32, discount_min u64, valid_until u64] || key_index u8 || signature
            b64`.
    """
    if len(op) != OP_BYTES:
        return empty(Take)
    take: Take = Take(
        decodes=False,
        position=fields._uint(op, 1, 8),
        equity=fields._int(op, 9, 16),
        maintenance=fields._int(op, 25, 16),
        value=fields._int(op, 41, 16),
        relief=fields._uint(op, 57, 16),
        account=fields._uint(op, 73, 4),
        sequence=fields._uint(op, 77, 8),
        target=fields._uint(op, 85, 4),
        slice_ppm=fields._uint(op, 89, 4),
        discount_min=fields._uint(op, 93, 8),
        valid_until=fields._uint(op, 101, 8),
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
