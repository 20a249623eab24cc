# pragma version 0.4.3
"""
@title The effect of an L1 message, and whether its op says truly that an account is short of margin
@notice state/SPEC.md section 9. A message must be taken, so it is evaluated whole: one that fails does nothing but move
        the cursor, and a deposit that fails goes back through the outbox. Which code a failure has reaches no root, so
        here all failures of a message are one. Whether margin is one of them the op says, and a check of its own
        judges.

        Every `_apply` takes the globals with the cursor already moved, peeks at the further leaves that its message
        reads, and answers the root after them all.
@dev The rollup wrote the message, so its layout holds.
     Mirrors state/process_inbox.py.
"""
import accounts
import assets
import constants
import fields
import globals
import margins
import messages
import operations
import params as parameters
import valuation
import witness as witnesses

initializes: margins

# The longest message of a fixed length is a registration.
SHORT_BYTES: constant(uint256) = messages.HEAD_BYTES + 41

# `asset` and `amount` are those of a deposit or forced withdrawal, `key` is that of a registration, `is_on` of a forced
# close; `is_short` is what the op says of the account.
struct Message:
    type: uint256
    sender: address
    account: uint256
    asset: uint256
    amount: uint256
    key: accounts.SessionKey
    is_on: bool
    is_short: bool
    message_hash: bytes32
    end: uint256  # where the leaves of the witness begin


@deploy
def __init__(margin: address):
    """
    @param margin The deployed contracts/margin.vy
    """
    margins.__init__(margin)


@internal
@view
def _read_message(
    rollup: address, l1: operations.L1, witness: Bytes[constants.WITNESS_BYTES_MAX]
) -> Message:
    """
    @notice The message with which the witness begins, what its payload says, and what its op says of it.
    """
    found: messages.Message = empty(messages.Message)
    whole: Bytes[constants.MESSAGE_BYTES_MAX] = b""
    found, whole = messages._read(rollup, l1.index, witness)
    data: Bytes[SHORT_BYTES] = convert(slice(whole, 0, min(len(whole), SHORT_BYTES)), Bytes[SHORT_BYTES])
    message: Message = empty(Message)
    message.type = found.type
    message.sender = found.sender
    message.account = found.account
    if message.type == messages.DEPOSIT or message.type == messages.FORCE_WITHDRAW:
        message.asset = fields._uint(data, 33, 2)
        message.amount = fields._uint(data, 35, 8)
    elif message.type == messages.REGISTER_KEY:
        message.key = accounts.SessionKey(
            public_key=extract32(data, 33),
            scope=fields._uint(data, 65, 1),
            expiry=fields._uint(data, 66, 8),
        )
    elif message.type == messages.FORCE_CLOSE:
        message.is_on = fields._uint(data, 33, 1) != 0
    message.is_short = l1.is_short
    message.message_hash = found.message_hash
    message.end = found.end
    return message


@internal
@view
def _compute_root_after(
    rollup: address,
    pre_root: bytes32,
    l1: operations.L1,
    witness: Bytes[constants.WITNESS_BYTES_MAX],
) -> bytes32:
    """
    @notice The root after an l1 op: cursor and hash move whatever becomes of the message. Empty where a leaf is not
            there without which it has no effect.
    """
    message: Message = self._read_message(rollup, l1, witness)
    leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    end: uint256 = 0
    leaf, end = witnesses._peek(witness, message.end)
    state: globals.Globals = globals._decode_globals(leaf)
    state.next_position = l1.position + 1
    state.inbox_cursor += 1
    state.inbox_hash = messages._hash_accumulator(state.inbox_hash, message.message_hash)

    if message.type == messages.DEPOSIT and message.asset < state.asset_count:
        return self._apply_deposit(pre_root, state, message, end, witness)
    if message.type == messages.FORCE_WITHDRAW:
        return self._apply_force_withdraw(pre_root, state, message, end, witness)
    if message.type == messages.PARAMS:
        return self._apply_params(pre_root, state, message, end, witness)
    if message.type in [
        messages.REGISTER_KEY, messages.CANCEL_ALL, messages.FORCE_CLOSE, messages.FORCE_LIQUIDATE
    ]:
        return self._apply_to_account(pre_root, state, message, end, witness)
    witnesses._finish(witness, end)  # an unknown type or asset
    return self._write_globals(witness, message.end, pre_root, state)


@internal
@pure
def _apply_deposit(
    root: bytes32,
    state: globals.Globals,
    message: Message,
    params_at: uint256,
    witness: Bytes[constants.WITNESS_BYTES_MAX],
) -> bytes32:
    """
    @notice Credit an account, or create one for the sender; or send the deposit back, which custody never counted.
    """
    asset_at: uint256 = 0
    target_at: uint256 = 0
    outbox_at: uint256 = 0
    end: uint256 = 0
    params_leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    asset_leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    target_leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    outbox_leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    params_leaf, asset_at = witnesses._peek(witness, params_at)
    asset_leaf, target_at = witnesses._peek(witness, asset_at)
    books: assets.Asset = assets._decode_asset(asset_leaf)
    creates: bool = message.account == 0
    target: uint256 = state.account_count if creates else message.account
    target_is_read: bool = target < constants.ACCOUNTS_MAX
    outbox_at = target_at
    if target_is_read:
        target_leaf, outbox_at = witnesses._peek(witness, target_at)

    # CHECKS
    account: accounts.Account = empty(accounts.Account)
    is_taken: bool = target_is_read
    if creates:
        account.owner = message.sender
        is_taken = is_taken and message.amount >= parameters._get_asset_terms(params_leaf, message.asset).create_min
    elif len(target_leaf) > 0:
        account = accounts._decode_account(target_leaf)
    else:
        is_taken = False
    is_taken = is_taken and books.bad_debt == 0 and books.custody + message.amount <= constants.CUSTODY_MAX
    account = valuation._add_balance(account, message.asset, convert(message.amount, int256))
    is_taken = is_taken and account.cash <= constants.CASH_MAX

    # EFFECTS
    after: globals.Globals = state
    end = outbox_at
    if is_taken:
        after.account_count += convert(creates, uint256)
        books.custody += message.amount
        asset_leaf = assets._encode_asset(books)
        target_leaf = accounts._encode_account(account)
    else:
        after.outbox_count += 1
        outbox_leaf, end = witnesses._peek(witness, outbox_at)
    witnesses._finish(witness, end)
    next: bytes32 = self._write_globals(witness, message.end, root, after)
    next = witnesses._write(witness, params_at, next, constants.PARAMS, state.params_version, params_leaf)
    next = witnesses._write(witness, asset_at, next, constants.ASSETS, message.asset, asset_leaf)
    if target_is_read:
        next = witnesses._write(witness, target_at, next, constants.ACCOUNTS, target, target_leaf)
    if is_taken:
        return next
    return self._write_withdrawal(witness, outbox_at, next, state.outbox_count, message)


@internal
@view
def _apply_force_withdraw(
    root: bytes32,
    state: globals.Globals,
    message: Message,
    params_at: uint256,
    witness: Bytes[constants.WITNESS_BYTES_MAX],
) -> bytes32:
    """
    @notice A withdrawal that the sequencer cannot leave out, but for want of margin, which the op claims; reading stops
            where it fails.
    """
    account_at: uint256 = 0
    prices_at: uint256 = 0
    params_leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    account_leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    asset_leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    outbox_leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    params_leaf, account_at = witnesses._peek(witness, params_at)
    prices_at = account_at
    if self._may_exist(message.account):
        account_leaf, prices_at = witnesses._peek(witness, account_at)

    # CHECKS
    is_done: bool = self._may_withdraw(account_leaf, message, state)
    account: accounts.Account = empty(accounts.Account)
    leaving: margins.Leaving = empty(margins.Leaving)
    leaving.end = prices_at
    if is_done:
        account = accounts._decode_account(account_leaf)
        leaving = margins._judge_leaving(
            witness, prices_at, state, params_leaf, account_leaf, message.asset, message.amount
        )
        if leaving.is_missing:
            return empty(bytes32)
        is_done = leaving.is_covered and not message.is_short
    asset_is_read: bool = is_done
    outbox_at: uint256 = leaving.end
    books: assets.Asset = empty(assets.Asset)
    if asset_is_read:
        asset_leaf, outbox_at = witnesses._peek(witness, leaving.end)
        books = assets._decode_asset(asset_leaf)
        is_done = assets._does_cover(books, message.amount)

    # EFFECTS
    end: uint256 = outbox_at
    after: globals.Globals = state
    paid: Message = message
    if is_done:
        after.outbox_count += 1
        account = valuation._add_balance(account, message.asset, -convert(message.amount, int256))
        account_leaf = accounts._encode_account(account)
        books, paid.amount = assets._release(books, message.amount)
        asset_leaf = assets._encode_asset(books)
        outbox_leaf, end = witnesses._peek(witness, outbox_at)
    witnesses._finish(witness, end)
    next: bytes32 = self._write_globals(witness, message.end, root, after)
    next = witnesses._write(witness, params_at, next, constants.PARAMS, state.params_version, params_leaf)
    if self._may_exist(message.account):
        next = witnesses._write(witness, account_at, next, constants.ACCOUNTS, message.account, account_leaf)
    assert not leaving.reads_prices or leaving.root == next, "root"
    if asset_is_read:
        next = witnesses._write(witness, leaving.end, next, constants.ASSETS, message.asset, asset_leaf)
    if not is_done:
        return next
    return self._write_withdrawal(witness, outbox_at, next, state.outbox_count, paid)


@internal
@pure
def _apply_params(
    root: bytes32,
    state: globals.Globals,
    message: Message,
    params_at: uint256,
    witness: Bytes[constants.WITNESS_BYTES_MAX],
) -> bytes32:
    """
    @notice A version of parameters and rules waits for its day, in the place of one that may be waiting. The governor's
            contract has compared it with the version that it names, so that must be the active one.
    """
    next: bytes32 = self._write_globals(witness, message.end, root, state)
    at: uint256 = 2 + messages.HEAD_BYTES
    version: uint256 = convert(extract32(witness, at), uint256) >> 240

    # CHECKS
    end: uint256 = params_at
    is_next: bool = version == state.params_version + 1 and version < constants.RULES_OFFSET
    is_done: bool = is_next
    leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    at += 2
    if is_next:
        for offset: uint256 in [0, constants.RULES_OFFSET]:
            leaf_at: uint256 = end
            leaf, end = witnesses._peek(witness, leaf_at)
            next = witnesses._write(witness, leaf_at, next, constants.PARAMS, offset + state.params_version, leaf)
            is_done = is_done and sha256(leaf) == extract32(witness, at)
            at += 32

    # EFFECTS
    if is_done:
        for offset: uint256 in [0, constants.RULES_OFFSET]:
            leaf_at: uint256 = end
            leaf, end = witnesses._peek(witness, leaf_at)
            length: uint256 = convert(extract32(witness, at), uint256) >> 240
            leaf = convert(slice(witness, at + 2, length), Bytes[constants.LEAF_BYTES_MAX])
            next = witnesses._write(witness, leaf_at, next, constants.PARAMS, offset + version, leaf)
            at += 2 + length
    witnesses._finish(witness, end)
    return next


@internal
@pure
def _apply_to_account(
    root: bytes32,
    state: globals.Globals,
    message: Message,
    account_at: uint256,
    witness: Bytes[constants.WITNESS_BYTES_MAX],
) -> bytes32:
    """
    @notice What is asked of one account alone: register_key, cancel_all and force_close by its owner, force_liquidate
            by anybody.
    """
    next: bytes32 = self._write_globals(witness, message.end, root, state)
    if not self._may_exist(message.account):
        witnesses._finish(witness, account_at)
        return next
    end: uint256 = 0
    leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    leaf, end = witnesses._peek(witness, account_at)
    witnesses._finish(witness, end)
    if message.type == messages.FORCE_LIQUIDATE:
        if len(leaf) > 0:
            leaf = accounts._encode_account(
                self._force_liquidate(accounts._decode_account(leaf), message.is_short, state.time)
            )
    elif self._is_owner(leaf, message):
        account: accounts.Account = accounts._decode_account(leaf)
        if message.type == messages.CANCEL_ALL:
            account.epoch = (account.epoch + 1) % 2**32
        elif message.type == messages.FORCE_CLOSE:
            account = self._mark_for_close(account, message.is_on, state.time)
        else:
            account = self._register_key(account, message.key)
        leaf = accounts._encode_account(account)
    return witnesses._write(witness, account_at, next, constants.ACCOUNTS, message.account, leaf)


@internal
@view
def _is_claimed_shortage_true(
    rollup: address, root: bytes32, l1: operations.L1, witness: Bytes[constants.WITNESS_BYTES_MAX]
) -> bool:
    """
    @notice Whether the op says of an account that is short of margin, and of no other, in which scenarios it is. Reads
            the message, G, P, A and M*; reading stops where it shows that nothing asks for margin.
    @dev Mirrors weigh_message too, and does its work here: a function of its own would have the witness copied once
         more.
    """
    message: Message = self._read_message(rollup, l1, witness)
    leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    params_leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    at: uint256 = 0
    leaf, at = witnesses._read(witness, message.end, root, constants.GLOBALS, 0)
    state: globals.Globals = globals._decode_globals(leaf)
    params_leaf, at = witnesses._read(witness, at, root, constants.PARAMS, state.params_version)
    end: uint256 = at
    is_missing: bool = False
    is_weighed: bool = False  # the message asks for margin, and there is one
    is_short: bool = False
    if message.type in [messages.FORCE_WITHDRAW, messages.FORCE_LIQUIDATE] and self._may_exist(message.account):
        leaf, at = witnesses._read(witness, at, root, constants.ACCOUNTS, message.account)
        end = at
        if message.type == messages.FORCE_WITHDRAW:
            if self._may_withdraw(leaf, message, state):
                leaving: margins.Leaving = margins._judge_leaving(
                    witness, at, state, params_leaf, leaf, message.asset, message.amount
                )
                assert leaving.root == root or not leaving.reads_prices, "root"
                end = leaving.end
                is_missing = leaving.is_missing
                # Without prices it waits, as if the account were short.
                is_weighed = leaving.reads_prices and leaving.is_covered
                is_short = is_weighed and not leaving.is_margined
        elif len(leaf) > 0:
            account: accounts.Account = accounts._decode_account(leaf)
            if account.liquidation_from == 0:
                found: margins.Found = margins._compute(
                    witness, at, state.time, state.params_version, params_leaf, leaf, leaf, False
                )
                assert found.root == root, "root"
                end = found.end
                is_missing = found.is_missing
                # Without prices nobody is liquidated.
                is_weighed = found.is_young
                is_short = is_weighed and margins._is_bad(
                    account, found.after, parameters._decode_params(params_leaf)
                )
    witnesses._finish(witness, end)
    if is_missing:
        return False
    if not l1.is_short:
        return not is_short
    if is_short or not is_weighed:
        return is_short
    exhibit: uint256 = convert(slice(witness, at, margins.EXHIBIT_BYTES), uint256)
    return margins._split_exhibit(exhibit).after != l1.active


@internal
@pure
def _may_exist(account: uint256) -> bool:
    """
    @notice Whether an account may have this index; one out of range is not read.
    """
    return 1 <= account and account < constants.ACCOUNTS_MAX


@internal
@pure
def _is_owner(account_leaf: Bytes[constants.LEAF_BYTES_MAX], message: Message) -> bool:
    """
    @notice Whether the account exists and its owner sent the message.
    """
    return len(account_leaf) > 0 and accounts._decode_account(account_leaf).owner == message.sender


@internal
@pure
def _may_withdraw(
    account_leaf: Bytes[constants.LEAF_BYTES_MAX], message: Message, state: globals.Globals
) -> bool:
    """
    @notice Whether a forced withdrawal is the owner's, of an amount that one op may move.
    """
    return self._is_owner(account_leaf, message) and (
        1 <= message.amount and message.amount <= constants.AMOUNT_MAX and message.asset < state.asset_count
    )


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
def _mark_for_close(account: accounts.Account, is_on: bool, time: uint256) -> accounts.Account:
    """
    @notice The account with its close asked for from now on, or no more; unchanged where there is nothing to close.
    """
    after: accounts.Account = account
    if not is_on:
        after.close_from = 0
    elif account.position_count > 0 or account.collateral_count > 0:
        after.close_from = time
    return after


@internal
@pure
def _force_liquidate(account: accounts.Account, is_short: bool, time: uint256) -> accounts.Account:
    """
    @notice The account up for auction, its orders dead, if it is short of margin; unchanged where it is for sale.
    """
    after: accounts.Account = account
    if is_short and account.liquidation_from == 0:
        after.liquidation_from = time
        after.epoch = (account.epoch + 1) % 2**32
    return after


@internal
@pure
def _write_globals(
    witness: Bytes[constants.WITNESS_BYTES_MAX], at: uint256, root: bytes32, state: globals.Globals
) -> bytes32:
    # Encoded first: a call among the arguments would have the witness copied once more.
    leaf: Bytes[globals.BYTES] = globals._encode_globals(state)
    return witnesses._write(witness, at, root, constants.GLOBALS, 0, leaf)


@internal
@pure
def _write_withdrawal(
    witness: Bytes[constants.WITNESS_BYTES_MAX], at: uint256, root: bytes32, index: uint256, message: Message
) -> bytes32:
    """
    @notice The root after the outbox leaf of a refused deposit (which is no account's) or of a forced withdrawal.
    """
    leaf: Bytes[assets.WITHDRAWAL_BYTES] = assets._encode_withdrawal(
        assets.Withdrawal(
            owner=message.sender,
            asset=message.asset,
            amount=message.amount,
            account=0 if message.type == messages.DEPOSIT else message.account,
        )
    )
    return witnesses._write(witness, at, root, constants.OUTBOX, index, leaf)
