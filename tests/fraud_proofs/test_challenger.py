"""fraud_proofs/challenger.py: the first wrong step of a batch is found, and the proof of it convicts."""

import hashlib
import random
from dataclasses import replace

import pytest

from fraud_proofs.challenger import Honest, State, examine_batch
from fraud_proofs.grounds import EFFECT, MALFORMED, check_ground
from state.batches import HEADER_BYTES, Step
from state.codes import Code, Kind
from state.constants import NEVER
from state.context import MessageUnknown, no_messages
from state.operations import Close, Open, Tick
from state.transition import Invalid
from state.tree import build_tree, hash_leaf, underlying_key
from tests.fraud_proofs.posted import post_history, post_market, read_frame, tear_frame
from tests.workload import mutate

LIE = b"a root that no step ever had ...."[:32]
HISTORIES = pytest.mark.parametrize("history", range(5))


def lie(step: Step) -> Step:
    return step._replace(post_root=LIE)


# Honest batches


@HISTORIES
def test_an_honest_batch_moves_the_state(history: int, seed: int) -> None:
    """Every step is re-executed, to the root that the header claims; there is a receipt for each."""
    posted = post_history(seed)
    state = posted.build_state()
    found = examine_batch(state, posted.batch, posted.get_context(posted.batch))
    assert isinstance(found, Honest)
    assert state.tree.root == posted.steps[-1].post_root
    assert build_tree(state.leaves.items()).root == state.tree.root
    assert len(found.receipts) == len(posted.steps)


@HISTORIES
def test_an_honest_batch_can_be_undone(history: int, seed: int) -> None:
    """What it remembers of the leaves that it wrote leads back to the parent's state, whole."""
    posted = post_history(seed)
    state = posted.build_state()
    found = examine_batch(state, posted.batch, posted.get_context(posted.batch))
    assert isinstance(found, Honest)
    assert state.commit(found.undo) == posted.header.pre_root
    assert state.leaves == posted.leaves


def test_how_the_batch_is_framed_does_not_matter() -> None:
    """One step a frame or all in one: the verdict is of the steps."""
    posted = post_market()
    assert len(posted.batch.frames) > 3
    assert {step.op[0] for step in posted.steps} == {*Kind} - {Kind.BID, Kind.RELAY}
    assert isinstance(posted.examine(), Honest)


# Lies


@HISTORIES
def test_a_wrong_root_is_found_where_it_first_stands(history: int, seed: int) -> None:
    """In the first step, the last, or anywhere between: EFFECT convicts just this step."""
    posted = post_history(seed)
    for at in {0, len(posted.steps) - 1, random.Random(seed).randrange(len(posted.steps))}:
        conviction = posted.with_step(at, lie).convict()
        assert (conviction.step, conviction.proof.ground) == (at, EFFECT)


def test_of_many_lies_the_first_is_found() -> None:
    """After a lie everything is wrong; the state that all honest nodes share is the one before it."""
    posted = post_market()
    for at in range(len(posted.steps)):
        wrong = posted.with_steps([*posted.steps[:at], *map(lie, posted.steps[at:])])
        assert wrong.convict().step == at


@HISTORIES
def test_an_invalid_op_is_found_by_its_check(history: int, seed: int) -> None:
    """An op a field or byte away from the right one: the check that the rules name convicts, else its root does."""
    posted, chance = post_history(seed), random.Random(seed)
    context = posted.get_context(posted.batch)
    for _ in range(25):
        at = chance.randrange(len(posted.steps))
        op = mutate(posted.steps[at].op, chance)
        if not op or op == posted.steps[at].op:
            continue
        result = replace(posted.get_attempt(at), op=op, context=context.at(at)).judge()
        wrong = posted.with_steps([*posted.steps[:at], posted.steps[at]._replace(op=op), *posted.steps[at + 1 :]])
        if isinstance(wrong.examine(), Honest):
            continue  # other bytes, and the same effects
        conviction = wrong.convict()
        assert conviction.step == at
        assert conviction.proof.ground == (check_ground(result.code) if isinstance(result, Invalid) else EFFECT)


def test_an_op_too_many_or_too_few_is_found() -> None:
    """A step that was left out is missed by the step after it at the latest, and one that stands twice is refused."""
    posted = post_market()
    steps = posted.steps
    for at in range(1, len(steps) - 1):
        doubled = posted.with_steps([*steps[: at + 1], *steps[at:]])
        assert doubled.convict().step == at + 1
        without = posted.with_steps([*steps[:at], *steps[at + 1 :]])
        if steps[at + 1].op[0] == Kind.CANCEL:
            # An order that was cancelled at once may be left out: the cancel alone leads to the same state.
            assert isinstance(without.examine(), Honest)
        else:
            assert without.convict().step == at


def test_no_close_and_no_open() -> None:
    """A batch that does not open, or does not close, is convicted by the step in that place."""
    posted = post_market()
    world = posted.world
    tick = Tick(world.position, world.globals.time + 1).encode()
    no_open = posted.with_step(0, lambda step: step._replace(op=tick))
    assert (no_open.convict().step, no_open.convict().code) == (0, Code.TICK_MUST_DECODE)
    no_close = posted.with_steps(posted.steps[:-1])
    assert (no_close.convict().step, no_close.convict().code) == (len(posted.steps) - 2, Code.WITHDRAW_MUST_DECODE)
    twice = posted.with_step(3, lambda step: step._replace(op=Open().encode()))
    assert (twice.convict().step, twice.convict().code) == (3, Code.OPEN_MUST_DECODE)
    early = posted.with_step(3, lambda step: step._replace(op=Close().encode()))
    assert (early.convict().step, early.convict().code) == (3, Code.CLOSE_MUST_DECODE)


HEADER_LIES: list[tuple[dict[str, object], Code]] = [
    ({"index": 7}, Code.OPEN_BATCH_MUST_BE_NEXT),
    ({"generation": 0}, Code.OPEN_GENERATION_MUST_NOT_FALL),
    ({"time_from": 5}, Code.OPEN_TIME_MUST_MATCH),
    ({"position_from": 1}, Code.OPEN_POSITION_MUST_MATCH),
    ({"generation": 2}, Code.OPEN_POSITION_MUST_MATCH),
    ({"inbox_cursor": 12}, Code.CLOSE_CURSOR_MUST_MATCH),
    ({"inbox_cursor": 6}, Code.L1_INDEX_MUST_NOT_PASS_HEADER),
    ({"inbox_hash": bytes(32)}, Code.CLOSE_INBOX_HASH_MUST_MATCH),
    ({"time": NEVER}, Code.CLOSE_TIME_MUST_MATCH),
    ({"time": 6}, Code.TICK_TIME_MUST_NOT_PASS_HEADER),
    ({"oracle_time": 0}, Code.CLOSE_ORACLE_TIME_MUST_MATCH),
    ({"flags": 1}, Code.ORDER_MUST_DECODE),
]


@pytest.mark.parametrize(("claims", "code"), HEADER_LIES)
def test_a_header_that_lies_is_convicted_by_open_or_close(claims: dict[str, object], code: Code) -> None:
    """What a header claims, some step makes true or fails: the first that cannot stand under it convicts."""
    assert post_market().with_header(**claims).convict().code is code


def test_a_header_that_ends_its_log_too_early() -> None:
    """The last op's position must be below the claimed end."""
    posted = post_market()
    wrong = posted.with_header(position_to=posted.header.position_to - 1)
    assert wrong.convict().code is Code.WITHDRAW_POSITION_MUST_INCREASE


@pytest.mark.parametrize("claims", [{"log_hash": bytes(32)}, {"position_to": NEVER}])
def test_what_close_writes_is_bound_by_its_root(claims: dict[str, object]) -> None:
    """Claims that no step can check are written into the state, so that another claim has another root."""
    posted = post_market()
    conviction = posted.with_header(**claims).convict()
    assert (conviction.step, conviction.proof.ground) == (len(posted.steps) - 1, EFFECT)


# Frames


def test_a_frame_that_does_not_parse_is_malformed() -> None:
    """Bytes lost, bytes more, a wrong count or length: L1 let the frame in for its head and its end."""
    posted = post_market()
    batch = posted.batch
    for number in (0, len(batch.frames) // 2, len(batch.frames) - 1):
        data = batch.frames[number]
        length = int.from_bytes(data[38:40])
        for torn in (
            data[:40] + data[41:],
            data[:-32] + b"\0" + data[-32:],
            data[:36] + (1 + int.from_bytes(data[36:38])).to_bytes(2) + data[38:],
            data[:38] + (length + 1).to_bytes(2) + data[40:],
            data[:38] + bytes(2) + data[40:],
        ):
            conviction = posted.convict(tear_frame(batch, number, torn))
            assert (conviction.frame, conviction.proof.ground) == (number, MALFORMED)


def test_a_lie_before_a_malformed_frame_is_found_first() -> None:
    """The challenger goes through the batch in order; behind the first fault it does not look."""
    posted = post_market().with_step(1, lie)
    batch = posted.batch
    last = len(batch.frames) - 1
    conviction = posted.convict(tear_frame(batch, last, batch.frames[last][:-1]))
    assert (conviction.step, conviction.proof.ground) == (1, EFFECT)
    torn_first = posted.convict(tear_frame(batch, 0, batch.frames[0][:-1]))
    assert (torn_first.frame, torn_first.proof.ground) == (0, MALFORMED)


def test_a_frame_may_lie_in_its_last_step() -> None:
    """The next frame goes on from the lie, as L1 has checked; the proof takes the root before from its own frame."""
    posted = post_market()
    first = read_frame(posted.batch, 0)
    wrong = posted.with_step(len(first.steps) - 1, lie)
    assert read_frame(wrong.batch, 1).pre_root == LIE
    assert wrong.convict().step == len(first.steps) - 1


# The proof


def test_a_proof_is_its_bytes() -> None:
    """Header, frame hashes, the disputed frame, step, ground and witness, in the order of the text."""
    posted = post_market().with_step(9, lie)
    proof = posted.convict().proof
    batch, frame = proof.batch, proof.batch.frames[proof.frame_number]
    data = proof.encode()
    header, data = data[:HEADER_BYTES], data[HEADER_BYTES:]
    count, data = int.from_bytes(data[:2]), data[2:]
    hashes, data = data[: 32 * count], data[32 * count :]
    assert hashlib.sha256(header + hashes).digest() == batch.batch_hash
    number, length, data = int.from_bytes(data[:2]), int.from_bytes(data[2:6]), data[6:]
    assert (count, number, length) == (len(batch.frames), proof.frame_number, len(frame))
    assert hashlib.sha256(data[:length]).digest() == hashes[32 * number : 32 * number + 32]
    data = data[length:]
    assert data == proof.step.to_bytes(2) + bytes([2, 0]) + proof.witness.encode()


def test_who_knows_too_few_messages_gives_no_verdict() -> None:
    """A batch that takes a message which the caller has not derived yet is not judged; the state stays."""
    posted = post_market()
    state, batch = posted.build_state(), posted.batch
    with pytest.raises(MessageUnknown):
        examine_batch(state, batch, replace(posted.get_context(batch), get_message=no_messages))
    assert state.leaves == posted.leaves
    assert state.tree.root == posted.header.pre_root


def test_a_state_moves_leaves_and_tree_together() -> None:
    """Committing writes, and removes where the bytes are empty."""
    state = State({}, build_tree(()))
    key = underlying_key(3)
    root = state.commit({key: b"leaf"})
    assert (state.leaves, root) == ({key: b"leaf"}, build_tree([(key, b"leaf")]).root)
    assert state.tree.prove(underlying_key(2)).siblings == (hash_leaf(key, b"leaf"),)
    assert state.commit({key: b""}) == bytes(32)
    assert state.leaves == {}
