# pragma version 0.4.3
"""
@title Frames: where a step stands in one
@notice state/SPEC.md section 4. A frame is `pre_root b32 || first_index u32 || count u16` and its steps.
@dev Mirrors decode_frame of state/batches.py.
"""
import constants

FRAME_HEAD_BYTES: constant(uint256) = 38
# A step has at least 35 bytes; a frame that claims more of them than this breaks off before it reaches them.
FRAME_STEPS_MAX: constant(uint256) = (constants.FRAME_BYTES_MAX - FRAME_HEAD_BYTES) // 35

struct Step:
    is_whole: bool  # the frame parses to its last byte
    is_found: bool  # it parses as far as the step asked for
    start: uint256  # of the op, within the frame
    end: uint256  # of the op; its post_root follows


@internal
@pure
def _find_step(frame: Bytes[constants.FRAME_BYTES_MAX], number: uint256) -> Step:
    """
    @notice Walks the steps of a frame that the rollup has let in (so it has a head), and never reverts.
    """
    step: Step = empty(Step)
    count: uint256 = convert(extract32(frame, 6), uint256) & (2**16 - 1)  # bytes 36 and 37
    end: uint256 = FRAME_HEAD_BYTES
    for at: uint256 in range(FRAME_STEPS_MAX):
        if at == count or end + 32 > len(frame):
            step.is_whole = at == count and end == len(frame)
            return step
        # Of a whole step at least 35 bytes are left; of a torn one, enough to read a length.
        length: uint256 = convert(extract32(frame, end), uint256) >> 240
        start: uint256 = end + 2
        end = start + length + 32
        if length == 0 or length > constants.OP_BYTES_MAX or end > len(frame):
            return step
        if at == number:
            step.is_found = True
            step.start = start
            step.end = start + length
    step.is_whole = count == FRAME_STEPS_MAX and end == len(frame)
    return step


@internal
@pure
def _get_first_index(frame: Bytes[constants.FRAME_BYTES_MAX]) -> uint256:
    """
    @notice Which step of the batch the first one of the frame is.
    """
    return convert(extract32(frame, 32), uint256) >> 224


@internal
@pure
def _get_pre_root(frame: Bytes[constants.FRAME_BYTES_MAX], number: uint256, step: Step) -> bytes32:
    """
    @notice The root that is claimed before a step: the frame's, or the one after the step before it.
    """
    return extract32(frame, 0 if number == 0 else step.start - 34)
