# pragma version 0.4.3
"""
@title The globals leaf
@notice Time, cursors and counters of the state: state/SPEC.md section 3.
@dev Mirrors Globals of state/leaves.py.
"""
import constants
import fields

BYTES: constant(uint256) = 125

struct Globals:
    time: uint256
    batch: uint256
    generation: uint256
    next_position: uint256
    log_hash: bytes32
    inbox_cursor: uint256
    inbox_hash: bytes32
    outbox_count: uint256
    account_count: uint256
    underlying_count: uint256
    asset_count: uint256
    params_version: uint256
    cancel_only_until: uint256


@internal
@pure
def _decode_globals(leaf: Bytes[constants.LEAF_BYTES_MAX]) -> Globals:
    """
    @notice Every state has this leaf, so an empty one is a bad witness and reverts.
    """
    return Globals(
        time=fields._uint(leaf, 0, 8),
        batch=fields._uint(leaf, 8, 8),
        generation=fields._uint(leaf, 16, 4),
        next_position=fields._uint(leaf, 20, 8),
        log_hash=extract32(leaf, 28),
        inbox_cursor=fields._uint(leaf, 60, 8),
        inbox_hash=extract32(leaf, 68),
        outbox_count=fields._uint(leaf, 100, 8),
        account_count=fields._uint(leaf, 108, 4),
        underlying_count=fields._uint(leaf, 112, 2),
        asset_count=fields._uint(leaf, 114, 1),
        params_version=fields._uint(leaf, 115, 2),
        cancel_only_until=fields._uint(leaf, 117, 8),
    )


@internal
@pure
def _encode_globals(state: Globals) -> Bytes[BYTES]:
    """
    @notice The bytes of the leaf.
    """
    return concat(
        fields._u64(state.time),
        fields._u64(state.batch),
        fields._u32(state.generation),
        fields._u64(state.next_position),
        state.log_hash,
        fields._u64(state.inbox_cursor),
        state.inbox_hash,
        fields._u64(state.outbox_count),
        fields._u32(state.account_count),
        fields._u16(state.underlying_count),
        fields._u8(state.asset_count),
        fields._u16(state.params_version),
        fields._u64(state.cancel_only_until),
    )
