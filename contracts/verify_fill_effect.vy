# pragma version 0.4.3
"""
@title Verifier of what a fill does
@notice Whether the root after a fill, if it were valid, is another than the claimed one (EFFECT): state/SPEC.md
        sections 7 and 8. Asked by contracts/verify_fill.vy, which judges the other grounds.
@dev Answers true for fraud and false for what is not shown; reverts for a bad witness alone, whatever the op's bytes.
     EFFECT shows nothing where a number would leave its field. Quantities and cash cannot: from within their caps
     (CASH_MAX, QUANTITY_MAX) one fill takes them to less than twice those.
     Mirrors state/process_fill.py.
"""
import accounts
import assets
import constants
import context as contexts
import fills
import globals
import orders
import params as parameters
import underlyings
import valuation
import witness as witnesses

# What a fill reads, in order. at[i] is where entry i of the witness begins, at[READS] where it ends.
READS: constant(uint256) = 8
struct Leaves:
    state: globals.Globals
    params: parameters.Params
    buy: orders.Order
    sell: orders.Order
    buyer: accounts.Account
    seller: accounts.Account
    underlying: underlyings.Underlying
    books: assets.Asset  # of the quote asset
    at: uint256[READS + 1]
    shows_nothing: bool  # one of them is empty, or a bound would be passed


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
    @notice Whether EFFECT convicts the step; any other ground is not shown here.
    @param op The disputed op, a fill
    """
    fill: orders.Fill = orders._decode_fill(op)
    header: contexts.Header = contexts._decode_header(context.header)
    if ground != constants.EFFECT or not fill.decodes:
        return False
    if not contexts._may_stand(constants.FILL, context.step, header):
        return False
    # An account that fills itself would be read once and written twice: a check convicts it.
    if fill.buyer == fill.seller or fill.position == constants.NEVER:
        return False
    leaves: Leaves = self._peek_leaves(witness)
    if leaves.shows_nothing or fill.quantity > min(leaves.buy.remaining, leaves.sell.remaining):
        return False
    after: Leaves = self._apply(fill, leaves)
    if after.shows_nothing:
        return False
    return self._compute_root_after(context.pre_root, fill, after, witness) != context.post_root


@internal
@pure
def _peek_leaves(witness: Bytes[constants.WITNESS_BYTES_MAX]) -> Leaves:
    """
    @notice G, P, O(buyer), O(seller), A(buyer), A(seller), U(instrument), S(0), NOT authenticated; peeking stops at
            one that a fill cannot do without.
    """
    leaves: Leaves = empty(Leaves)
    leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    for i: uint256 in range(READS):
        leaf, leaves.at[i + 1] = witnesses._peek(witness, leaves.at[i])
        leaves.shows_nothing = len(leaf) == 0
        if leaves.shows_nothing:
            return leaves
        if i == 0:
            leaves.state = globals._decode_globals(leaf)
        elif i == 1:
            leaves.params = parameters._decode_params(leaf)
        elif i == 2:
            leaves.buy = orders._decode_order(leaf)
        elif i == 3:
            leaves.sell = orders._decode_order(leaf)
        elif i == 4:
            leaves.buyer = accounts._decode_account(leaf)
        elif i == 5:
            leaves.seller = accounts._decode_account(leaf)
        elif i == 6:
            leaves.underlying = underlyings._decode_underlying(leaf)
        else:
            leaves.books = assets._decode_asset(leaf)
        # A cancelled order has no legs, so nothing to trade.
        leaves.shows_nothing = (i == 2 and leaves.buy.leg_count == 0) or (i == 3 and leaves.sell.leg_count == 0)
        if leaves.shows_nothing:
            return leaves
    witnesses._finish(witness, leaves.at[READS])
    return leaves


@internal
@pure
def _apply(fill: orders.Fill, leaves: Leaves) -> Leaves:
    """
    @notice Trade: both orders shrink, both accounts change, open interest and fees follow.
    @param leaves Both orders have the quantity remaining
    """
    index: int256 = valuation._compute_funding_index_floor(
        leaves.underlying, leaves.state.time, leaves.params
    )
    base: uint256 = fills._compute_fee_base(leaves.buy, fill.price, leaves.underlying)
    buyer_fee: uint256 = fills._compute_side_fee(True, fill.quantity, base, leaves.buy, leaves.sell, leaves.params)
    seller_fee: uint256 = fills._compute_side_fee(False, fill.quantity, base, leaves.buy, leaves.sell, leaves.params)
    after: Leaves = leaves
    after.state.next_position = fill.position + 1
    after.buy.remaining -= fill.quantity
    after.sell.remaining -= fill.quantity
    after.buyer = fills._compute_account_after(True, leaves.buyer, fill, leaves.buy, index, buyer_fee)
    after.seller = fills._compute_account_after(False, leaves.seller, fill, leaves.buy, index, seller_fee)
    # Bad debt is repaid before anybody earns a fee.
    repaid: uint256 = min(buyer_fee + seller_fee, leaves.books.bad_debt)
    after.books.bad_debt -= repaid
    after.books.fees += convert(buyer_fee + seller_fee - repaid, int256)
    open_interest: int256 = (
        convert(leaves.underlying.open_interest, int256)
        + fills._count_long_change(leaves.buyer, leaves.buy, convert(fill.quantity, int256))
        + fills._count_long_change(leaves.seller, leaves.buy, -convert(fill.quantity, int256))
    )
    after.shows_nothing = (
        open_interest < 0
        or open_interest > convert(max_value(uint64), int256)
        or after.books.fees > convert(max_value(int128), int256)
    )
    if not after.shows_nothing:
        after.underlying.open_interest = convert(open_interest, uint256)
    return after


@internal
@pure
def _compute_root_after(
    pre_root: bytes32, fill: orders.Fill, after: Leaves, witness: Bytes[constants.WITNESS_BYTES_MAX]
) -> bytes32:
    """
    @notice The root with all leaves written, in the order in which they were read, each authenticated on the way.
    """
    index: uint256 = 0
    collection: uint256 = constants.GLOBALS
    leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    end: uint256 = 0
    root: bytes32 = pre_root
    for i: uint256 in range(READS):
        if i == 0:
            leaf = globals._encode_globals(after.state)
        elif i == 1:
            collection = constants.PARAMS
            index = after.state.params_version
            leaf, end = witnesses._peek(witness, after.at[i])  # as it is
        elif i == 2:
            collection = constants.ORDERS
            index = orders._get_slot_index(fill.buyer, fill.buyer_slot)
            leaf = orders._encode_order(after.buy)
        elif i == 3:
            collection = constants.ORDERS
            index = orders._get_slot_index(fill.seller, fill.seller_slot)
            leaf = orders._encode_order(after.sell)
        elif i == 4:
            collection = constants.ACCOUNTS
            index = fill.buyer
            leaf = accounts._encode_account(after.buyer)
        elif i == 5:
            collection = constants.ACCOUNTS
            index = fill.seller
            leaf = accounts._encode_account(after.seller)
        elif i == 6:
            collection = constants.UNDERLYINGS
            index = orders._get_underlying(after.buy)
            leaf = underlyings._encode_underlying(after.underlying)
        else:
            collection = constants.ASSETS
            index = 0
            leaf = assets._encode_asset(after.books)
        root = witnesses._write(witness, after.at[i], root, collection, index, leaf)
    return root
