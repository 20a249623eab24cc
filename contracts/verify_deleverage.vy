# pragma version 0.4.3
"""
@title Verifier of deleverage
@notice Who closes with a bankrupt whom nobody takes over, how much and at what price: state/SPEC.md sections 6 to 8,
        kind 16. That nobody else comes first is refuted by one account that does: the exhibit of check 1608.
@dev Answers true for fraud and false for what is not shown; reverts for a bad witness alone, whatever the op's bytes.
     BOUNDS. What is missing is below 2**127, quantity 2**40, mark 2**44: no product here passes 2**212. What that makes
     of an account is held against its field before it is written.
     Mirrors state/process_deleverage.py.
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
import underlyings
import valuation
import witness as witnesses

initializes: margins

struct Deleverage:
    decodes: bool
    position: uint256
    bankrupt: uint256
    counterparty: uint256
    instrument: uint256
    quantity: uint256
    equity: int256  # claims of the bankrupt
    maintenance: int256
    active: uint256  # the scenarios named as his worst
    notional: uint256
    mark: uint256  # and of the instrument

# The leaves that a check or the effect reads, and where the witness goes on behind them.
struct Leaves:
    state: globals.Globals
    params: parameters.Params
    params_leaf: Bytes[constants.LEAF_BYTES_MAX]
    bankrupt: accounts.Account
    bankrupt_leaf: Bytes[constants.LEAF_BYTES_MAX]
    counterparty: accounts.Account
    underlying: underlyings.Underlying
    books: assets.Asset
    is_missing: bool  # a subject does not exist, so the check fails
    end: uint256

# Where an account stands in the queue of those who close.
struct Rank:
    account: uint256
    lots: int256
    wealth: int256  # its cash with this one position closed at mark

OP_BYTES: constant(uint256) = 101

# Checks of SPEC.md section 6
MUST_DECODE: constant(uint256) = 0
POSITION_MUST_INCREASE: constant(uint256) = 1
ACCOUNTS_MUST_EXIST: constant(uint256) = 2
MUST_BE_DUE: constant(uint256) = 3
MARGIN_MUST_MATCH: constant(uint256) = 4
MARK_MUST_MATCH: constant(uint256) = 5
NOTIONAL_MUST_MATCH: constant(uint256) = 6
QUANTITY_MUST_FIT: constant(uint256) = 7
RANK_MUST_BE_FIRST: constant(uint256) = 8
CHECKS: constant(uint256) = 9

# Reads of SPEC.md section 6, a row a check; each is a part of the one order G, P, A(bankrupt), A(counterparty), U,
# S(0). Prices follow in the witness where contracts/margin.vy reads them, and so does the account exhibited.
G: constant(uint256) = 1
P: constant(uint256) = 2
B: constant(uint256) = 4  # A(bankrupt)
C: constant(uint256) = 8  # A(counterparty)
U: constant(uint256) = 16  # U(instrument)
S: constant(uint256) = 32
READ_COUNT: constant(uint256) = 6
COLLECTIONS: constant(uint256[READ_COUNT]) = [
    constants.GLOBALS,
    constants.PARAMS,
    constants.ACCOUNTS,
    constants.ACCOUNTS,
    constants.UNDERLYINGS,
    constants.ASSETS,
]
READS: constant(uint256[CHECKS]) = [0, G, B | C, G | P | B, G | P | B, G | P, B, B | C, G | P | C | U]


@deploy
def __init__(margin: address):
    """
    @param margin The deployed contracts/margin.vy
    """
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
    @param op The disputed op; its first byte is deleverage
    @param check The number of the check within its kind; ignored for EFFECT
    """
    deleverage: Deleverage = self._decode_deleverage(op)
    header: contexts.Header = contexts._decode_header(context.header)
    if not (deleverage.decodes and contexts._may_stand(constants.DELEVERAGE, context.step, header)):
        return ground == constants.CHECK and check == MUST_DECODE
    if ground == constants.EFFECT:
        return self._is_effect_wrong(context, deleverage, witness)
    if ground != constants.CHECK or check == MUST_DECODE or check >= CHECKS:
        return False
    root: bytes32 = context.pre_root
    leaves: Leaves = self._read_leaves(witness, root, READS[check], deleverage)
    if not leaves.is_missing:
        if check == MARGIN_MUST_MATCH:
            return not self._is_claimed_margin_true(root, deleverage, leaves, witness)
        if check == MARK_MUST_MATCH:
            return not self._is_claimed_mark_true(root, deleverage, leaves, witness)
        if check == NOTIONAL_MUST_MATCH:
            return not self._is_claimed_notional_true(root, deleverage, leaves, witness)
        if check == RANK_MUST_BE_FIRST:
            return self._comes_before(root, deleverage, leaves, witness)
    witnesses._finish(witness, leaves.end)
    if leaves.is_missing:
        return True
    if check == POSITION_MUST_INCREASE:
        return not contexts._is_position_next(leaves.state, header, deleverage.position)
    if check == ACCOUNTS_MUST_EXIST:
        return deleverage.bankrupt == deleverage.counterparty
    if check == MUST_BE_DUE:
        from_: uint256 = leaves.bankrupt.liquidation_from
        return from_ == 0 or leaves.state.time < from_ + 2 * leaves.params.auction_seconds
    # QUANTITY_MUST_FIT
    held: int256 = accounts._get_position(leaves.bankrupt, deleverage.instrument)
    other: int256 = accounts._get_position(leaves.counterparty, deleverage.instrument)
    return held * other >= 0 or convert(deleverage.quantity, int256) > min(abs(held), abs(other))


# Checks


@internal
@view
def _is_claimed_margin_true(
    root: bytes32, deleverage: Deleverage, leaves: Leaves, witness: Bytes[constants.WITNESS_BYTES_MAX]
) -> bool:
    """
    @notice What the op claims of the bankrupt is so, at young prices, and it is still short of maintenance margin.
    """
    found: margins.Found = margins._compute(
        witness,
        leaves.end,
        leaves.state.time,
        leaves.state.params_version,
        leaves.params_leaf,
        leaves.bankrupt_leaf,
        leaves.bankrupt_leaf,
        False,
    )
    assert found.root == root, "root"
    witnesses._finish(witness, found.end)
    return (
        not found.is_missing
        and found.is_young
        and found.after.equity == deleverage.equity
        and deleverage.maintenance < 0
        and margins._is_number_true(
            found.after.maintenance, deleverage.maintenance, found.exhibit.after, deleverage.active
        )
    )


@internal
@view
def _is_claimed_mark_true(
    root: bytes32, deleverage: Deleverage, leaves: Leaves, witness: Bytes[constants.WITNESS_BYTES_MAX]
) -> bool:
    """
    @notice The claimed mark is the instrument's.
    """
    found: margins.Marks = margins._compute_marks(
        witness, leaves.end, leaves.state.time, [deleverage.instrument]
    )
    assert found.root == root, "root"
    witnesses._finish(witness, found.end)
    return not found.is_missing and found.marks[0] == deleverage.mark


@internal
@pure
def _is_claimed_notional_true(
    root: bytes32, deleverage: Deleverage, leaves: Leaves, witness: Bytes[constants.WITNESS_BYTES_MAX]
) -> bool:
    """
    @notice The claimed gross notional is that of all the bankrupt's positions, whose underlyings follow, ascending.
    """
    notional: uint256 = 0
    end: uint256 = leaves.end
    leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    last: uint256 = max_value(uint256)
    mark: uint256 = 0
    for i: uint256 in range(leaves.bankrupt.position_count, bound=constants.POSITIONS_MAX):
        held: accounts.Position = leaves.bankrupt.positions[i]
        number: uint256 = instruments._get_underlying(held.instrument)
        if number != last:
            last = number
            leaf, end = witnesses._read(witness, end, root, constants.UNDERLYINGS, number)
            if len(leaf) == 0:
                witnesses._finish(witness, end)
                return False
            mark = underlyings._decode_underlying(leaf).mark
        notional += convert(abs(held.quantity), uint256) * mark
    witnesses._finish(witness, end)
    return notional == deleverage.notional


@internal
@pure
def _comes_before(
    root: bytes32, deleverage: Deleverage, leaves: Leaves, witness: Bytes[constants.WITNESS_BYTES_MAX]
) -> bool:
    """
    @notice Whether the account that the prover exhibits holds the same side as the counterparty, and ranks before it.
            Its index stands before its leaf, which a witness that has given it already does not give again.
    """
    exhibit: uint256 = convert(slice(witness, leaves.end, 4), uint256)
    leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    end: uint256 = leaves.end + 4
    if exhibit == deleverage.counterparty:
        witnesses._finish(witness, end)
        return False
    leaf, end = witnesses._read(witness, end, root, constants.ACCOUNTS, exhibit)
    witnesses._finish(witness, end)
    if len(leaf) == 0:
        return False
    account: accounts.Account = accounts._decode_account(leaf)
    lot_value: int256 = self._compute_value(deleverage, leaves)
    first: Rank = self._rank(exhibit, account, deleverage.instrument, lot_value)
    second: Rank = self._rank(deleverage.counterparty, leaves.counterparty, deleverage.instrument, lot_value)
    return first.lots * second.lots > 0 and self._is_before(first, second)


@internal
@pure
def _rank(index: uint256, account: accounts.Account, instrument: uint256, lot_value: int256) -> Rank:
    """
    @notice Where an account stands; its lots keep their sign.
    """
    held: int256 = accounts._get_position(account, instrument)
    return Rank(account=index, lots=held, wealth=account.cash + held * lot_value)


@internal
@pure
def _is_before(first: Rank, second: Rank) -> bool:
    """
    @notice The more leveraged comes first; no wealth at all before any; ties by account.
    """
    if (first.wealth <= 0) != (second.wealth <= 0):
        return first.wealth <= 0
    if first.wealth > 0:
        mine: int256 = abs(first.lots) * second.wealth
        theirs: int256 = abs(second.lots) * first.wealth
        if mine != theirs:
            return mine > theirs
    return first.account < second.account


@internal
@pure
def _read_leaves(
    witness: Bytes[constants.WITNESS_BYTES_MAX], root: bytes32, reads: uint256, deleverage: Deleverage
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
        if 1 << i != C or deleverage.counterparty != deleverage.bankrupt or reads & B == 0:
            at: uint256 = leaves.end
            leaf, leaves.end = witnesses._peek(witness, at)
            if root != empty(bytes32):
                # Written back as it is: that authenticates it, and leaves the root.
                index: uint256 = self._get_index(i, deleverage, leaves.state)
                assert witnesses._write(witness, at, root, COLLECTIONS[i], index, leaf) == root
        if i == 0:
            leaves.state = globals._decode_globals(leaf)
        elif i == 1:
            leaves.params_leaf = leaf
            leaves.params = parameters._decode_params(leaf)
        elif len(leaf) == 0:
            leaves.is_missing = True
            return leaves
        elif 1 << i == B:
            leaves.bankrupt = accounts._decode_account(leaf)
            leaves.bankrupt_leaf = leaf
        elif 1 << i == C:
            leaves.counterparty = accounts._decode_account(leaf)
        elif 1 << i == U:
            leaves.underlying = underlyings._decode_underlying(leaf)
        else:
            leaves.books = assets._decode_asset(leaf)
    return leaves


@internal
@pure
def _get_index(read: uint256, deleverage: Deleverage, state: globals.Globals) -> uint256:
    """
    @notice Where the leaf of a read stands in its collection.
    """
    return [
        0,
        state.params_version,
        deleverage.bankrupt,
        deleverage.counterparty,
        instruments._get_underlying(deleverage.instrument),
        0,
    ][read]


# What both sides get


@internal
@pure
def _compute_value(deleverage: Deleverage, leaves: Leaves) -> int256:
    """
    @notice Quote units a lot that the position is worth: the claimed mark, less a perpetual's funding index.
    """
    mark: int256 = convert(deleverage.mark, int256)
    if instruments._get_expiry(deleverage.instrument) > 0:
        return mark
    return mark - valuation._compute_funding_index_floor(leaves.underlying, leaves.state.time, leaves.params)


@internal
@pure
def _compute_shift_ceil(deleverage: Deleverage, leaves: Leaves) -> int256:
    """
    @notice What the counterparty adds to the mark, in quote units: its share of what equity and fund leave open.
    """
    missing: uint256 = convert(max(-deleverage.equity - max(leaves.books.fund, 0), 0), uint256)
    product: uint256 = missing * deleverage.quantity * leaves.underlying.mark
    return convert(valuation._ceil_div(product, max(deleverage.notional, 1)), int256)


# Effect


@internal
@pure
def _is_effect_wrong(
    context: contexts.Context, deleverage: Deleverage, witness: Bytes[constants.WITNESS_BYTES_MAX]
) -> bool:
    """
    @notice Reads G, P, A(bankrupt), A(counterparty), U, S(0); both close, at the shifted mark.
    """
    if deleverage.position == constants.NEVER or deleverage.bankrupt == deleverage.counterparty:
        return False
    leaves: Leaves = self._read_leaves(witness, empty(bytes32), G | P | B | C | U | S, deleverage)
    if leaves.is_missing:
        return False
    witnesses._finish(witness, leaves.end)
    quantity: int256 = convert(deleverage.quantity, int256)
    held: int256 = accounts._get_position(leaves.bankrupt, deleverage.instrument)
    if held == 0 or quantity > abs(held):
        return False
    # EFFECTS
    after: Leaves = leaves
    after.state.next_position = deleverage.position + 1
    extra: int256 = self._compute_shift_ceil(deleverage, leaves)
    closed: int256 = -quantity if held > 0 else quantity
    gain: int256 = quantity * self._compute_value(deleverage, leaves)
    if held > 0:
        gain += extra
    else:
        gain = min(extra, quantity * convert(deleverage.mark, int256)) - gain
    after.bankrupt = valuation._add_position(leaves.bankrupt, deleverage.instrument, closed)
    after.bankrupt.cash += gain
    after.counterparty = valuation._add_position(leaves.counterparty, deleverage.instrument, -closed)
    after.counterparty.cash -= gain
    if (
        not accounts._is_cash_in_field(after.bankrupt)
        or not accounts._is_cash_in_field(after.counterparty)
        or leaves.underlying.open_interest < deleverage.quantity
    ):
        return False
    after.underlying.open_interest -= deleverage.quantity
    # The root after them, and every leaf authenticated on the way
    root: bytes32 = context.pre_root
    leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    next: uint256 = 0
    end: uint256 = 0
    for i: uint256 in range(READ_COUNT):
        leaf, end = witnesses._peek(witness, next)
        if i == 0:
            leaf = globals._encode_globals(after.state)
        elif 1 << i == B:
            leaf = accounts._encode_account(after.bankrupt)
        elif 1 << i == C:
            leaf = accounts._encode_account(after.counterparty)
        elif 1 << i == U:
            leaf = underlyings._encode_underlying(after.underlying)
        index: uint256 = self._get_index(i, deleverage, leaves.state)
        root = witnesses._write(witness, next, root, COLLECTIONS[i], index, leaf)
        next = end
    return root != context.post_root


# The bytes of the op


@internal
@pure
def _decode_deleverage(op: Bytes[constants.OP_BYTES_MAX]) -> Deleverage:
    """
    @notice `kind u8 || position u64 || bankrupt u32 || counterparty u32 || instrument b12 || quantity u64 || equity
            i128 || maintenance i128 || active b8 || notional u128 || mark u64`.
    """
    if len(op) != OP_BYTES:
        return empty(Deleverage)
    deleverage: Deleverage = Deleverage(
        decodes=False,
        position=fields._uint(op, 1, 8),
        bankrupt=fields._uint(op, 9, 4),
        counterparty=fields._uint(op, 13, 4),
        instrument=fields._uint(op, 17, 12),
        quantity=fields._uint(op, 29, 8),
        equity=fields._int(op, 37, 16),
        maintenance=fields._int(op, 53, 16),
        active=fields._uint(op, 69, 8),
        notional=fields._uint(op, 77, 16),
        mark=fields._uint(op, 93, 8),
    )
    deleverage.decodes = (
        operations._is_account(deleverage.bankrupt)
        and operations._is_account(deleverage.counterparty)
        and instruments._is_instrument(deleverage.instrument)
        and 1 <= deleverage.quantity
        and deleverage.quantity <= constants.QUANTITY_MAX
        and deleverage.mark < constants.PRICE_MAX
    )
    return deleverage
