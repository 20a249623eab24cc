# pragma version 0.4.3
"""
@title Verifier of transfer and withdraw
@notice What an account's own key may send away: state/SPEC.md sections 6 to 8, kinds 9 and 10. Most checks are those of
        both, so a withdrawal's are counted as a transfer's, and its own one after them.
@dev Mirrors state/process_money.py.
"""
import accounts
import assets
import constants
import context as contexts
import globals
import margins
import operations
import signatures
import valuation
import witness as witnesses

initializes: margins
initializes: signatures

# Checks of a transfer; a withdrawal has all but those of the destination, and one more.
POSITION_MUST_INCREASE: constant(uint256) = 1
ACCOUNT_MUST_EXIST: constant(uint256) = 2
DESTINATION_MUST_EXIST: constant(uint256) = 3
SEQUENCE_MUST_RISE: constant(uint256) = 4
BALANCE_MUST_COVER: constant(uint256) = 5
DESTINATION_MUST_FIT: constant(uint256) = 6
MARGIN_MUST_HOLD: constant(uint256) = 7
KEY_MUST_BE_LIVE: constant(uint256) = 8
SIGNATURE_MUST_VERIFY: constant(uint256) = 9
CUSTODY_MUST_COVER: constant(uint256) = 10  # of a withdrawal alone

# The same check of a withdrawal, by its number there.
WITHDRAW_CHECKS: constant(uint256) = 9
CHECKS_OF_WITHDRAW: constant(uint256[WITHDRAW_CHECKS]) = [
    0,
    POSITION_MUST_INCREASE,
    ACCOUNT_MUST_EXIST,
    SEQUENCE_MUST_RISE,
    BALANCE_MUST_COVER,
    MARGIN_MUST_HOLD,
    KEY_MUST_BE_LIVE,
    SIGNATURE_MUST_VERIFY,
    CUSTODY_MUST_COVER,
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
    @notice Whether the ground shows that the step is a fraud; reverts only for a bad witness.
    @param context The disputed step, as the judge has bound it to a batch
    @param op A transfer or a withdrawal, by its first byte
    @param ground CHECK or EFFECT
    @param check The check's number within its kind; read for CHECK alone
    @param witness fraud_proofs/SPEC.md section 3
    """
    kind: uint256 = operations._get_kind(op)
    assert kind == constants.TRANSFER or kind == constants.WITHDRAW, "kind"
    money: operations.MoneyOp = empty(operations.MoneyOp)
    if kind == constants.TRANSFER:
        money = operations._decode_transfer(op)
    else:
        money = operations._decode_withdraw(op)
    header: contexts.Header = contexts._decode_header(context.header)

    if not (money.decodes and contexts._may_stand(kind, context.step, header)):
        return ground == constants.CHECK and check == 0
    if ground == constants.EFFECT:
        if kind == constants.TRANSFER:
            return self._is_transfer_wrong(context, money, witness)
        return self._is_withdraw_wrong(context, money, witness)
    if ground != constants.CHECK or check == 0:
        return False
    if kind == constants.TRANSFER:
        if check > SIGNATURE_MUST_VERIFY:
            return False
        return self._is_check_failed(context, header, op, money, check, witness)
    if check >= WITHDRAW_CHECKS:
        return False
    return self._is_check_failed(context, header, op, money, CHECKS_OF_WITHDRAW[check], witness)


# Checks


@internal
@view
def _is_check_failed(
    context: contexts.Context,
    header: contexts.Header,
    op: Bytes[constants.OP_BYTES_MAX],
    money: operations.MoneyOp,
    check: uint256,
    witness: Bytes[constants.WITNESS_BYTES_MAX],
) -> bool:
    """
    @notice Whether a check, by its number among a transfer's, fails in the state before the step.
    """
    if check == POSITION_MUST_INCREASE:
        state: globals.Globals = self._read_globals_alone(context, witness)
        return not contexts._is_position_next(state, header, money.position)
    if check == BALANCE_MUST_COVER or check == MARGIN_MUST_HOLD:
        return not self._may_leave(context, money, check, witness)
    if check == KEY_MUST_BE_LIVE:
        return not self._is_key_live(context, money, witness)
    if check == SIGNATURE_MUST_VERIFY:
        return self._is_signature_invalid(context, op, money, witness)
    if check == CUSTODY_MUST_COVER:
        return not self._does_custody_cover(context, money, witness)
    return not self._is_account_sound(context, money, check, witness)


@internal
@pure
def _read_globals_alone(
    context: contexts.Context, witness: Bytes[constants.WITNESS_BYTES_MAX]
) -> globals.Globals:
    leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    at: uint256 = 0
    leaf, at = witnesses._read(witness, 0, context.pre_root, constants.GLOBALS, 0)
    witnesses._finish(witness, at)
    return globals._decode_globals(leaf)


@internal
@pure
def _is_account_sound(
    context: contexts.Context,
    money: operations.MoneyOp,
    check: uint256,
    witness: Bytes[constants.WITNESS_BYTES_MAX],
) -> bool:
    """
    @notice The checks that read one account and nothing else; one that does not exist passes none of them.
    """
    index: uint256 = money.account
    if check == DESTINATION_MUST_EXIST or check == DESTINATION_MUST_FIT:
        index = money.to
    leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    at: uint256 = 0
    leaf, at = witnesses._read(witness, 0, context.pre_root, constants.ACCOUNTS, index)
    witnesses._finish(witness, at)
    if len(leaf) == 0:
        return False
    account: accounts.Account = accounts._decode_account(leaf)
    if check == DESTINATION_MUST_EXIST:
        return money.to != money.account
    if check == SEQUENCE_MUST_RISE:
        return money.sequence > account.sequence
    if check == DESTINATION_MUST_FIT:
        return self._has_room(account, money.asset, money.amount)
    return True  # ACCOUNT_MUST_EXIST


@internal
@pure
def _has_room(account: accounts.Account, asset: uint256, amount: uint256) -> bool:
    """
    @notice Whether an account can take `amount` units more of an asset.
    """
    if asset == 0:
        return account.cash + convert(amount, int256) <= constants.CASH_MAX
    held: uint256 = accounts._get_collateral(account, asset)
    entries: uint256 = account.collateral_count + convert(held == 0, uint256)
    return entries < constants.ASSETS_MAX and held + amount <= constants.CUSTODY_MAX


@internal
@view
def _may_leave(
    context: contexts.Context,
    money: operations.MoneyOp,
    check: uint256,
    witness: Bytes[constants.WITNESS_BYTES_MAX],
) -> bool:
    """
    @notice The balance rule, or the margin rule, of what leaves the account.
    """
    leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    at: uint256 = 0
    leaf, at = witnesses._read(witness, 0, context.pre_root, constants.GLOBALS, 0)
    state: globals.Globals = globals._decode_globals(leaf)
    params_leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    params_leaf, at = witnesses._read(witness, at, context.pre_root, constants.PARAMS, state.params_version)
    leaf, at = witnesses._read(witness, at, context.pre_root, constants.ACCOUNTS, money.account)
    if len(leaf) == 0:
        witnesses._finish(witness, at)
        return False
    outcome: margins.Leaving = margins._judge_leaving(
        witness, at, state, params_leaf, leaf, money.asset, money.amount
    )
    assert outcome.root == context.pre_root or not outcome.reads_prices, "root"
    witnesses._finish(witness, outcome.end)
    return outcome.is_covered if check == BALANCE_MUST_COVER else outcome.is_margined


@internal
@pure
def _is_key_live(
    context: contexts.Context, money: operations.MoneyOp, witness: Bytes[constants.WITNESS_BYTES_MAX]
) -> bool:
    """
    @notice Whether the op's key exists, has the scope of its kind, and has not expired.
    """
    leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    at: uint256 = 0
    leaf, at = witnesses._read(witness, 0, context.pre_root, constants.GLOBALS, 0)
    state: globals.Globals = globals._decode_globals(leaf)
    leaf, at = witnesses._read(witness, at, context.pre_root, constants.ACCOUNTS, money.account)
    witnesses._finish(witness, at)
    if len(leaf) == 0:
        return False
    scope: uint256 = accounts.SCOPE_WITHDRAW if money.to == 0 else accounts.SCOPE_TRANSFER
    return contexts._is_key_live(accounts._decode_account(leaf), money.key_index, scope, state.time)


@internal
@view
def _is_signature_invalid(
    context: contexts.Context,
    op: Bytes[constants.OP_BYTES_MAX],
    money: operations.MoneyOp,
    witness: Bytes[constants.WITNESS_BYTES_MAX],
) -> bool:
    """
    @notice Whether the hints show that the op's key did not sign it; a key that does not exist signed nothing.
    """
    leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    at: uint256 = 0
    leaf, at = witnesses._read(witness, 0, context.pre_root, constants.ACCOUNTS, money.account)
    public_key: bytes32 = empty(bytes32)
    key_exists: bool = False
    if len(leaf) > 0:
        account: accounts.Account = accounts._decode_account(leaf)
        key_exists = money.key_index < account.key_count
        if key_exists:
            public_key = account.keys[money.key_index].public_key
    if not key_exists:
        witnesses._finish(witness, at)
        return True
    signed_bytes: uint256 = len(op) - operations.SIGNED_FROM - operations.SIGNED_TAIL_BYTES
    digest: bytes32 = signatures._hash_digest(context.domain, op, operations.SIGNED_FROM, signed_bytes)
    return signatures._is_invalid(public_key, digest, money.r, money.s, witness, at)


@internal
@pure
def _does_custody_cover(
    context: contexts.Context, money: operations.MoneyOp, witness: Bytes[constants.WITNESS_BYTES_MAX]
) -> bool:
    """
    @notice Whether what was paid in and has not left, or was lost, covers the amount; of an unknown asset nothing was.
    """
    leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    at: uint256 = 0
    leaf, at = witnesses._read(witness, 0, context.pre_root, constants.ASSETS, money.asset)
    witnesses._finish(witness, at)
    return len(leaf) > 0 and assets._does_cover(assets._decode_asset(leaf), money.amount)


# Effects


@internal
@pure
def _is_transfer_wrong(
    context: contexts.Context, money: operations.MoneyOp, witness: Bytes[constants.WITNESS_BYTES_MAX]
) -> bool:
    """
    @notice Whether the root after the amount moved from one account to the other is not the claimed one.
    """
    source_at: uint256 = 0
    target_at: uint256 = 0
    end: uint256 = 0
    globals_leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    source_leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    target_leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    if money.position == constants.NEVER or money.to == money.account:
        return False
    globals_leaf, source_at = witnesses._peek(witness, 0)
    source_leaf, target_at = witnesses._peek(witness, source_at)
    if len(source_leaf) == 0:
        return False
    target_leaf, end = witnesses._peek(witness, target_at)
    witnesses._finish(witness, end)
    if len(target_leaf) == 0:
        return False
    state: globals.Globals = globals._decode_globals(globals_leaf)
    source: accounts.Account = accounts._decode_account(source_leaf)
    target: accounts.Account = accounts._decode_account(target_leaf)
    if not self._holds(source, money.asset, money.amount):
        return False

    amount: int256 = convert(money.amount, int256)
    state.next_position = money.position + 1
    source = valuation._add_balance(source, money.asset, -amount)
    source.sequence = money.sequence
    target = valuation._add_balance(target, money.asset, amount)

    globals_leaf = globals._encode_globals(state)
    source_leaf = accounts._encode_account(source)
    target_leaf = accounts._encode_account(target)
    root: bytes32 = witnesses._write(witness, 0, context.pre_root, constants.GLOBALS, 0, globals_leaf)
    root = witnesses._write(witness, source_at, root, constants.ACCOUNTS, money.account, source_leaf)
    root = witnesses._write(witness, target_at, root, constants.ACCOUNTS, money.to, target_leaf)
    return root != context.post_root


@internal
@pure
def _is_withdraw_wrong(
    context: contexts.Context, money: operations.MoneyOp, witness: Bytes[constants.WITNESS_BYTES_MAX]
) -> bool:
    """
    @notice Whether the root after the amount moved from the account to the outbox is not the claimed one.
    """
    account_at: uint256 = 0
    asset_at: uint256 = 0
    outbox_at: uint256 = 0
    end: uint256 = 0
    globals_leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    account_leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    asset_leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    outbox_leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    if money.position == constants.NEVER:
        return False
    globals_leaf, account_at = witnesses._peek(witness, 0)
    account_leaf, asset_at = witnesses._peek(witness, account_at)
    if len(account_leaf) == 0:
        return False
    asset_leaf, outbox_at = witnesses._peek(witness, asset_at)
    if len(asset_leaf) == 0:
        return False
    account: accounts.Account = accounts._decode_account(account_leaf)
    if not self._holds(account, money.asset, money.amount):
        return False
    books: assets.Asset = assets._decode_asset(asset_leaf)
    if not assets._does_cover(books, money.amount):
        return False
    outbox_leaf, end = witnesses._peek(witness, outbox_at)
    witnesses._finish(witness, end)

    state: globals.Globals = globals._decode_globals(globals_leaf)
    outbox_index: uint256 = state.outbox_count
    state.next_position = money.position + 1
    state.outbox_count += 1
    account = valuation._add_balance(account, money.asset, -convert(money.amount, int256))
    account.sequence = money.sequence
    paid: uint256 = 0
    books, paid = assets._release(books, money.amount)
    withdrawal: assets.Withdrawal = assets.Withdrawal(
        owner=account.owner, asset=money.asset, amount=paid, account=money.account
    )

    globals_leaf = globals._encode_globals(state)
    account_leaf = accounts._encode_account(account)
    asset_leaf = assets._encode_asset(books)
    outbox_leaf = assets._encode_withdrawal(withdrawal)
    root: bytes32 = witnesses._write(witness, 0, context.pre_root, constants.GLOBALS, 0, globals_leaf)
    root = witnesses._write(witness, account_at, root, constants.ACCOUNTS, money.account, account_leaf)
    root = witnesses._write(witness, asset_at, root, constants.ASSETS, money.asset, asset_leaf)
    root = witnesses._write(witness, outbox_at, root, constants.OUTBOX, outbox_index, outbox_leaf)
    return root != context.post_root


@internal
@pure
def _holds(account: accounts.Account, asset: uint256, amount: uint256) -> bool:
    """
    @notice Whether the account's numbers stay within their fields without `amount`. Cash does: it may be negative, and
            has room for an amount beyond every bound of SPEC.md.
    """
    return asset == 0 or accounts._get_collateral(account, asset) >= amount
