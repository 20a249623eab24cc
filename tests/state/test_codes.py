"""state/codes.py: every code is told of, in a story that is refused with it."""

from collections import Counter

from state.codes import Code, Kind, MessageCode
from state.transition import PROCESSES
from tests.stories import MESSAGE_STORIES, STORIES


def test_no_code_is_without_a_story() -> None:
    """Each check of each op, and each failure of a message, has an op that meets it and a neighbour that does not."""
    assert {story.code for story in STORIES} == {*Code}
    assert {story.code for story in MESSAGE_STORIES} == {*MessageCode} - {MessageCode.DONE}


def test_no_two_stories_have_one_name() -> None:
    """A name of a story in a failure names one story, and each says in a sentence what it tells."""
    names = Counter(story.name for story in (*STORIES, *MESSAGE_STORIES))
    assert {name: count for name, count in names.items() if count > 1} == {}
    assert all(story.tell.__doc__ for story in (*STORIES, *MESSAGE_STORIES))


def test_every_code_belongs_to_a_kind() -> None:
    """A code is its kind a hundred times and its check; each kind has a check 0, for bytes that do not decode."""
    assert {code // 100 for code in Code} == {0, *Kind}
    assert {kind for kind in Kind if Code(100 * kind).name.endswith("_MUST_DECODE")} == set(PROCESSES) == {*Kind}
