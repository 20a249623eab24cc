# pragma version 0.4.3
"""
@title What a verifier asks of contracts/margin.vy
@notice The margin of an account before and after an op, and the marks of instruments: state/SPEC.md section 8.
@dev The contract reads M* of a witness, and says under which root it stands; whoever asks compares. So a caller may ask
     before it knows what an effect has written, where that depends on the answer.
     Mirrors state/valuation.py, state/active_scenarios.py and state/leaving.py.
"""
import accounts
import constants
import globals
import params as parameters
import valuation

# The scenarios that a prover names for both accounts, a byte for each underlying with options.
struct Exhibit:
    before: uint256
    after: uint256

# Quote units. `initial` and `maintenance` are what is left above the requirement.
struct Margin:
    quote_equity: int256
    equity: int256
    initial: int256
    maintenance: int256

struct Found:
    exhibit: Exhibit
    before: Margin  # under the scenarios exhibited for it
    after: Margin
    is_young: bool  # every price that the account after depends on
    is_fresh: bool  # and none of its underlyings is halted
    root: bytes32
    end: uint256  # where the witness goes on
    is_missing: bool  # a leaf is not there: reading stopped behind it, and whatever asked fails

# What withdrawals, asked for by the account's key or by its owner through L1, and transfers ask of the account.
struct Leaving:
    is_covered: bool  # it owns what it gives away: quote equity for asset 0, else that collateral
    is_margined: bool  # and still covers its initial margin without it
    reads_prices: bool
    is_missing: bool  # a leaf of theirs is not there
    root: bytes32  # under which the prices stand
    end: uint256  # where the witness goes on

struct Marks:
    marks: uint256[constants.LEGS_MAX]
    underlying_mark: uint256
    root: bytes32
    end: uint256
    is_missing: bool

interface Margins:
    def compute(
        witness: Bytes[constants.WITNESS_BYTES_MAX],
        at: uint256,
        time: uint256,
        params_version: uint256,
        params_leaf: Bytes[constants.LEAF_BYTES_MAX],
        before_leaf: Bytes[constants.LEAF_BYTES_MAX],
        after_leaf: Bytes[constants.LEAF_BYTES_MAX],
        must_cover: bool,
    ) -> (Margin, Margin, uint256, bytes32, uint256, bool): view
    def compute_marks(
        witness: Bytes[constants.WITNESS_BYTES_MAX],
        at: uint256,
        time: uint256,
        instruments: DynArray[uint256, constants.LEGS_MAX],
    ) -> (uint256[constants.LEGS_MAX], uint256, bytes32, uint256, bool): view

interface TimedMargins:
    def compute(
        witness: Bytes[constants.WITNESS_BYTES_MAX],
        at: uint256,
        time: uint256,
        params_version: uint256,
        params_leaf: Bytes[constants.LEAF_BYTES_MAX],
        before_leaf: Bytes[constants.LEAF_BYTES_MAX],
        after_leaf: Bytes[constants.LEAF_BYTES_MAX],
        must_cover: bool,
        asked_at: uint256,
    ) -> (Margin, Margin, uint256, bytes32, uint256, bool): view

EXHIBIT_BYTES: constant(uint256) = 16
YOUNG: constant(uint256) = 1
FRESH: constant(uint256) = 3

MARGIN: immutable(address)


@deploy
def __init__(margin: address):
    """
    @param margin The deployed contracts/margin.vy
    """
    assert margin.is_contract, "margin"
    MARGIN = margin


@internal
@view
def _compute(
    witness: Bytes[constants.WITNESS_BYTES_MAX],
    at: uint256,
    time: uint256,
    params_version: uint256,
    params_leaf: Bytes[constants.LEAF_BYTES_MAX],
    before_leaf: Bytes[constants.LEAF_BYTES_MAX],
    after_leaf: Bytes[constants.LEAF_BYTES_MAX],
    must_cover: bool,
) -> Found:
    """
    @notice The margin of an account and of what it becomes, from the M* that begins at `at`.
    @param must_cover Whether collateral whose price is stale counts nothing
    """
    found: Found = empty(Found)
    found.exhibit = self._split_exhibit(convert(slice(witness, at, EXHIBIT_BYTES), uint256))
    freshness: uint256 = 0
    found.before, found.after, freshness, found.root, found.end, found.is_missing = staticcall Margins(
        MARGIN
    ).compute(witness, at, time, params_version, params_leaf, before_leaf, after_leaf, must_cover)
    found.is_young = freshness & YOUNG == YOUNG
    found.is_fresh = freshness & FRESH == FRESH
    return found


@internal
@view
def _compute_at(
    witness: Bytes[constants.WITNESS_BYTES_MAX],
    at: uint256,
    time: uint256,
    params_version: uint256,
    params_leaf: Bytes[constants.LEAF_BYTES_MAX],
    before_leaf: Bytes[constants.LEAF_BYTES_MAX],
    after_leaf: Bytes[constants.LEAF_BYTES_MAX],
    must_cover: bool,
    asked_at: uint256,
) -> Found:
    """
    @notice The same for who asked earlier: prices are as old as they were at `asked_at`, or now if that is before.
    """
    found: Found = empty(Found)
    found.exhibit = self._split_exhibit(convert(slice(witness, at, EXHIBIT_BYTES), uint256))
    freshness: uint256 = 0
    found.before, found.after, freshness, found.root, found.end, found.is_missing = staticcall TimedMargins(
        MARGIN
    ).compute(witness, at, time, params_version, params_leaf, before_leaf, after_leaf, must_cover, asked_at)
    found.is_young = freshness & YOUNG == YOUNG
    found.is_fresh = freshness & FRESH == FRESH
    return found


@internal
@pure
def _split_exhibit(exhibit: uint256) -> Exhibit:
    """
    @notice What is exhibited in front of an M*.
    @dev Its bytes come as a number: a witness that is passed on is copied, and room for it is paid for by all.
    """
    return Exhibit(before=exhibit >> 64, after=exhibit & (2**64 - 1))


@internal
@pure
def _is_number_true(number: int256, claimed: int256, exhibit: uint256, active: uint256) -> bool:
    """
    @notice Whether a surplus, computed under the scenarios exhibited, does not speak against what an op claims of it:
            it is never less than claimed, and as claimed under the op's own.
    @param active The scenarios that the op names, under which the claimed number shall be true
    @dev Mirrors is_number_true of state/active_scenarios.py.
    """
    return number >= claimed and (exhibit != active or number == claimed)


@internal
@view
def _compute_marks(
    witness: Bytes[constants.WITNESS_BYTES_MAX],
    at: uint256,
    time: uint256,
    instruments: DynArray[uint256, constants.LEGS_MAX],
) -> Marks:
    """
    @notice What instruments of one underlying, ascending, are marked at; reads the underlying and their expiries.
    """
    found: Marks = empty(Marks)
    found.marks, found.underlying_mark, found.root, found.end, found.is_missing = staticcall Margins(
        MARGIN
    ).compute_marks(witness, at, time, instruments)
    return found


@internal
@view
def _judge_leaving(
    witness: Bytes[constants.WITNESS_BYTES_MAX],
    at: uint256,
    state: globals.Globals,
    params_leaf: Bytes[constants.LEAF_BYTES_MAX],
    account_leaf: Bytes[constants.LEAF_BYTES_MAX],
    asset: uint256,
    amount: uint256,
) -> Leaving:
    """
    @notice Whether `amount` may leave the account; M* begins at `at`, if prices are needed.
    @dev Mirrors is_balance_covered and is_margin_kept of state/leaving.py.
    """
    account: accounts.Account = accounts._decode_account(account_leaf)
    is_held: bool = asset == 0 or accounts._get_collateral(account, asset) >= amount
    if not valuation._needs_prices(account, asset, amount):
        # Without positions, quote equity is cash.
        return Leaving(
            is_covered=is_held, is_margined=True, reads_prices=False, is_missing=False, root=empty(bytes32), end=at
        )
    after_leaf: Bytes[constants.LEAF_BYTES_MAX] = account_leaf
    if is_held:
        account = valuation._add_balance(account, asset, -convert(amount, int256))
        after_leaf = accounts._encode_account(account)
    found: Found = self._compute(
        witness, at, state.time, state.params_version, params_leaf, account_leaf, after_leaf, True
    )
    is_owned: bool = is_held and (asset != 0 or found.before.quote_equity >= convert(amount, int256))
    return Leaving(
        is_covered=is_owned and not found.is_missing,
        is_margined=is_held and not found.is_missing and found.is_fresh and found.after.initial >= 0,
        reads_prices=True,
        is_missing=found.is_missing,
        root=found.root,
        end=found.end,
    )


@internal
@pure
def _is_bad(account: accounts.Account, margin: Margin, params: parameters.Params) -> bool:
    """
    @notice Short of maintenance margin, or owing more quote cash than may be owed against other collateral. Without
            positions and with cash of at least 0 there is nothing to be short for: dust of collateral is rounded.
    @dev Mirrors is_margin_bad of state/process_liquidate.py.
    """
    return (account.position_count != 0 or account.cash < 0) and (
        margin.maintenance < 0 or margin.quote_equity < -convert(params.quote_debt_max, int256)
    )
