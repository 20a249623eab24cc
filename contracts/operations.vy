# pragma version 0.4.3
"""
@title Operations and their bytes
@notice state/SPEC.md section 5. Decoding is total: `decodes` is false for any bytes that are not exactly one
        well-formed op, and then the other fields mean nothing; a decoded op is within every bound that can be read off
        its bytes.
@dev Mirrors state/operations.py. Orders, cancels and fills are in orders.vy, readings in verify_market.vy.
"""
import constants
import fields

TICK_BYTES: constant(uint256) = 17
L1_BYTES: constant(uint256) = 17
ACTIVE_BYTES: constant(uint256) = 8
TRANSFER_BYTES: constant(uint256) = 100
WITHDRAW_BYTES: constant(uint256) = 96

# Where the signed fields of a transfer or withdrawal begin; what follows them is key_index and signature.
SIGNED_FROM: constant(uint256) = 9
SIGNED_TAIL_BYTES: constant(uint256) = 65

struct Tick:
    decodes: bool
    position: uint256
    time: uint256

struct L1:
    decodes: bool
    position: uint256
    index: uint256
    is_short: bool  # the account is short of margin, the op says
    active: uint256  # in these scenarios

# A transfer, or with `to` = 0 a withdrawal.
struct MoneyOp:
    decodes: bool
    position: uint256
    account: uint256
    sequence: uint256
    to: uint256
    asset: uint256
    amount: uint256
    key_index: uint256
    r: bytes32
    s: bytes32


@internal
@pure
def _get_kind(op: Bytes[constants.OP_BYTES_MAX]) -> uint256:
    """
    @notice The first byte; a frame parses only if every op has one.
    """
    return convert(slice(op, 0, 1), uint256)


@internal
@pure
def _is_account(account: uint256) -> bool:
    """
    @notice Whether an account may have this index; 0 is never an account.
    """
    return 1 <= account and account < constants.ACCOUNTS_MAX


@internal
@pure
def _decode_tick(op: Bytes[constants.OP_BYTES_MAX]) -> Tick:
    """
    @notice `kind u8 || position u64 || time u64`.
    """
    if len(op) != TICK_BYTES:
        return empty(Tick)
    return Tick(decodes=True, position=fields._uint(op, 1, 8), time=fields._uint(op, 9, 8))


@internal
@pure
def _decode_l1(op: Bytes[constants.OP_BYTES_MAX]) -> L1:
    """
    @notice `kind u8 || position u64 || index u64`, and of an account that is short of margin `active b8`.
    """
    is_short: bool = len(op) == L1_BYTES + ACTIVE_BYTES
    if len(op) != L1_BYTES and not is_short:
        return empty(L1)
    return L1(
        decodes=True,
        position=fields._uint(op, 1, 8),
        index=fields._uint(op, 9, 8),
        is_short=is_short,
        active=fields._uint(op, L1_BYTES, ACTIVE_BYTES) if is_short else 0,
    )


@internal
@pure
def _decode_transfer(op: Bytes[constants.OP_BYTES_MAX]) -> MoneyOp:
    """
    @notice `kind u8 || position u64 || [account u32, sequence u64, to u32, asset u16, amount u64] || tail`.
    """
    if len(op) != TRANSFER_BYTES:
        return empty(MoneyOp)
    return self._decode_money_op(op, fields._uint(op, 21, 4), self._is_account(fields._uint(op, 21, 4)), 25)


@internal
@pure
def _decode_withdraw(op: Bytes[constants.OP_BYTES_MAX]) -> MoneyOp:
    """
    @notice `kind u8 || position u64 || [account u32, sequence u64, asset u16, amount u64] || tail`.
    """
    if len(op) != WITHDRAW_BYTES:
        return empty(MoneyOp)
    return self._decode_money_op(op, 0, True, 21)


@internal
@pure
def _decode_money_op(
    op: Bytes[constants.OP_BYTES_MAX], to: uint256, is_destination_sound: bool, asset_at: uint256
) -> MoneyOp:
    """
    @notice What transfer and withdraw share: asset u16, amount u64, key_index u8 and signature b64 from `asset_at`.
    """
    money: MoneyOp = MoneyOp(
        decodes=False,
        position=fields._uint(op, 1, 8),
        account=fields._uint(op, 9, 4),
        sequence=fields._uint(op, 13, 8),
        to=to,
        asset=fields._uint(op, asset_at, 2),
        amount=fields._uint(op, asset_at + 2, 8),
        key_index=fields._uint(op, asset_at + 10, 1),
        r=extract32(op, asset_at + 11),
        s=extract32(op, asset_at + 43),
    )
    money.decodes = (
        is_destination_sound
        and self._is_account(money.account)
        and money.asset < constants.ASSETS_MAX
        and 1 <= money.amount
        and money.amount <= constants.AMOUNT_MAX
        and money.key_index < constants.KEYS_MAX
    )
    return money
