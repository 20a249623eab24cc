"""Every reading that an op may carry, through L1: the same rules speak against it, on bytecode too, and it is taken."""

from dataclasses import replace
from functools import partial

import pytest

from fraud_proofs.grounds import EFFECT
from state.codes import Code, Kind, MessageCode
from state.operations import Relay
from state.process_inbox import Message
from state.process_relay import encode_reading
from tests.contracts.court import Court
from tests.fraud_proofs.disputes import Ruling, dispute_honest, dispute_lie
from tests.parity.test_stories import announce_messages, rule
from tests.stories import Story, list_stories, set_scene
from tests.world import Attempt, read_inbox

FROM_POSITION_ON = (Code.ORACLE_POSITION_MUST_INCREASE, Code.SURFACE_POSITION_MUST_INCREASE)
STORIES = [s for s in list_stories(Kind.ORACLE, Kind.SURFACE) if s.code % 100 and s.code not in FROM_POSITION_ON]
SENDER = b"somebody's address.."

stories = pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)


@pytest.fixture(scope="module")
def court() -> Court:
    """The verifier of relays."""
    return Court("verify_relay")


def relay(attempt: Attempt, age: int = 0) -> Attempt:
    """The same reading through L1, which took it so many seconds ago."""
    ledger, context, op = set_scene(attempt)
    state = ledger.get_globals()
    kind, payload = encode_reading(op)  # type: ignore[arg-type]
    message = Message(kind, SENDER, state.time - age, 0, payload).encode()
    index = state.inbox_cursor
    messages = [context.get_message(number) for number in range(index)] + [message]
    taken = replace(context, get_message=partial(read_inbox, messages))
    return Attempt(attempt.leaves, taken, Relay(state.next_position, index).encode())


@stories
def test_a_reading_is_refused_as_an_op_of_its_own_would_be(story: Story) -> None:
    """The message of a story's refused op is taken and does nothing, with the op's code; its neighbour's does all."""
    refused, accepted = story.tell()
    assert relay(refused).outcome is story.code
    assert relay(accepted).outcome is MessageCode.DONE


@stories
def test_contract_and_twin_have_one_effect(court: Court, story: Story) -> None:
    """What becomes of either is the same on bytecode: the honest root is not convicted, and any other is."""
    for attempt in map(relay, story.tell()):
        announce_messages(court, attempt)
        for dispute, ruling in ((dispute_honest(attempt), Ruling.NOT_SHOWN), (dispute_lie(attempt), Ruling.FRAUD)):
            witness = dispute.build(EFFECT)
            assert dispute.rule(EFFECT, witness) is ruling
            assert rule(court, dispute, EFFECT, witness) is ruling


def test_a_reading_is_as_old_as_when_l1_took_it(court: Court) -> None:
    """One that was young then is stored however late it is taken; of one that was too old then nothing remains."""
    stale = next(story for story in STORIES if story.code is Code.ORACLE_MUST_NOT_BE_STALE)
    refused, _ = stale.tell()
    assert relay(refused, age=0).outcome is Code.ORACLE_MUST_NOT_BE_STALE
    late = relay(refused, age=1)
    assert late.outcome is MessageCode.DONE
    announce_messages(court, late)
    for dispute, ruling in ((dispute_honest(late), Ruling.NOT_SHOWN), (dispute_lie(late), Ruling.FRAUD)):
        assert rule(court, dispute, EFFECT, dispute.build(EFFECT)) is ruling
