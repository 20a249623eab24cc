# pragma version 0.4.3
"""
@title What a take or a bid does
@notice Whether the root after a slice has moved, if that were valid, is another than the claimed one (EFFECT):
        state/SPEC.md sections 7 and 8; or the one after a bid that came to nothing. Asked by contracts/verify_take.vy
        and contracts/verify_bid.vy, which judge the other grounds.
@dev Answers true for fraud and false for what is not shown; reverts for a bad witness alone, whatever is claimed. What
     the claims make of an account or of the fund is held against its field before it is written.
     Mirrors move_deal of state/slices.py and apply_bid of state/process_bid.py.
"""
import accounts
import assets
import constants
import context as contexts
import globals
import instruments
import messages
import slices
import underlyings
import witness as witnesses


@external
@view
def is_deal_wrong(
    context: contexts.Context,
    take: slices.Take,
    from_: uint256,
    message_hash: bytes32,
    witness: Bytes[constants.WITNESS_BYTES_MAX],
) -> bool:
    """
    @notice Whether another root than the claimed one comes when the slice moves and is paid for. Reads G, P,
            A(account), A(target), the underlyings of the parts, S(0).
    @param take The bid, decoded; its position is below NEVER
    @param from_ Where the first leaf stands in the witness
    @param message_hash Of the L1 message that the bid came by, which moves the inbox; zero for a signed one
    """
    if take.account == take.target:
        return False
    leaves: slices.Leaves = slices._read_leaves(witness, from_, empty(bytes32), slices.DEAL, take)
    if leaves.is_missing or not slices._is_for_sale(leaves):
        return False
    parts: accounts.Account = slices._cut(leaves.target, take.slice_ppm)
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
    before: slices.Leaves = leaves
    before.books = assets._decode_asset(leaf)
    # EFFECTS
    bidder: slices.Moved = slices._compute_bidder_after(take, before)
    if not (bidder.has_room and accounts._is_cash_in_field(bidder.account)):
        return False
    after: slices.Leaves = before
    after.state.next_position = take.position + 1
    if message_hash != empty(bytes32):
        after.state = messages._advance(before.state, take.position, message_hash)
    after.bidder = bidder.account
    after.target = self._compute_target_after(take, before)
    after.books = self._compute_books_after(take, before)
    if not accounts._is_cash_in_field(after.target) or after.books.fund > convert(max_value(int128), int256):
        return False
    return self._is_root_wrong(context, take, from_, before, after, parts, traded, witness)


@external
@view
def is_advance_wrong(
    context: contexts.Context,
    position: uint256,
    from_: uint256,
    message_hash: bytes32,
    witness: Bytes[constants.WITNESS_BYTES_MAX],
) -> bool:
    """
    @notice Whether another root than the claimed one comes when a bid that came through L1 moves the log and the inbox,
            and nothing else. Reads G.
    @param position Of the op, below NEVER
    @param from_ Where the leaf stands in the witness
    """
    leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    end: uint256 = 0
    leaf, end = witnesses._peek(witness, from_)
    witnesses._finish(witness, end)
    leaf = globals._encode_globals(messages._advance(globals._decode_globals(leaf), position, message_hash))
    return witnesses._write(witness, from_, context.pre_root, constants.GLOBALS, 0, leaf) != context.post_root


@internal
@pure
def _is_root_wrong(
    context: contexts.Context,
    take: slices.Take,
    from_: uint256,
    leaves: slices.Leaves,
    after: slices.Leaves,
    parts: accounts.Account,
    traded: uint256,
    witness: Bytes[constants.WITNESS_BYTES_MAX],
) -> bool:
    """
    @notice Whether another root than the claimed one comes after the deal; every leaf is authenticated on the way.
    """
    root: bytes32 = context.pre_root
    leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    next: uint256 = from_
    end: uint256 = 0
    for i: uint256 in range(slices.READ_COUNT + constants.UNDERLYINGS_MAX):
        collection: uint256 = constants.UNDERLYINGS
        index: uint256 = i - min(i, slices.READ_COUNT - 1)
        if i < slices.READ_COUNT - 1:
            collection = slices.COLLECTIONS[i]
            index = slices._get_index(i, take, leaves.state)
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
def _compute_target_after(take: slices.Take, leaves: slices.Leaves) -> accounts.Account:
    """
    @notice The target is paid the value less its share of the discount and the penalty; when all is sold, the clocks
            end.
    """
    price: slices.Price = slices._compute_price(take, leaves)
    moved: slices.Moved = slices._move(leaves.target, slices._cut(leaves.target, take.slice_ppm), -1)
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


@internal
@pure
def _compute_books_after(take: slices.Take, leaves: slices.Leaves) -> assets.Asset:
    """
    @notice The penalty repays bad debt first; the rest is the fund's, which pays its part of the discount.
    """
    price: slices.Price = slices._compute_price(take, leaves)
    books: assets.Asset = leaves.books
    repaid: uint256 = min(price.penalty, books.bad_debt)
    books.bad_debt -= repaid
    books.fund += convert(price.penalty - repaid, int256) - convert(price.fund_pays, int256)
    return books
