"""The judge takes proofs apart: what it asks of which verifier, and what it answers by itself."""

import hashlib
import random
import struct
from collections.abc import Callable
from typing import Any

import pytest

from fraud_proofs.step import is_malformed
from node.deploy import JUDGE_CONTRACTS
from state.batches import (
    BatchData,
    Step,
    decode_frame,
    pack_frames,
)
from state.constants import FRAME_BYTES_MAX, FRAMES_MAX, OP_BYTES_MAX
from tests.contracts.court import VERIFIERS
from tests.contracts.rollup_chain import REFUSING_VERIFIER, address, compile_once
from tests.evm import Contract, Evm, Outcome, Reverted

MALFORMED, CHECK, EFFECT = 0, 1, 2
NAMES = JUDGE_CONTRACTS["judge"]
"""Verifiers in the order in which the judge is told of them; a verifier's number is its place."""
VERIFIER_OF_KIND = {int(kind): NAMES.index(name) for kind, name in VERIFIERS.items()}
DOMAIN = hashlib.sha256(b"domain").digest()
ROLLUP = address("rollup")
WITNESS_BYTES_MAX = 49_152

# A verifier that knows which question to expect: the witness holds the answer, the hash of the question, and filler.
EXPECTING_VERIFIER = """
struct Context:
    domain: bytes32
    rollup: address
    header: Bytes[228]
    step: uint256
    pre_root: bytes32
    post_root: bytes32

NUMBER: immutable(uint8)

@deploy
def __init__(number: uint8):
    NUMBER = number

@external
@view
def evaluate(context: Context, op: Bytes[1024], ground: uint256, check: uint256, witness: Bytes[49152]) -> bool:
    question: bytes32 = sha256(concat(
        convert(NUMBER, bytes1),
        context.domain,
        convert(context.rollup, bytes20),
        context.header,
        convert(context.step, bytes32),
        context.pre_root,
        context.post_root,
        convert(convert(ground, uint8), bytes1),
        convert(convert(check, uint8), bytes1),
        op,
    ))
    assert question == convert(slice(witness, 1, 32), bytes32), "another question"
    answer: uint256 = convert(slice(witness, 0, 1), uint256)
    assert answer < 2, "bad witness"
    return answer == 1
"""
FALSE, TRUE, REVERT = 0, 1, 2


@pytest.fixture(scope="module")
def judge() -> Contract:
    """A judge over verifiers that expect their questions."""
    evm = Evm()
    artifact = compile_once(EXPECTING_VERIFIER)
    verifiers = [evm.deploy_artifact(artifact, number).address for number in range(len(NAMES))]
    return evm.deploy("judge", *verifiers)


def build_batch(rng: random.Random, ops: list[bytes], frame_bytes: int = 400) -> BatchData:
    """Ops in frames, under a header that is noise: the judge looks into no field of it."""
    steps = [Step(op, rng.randbytes(32)) for op in ops]
    frames = pack_frames(rng.randbytes(32), steps, frame_bytes)
    return BatchData(rng.randbytes(228), tuple(frame.encode() for frame in frames))


def build_proof(
    batch: BatchData, frame: int, step: int, ground: int, check: int = 0, witness: bytes = b"", **changes: Any
) -> bytes:
    """SPEC.md section 2, field by field; `changes` are bytes of fields instead."""
    fields = {
        "header": batch.header,
        "frame_count": struct.pack(">H", len(batch.frames)),
        "frame_hashes": b"".join(hashlib.sha256(one).digest() for one in batch.frames),
        "frame_number": struct.pack(">H", frame),
        "frame_length": struct.pack(">I", len(batch.frames[frame])),
        "frame": batch.frames[frame],
        "step_": struct.pack(">H", step),
        "ground_": bytes([ground]),
        "check_": bytes([check]),
        "witness_": witness,
    }
    return b"".join((fields | changes).values())


def expect(batch: BatchData, frame: int, step: int, ground: int, check: int, answer: int) -> bytes:
    """The witness with which the right verifier answers the right question so."""
    parsed = decode_frame(batch.frames[frame])
    assert parsed is not None
    pre_root = parsed.steps[step - 1].post_root if step else parsed.pre_root
    op, post_root = parsed.steps[step]
    question = b"".join(
        (
            bytes([VERIFIER_OF_KIND[op[0]]]),
            DOMAIN,
            bytes.fromhex(ROLLUP[2:]),
            batch.header,
            (parsed.first_index + step).to_bytes(32),
            pre_root,
            post_root,
            bytes([ground, check]),
            op,
        )
    )
    return bytes([answer]) + hashlib.sha256(question).digest()


def ask(judge: Contract, batch: BatchData, proof: bytes) -> Outcome:
    return judge.read("judge", DOMAIN, batch.batch_hash, proof, sender=ROLLUP)


def test_every_step_is_asked_of_its_verifier(judge: Contract, seed: int) -> None:
    """Whatever step of whatever frame: the verifier of its kind is told op, roots, place, ground and check exactly."""
    rng = random.Random(seed)
    ops = [bytes([kind]) + rng.randbytes(rng.choice([0, 1, 30, 200, 1023])) for kind in [*VERIFIER_OF_KIND] * 3]
    batch = build_batch(rng, ops)
    assert len(batch.frames) > 5
    for number, data in enumerate(batch.frames):
        frame = decode_frame(data)
        assert frame is not None
        for step in range(len(frame.steps)):
            ground = rng.choice([CHECK, EFFECT])
            check = rng.randrange(256) if ground == CHECK else 0
            for answer in (FALSE, TRUE):
                witness = expect(batch, number, step, ground, check, answer)
                assert ask(judge, batch, build_proof(batch, number, step, ground, check, witness)).value is bool(answer)


def test_bad_witness_comes_through(judge: Contract) -> None:
    """When a verifier reverts, so does the judge, with the verifier's reason."""
    batch = build_batch(random.Random(1), [b"\x03"])
    witness = expect(batch, 0, 0, EFFECT, 0, REVERT)

    assert ask(judge, batch, build_proof(batch, 0, 0, EFFECT, 0, witness)).reason == "bad witness"


def test_unknown_kind_convicts_on_check_0_alone(judge: Contract) -> None:
    """An op of no kind fails the check that its kind be known; it has no other check and no effect."""
    for kind in {*range(256)} - {*VERIFIER_OF_KIND}:
        batch = build_batch(random.Random(kind), [bytes([kind]) + b"\x03" * (kind % 3)])
        assert ask(judge, batch, build_proof(batch, 0, 0, CHECK, 0)).value is True
        assert ask(judge, batch, build_proof(batch, 0, 0, CHECK, 1)).value is False
        assert ask(judge, batch, build_proof(batch, 0, 0, EFFECT)).value is False
        assert ask(judge, batch, build_proof(batch, 0, 0, CHECK, 0, b"\0")).reason == "judge: witness"


def test_known_kind_is_not_for_the_judge_to_refuse(judge: Contract) -> None:
    """Check 0 of a known kind is whether it decodes, and that its verifier knows."""
    for kind in VERIFIER_OF_KIND:
        batch = build_batch(random.Random(kind), [bytes([kind])])
        for answer in (FALSE, TRUE):
            witness = expect(batch, 0, 0, CHECK, 0, answer)
            assert ask(judge, batch, build_proof(batch, 0, 0, CHECK, 0, witness)).value is bool(answer)


def frame_of(*lengths: int, count: int | None = None, tail: bytes = b"") -> bytes:
    """A frame whose steps say these lengths and have as many bytes."""
    steps = b"".join(struct.pack(">H", length) + b"\x03" * length + b"\xaa" * 32 for length in lengths)
    return bytes(32) + bytes(4) + struct.pack(">H", len(lengths) if count is None else count) + steps + tail


FRAMES: dict[str, tuple[bytes, bool]] = {
    "one step of one byte": (frame_of(1), False),
    "one step of the longest op": (frame_of(OP_BYTES_MAX), False),
    "an op too long": (frame_of(OP_BYTES_MAX + 1), True),
    "an op of no bytes": (frame_of(0, tail=b"\0"), True),
    "no steps": (frame_of(1, count=0), True),
    "a step fewer than said": (frame_of(1, 1, count=3), True),
    "a step more than said": (frame_of(1, 1, count=1), True),
    "as many steps as can be said": (frame_of(1, count=65_535), True),
    "as many steps as fit": (frame_of(*[1] * 231, 1 + 34), False),
    "a full frame of one step too few": (frame_of(*[1] * 231, 1 + 34, count=233), True),
    "a byte behind": (frame_of(1, tail=b"\0"), True),
    "a step's bytes behind": (frame_of(1, tail=bytes(35)), True),
    "a root torn off": (frame_of(1, 1)[:-1], True),
    "a root torn off to one byte": (frame_of(1, 1)[:-31], True),
    "a length torn off": (frame_of(1, 1)[: 38 + 35 + 1], True),
    "a length that leads out": (frame_of(40)[:38] + b"\x00\x29" + frame_of(40)[40:], True),
    "a length that leads far out": (frame_of(40)[:38] + b"\xff\xff" + frame_of(40)[40:], True),
    "nothing but zeros": (bytes(FRAME_BYTES_MAX), True),
    "nothing but ones": (b"\xff" * FRAME_BYTES_MAX, True),
}


@pytest.mark.parametrize("shape", FRAMES)
def test_malformed_is_what_does_not_parse(judge: Contract, shape: str) -> None:
    """Frames at each edge of the format: malformed or not, the node and the judge say the same."""
    frame, expected = FRAMES[shape]
    batch = BatchData(bytes(228), (frame_of(5), frame))

    assert is_malformed(frame) is expected
    assert ask(judge, batch, build_proof(batch, 1, 0, MALFORMED)).value is expected


def test_any_bytes_are_parsed_alike(judge: Contract, seed: int) -> None:
    """For any frame the judge answers MALFORMED without a revert, and as the node does."""
    rng = random.Random(seed)
    verdicts = []
    for _ in range(300):
        lengths = [rng.choice([1, 2, 34, 35, 90]) for _ in range(rng.randrange(1, 6))]
        frame = bytearray(frame_of(*lengths))
        for _ in range(rng.randrange(3)):
            match rng.randrange(4):
                case 0:
                    frame[rng.choice([36, 37, 38, 39])] = rng.choice([0, 1, 2, 35, 255])
                case 1:
                    frame[rng.randrange(len(frame))] = rng.randrange(256)
                case 2:
                    frame += rng.randbytes(rng.randrange(1, 40))
                case 3:
                    del frame[max(73, len(frame) - rng.randrange(1, 40)) :]
        batch = BatchData(bytes(228), (bytes(frame),))
        verdict = ask(judge, batch, build_proof(batch, 0, 0, MALFORMED)).value
        assert verdict is is_malformed(bytes(frame)), bytes(frame).hex()
        verdicts.append(verdict)
    assert {True, False} == {*verdicts}


def test_torn_frame_has_its_steps_up_to_the_tear(judge: Contract) -> None:
    """A step before the tear may be answered on its own ground; at the tear and behind it only MALFORMED convicts."""
    whole = frame_of(1, 1, 1)
    torn = whole[: 38 + 2 * 35] + b"\xff\xff" + whole[38 + 2 * 35 + 2 :]
    batch = BatchData(bytes(228), (torn,))
    intact = BatchData(bytes(228), (whole,))
    for step in (0, 1):
        witness = expect(intact, 0, step, EFFECT, 0, TRUE)
        assert ask(judge, batch, build_proof(batch, 0, step, EFFECT, 0, witness)).value is True
    for step in (2, 3, 65_535):
        assert ask(judge, batch, build_proof(batch, 0, step, EFFECT, 0, b"")).reason == "judge: step"
        assert ask(judge, intact, build_proof(intact, 0, step + 1 & 0xFFFF, EFFECT, 0, b"")).reverted
    assert ask(judge, batch, build_proof(batch, 0, 0, MALFORMED)).value is True


BAD_PROOFS: dict[str, tuple[Callable[[bytes], dict[str, Any]], str]] = {
    "another header": (lambda f: {"header": bytes(227) + b"\1"}, "judge: batch hash"),
    "a hash left out": (lambda f: {"frame_count": b"\0\1", "frame_hashes": f[:32]}, "judge: batch hash"),
    "hashes swapped": (lambda f: {"frame_hashes": f[32:] + f[:32]}, "judge: batch hash"),
    "no frames": (lambda f: {"frame_count": b"\0\0", "frame_hashes": b""}, "judge: batch hash"),
    "too many frames": (lambda f: {"frame_count": b"\0\x41"}, "judge: frame count"),
    "a frame that is not there": (lambda f: {"frame_number": b"\0\2"}, "judge: frame number"),
    "a frame for another": (lambda f: {"frame_number": b"\0\0"}, "judge: frame hash"),
    "a shorter frame": (lambda f: {"frame_length": b"\0\0\0\x49"}, "judge: frame hash"),
    "a longer frame": (lambda f: {"frame_length": b"\0\0\x20\x01"}, ""),
    "a step that is not there": (lambda f: {"step_": b"\0\3"}, "judge: step"),
    "an unknown ground": (lambda f: {"ground_": b"\3"}, "judge: ground"),
    "an effect with a check": (lambda f: {"ground_": b"\2", "check_": b"\1"}, "judge: check"),
    "malformed with a check": (lambda f: {"ground_": b"\0", "check_": b"\1"}, "judge: check"),
    "malformed with a witness": (lambda f: {"ground_": b"\0", "witness_": b"\0"}, "judge: witness"),
}


@pytest.mark.parametrize("fault", BAD_PROOFS)
def test_bad_proof_is_no_verdict(judge: Contract, fault: str) -> None:
    """A proof that is not of the batch, or not of the form, reverts with its reason."""
    batch = BatchData(bytes(228), (frame_of(1, 1), frame_of(2, 2, 2)))
    frame_hashes = b"".join(hashlib.sha256(frame).digest() for frame in batch.frames)
    make, reason = BAD_PROOFS[fault]

    assert ask(judge, batch, build_proof(batch, 1, 0, CHECK, **make(frame_hashes))).reason == reason


def test_torn_proof_is_no_verdict(judge: Contract) -> None:
    """A proof cut anywhere reverts; so does one with a byte behind."""
    batch = BatchData(bytes(228), (frame_of(1), b"\xff" * 73))
    proof = build_proof(batch, 1, 0, MALFORMED)
    assert ask(judge, batch, proof).value is True

    for length in range(len(proof)):
        assert ask(judge, batch, proof[:length]).reverted
    assert ask(judge, batch, proof + b"\0").reverted


def test_no_proof_convicts_well_formed_steps(seed: int) -> None:
    """Whatever a prover changes in a proof, a batch of parseable frames and known kinds needs a verifier to fall."""
    rng = random.Random(seed)
    evm = Evm()
    verifier = evm.deploy_artifact(compile_once(REFUSING_VERIFIER)).address
    judge = evm.deploy("judge", *[verifier] * len(NAMES))
    batch = build_batch(rng, [bytes([rng.randrange(1, 11)]) + rng.randbytes(20) for _ in range(12)], 200)
    answers = []
    for _ in range(400):
        frame = rng.randrange(len(batch.frames))
        proof = bytearray(
            build_proof(batch, frame, rng.randrange(3), rng.randrange(3), 0, rng.randbytes(rng.randrange(3)))
        )
        for _ in range(rng.randrange(3)):
            proof[rng.choice([rng.randrange(len(proof)), len(proof) - rng.randrange(1, 8)])] = rng.randrange(256)
        outcome = ask(judge, batch, bytes(proof))
        answers.append(None if outcome.reverted else outcome.value)
    assert {*answers} == {None, False}


def test_largest_proof_is_cheap_to_take_apart(judge: Contract) -> None:
    """The judge's own share of the largest proof leaves nearly all of the budget to the verifier."""
    last = frame_of(*[1] * 231, 35)
    batch = BatchData(bytes(228), (frame_of(1),) * (FRAMES_MAX - 1) + (last,))
    witness = expect(batch, FRAMES_MAX - 1, 231, EFFECT, 0, TRUE).ljust(WITNESS_BYTES_MAX, b"\xaa")
    outcome = ask(judge, batch, build_proof(batch, FRAMES_MAX - 1, 231, EFFECT, 0, witness))

    assert outcome.value is True
    assert outcome.execution_gas < 350_000  # of twelve million


def test_verifiers_are_contracts() -> None:
    """A judge over an empty address would convict every op of its kinds, so it is never deployed."""
    evm = Evm()
    verifier = evm.deploy_artifact(compile_once(REFUSING_VERIFIER)).address
    for empty in range(len(NAMES)):
        verifiers = [verifier] * len(NAMES)
        verifiers[empty] = address("nobody")
        with pytest.raises(Reverted, match="judge: verifier"):
            evm.deploy("judge", *verifiers)
