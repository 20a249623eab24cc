"""For every code a story: an op that is refused with just this code, and its nearest neighbour that is not.

Tests of the state ask the rules about them, tests of fraud proofs and of contracts dispute them.
"""

from state.codes import Code, Kind, MessageCode
from tests.stories import batch, ending, fill, governor, inbox, market, money, prices, relayed
from tests.stories.telling import TOLD, Scene, Story, set_scene

__all__ = ["MESSAGE_STORIES", "STORIES", "Scene", "Story", "list_stories", "set_scene"]

MODULES = (batch, market, prices, fill, money, ending, inbox, governor, relayed)

STORIES = [story for story in TOLD if isinstance(story.code, Code)]
MESSAGE_STORIES = [story for story in TOLD if isinstance(story.code, MessageCode)]


def list_stories(*kinds: Kind) -> list[Story]:
    """The stories of ops of these kinds."""
    return [story for story in STORIES if story.code // 100 in kinds]
