"""state/context.py: what a step may look at beside the state."""

import pytest

from state.batches import decode_header
from state.codes import MessageCode
from state.constants import NEVER, PROTOCOL_VERSION
from state.context import (
    MessageUnknown,
    Receipt,
    StepContext,
    draft_header,
    is_passed,
    no_messages,
)
from state.ledger import Ledger, SubjectMissing
from state.operations import Open, Operation
from tests.world import open_market


def test_a_draft_leaves_its_end_open() -> None:
    """Of a batch that is still growing nothing can pass the header: its ends are the ends of the fields."""
    draft = draft_header(index=3, parent=b"p" * 32, generation=2, pre_root=b"r" * 32, time_from=5, position_from=6)
    assert decode_header(draft.encode()) == draft
    assert (draft.version, draft.data_kind, draft.flags) == (PROTOCOL_VERSION, 0, 0)
    assert (draft.index, draft.generation, draft.time_from, draft.position_from) == (3, 2, 5, 6)
    assert (draft.time, draft.inbox_cursor, draft.position_to) == (NEVER, NEVER, NEVER)
    assert draft.step_count == (1 << 32) - 1


def test_another_step_of_the_same_batch() -> None:
    """Only the step differs."""
    world = open_market()
    later = world.here.at(99)
    assert (later.step, later.header, later.domain) == (99, world.here.header, world.domain)


def test_who_knows_no_message_says_so() -> None:
    """The default inbox is that of somebody who has derived nothing."""
    with pytest.raises(MessageUnknown):
        no_messages(0)
    assert StepContext(open_market().context.header, 0, bytes(32)).get_message is no_messages


def test_a_check_without_its_subject_fails() -> None:
    """No exception escapes when a leaf is empty; anything else that is raised does."""

    def ask_for_an_account(ledger: Ledger, context: StepContext, op: Operation) -> bool:
        return ledger.require_account(99) is not None

    def stumble(ledger: Ledger, context: StepContext, op: Operation) -> bool:
        raise ValueError("a defect")

    world = open_market()
    assert not is_passed(ask_for_an_account, Ledger(world.state.leaves), world.here, Open())
    with pytest.raises(ValueError, match="a defect"):
        is_passed(stumble, Ledger(world.state.leaves), world.here, Open())
    with pytest.raises(SubjectMissing):
        ask_for_an_account(Ledger(world.state.leaves), world.here, Open())


def test_a_receipt_of_most_ops_says_nothing() -> None:
    """Only messages and withdrawals have something to tell."""
    assert Receipt() == Receipt(MessageCode.DONE, 0, None)
