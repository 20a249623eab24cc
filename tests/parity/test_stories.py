"""Every story of tests.stories before the verifiers: bytecode and Python rule alike on each ground."""

from contextlib import suppress

import pytest

from fraud_proofs.grounds import Ground
from fraud_proofs.witness import Witness
from state.codes import Kind
from state.context import MessageUnknown, Receipt
from state.transition import Valid
from tests.contracts.court import VERIFIERS, Court
from tests.fraud_proofs.disputes import Dispute, Ruling, dispute_honest, dispute_lie
from tests.stories import MESSAGE_STORIES, STORIES, Story
from tests.world import Attempt, PlayedStep, World

stories = pytest.mark.parametrize("story", [*STORIES, *MESSAGE_STORIES], ids=lambda story: story.name)


@pytest.fixture(scope="module")
def court() -> Court:
    """All verifiers."""
    return Court(*sorted(set(VERIFIERS.values())))


def rule(court: Court, dispute: Dispute, ground: Ground, witness: Witness) -> Ruling:
    """The ruling of the verifier of the op's kind."""
    attempt, root = dispute.attempt, dispute.tree.root
    claimed = PlayedStep(attempt.context, attempt.leaves, root, attempt.op, dispute.post_root, Valid(Receipt()))
    outcome = court.call(claimed, ground, witness.encode())
    if outcome.reverted:
        return Ruling.BAD_WITNESS
    return Ruling.FRAUD if outcome.value else Ruling.NOT_SHOWN


def announce_messages(court: Court, attempt: Attempt) -> None:
    """Let L1 have the messages that the story knows."""
    world = World()
    with suppress(MessageUnknown):
        while True:
            world.messages.append(attempt.context.get_message(len(world.messages)))
    court.hear(world)


@stories
def test_contract_and_twin_rule_alike(court: Court, story: Story) -> None:
    """On every ground, with the honest witness: of the refused op, its accepted neighbour, and that one's true root."""
    refused, accepted = story.tell()
    for dispute in (dispute_lie(refused), dispute_lie(accepted), dispute_honest(accepted)):
        attempt = dispute.attempt
        if attempt.op[0] not in [*Kind]:
            continue  # the judge rules on unknown kinds without a verifier
        if attempt.op[0] in (Kind.L1, Kind.BID, Kind.RELAY):
            announce_messages(court, attempt)
        for ground in dispute.grounds:
            with suppress(MessageUnknown):
                witness = dispute.build(ground)
                assert rule(court, dispute, ground, witness) is dispute.rule(ground, witness), str(ground)
