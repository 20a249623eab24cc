"""Wrong steps and frames: whatever the bytes, what the rules refuse is convicted, and what they accept is not."""

import random

import pytest

from fraud_proofs.challenger import Proof
from fraud_proofs.grounds import EFFECT, MALFORMED, check_ground
from fraud_proofs.witness import Witness
from state.batches import FRAME_BYTES_MIN, FRAME_HEAD_BYTES, BatchData, Frame, Step, decode_frame
from state.codes import Code, Kind
from state.constants import FRAME_BYTES_MAX, OP_BYTES_MAX
from state.transition import Invalid
from tests.parity.case import Case, list_grounds
from tests.parity.history import History, Replay
from tests.parity.tally import Tally
from tests.parity.tribunal import Ruling, Tribunal
from tests.workload import mutate

STEPS = 300
STRINGS_PER_STEP = 5
FRAMES = 1_500

NOISE_BYTES = (1, 11, 13, 17, 25, 37, 53, 69, 92, 96, 100, 101, 107, 113, 151, 164, 178, 190, 230)
"""As long as ops are."""


@pytest.mark.slow
def test_byte_strings_fall_as_the_rules_say(seed: int, tally: Tally) -> None:
    """Of any bytes in the place of a step: an op that the rules refuse is convicted by the check that they name, and
    one that they accept by no check, and by its effect for any root but the right one.
    """
    tribunal, chance = Tribunal(), random.Random(seed)
    history = History(tribunal, seed)
    history.open_market()
    replay = Replay(history)
    strings = near = 0
    for batch in history.live(STEPS):
        others: list[bytes] = []
        for case in replay.walk(batch):
            others.append(case.op)
            for _ in range(STRINGS_PER_STEP):
                is_near = chance.random() < 0.7
                op = mutate(case.op, chance) if is_near else draw_string(others, chance)
                if 1 <= len(op) <= OP_BYTES_MAX:
                    assert_rules(tribunal, tally, case.claim(op, chance.randbytes(32), chance), chance)
                    strings, near = strings + 1, near + is_near
            assert_rules(tribunal, tally, case.claim(case.op, chance.randbytes(32), chance), chance)
    assert near * 100 >= strings * 40


def draw_string(others: list[bytes], chance: random.Random) -> bytes:
    """An op of another place, whole or in pieces, or noise behind a kind or behind nothing."""
    one, other = chance.choice(others), chance.choice(others)
    at = chance.randrange(len(one) + 1)
    noise = chance.randbytes(chance.choice((*NOISE_BYTES, chance.randint(1, OP_BYTES_MAX))))
    return chance.choice((one, one, one[:at] + other[at:], noise, bytes([chance.randint(1, 16)]) + noise[1:]))


def assert_rules(tribunal: Tribunal, tally: Tally, case: Case, chance: random.Random) -> None:
    """Contract and rules agree on a step with a wrong root, whether or not its op is valid."""
    result = case.judge()
    grounds = list_grounds(Kind(case.op[0])) if case.op[0] in list(Kind) else [check_ground(Code.KIND_MUST_BE_KNOWN)]
    if isinstance(result, Invalid):
        assert case.compare(tribunal, tally, check_ground(result.code)) is Ruling.FRAUD, result.code.name
        for ground in chance.sample(grounds, min(2, len(grounds))):
            case.compare(tribunal, tally, ground)
        return
    for ground in grounds:
        expected = Ruling.FRAUD if ground is EFFECT else Ruling.NOT_SHOWN
        assert case.compare(tribunal, tally, ground) is expected, f"{ground} of the valid {case.op.hex()}"
    right = case.compute_post_root()
    assert case.claim(case.op, right, chance).compare(tribunal, tally, EFFECT) is Ruling.NOT_SHOWN
    flipped = bytes([right[0] ^ 1]) + right[1:]
    for root in (case.pre_root, bytes(32), flipped):
        expected = Ruling.NOT_SHOWN if root == right else Ruling.FRAUD  # a close may change nothing
        assert case.claim(case.op, root, chance).compare(tribunal, tally, EFFECT) is expected


def test_frames_fall_where_they_do_not_parse(seed: int) -> None:
    """MALFORMED convicts exactly the frames that Python cannot parse, of all that the rollup would let in."""
    tribunal, chance = Tribunal(), random.Random(seed)
    parsed = 0
    for _ in range(FRAMES):
        data = bend_frame(draw_frame(chance), chance)
        if not FRAME_BYTES_MIN <= len(data) <= FRAME_BYTES_MAX:
            continue
        frames = [chance.randbytes(80) for _ in range(chance.randrange(3))]
        number = chance.randint(0, len(frames))
        frames.insert(number, data)
        batch = BatchData(chance.randbytes(228), tuple(frames))
        ruling = tribunal.rule(batch.batch_hash, Proof(batch, number, 0, MALFORMED, Witness(())).encode())
        is_whole = decode_frame(data) is not None
        assert ruling is (Ruling.NOT_SHOWN if is_whole else Ruling.FRAUD), data.hex()
        parsed += is_whole
    assert 0 < parsed < FRAMES


def draw_frame(chance: random.Random) -> bytes:
    """A frame that parses: few long steps, many short ones, or as many bytes as there may be."""
    longest = chance.choice((1, 40, OP_BYTES_MAX))
    steps: list[Step] = []
    size, most = FRAME_HEAD_BYTES, chance.choice((200, 2_000, FRAME_BYTES_MAX))
    while True:
        op = chance.randbytes(chance.randint(1, longest))
        size += len(op) + 34
        if steps and size > most:
            return Frame(chance.randbytes(32), chance.getrandbits(32), tuple(steps)).encode()
        steps.append(Step(op, chance.randbytes(32)))


def bend_frame(data: bytes, chance: random.Random) -> bytes:
    """The same, or cut, or longer, or with another count, another length of a step, or another byte anywhere."""
    at = chance.randrange(FRAME_HEAD_BYTES, len(data))
    match chance.randrange(7):
        case 0:
            return data
        case 1:
            return data[:at]
        case 2:
            return data + chance.randbytes(chance.randint(1, 80))
        case 3:
            count = int.from_bytes(data[36:38])
            count = chance.choice((0, count - 1, count + 1, 0xFFFF, chance.getrandbits(16))) % (1 << 16)
            return data[:36] + count.to_bytes(2) + data[38:]
        case 4:
            length = chance.choice((0, 1, OP_BYTES_MAX, OP_BYTES_MAX + 1, 0xFFFF, chance.getrandbits(16)))
            return data[:38] + length.to_bytes(2) + data[40:]
        case 5:
            return data[: chance.randrange(1, 40)] + chance.randbytes(chance.randint(40, 400))
        case _:
            return data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]
