# pragma version 0.4.3
"""
@title What a verifier is told about the disputed step, and the rules that kinds of ops share
@notice The judge has bound all of it to a pending batch; the roots are the claimed ones.
@dev Mirrors state/context.py and state/signed_checks.py, and Header of state/batches.py.
"""
import constants
import fields
import accounts
import globals

FLAG_RESCUE: constant(uint256) = 1

# What nobody needs while a market has stopped, and whose order somebody chooses.
WITH_DISCRETION: constant(uint256[4]) = [constants.ORDER, constants.FILL, constants.TRANSFER, constants.WITHDRAW]

struct Context:
    domain: bytes32  # every signature of this rollup is bound to it
    rollup: address  # keeps the inbox
    header: Bytes[constants.HEADER_BYTES]
    step: uint256  # within the batch
    pre_root: bytes32
    post_root: bytes32

# What steps are compared with; the rollup has judged the rest of a header when it was submitted.
struct Header:
    flags: uint256
    index: uint256
    generation: uint256
    step_count: uint256
    inbox_cursor: uint256
    inbox_hash: bytes32
    time_from: uint256
    time: uint256
    position_from: uint256
    position_to: uint256
    log_hash: bytes32
    oracle_time: uint256


@internal
@pure
def _decode_header(header: Bytes[constants.HEADER_BYTES]) -> Header:
    """
    @notice From exactly HEADER_BYTES bytes; any such bytes are a header.
    """
    return Header(
        flags=fields._uint(header, 3, 1),
        index=fields._uint(header, 4, 8),
        generation=fields._uint(header, 44, 4),
        step_count=fields._uint(header, 112, 4),
        inbox_cursor=fields._uint(header, 116, 8),
        inbox_hash=extract32(header, 124),
        time_from=fields._uint(header, 156, 8),
        time=fields._uint(header, 164, 8),
        position_from=fields._uint(header, 172, 8),
        position_to=fields._uint(header, 180, 8),
        log_hash=extract32(header, 188),
        oracle_time=fields._uint(header, 220, 8),
    )


@internal
@pure
def _may_stand(kind: uint256, step: uint256, header: Header) -> bool:
    """
    @notice The place rules of SPEC.md section 5: open first, close last, and nothing with discretion in a rescue.
    """
    if (kind == constants.OPEN) != (step == 0):
        return False
    if (kind == constants.CLOSE) != (step + 1 == header.step_count):
        return False
    return header.flags & FLAG_RESCUE == 0 or kind not in WITH_DISCRETION


@internal
@pure
def _is_position_next(state: globals.Globals, header: Header, position: uint256) -> bool:
    """
    @notice The check that every op with a log position shares.
    """
    return state.next_position <= position and position < header.position_to


@internal
@pure
def _is_key_live(account: accounts.Account, key_index: uint256, scope: uint256, time: uint256) -> bool:
    """
    @notice Whether the named key exists, may do this, and has not expired.
    """
    if key_index >= account.key_count:
        return False
    key: accounts.SessionKey = account.keys[key_index]
    return key.scope & scope != 0 and key.expiry > time
