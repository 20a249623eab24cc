# pragma version 0.4.3
"""
@title Verifier of settle, liquidate and interest
@notice What becomes of an account whose positions have expired, that no longer covers its margin, or that owes quote:
        state/SPEC.md sections 6 to 8, kinds 13, 14 and 19. All are unsigned, and name one account.
@dev Answers true for fraud and false for what is not shown; reverts for a bad witness alone, whatever the op's bytes.
     Mirrors state/process_settle.py, state/process_liquidate.py and state/process_interest.py.
"""
import accounts
import assets
import constants
import context as contexts
import expiries
import fields
import globals
import instruments
import margins
import operations
import params as parameters
import underlyings
import witness as witnesses

initializes: margins

# A settle, or with what it claims of the account's margin a liquidate or an interest.
struct Notice:
    decodes: bool
    position: uint256
    account: uint256
    claimed: margins.Margin
    active: uint256  # the scenarios that a liquidate names as the account's worst

# What settles: the account without it, what it is paid in quote units, and the long lots that go, by underlying.
struct Settled:
    after: accounts.Account
    paid: int256
    lots: uint256[constants.UNDERLYINGS_MAX]
    underlyings: uint256  # bit u: something on underlying u settles
    end: uint256  # where the witness goes on

SETTLE_BYTES: constant(uint256) = 13
LIQUIDATE_BYTES: constant(uint256) = 69
INTEREST_BYTES: constant(uint256) = 29

# Checks
MUST_DECODE: constant(uint256) = 0
POSITION_MUST_INCREASE: constant(uint256) = 1
ACCOUNT_MUST_EXIST: constant(uint256) = 2
MUST_FIND_SETTLED: constant(uint256) = 3  # of a settle, its last
MARGIN_MUST_MATCH: constant(uint256) = 3  # of a liquidate or an interest
MUST_CHANGE: constant(uint256) = 4


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
    @param op The disputed op; its first byte is settle, liquidate or interest
    @param check The number of the check within its kind; ignored for EFFECT
    """
    kind: uint256 = operations._get_kind(op)
    assert kind in [constants.SETTLE, constants.LIQUIDATE, constants.INTEREST], "kind"
    notice: Notice = self._decode(kind, op)
    header: contexts.Header = contexts._decode_header(context.header)
    if not (notice.decodes and contexts._may_stand(kind, context.step, header)):
        return ground == constants.CHECK and check == MUST_DECODE
    if ground == constants.EFFECT:
        if notice.position == constants.NEVER:
            return False
        if kind == constants.SETTLE:
            return self._is_settle_wrong(context, notice, witness)
        return self._is_debtor_wrong(context, kind, notice, witness)
    last: uint256 = MUST_FIND_SETTLED if kind == constants.SETTLE else MUST_CHANGE
    if ground != constants.CHECK or check == MUST_DECODE or check > last:
        return False
    return not self._does_hold(context.pre_root, header, kind, notice, check, witness)


# Checks


@internal
@view
def _does_hold(
    root: bytes32,
    header: contexts.Header,
    kind: uint256,
    notice: Notice,
    check: uint256,
    witness: Bytes[constants.WITNESS_BYTES_MAX],
) -> bool:
    """
    @notice Whether a check from 1 on holds; but for the first, an account that does not exist passes none.
    """
    state: globals.Globals = empty(globals.Globals)
    params_leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    at: uint256 = 0
    if check != ACCOUNT_MUST_EXIST:
        leaf, at = witnesses._read(witness, 0, root, constants.GLOBALS, 0)
        state = globals._decode_globals(leaf)
    if check == POSITION_MUST_INCREASE:
        witnesses._finish(witness, at)
        return contexts._is_position_next(state, header, notice.position)
    if check >= MARGIN_MUST_MATCH and kind != constants.SETTLE:
        params_leaf, at = witnesses._read(witness, at, root, constants.PARAMS, state.params_version)
    leaf, at = witnesses._read(witness, at, root, constants.ACCOUNTS, notice.account)
    if len(leaf) == 0 or check == ACCOUNT_MUST_EXIST:
        witnesses._finish(witness, at)
        return len(leaf) > 0
    account: accounts.Account = accounts._decode_account(leaf)
    if kind == constants.SETTLE:
        self._authenticate_expiries(witness, at, root, account, state.time)
        settled: Settled = self._settle(account, state.time, witness, at)
        witnesses._finish(witness, settled.end)
        return settled.underlyings != 0
    params: parameters.Params = parameters._decode_params(params_leaf)
    if check == MUST_CHANGE:
        witnesses._finish(witness, at)
        if kind == constants.INTEREST:
            return self._is_interest_due(account, notice.claimed.quote_equity, params, state.time)
        is_bad: bool = margins._is_bad(account, notice.claimed, params)
        return self._is_only_debt_left(account) or is_bad == (account.liquidation_from == 0)
    # MARGIN_MUST_MATCH
    found: margins.Found = margins._compute(
        witness, at, state.time, state.params_version, params_leaf, leaf, leaf, False
    )
    assert found.root == root, "root"
    witnesses._finish(witness, found.end)
    return (
        not found.is_missing
        and found.is_young
        and found.after.quote_equity == notice.claimed.quote_equity
        and (
            kind == constants.INTEREST
            or (
                found.after.equity == notice.claimed.equity
                and margins._is_number_true(
                    found.after.maintenance, notice.claimed.maintenance, found.exhibit.after, notice.active
                )
            )
        )
    )


@internal
@pure
def _is_only_debt_left(account: accounts.Account) -> bool:
    """
    @notice Nothing remains that could be sold.
    """
    return account.position_count == 0 and account.collateral_count == 0 and account.cash < 0


@internal
@pure
def _is_interest_due(
    account: accounts.Account, quote_equity: int256, params: parameters.Params, time: uint256
) -> bool:
    """
    @notice A debt's clock may begin, or has run for a period; or it runs for somebody who owes nothing. What is in
            auction is charged nothing.
    """
    if quote_equity >= 0:
        return account.interest_from > 0
    if account.liquidation_from > 0 or params.debt_rate_ppm == 0:
        return False
    return account.interest_from == 0 or time >= account.interest_from + constants.INTEREST_PERIOD


# settle


@internal
@pure
def _has_come(instrument: uint256, time: uint256) -> bool:
    """
    @notice Whether a position's expiry has come, so that its leaf says what it settles at.
    """
    expiry: uint256 = instruments._get_expiry(instrument)
    return 0 < expiry and expiry <= time


@internal
@pure
def _settle(
    account: accounts.Account, time: uint256, witness: Bytes[constants.WITNESS_BYTES_MAX], at: uint256
) -> Settled:
    """
    @notice Every position whose expiry has a settlement price, paid. Expiries are peeked at, NOT authenticated; in
            order of instruments they stand in order of expiries, and equal ones are neighbours.
    """
    settled: Settled = empty(Settled)
    settled.after = account
    settled.after.position_count = 0
    settled.end = at
    settlement: uint256 = 0
    last: uint256 = max_value(uint256)
    leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    for i: uint256 in range(account.position_count, bound=constants.POSITIONS_MAX):
        held: accounts.Position = account.positions[i]
        if held.instrument >> 48 != last:
            last = held.instrument >> 48
            settlement = 0
            if self._has_come(held.instrument, time):
                leaf, settled.end = witnesses._peek(witness, settled.end)
                settlement = expiries._decode_expiry(leaf).settlement
        if settlement == 0:
            settled.after.positions[settled.after.position_count] = held
            settled.after.position_count += 1
            continue
        underlying: uint256 = instruments._get_underlying(held.instrument)
        payoff: uint256 = instruments._compute_payoff(held.instrument, settlement)
        settled.paid += held.quantity * convert(payoff, int256)
        settled.lots[underlying] += convert(max(held.quantity, 0), uint256)
        settled.underlyings |= 1 << underlying
    settled.after.cash += settled.paid
    return settled


@internal
@pure
def _authenticate_expiries(
    witness: Bytes[constants.WITNESS_BYTES_MAX], at: uint256, root: bytes32, account: accounts.Account, time: uint256
):
    """
    @notice What `_settle` peeked at for the same account, time and `at` stands under `root`.
    """
    next: uint256 = at
    last: uint256 = max_value(uint256)
    leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    for i: uint256 in range(account.position_count, bound=constants.POSITIONS_MAX):
        instrument: uint256 = account.positions[i].instrument
        if instrument >> 48 == last:
            continue
        last = instrument >> 48
        if self._has_come(instrument, time):
            index: uint256 = instruments._get_expiry_index(
                instruments._get_underlying(instrument), instruments._get_expiry(instrument)
            )
            leaf, next = witnesses._read(witness, next, root, constants.EXPIRIES, index)


@internal
@pure
def _is_settle_wrong(
    context: contexts.Context, notice: Notice, witness: Bytes[constants.WITNESS_BYTES_MAX]
) -> bool:
    """
    @notice Reads G, A, the expiries that have come, the underlyings of what settles, and S(0); pays it, from or to the
            house.
    """
    globals_leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    account_at: uint256 = 0
    expiries_at: uint256 = 0
    globals_leaf, account_at = witnesses._peek(witness, 0)
    leaf, expiries_at = witnesses._peek(witness, account_at)
    if len(leaf) == 0:
        return False
    state: globals.Globals = globals._decode_globals(globals_leaf)
    account: accounts.Account = accounts._decode_account(leaf)
    settled: Settled = self._settle(account, state.time, witness, expiries_at)
    if settled.underlyings == 0 or not accounts._is_cash_in_field(settled.after):
        return False
    end: uint256 = settled.end
    for u: uint256 in range(constants.UNDERLYINGS_MAX):
        if (settled.underlyings >> u) & 1 == 1:
            leaf, end = witnesses._peek(witness, end)
            if len(leaf) == 0 or underlyings._decode_underlying(leaf).open_interest < settled.lots[u]:
                return False
    books_at: uint256 = end
    leaf, end = witnesses._peek(witness, books_at)
    witnesses._finish(witness, end)
    if len(leaf) == 0:
        return False
    books: assets.Asset = assets._decode_asset(leaf)
    # EFFECTS
    state.next_position = notice.position + 1
    books.house_cash -= settled.paid
    # The root after them, and every leaf authenticated on the way
    globals_leaf = globals._encode_globals(state)
    root: bytes32 = witnesses._write(witness, 0, context.pre_root, constants.GLOBALS, 0, globals_leaf)
    leaf = accounts._encode_account(settled.after)
    root = witnesses._write(witness, account_at, root, constants.ACCOUNTS, notice.account, leaf)
    self._authenticate_expiries(witness, expiries_at, root, account, state.time)
    next: uint256 = settled.end
    for u: uint256 in range(constants.UNDERLYINGS_MAX):
        if (settled.underlyings >> u) & 1 == 0:
            continue
        leaf, end = witnesses._peek(witness, next)
        underlying: underlyings.Underlying = underlyings._decode_underlying(leaf)
        underlying.open_interest -= settled.lots[u]
        leaf = underlyings._encode_underlying(underlying)
        root = witnesses._write(witness, next, root, constants.UNDERLYINGS, u, leaf)
        next = end
    leaf = assets._encode_asset(books)
    root = witnesses._write(witness, books_at, root, constants.ASSETS, 0, leaf)
    return root != context.post_root


# liquidate and interest


@internal
@pure
def _is_debtor_wrong(
    context: contexts.Context, kind: uint256, notice: Notice, witness: Bytes[constants.WITNESS_BYTES_MAX]
) -> bool:
    """
    @notice Reads G, P, A, S(0), and writes G, A and S(0) as `_liquidate` or `_charge` says.
    """
    globals_leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    params_leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    account_leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    books_leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    params_at: uint256 = 0
    account_at: uint256 = 0
    books_at: uint256 = 0
    end: uint256 = 0
    globals_leaf, params_at = witnesses._peek(witness, 0)
    params_leaf, account_at = witnesses._peek(witness, params_at)
    account_leaf, books_at = witnesses._peek(witness, account_at)
    if len(account_leaf) == 0:
        return False
    books_leaf, end = witnesses._peek(witness, books_at)
    witnesses._finish(witness, end)
    if len(books_leaf) == 0:
        return False
    state: globals.Globals = globals._decode_globals(globals_leaf)
    params: parameters.Params = parameters._decode_params(params_leaf)
    account: accounts.Account = accounts._decode_account(account_leaf)
    books: assets.Asset = assets._decode_asset(books_leaf)
    # EFFECTS
    state.next_position = notice.position + 1
    if kind == constants.LIQUIDATE:
        account, books = self._liquidate(account, books, notice.claimed, params, state.time)
    else:
        account, books = self._charge(account, books, notice.claimed.quote_equity, params, state.time)
    is_fund_in_field: bool = books.fund <= convert(max_value(int128), int256)
    if books.bad_debt > convert(max_value(uint128), uint256) or not is_fund_in_field:
        return False
    if not accounts._is_cash_in_field(account):
        return False
    # The root after them, and every leaf authenticated on the way
    globals_leaf = globals._encode_globals(state)
    account_leaf = accounts._encode_account(account)
    books_leaf = assets._encode_asset(books)
    root: bytes32 = witnesses._write(witness, 0, context.pre_root, constants.GLOBALS, 0, globals_leaf)
    root = witnesses._write(witness, params_at, root, constants.PARAMS, state.params_version, params_leaf)
    root = witnesses._write(witness, account_at, root, constants.ACCOUNTS, notice.account, account_leaf)
    root = witnesses._write(witness, books_at, root, constants.ASSETS, 0, books_leaf)
    return root != context.post_root


@internal
@pure
def _liquidate(
    account: accounts.Account,
    books: assets.Asset,
    claimed: margins.Margin,
    params: parameters.Params,
    time: uint256,
) -> (accounts.Account, assets.Asset):
    """
    @notice Starts the clock and kills the account's orders, or stops it, or writes off a debt of which nothing but
            itself is left.
    """
    after: accounts.Account = account
    paid_off: assets.Asset = books
    if self._is_only_debt_left(account):
        # The insurance fund pays as far as it can; what is left is everybody's.
        debt: uint256 = convert(-account.cash, uint256)
        paid: uint256 = min(convert(max(books.fund, 0), uint256), debt)
        paid_off.fund -= convert(paid, int256)
        paid_off.bad_debt += debt - paid
        after.cash = 0
        after.liquidation_from = 0
        after.close_from = 0
    elif margins._is_bad(account, claimed, params):
        after.liquidation_from = time
        after.epoch = (account.epoch + 1) % 2**32
    else:
        after.liquidation_from = 0
    return after, paid_off


@internal
@pure
def _charge(
    account: accounts.Account, books: assets.Asset, quote_equity: int256, params: parameters.Params, time: uint256
) -> (accounts.Account, assets.Asset):
    """
    @notice Starts a debt's clock, or moves it on and has the account pay; or stops it. What is paid repays bad debt
            before it is the fund's.
    @dev A debt of 127 bits, a rate of 32 and seconds of 13: no product passes 2**172.
    """
    after: accounts.Account = account
    if quote_equity >= 0:
        after.interest_from = 0
        return after, books
    after.interest_from = time
    if account.interest_from == 0:
        return after, books
    elapsed: uint256 = time - min(account.interest_from, time)
    seconds: uint256 = min(elapsed, constants.INTEREST_SECONDS_MAX)
    owed: uint256 = convert(-quote_equity, uint256) * params.debt_rate_ppm * seconds
    year: uint256 = constants.PPM * constants.YEAR_SECONDS
    interest: uint256 = (owed + year - 1) // year
    repaid: uint256 = min(interest, books.bad_debt)
    charged: assets.Asset = books
    after.cash -= convert(interest, int256)
    charged.bad_debt -= repaid
    charged.fund += convert(interest - repaid, int256)
    return after, charged


# The bytes of an op


@internal
@pure
def _decode(kind: uint256, op: Bytes[constants.OP_BYTES_MAX]) -> Notice:
    """
    @notice `kind u8 || position u64 || account u32`, of an interest `|| quote_equity i128`, and of a liquidate
            `|| equity i128 || maintenance i128 || quote_equity i128 || active b8`.
    """
    notice: Notice = empty(Notice)
    length: uint256 = SETTLE_BYTES if kind == constants.SETTLE else INTEREST_BYTES
    if len(op) != (LIQUIDATE_BYTES if kind == constants.LIQUIDATE else length):
        return notice
    notice.position = fields._uint(op, 1, 8)
    notice.account = fields._uint(op, 9, 4)
    notice.decodes = operations._is_account(notice.account)
    if kind == constants.LIQUIDATE:
        notice.claimed.equity = fields._int(op, 13, 16)
        notice.claimed.maintenance = fields._int(op, 29, 16)
        notice.claimed.quote_equity = fields._int(op, 45, 16)
        notice.active = fields._uint(op, 61, 8)
    elif kind == constants.INTEREST:
        notice.claimed.quote_equity = fields._int(op, 13, 16)
    return notice
