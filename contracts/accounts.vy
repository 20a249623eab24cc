# pragma version 0.4.3
"""
@title The leaf of an account
@notice Owner, session keys in order of registration, collateral by asset, positions by instrument: state/SPEC.md
        section 3. An instrument is its twelve bytes as a number, so numbers order as the bytes do.
@dev Mirrors Account of state/leaves.py. What an account is worth, and what moving money or lots makes of it, is in
     valuation.vy.
"""
import constants
import fields

HEAD_BYTES: constant(uint256) = 76
KEY_BYTES: constant(uint256) = 41
COLLATERAL_BYTES: constant(uint256) = 18
POSITION_BYTES: constant(uint256) = 20
# With every key, every collateral, and as many positions too many as a fill has legs.
BYTES_MAX: constant(uint256) = 76 + 41 * constants.KEYS_MAX + 18 * constants.ASSETS_MAX + 20 * POSITIONS_HELD_MAX

# An account after a fill may have too many positions, one a leg: then it must not fit.
POSITIONS_HELD_MAX: constant(uint256) = constants.POSITIONS_MAX + constants.LEGS_MAX

SCOPE_TRADE: constant(uint256) = 1
SCOPE_TRANSFER: constant(uint256) = 2
SCOPE_WITHDRAW: constant(uint256) = 4

struct SessionKey:
    public_key: bytes32
    scope: uint256
    expiry: uint256

struct Collateral:
    asset: uint256
    amount: uint256

struct Position:
    instrument: uint256
    quantity: int256

# Lists of fixed size with a count, as in the leaf: the whole is then copied at once.
struct Account:
    owner: address
    sequence: uint256
    epoch: uint256
    tier: uint256
    key_count: uint256
    collateral_count: uint256
    position_count: uint256
    liquidation_from: uint256
    close_from: uint256
    interest_from: uint256
    cash: int256
    keys: SessionKey[constants.KEYS_MAX]
    collateral: Collateral[constants.ASSETS_MAX]
    positions: Position[POSITIONS_HELD_MAX]


@internal
@pure
def _decode_account(leaf: Bytes[constants.LEAF_BYTES_MAX]) -> Account:
    """
    @notice The account of a leaf that is not empty; whether it is, the caller has asked.
    """
    account: Account = empty(Account)
    account.owner = convert(fields._uint(leaf, 0, 20), address)
    account.sequence = fields._uint(leaf, 20, 8)
    account.epoch = fields._uint(leaf, 28, 4)
    account.tier = fields._uint(leaf, 32, 1)
    account.key_count = fields._uint(leaf, 33, 1)
    account.collateral_count = fields._uint(leaf, 34, 1)
    account.position_count = fields._uint(leaf, 35, 1)
    account.liquidation_from = fields._uint(leaf, 36, 8)
    account.close_from = fields._uint(leaf, 44, 8)
    account.interest_from = fields._uint(leaf, 52, 8)
    account.cash = fields._int(leaf, 60, 16)

    at: uint256 = HEAD_BYTES
    for i: uint256 in range(account.key_count, bound=constants.KEYS_MAX):
        account.keys[i] = SessionKey(
            public_key=extract32(leaf, at),
            scope=fields._uint(leaf, at + 32, 1),
            expiry=fields._uint(leaf, at + 33, 8),
        )
        at += KEY_BYTES
    for i: uint256 in range(account.collateral_count, bound=constants.ASSETS_MAX):
        account.collateral[i] = Collateral(
            asset=fields._uint(leaf, at, 2), amount=fields._uint(leaf, at + 2, 16)
        )
        at += COLLATERAL_BYTES
    for i: uint256 in range(account.position_count, bound=constants.POSITIONS_MAX):
        # Both fields out of the word that ends with the position: there may be many.
        word: uint256 = convert(extract32(leaf, at + POSITION_BYTES - 32), uint256)
        account.positions[i] = Position(
            instrument=(word >> 64) & (2**96 - 1), quantity=fields._signed(word, 64)
        )
        at += POSITION_BYTES
    assert len(leaf) == at, "account"
    return account


@internal
@pure
def _encode_account(account: Account) -> Bytes[BYTES_MAX]:
    """
    @notice The bytes of the leaf.
    """
    leaf: Bytes[BYTES_MAX] = concat(
        convert(account.owner, bytes20),
        fields._u64(account.sequence),
        fields._u32(account.epoch),
        fields._u8(account.tier),
        fields._u8(account.key_count),
        fields._u8(account.collateral_count),
        fields._u8(account.position_count),
        fields._u64(account.liquidation_from),
        fields._u64(account.close_from),
        fields._u64(account.interest_from),
        fields._i128(account.cash),
    )
    for i: uint256 in range(account.key_count, bound=constants.KEYS_MAX):
        key: SessionKey = account.keys[i]
        leaf = convert(
            concat(leaf, key.public_key, fields._u8(key.scope), fields._u64(key.expiry)), Bytes[BYTES_MAX]
        )
    for i: uint256 in range(account.collateral_count, bound=constants.ASSETS_MAX):
        held: Collateral = account.collateral[i]
        leaf = convert(concat(leaf, fields._u16(held.asset), fields._u128(held.amount)), Bytes[BYTES_MAX])
    for i: uint256 in range(account.position_count, bound=POSITIONS_HELD_MAX):
        held: Position = account.positions[i]
        leaf = convert(
            concat(leaf, convert(convert(held.instrument, uint96), bytes12), fields._i64(held.quantity)),
            Bytes[BYTES_MAX],
        )
    return leaf


@internal
@pure
def _get_position(account: Account, instrument: uint256) -> int256:
    """
    @notice Signed lots held; 0 when none.
    """
    for i: uint256 in range(account.position_count, bound=POSITIONS_HELD_MAX):
        if account.positions[i].instrument == instrument:
            return account.positions[i].quantity
    return 0


@internal
@pure
def _get_collateral(account: Account, asset: uint256) -> uint256:
    """
    @notice Units held of a non-quote asset; 0 when none.
    """
    for i: uint256 in range(account.collateral_count, bound=constants.ASSETS_MAX):
        if account.collateral[i].asset == asset:
            return account.collateral[i].amount
    return 0


@internal
@pure
def _is_cash_in_field(account: Account) -> bool:
    """
    @notice Whether the account's cash can be written at all; what an op claims may be any number.
    """
    return (
        convert(min_value(int128), int256) <= account.cash and account.cash <= convert(max_value(int128), int256)
    )
