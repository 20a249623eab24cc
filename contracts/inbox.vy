# pragma version 0.4.3
"""
@title The effect of an L1 message
@notice state/SPEC.md section 9. A message must be taken, so it is evaluated whole: one that fails does nothing but move
        the cursor, and a deposit that fails goes back through the outbox. Which code a failure has reaches no root, so
        here all failures of a message are one.

        Every function takes the globals with the cursor already moved, peeks at the leaves that its message reads,
        and answers the root after them all.
@dev The rollup wrote the message, so its layout holds.
     Mirrors state/process_inbox.py.
"""
import accounts
import assets
import constants
import fields
import globals
import params as parameters
import valuation
import witness as witnesses

interface Rollup:
    def accumulator(index: uint256) -> bytes32: view

DEPOSIT: constant(uint256) = 1
REGISTER_KEY: constant(uint256) = 2
FORCE_WITHDRAW: constant(uint256) = 3
CANCEL_ALL: constant(uint256) = 5

# `asset` and `amount` are those of a deposit or forced withdrawal, `key` is that of a registration.
struct Message:
    type: uint256
    sender: address
    account: uint256
    asset: uint256
    amount: uint256
    key: accounts.SessionKey
    message_hash: bytes32
    end: uint256  # where the leaves of the witness begin


@internal
@view
def _read_message(
    rollup: address, index: uint256, witness: Bytes[constants.WITNESS_BYTES_MAX]
) -> Message:
    """
    @notice The message `length u16 || message` with which the witness begins; it lies between two accumulators.
    """
    length: uint256 = convert(slice(witness, 0, 2), uint256)
    assert length <= constants.MESSAGE_BYTES_MAX, "message"
    data: Bytes[constants.MESSAGE_BYTES_MAX] = convert(
        slice(witness, 2, length), Bytes[constants.MESSAGE_BYTES_MAX]
    )
    message_hash: bytes32 = sha256(data)
    before: bytes32 = staticcall Rollup(rollup).accumulator(index)
    after: bytes32 = staticcall Rollup(rollup).accumulator(index + 1)
    assert self._hash_accumulator(before, message_hash) == after, "message"

    message: Message = empty(Message)
    message.type = fields._uint(data, 0, 1)
    message.sender = convert(fields._uint(data, 1, 20), address)
    message.account = fields._uint(data, 29, 4)
    if message.type == DEPOSIT or message.type == FORCE_WITHDRAW:
        message.asset = fields._uint(data, 33, 2)
        message.amount = fields._uint(data, 35, 8)
    elif message.type == REGISTER_KEY:
        message.key = accounts.SessionKey(
            public_key=extract32(data, 33),
            scope=fields._uint(data, 65, 1),
            expiry=fields._uint(data, 66, 8),
        )
    message.message_hash = message_hash
    message.end = 2 + length
    return message


@internal
@pure
def _hash_accumulator(accumulator: bytes32, message_hash: bytes32) -> bytes32:
    """
    @notice The inbox hash after one more message.
    """
    return sha256(concat(accumulator, message_hash))


@internal
@pure
def _apply_message(
    root: bytes32,
    state: globals.Globals,
    message: Message,
    witness: Bytes[constants.WITNESS_BYTES_MAX],
) -> bytes32:
    """
    @notice The root after the message, from `root` before it; `state` has already moved its cursor.
    """
    if message.type == DEPOSIT and message.asset < state.asset_count:
        return self._apply_deposit(root, state, message, witness)
    if message.type == FORCE_WITHDRAW:
        return self._apply_force_withdraw(root, state, message, witness)
    if message.type == REGISTER_KEY or message.type == CANCEL_ALL:
        return self._apply_to_account(root, state, message, witness)
    # An unknown type or asset.
    leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    end: uint256 = 0
    leaf, end = witnesses._peek(witness, message.end)
    witnesses._finish(witness, end)
    return self._write_globals(witness, message.end, root, state)


@internal
@pure
def _apply_deposit(
    root: bytes32,
    state: globals.Globals,
    message: Message,
    witness: Bytes[constants.WITNESS_BYTES_MAX],
) -> bytes32:
    """
    @notice Credit an account, or create one for the sender; or send the deposit back, which custody never counted.
    """
    asset: uint256 = message.asset
    amount: uint256 = message.amount
    creates: bool = message.account == 0
    target: uint256 = state.account_count if creates else message.account
    target_is_read: bool = target < constants.ACCOUNTS_MAX
    params_at: uint256 = 0
    asset_at: uint256 = 0
    target_at: uint256 = 0
    outbox_at: uint256 = 0
    end: uint256 = 0
    leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    params_leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    target_leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    leaf, params_at = witnesses._peek(witness, message.end)
    params_leaf, asset_at = witnesses._peek(witness, params_at)
    params: parameters.Params = parameters._decode_params(params_leaf)
    leaf, target_at = witnesses._peek(witness, asset_at)
    books: assets.Asset = assets._decode_asset(leaf)
    outbox_at = target_at
    if target_is_read:
        target_leaf, outbox_at = witnesses._peek(witness, target_at)

    # CHECKS
    account: accounts.Account = empty(accounts.Account)
    is_taken: bool = target_is_read
    if creates:
        account.owner = message.sender
        is_taken = is_taken and amount >= parameters._get_asset_terms(params, asset).create_min
    elif len(target_leaf) > 0:
        account = accounts._decode_account(target_leaf)
    else:
        is_taken = False
    is_taken = is_taken and books.bad_debt == 0 and books.custody + amount <= constants.CUSTODY_MAX
    if asset == 0:
        is_taken = is_taken and account.cash + convert(amount, int256) <= constants.CASH_MAX

    # EFFECTS
    outbox_index: uint256 = state.outbox_count
    after: globals.Globals = state
    if is_taken:
        account = valuation._add_balance(account, asset, convert(amount, int256))
        books.custody += amount
        target_leaf = accounts._encode_account(account)
        after.account_count += convert(creates, uint256)
        end = outbox_at
    else:
        after.outbox_count += 1
        leaf, end = witnesses._peek(witness, outbox_at)
    witnesses._finish(witness, end)

    next: bytes32 = self._write_globals(witness, message.end, root, after)
    next = witnesses._write(
        witness, params_at, next, constants.PARAMS, state.params_version, params_leaf
    )
    next = witnesses._write(
        witness, asset_at, next, constants.ASSETS, asset, assets._encode_asset(books)
    )
    if target_is_read:
        next = witnesses._write(witness, target_at, next, constants.ACCOUNTS, target, target_leaf)
    if not is_taken:
        next = self._write_withdrawal(
            witness,
            outbox_at,
            next,
            outbox_index,
            assets.Withdrawal(owner=message.sender, asset=asset, amount=amount, account=0),
        )
    return next


@internal
@pure
def _apply_force_withdraw(
    root: bytes32,
    state: globals.Globals,
    message: Message,
    witness: Bytes[constants.WITNESS_BYTES_MAX],
) -> bytes32:
    """
    @notice A withdrawal that the sequencer cannot leave out; reading stops where it fails.
    """
    asset: uint256 = message.asset
    amount: uint256 = message.amount
    params_at: uint256 = 0
    account_at: uint256 = 0
    quotes_at: uint256 = 0
    leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    params_leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    account_leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    leaf, params_at = witnesses._peek(witness, message.end)
    params_leaf, account_at = witnesses._peek(witness, params_at)
    params: parameters.Params = parameters._decode_params(params_leaf)
    quotes_at = account_at
    account_is_read: bool = 1 <= message.account and message.account < constants.ACCOUNTS_MAX
    if account_is_read:
        account_leaf, quotes_at = witnesses._peek(witness, account_at)

    # CHECKS
    account: accounts.Account = empty(accounts.Account)
    is_done: bool = False
    if len(account_leaf) > 0:
        account = accounts._decode_account(account_leaf)
        is_done = account.owner == message.sender
    is_done = is_done and 1 <= amount and amount <= constants.AMOUNT_MAX and asset < state.asset_count
    quotes: valuation.Quotes = empty(valuation.Quotes)
    quotes.end = quotes_at
    needed: uint256 = 0
    if is_done and valuation._needs_prices(account, asset, amount):
        needed = valuation._list_needed(account, params)
        quotes = valuation._peek_quotes(witness, quotes_at, needed, state.time, params)
    if is_done:
        is_done = valuation._is_balance_covered(
            account, asset, amount, quotes, params
        ) and valuation._is_margin_kept(account, asset, amount, quotes, state.time, params)

    # EFFECTS
    after: globals.Globals = state
    if is_done:
        after.outbox_count += 1
        account = valuation._add_balance(account, asset, -convert(amount, int256))
        account_leaf = accounts._encode_account(account)

    next: bytes32 = self._write_globals(witness, message.end, root, after)
    next = witnesses._write(
        witness, params_at, next, constants.PARAMS, state.params_version, params_leaf
    )
    if account_is_read:
        next = witnesses._write(
            witness, account_at, next, constants.ACCOUNTS, message.account, account_leaf
        )
    valuation._authenticate_quotes(witness, quotes_at, next, needed)
    if not is_done:
        witnesses._finish(witness, quotes.end)
        return next
    withdrawal: assets.Withdrawal = assets.Withdrawal(
        owner=account.owner, asset=asset, amount=amount, account=message.account
    )
    return self._leave_custody(witness, quotes.end, next, state.outbox_count, withdrawal)


@internal
@pure
def _leave_custody(
    witness: Bytes[constants.WITNESS_BYTES_MAX],
    at: uint256,
    root: bytes32,
    outbox_index: uint256,
    withdrawal: assets.Withdrawal,
) -> bytes32:
    """
    @notice The root after a withdrawal went from custody to the outbox; the witness ends with these two leaves.
    """
    outbox_at: uint256 = 0
    end: uint256 = 0
    leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    leaf, outbox_at = witnesses._peek(witness, at)
    books: assets.Asset = assets._decode_asset(leaf)
    leaf, end = witnesses._peek(witness, outbox_at)
    witnesses._finish(witness, end)
    books.custody -= withdrawal.amount  # custody covers all that accounts own
    next: bytes32 = witnesses._write(
        witness, at, root, constants.ASSETS, withdrawal.asset, assets._encode_asset(books)
    )
    return self._write_withdrawal(witness, outbox_at, next, outbox_index, withdrawal)


@internal
@pure
def _apply_to_account(
    root: bytes32,
    state: globals.Globals,
    message: Message,
    witness: Bytes[constants.WITNESS_BYTES_MAX],
) -> bytes32:
    """
    @notice What an owner asks of one account alone: register_key and cancel_all.
    """
    account_at: uint256 = 0
    end: uint256 = 0
    leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    leaf, account_at = witnesses._peek(witness, message.end)
    next: bytes32 = self._write_globals(witness, message.end, root, state)
    if message.account == 0 or message.account >= constants.ACCOUNTS_MAX:
        witnesses._finish(witness, account_at)
        return next
    leaf, end = witnesses._peek(witness, account_at)
    witnesses._finish(witness, end)
    if len(leaf) > 0:
        account: accounts.Account = accounts._decode_account(leaf)
        if account.owner == message.sender:
            if message.type == CANCEL_ALL:
                account.epoch = (account.epoch + 1) % 2**32
            else:
                account = self._register_key(account, message.key)
            leaf = accounts._encode_account(account)
    return witnesses._write(witness, account_at, next, constants.ACCOUNTS, message.account, leaf)


@internal
@pure
def _register_key(account: accounts.Account, key: accounts.SessionKey) -> accounts.Account:
    """
    @notice The account with a session key added, replaced in place, or (expiry 0) removed; unchanged where that fails.
    """
    after: accounts.Account = account
    after.key_count = 0
    is_known: bool = False
    for i: uint256 in range(account.key_count, bound=constants.KEYS_MAX):
        held: accounts.SessionKey = account.keys[i]
        if held.public_key == key.public_key:
            is_known = True
            if key.expiry == 0:
                continue
            held = key
        after.keys[after.key_count] = held
        after.key_count += 1
    if not is_known and key.expiry != 0 and after.key_count < constants.KEYS_MAX:
        after.keys[after.key_count] = key
        after.key_count += 1
    return after


@internal
@pure
def _write_globals(
    witness: Bytes[constants.WITNESS_BYTES_MAX], at: uint256, root: bytes32, state: globals.Globals
) -> bytes32:
    return witnesses._write(witness, at, root, constants.GLOBALS, 0, globals._encode_globals(state))


@internal
@pure
def _write_withdrawal(
    witness: Bytes[constants.WITNESS_BYTES_MAX],
    at: uint256,
    root: bytes32,
    index: uint256,
    withdrawal: assets.Withdrawal,
) -> bytes32:
    return witnesses._write(
        witness, at, root, constants.OUTBOX, index, assets._encode_withdrawal(withdrawal)
    )
