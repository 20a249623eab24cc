# pragma version 0.4.3
"""
@title The books of an asset, and withdrawals
@notice What the rollup holds of one asset in units, and the outbox leaves by which units leave it: state/SPEC.md
        section 3.
@dev Mirrors Asset and Withdrawal of state/leaves.py.
"""
import constants
import fields

BYTES: constant(uint256) = 80
WITHDRAWAL_BYTES: constant(uint256) = 34

struct Asset:
    custody: uint256
    house_cash: int256
    fund: int256
    fees: int256
    bad_debt: uint256

struct Withdrawal:
    owner: address
    asset: uint256
    amount: uint256
    account: uint256


@internal
@pure
def _decode_asset(leaf: Bytes[constants.LEAF_BYTES_MAX]) -> Asset:
    """
    @notice The asset of a leaf that is not empty; whether it is, the caller has asked.
    """
    return Asset(
        custody=fields._uint(leaf, 0, 16),
        house_cash=fields._int(leaf, 16, 16),
        fund=fields._int(leaf, 32, 16),
        fees=fields._int(leaf, 48, 16),
        bad_debt=fields._uint(leaf, 64, 16),
    )


@internal
@pure
def _encode_asset(books: Asset) -> Bytes[BYTES]:
    """
    @notice The bytes of the leaf.
    """
    return concat(
        fields._u128(books.custody),
        fields._i128(books.house_cash),
        fields._i128(books.fund),
        fields._i128(books.fees),
        fields._u128(books.bad_debt),
    )


@internal
@pure
def _does_cover(books: Asset, amount: uint256) -> bool:
    """
    @notice Whether what was paid in and has not left, or is owed and lost, covers what an account gives up.
    """
    return books.custody + books.bad_debt >= amount


@internal
@pure
def _release(books: Asset, amount: uint256) -> (Asset, uint256):
    """
    @notice The books after an account has given up `amount`, which they cover, and what of it goes to the outbox: under
            bad debt everybody bears the same share of it.
    @param amount At least 1
    """
    after: Asset = books
    paid: uint256 = amount * books.custody // (books.custody + books.bad_debt)
    after.custody -= paid
    after.bad_debt -= amount - paid
    return after, paid


@internal
@pure
def _encode_withdrawal(withdrawal: Withdrawal) -> Bytes[WITHDRAWAL_BYTES]:
    """
    @notice The bytes of an outbox leaf.
    """
    return concat(
        convert(withdrawal.owner, bytes20),
        fields._u16(withdrawal.asset),
        fields._u64(withdrawal.amount),
        fields._u32(withdrawal.account),
    )
