"""fraud_proofs/step.py: a wrong step is convicted from its witness alone, an honest one by nothing at all."""

import random
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraud_proofs.grounds import EFFECT, MALFORMED, Ground, check_ground
from fraud_proofs.step import BadWitness, is_fraud_shown, is_malformed
from fraud_proofs.witness import SIGNATURE_CODES, Witness
from state.batches import Frame, decode_frame
from state.codes import Code, Kind
from state.context import MessageUnknown, is_passed
from state.ledger import Ledger
from state.operations import L1
from state.transition import PROCESSES, Invalid, decode_step, get_decode_code
from tests.fraud_proofs.disputes import LIE, OTHER_BYTES, Dispute, Ruling, dispute_honest, dispute_lie, spoil
from tests.stories import MESSAGE_STORIES, STORIES, Story, list_stories
from tests.strategies import frames
from tests.workload import mutate, random_steps
from tests.world import Attempt, open_market, open_mixed_market

stories = pytest.mark.parametrize("story", [*STORIES, *MESSAGE_STORIES], ids=lambda story: story.name)
check_stories = pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)


def list_failing(attempt: Attempt) -> set[Code]:
    """Every check that fails, by the rules themselves; none about a message that is not there."""
    op = decode_step(attempt.context, attempt.op)
    if op is None:
        return {get_decode_code(attempt.op)}
    failing = set()
    for code, check in PROCESSES[op.kind].checks:
        with suppress(MessageUnknown):
            if not is_passed(check, Ledger(attempt.leaves), attempt.context, op):
                failing.add(code)
    return failing


# Honest witnesses


@stories
def test_no_honest_step_is_convicted(story: Story) -> None:
    """A valid op with the root of its effects stands on every ground on which it can be disputed."""
    dispute = dispute_honest(story.tell()[1])
    assert not any(dispute.is_shown(ground) for ground in dispute.grounds)


@stories
def test_a_wrong_root_is_convicted_by_effect(story: Story) -> None:
    """A valid op with any other root is convicted by its effects, and still passes every check."""
    dispute = dispute_lie(story.tell()[1])
    grounds = [ground for ground in dispute.grounds if ground.code not in SIGNATURE_CODES]
    assert [ground for ground in grounds if dispute.is_shown(ground)] == [EFFECT]


@check_stories
def test_an_invalid_op_is_convicted_by_its_checks(story: Story) -> None:
    """Each check that fails convicts, whatever root was claimed, and none that holds does."""
    dispute = dispute_lie(story.tell()[0])
    shown = set()
    for ground in dispute.grounds:
        with suppress(MessageUnknown):  # of a message that is not there nothing is shown
            if ground != EFFECT and dispute.is_shown(ground):
                shown.add(ground.code)
    assert story.code in shown
    assert shown == list_failing(dispute.attempt)


@check_stories
def test_effect_of_an_invalid_op_convicts_no_root_of_its_effects(story: Story) -> None:
    """EFFECT answers for invalid ops too: another root or nothing, never the root that the effects would have."""
    attempt = story.tell()[0]
    dispute = dispute_lie(attempt)
    try:
        witness = dispute.build(EFFECT)
    except MessageUnknown:
        return  # nobody can say what a message does that is not there
    op = decode_step(attempt.context, attempt.op)
    if op is None:
        assert not dispute.is_shown(EFFECT, witness)
    elif dispute.is_shown(EFFECT, witness):
        ledger = Ledger(attempt.leaves)
        PROCESSES[op.kind].apply_effects(ledger, attempt.context, op)
        effects = dispute_after(attempt, ledger)
        assert not effects.is_shown(EFFECT, witness)


def dispute_after(attempt: Attempt, ledger: Ledger) -> Dispute:
    """The claim that just these writes happened."""
    before = dispute_lie(attempt)
    after = dispute_lie(replace(attempt, leaves=attempt.leaves | ledger.writes))
    return replace(before, post_root=after.tree.root)


def test_no_step_of_a_history_is_convicted(seed: int) -> None:
    """Of a random history of all kinds no step is convicted, and each with a lie for a root is."""
    world = open_mixed_market(seed)
    for _ in random_steps(world, 120):
        played = world.steps[-1]
        honest = dispute_honest(played.attempt)
        assert honest.post_root == played.post_root
        assert not any(honest.is_shown(ground) for ground in honest.grounds if ground.code not in SIGNATURE_CODES)
        assert replace(honest, post_root=LIE).is_shown(EFFECT)


def test_what_is_beside_a_valid_op_is_convicted_if_it_is_wrong(seed: int) -> None:
    """Ops a field or byte away from valid ones: the check that the rules name convicts, of a valid one nothing does."""
    world, chance = open_mixed_market(seed), random.Random(seed)
    convicted = set()
    for _ in random_steps(world, 200):
        played = world.steps[-1]
        attempt = replace(played.attempt, op=mutate(played.op, chance))
        try:
            result = attempt.judge()
        except MessageUnknown:
            continue
        if isinstance(result, Invalid):
            assert dispute_lie(attempt).is_shown(check_ground(result.code))
            convicted.add(result.code)
        else:
            honest = dispute_honest(attempt)
            assert not any(honest.is_shown(ground) for ground in honest.grounds)
    assert len(convicted) > 12


# Dishonest witnesses


def assert_refused(ruling: Ruling, ground: Ground, what: str) -> None:
    """A bad witness; only an EFFECT may end at bytes that it has not authenticated, and then it shows nothing."""
    is_harmless = ground == EFFECT and ruling is Ruling.NOT_SHOWN and what in OTHER_BYTES
    assert ruling is Ruling.BAD_WITNESS or is_harmless, f"{ground}: {what}"


@stories
def test_a_spoilt_witness_shows_nothing(story: Story, seed: int) -> None:
    """Leaves missing, invented, reordered, changed, with wrong paths are refused, of an honest step and of a lie."""
    chance = random.Random(seed)
    honest = dispute_honest(story.tell()[1])
    lie = replace(honest, post_root=LIE)
    for ground in honest.grounds:
        if ground == EFFECT or ground.check:
            for what, witness in spoil(honest.build(ground), chance):
                dispute = lie if ground == EFFECT else honest
                assert_refused(dispute.rule(ground, witness), ground, what)


@given(data=st.data())
def test_leaves_of_any_bytes_show_nothing(data: st.DataObject) -> None:
    """Whatever bytes stand where a leaf should, the witness is bad: no rule stumbles over them."""
    story = data.draw(st.sampled_from([*STORIES, *MESSAGE_STORIES]))
    dispute = dispute_lie(story.tell()[1])
    ground = data.draw(st.sampled_from([ground for ground in dispute.grounds if ground == EFFECT or ground.check]))
    witness = dispute.build(ground)
    for at, leaf in enumerate(witness.leaves):
        same_length = st.binary(min_size=len(leaf.data), max_size=len(leaf.data))
        garbage = replace(leaf, data=data.draw(st.one_of(st.binary(max_size=200), same_length)))
        if garbage != leaf:
            changed = replace(witness, leaves=(*witness.leaves[:at], garbage, *witness.leaves[at + 1 :]))
            assert_refused(dispute.rule(ground, changed), ground, "a leaf denied")


def test_the_witness_of_another_state_shows_nothing() -> None:
    """Leaves of the state after the step, or of some steps before, are not in the state before it."""
    world = open_market()
    world.place("alice", 0, 20, 17_000_000)
    world.place("bob", 0, -20, 17_000_000)
    states = [dict(world.state.leaves)]
    for _ in range(3):
        fill = world.attempt(world.fill("alice", "bob", 17_000_000, 5))
        world.play(fill.op)
        states.append(dict(world.state.leaves))
    fill = world.attempt(world.fill("alice", "bob", 17_000_000, 5))
    dispute = dispute_honest(fill)
    for ground in dispute.grounds:
        if dispute.build(ground).leaves:
            for leaves in states[:-1]:
                other = dispute_lie(replace(fill, leaves=leaves)).build(ground)
                assert dispute.rule(ground, other) is Ruling.BAD_WITNESS


def test_a_witness_of_one_ground_does_not_serve_another() -> None:
    """What a check reads is not what the effects read."""
    dispute = dispute_honest(list_stories(Kind.FILL)[0].tell()[1])
    witnesses = {ground: dispute.build(ground) for ground in dispute.grounds}
    for ground, witness in witnesses.items():
        for other in witnesses.values():
            if [leaf.key for leaf in witness.leaves] != [leaf.key for leaf in other.leaves] and ground.check != 0:
                with pytest.raises(BadWitness):
                    dispute.is_shown(ground, other)


@pytest.mark.parametrize("story", [s for s in STORIES if s.code in SIGNATURE_CODES], ids=lambda story: story.name)
def test_hints_decide_nothing(story: Story, seed: int) -> None:
    """Of a good signature no hints show that it is bad, and of a bad one none that it is good: they are refused."""
    refused, accepted = (dispute_lie(attempt) for attempt in story.tell())
    ground, chance = check_ground(Code(story.code)), random.Random(seed)
    assert refused.is_shown(ground)
    assert not accepted.is_shown(ground)
    good = accepted.build(ground)
    for kind in range(5):
        hints = bytes([kind]) + chance.randbytes(128)
        with pytest.raises(BadWitness):
            accepted.is_shown(ground, replace(good, hints=hints))
    for hints in (b"", good.hints[:-1], good.hints + b"\0", bytes(129)):
        with pytest.raises(BadWitness):
            accepted.is_shown(ground, replace(good, hints=hints))


def test_a_message_must_be_the_inboxs() -> None:
    """An effect of another message than L1 keeps is no effect of this step."""
    world = open_market()
    world.deposit("alice", 5)
    honest = dispute_honest(world.steps[-1].attempt)
    witness = honest.build(EFFECT)
    assert witness.message == world.messages[-1]
    for message in (None, b"", world.messages[0], world.messages[-1] + b"\0", bytes(33), bytes(43)):
        with pytest.raises(BadWitness):
            honest.is_shown(EFFECT, replace(witness, message=message))


def test_a_message_that_l1_does_not_have_shows_nothing() -> None:
    """An index beyond the inbox is for the checks to convict."""
    world = open_market()
    beyond = dispute_lie(world.attempt(L1(world.position, len(world.messages))))
    with pytest.raises(BadWitness):
        beyond.is_shown(EFFECT, Witness((), message=bytes(33)))


# Bytes that are no step


def test_check_0_needs_no_witness() -> None:
    """Bytes that do not decode convict themselves, on no other ground; of an op that decodes check 0 shows nothing."""
    world = open_market()
    honest = dispute_honest(world.attempt(world.sign_cancel("alice")))
    broken = replace(honest, attempt=replace(honest.attempt, op=honest.attempt.op[:-1]))
    ground = check_ground(Code.CANCEL_MUST_DECODE)
    assert broken.is_shown(ground, Witness(()))
    assert not honest.is_shown(ground, Witness(()))
    assert not broken.is_shown(check_ground(Code.CANCEL_POSITION_MUST_INCREASE), Witness(()))
    assert not broken.is_shown(check_ground(Code.TICK_MUST_DECODE), Witness(()))
    assert not broken.is_shown(EFFECT, Witness(()))


def test_a_check_of_another_kind_shows_nothing() -> None:
    """A cancel is not convicted by what a fill must hold."""
    world = open_market()
    dispute = dispute_lie(world.attempt(world.sign_cancel("alice", counter=1)))
    for code in (Code.FILL_ACCOUNTS_MUST_DIFFER, Code.TICK_TIME_MUST_ADVANCE, Code.KIND_MUST_BE_KNOWN):
        assert not dispute.is_shown(check_ground(code), Witness(()))


@given(frames)
def test_malformed_is_what_does_not_parse(frame: Frame) -> None:
    """The ground MALFORMED convicts bytes that are not a frame to their last one, and no others."""
    data = frame.encode()
    assert not is_malformed(data)
    assert decode_frame(data) == frame
    for wrong in (data[:-1], data + b"\0", data[:36] + b"\0\0" + data[38:], b""):
        assert is_malformed(wrong)


def test_malformed_says_nothing_of_a_step() -> None:
    """As a ground against one step it shows nothing."""
    world = open_market()
    played = world.steps[-1]
    arguments = (played.context, played.op, MALFORMED, Witness(()), played.pre_root, LIE)
    assert not is_fraud_shown(*arguments)
    assert isinstance(MALFORMED, Ground)
