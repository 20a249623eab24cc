# pragma version 0.4.3
"""
@title A slice of a portfolio that is up for auction
@notice What it is, what it costs, and what it makes of the two accounts, whoever bids and however: state/SPEC.md
        section 8.
@dev BOUNDS. Claims may be any number of their fields: relief is below 2**128 and equity below 2**127, so that no
     product here passes 2**255.
     Mirrors state/slices.py.
"""
import accounts
import assets
import constants
import globals
import instruments
import margins
import params as parameters
import underlyings
import valuation
import witness as witnesses

uses: margins

# A bid, whether signed or sent through L1, and what is claimed of it.
struct Take:
    decodes: bool
    position: uint256
    equity: int256  # claims of the target, and of what the slice changes
    maintenance: int256
    value: int256
    relief: uint256
    target_active: uint256  # scenarios that the claims name, of the target and of what is left of it
    rest_active: uint256
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

# Beyond twice what is missing, so much more may be taken at once.
SLICE_ROOM_PPM: constant(uint256) = 50_000

# What a deal reads, in this one order.
G: constant(uint256) = 1
P: constant(uint256) = 2
A: constant(uint256) = 4
T: constant(uint256) = 8  # A(target)
S: constant(uint256) = 16
DEAL: constant(uint256) = G | P | A | T
READ_COUNT: constant(uint256) = 5
COLLECTIONS: constant(uint256[READ_COUNT]) = [
    constants.GLOBALS, constants.PARAMS, constants.ACCOUNTS, constants.ACCOUNTS, constants.ASSETS
]


@internal
@pure
def _read_leaves(
    witness: Bytes[constants.WITNESS_BYTES_MAX], from_: uint256, root: bytes32, reads: uint256, take: Take
) -> Leaves:
    """
    @notice The leaves that `reads` names, the first of them at `from_`, under `root`, or where that is zero NOT
            authenticated; reading stops at a subject that does not exist.
    """
    leaves: Leaves = empty(Leaves)
    leaves.end = from_
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
def _get_opening(account: accounts.Account) -> uint256:
    """
    @notice State time from which the account is for sale; 0 when it is not.
    """
    return account.liquidation_from if account.liquidation_from > 0 else account.close_from


@internal
@pure
def _get_clock(account: accounts.Account, params: parameters.Params) -> uint256:
    """
    @notice State time from which the account costs less and less than it is worth; 0 when it is not for sale.
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
def _is_for_sale(leaves: Leaves) -> bool:
    """
    @notice Whether slices of the target can be taken: at its marks, or in its auction below them.
    """
    opening: uint256 = self._get_opening(leaves.target)
    return 0 < opening and opening <= leaves.state.time


@internal
@pure
def _is_slice_small(take: Take, target: accounts.Account) -> bool:
    """
    @notice Nobody loses more of his portfolio at once than about twice what he is short of.
    """
    if target.liquidation_from == 0 or take.equity <= 0:
        return True
    requirement: int256 = max(take.equity - take.maintenance, 1)
    missing_ppm: int256 = max(-take.maintenance, 0) * convert(constants.PPM, int256) // requirement
    return take.slice_ppm <= 2 * convert(missing_ppm, uint256) + SLICE_ROOM_PPM


# Margins


@internal
@view
def _weigh_slice(
    root: bytes32,
    take: Take,
    leaves: Leaves,
    asked_at: uint256,
    witness: Bytes[constants.WITNESS_BYTES_MAX],
) -> margins.Found:
    """
    @notice What is left of the target (before), and the target (after), for it is the one whose prices have to be
            young; M*(target) stands at `leaves.end`, and nothing behind it.
    @param asked_at When prices must have been young, at most state time
    """
    rest: Moved = self._move(leaves.target, self._cut(leaves.target, take.slice_ppm), -1)
    # Encoded first: a call among the arguments would have the witness copied once more.
    rest_leaf: Bytes[constants.LEAF_BYTES_MAX] = accounts._encode_account(rest.account)
    target_leaf: Bytes[constants.LEAF_BYTES_MAX] = accounts._encode_account(leaves.target)
    return self._compute_margin(root, leaves, rest_leaf, target_leaf, False, asked_at, witness)


@internal
@pure
def _is_sale_needed(leaves: Leaves, margin: margins.Margin) -> bool:
    """
    @notice Whether a liquidation still has its reason; the owner of a forced close wants it.
    """
    return leaves.target.liquidation_from == 0 or margins._is_bad(leaves.target, margin, leaves.params)


@internal
@pure
def _are_claims_held(take: Take, leaves: Leaves, found: margins.Found) -> bool:
    """
    @notice Whether nothing under the scenarios exhibited speaks against what a deal rests on: the claims, and that it
            is needed.
    """
    margin: margins.Margin = found.after
    margin.maintenance = take.maintenance
    return (
        margin.equity == take.equity
        and margin.equity - found.before.equity == take.value
        and margins._is_number_true(
            found.after.maintenance, take.maintenance, found.exhibit.after, take.target_active
        )
        and self._is_sale_needed(leaves, margin)
    )


@internal
@pure
def _compute_relief(take: Take, found: margins.Found) -> int256:
    """
    @notice By how much what is left needs less than is claimed of the target; below 0 where it needs more.
    """
    return take.equity - take.maintenance - (found.before.equity - found.before.maintenance)


@internal
@view
def _weigh_bidder(
    root: bytes32,
    after: accounts.Account,
    leaves: Leaves,
    asked_at: uint256,
    witness: Bytes[constants.WITNESS_BYTES_MAX],
) -> margins.Found:
    """
    @notice A bidder behind the deal; M*(after) stands at `leaves.end`, and nothing behind it.
    @param asked_at When prices must have been young, at most state time
    """
    leaf: Bytes[constants.LEAF_BYTES_MAX] = accounts._encode_account(after)
    return self._compute_margin(root, leaves, leaf, leaf, True, asked_at, witness)


@internal
@view
def _compute_margin(
    root: bytes32,
    leaves: Leaves,
    before_leaf: Bytes[constants.LEAF_BYTES_MAX],
    after_leaf: Bytes[constants.LEAF_BYTES_MAX],
    must_cover: bool,
    asked_at: uint256,
    witness: Bytes[constants.WITNESS_BYTES_MAX],
) -> margins.Found:
    """
    @notice The margins of two accounts under the scenarios exhibited, by the M* at `leaves.end` that ends the witness.
    """
    found: margins.Found = margins._compute_at(
        witness,
        leaves.end,
        leaves.state.time,
        leaves.state.params_version,
        leaves.params_leaf,
        before_leaf,
        after_leaf,
        must_cover,
        asked_at,
    )
    assert found.root == root, "root"
    witnesses._finish(witness, found.end)
    return found
