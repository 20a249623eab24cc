"""Stories of parameters to come: which version may wait for its day."""

import hashlib
from dataclasses import replace

from state.codes import MessageCode
from state.constants import RULES_OFFSET
from state.process_inbox import MessageType, Proposal
from state.tree import GLOBALS_KEY, Collection, leaf_key
from tests.stories.telling import Pair, story
from tests.world import GOVERNOR, Attempt, World, open_market

MONTH = 30 * 86_400


def propose(world: World, proposal: Proposal) -> Attempt:
    """The l1 op that takes the governor's message next."""
    return world.attempt_message(MessageType.PARAMS, GOVERNOR, 0, proposal.encode())


def draft(world: World, **changes: object) -> Proposal:
    """Another fee, a month from now."""
    return world.draft_proposal(taker_fee_ppm=600, active_from=world.globals.time + MONTH, **changes)


def reach_version(world: World, version: int) -> None:
    """As if so many versions had been active."""
    for offset in (0, RULES_OFFSET):
        leaf = world.state.leaves[leaf_key(Collection.PARAMS, offset)]
        world.rewrite(leaf_key(Collection.PARAMS, offset + version), leaf)
    world.rewrite(GLOBALS_KEY, replace(world.globals, params_version=version).encode())


@story(MessageCode.PARAMS_VERSION_NOT_NEXT)
def version_that_is_active() -> Pair:
    """What is active does not change under anybody's feet."""
    world = open_market()
    proposal = draft(world)
    return propose(world, proposal._replace(version=0)), propose(world, proposal)


@story(MessageCode.PARAMS_VERSION_NOT_NEXT)
def version_left_out() -> Pair:
    """The second version after the active one."""
    world = open_market()
    proposal = draft(world)
    return propose(world, proposal._replace(version=2)), propose(world, proposal)


@story(MessageCode.PARAMS_VERSION_NOT_NEXT)
def version_among_the_rules() -> Pair:
    """There is room for 128 versions, and the rules of the first stand behind them."""
    world = open_market()
    reach_version(world, RULES_OFFSET - 1)
    beyond = propose(world, draft(world))
    world = open_market()
    reach_version(world, RULES_OFFSET - 2)
    return beyond, propose(world, draft(world))


@story(MessageCode.PARAMS_PREVIOUS_NOT_ACTIVE)
def compared_with_other_parameters() -> Pair:
    """It was compared with parameters that are not the active ones."""
    world = open_market()
    proposal = draft(world)
    return propose(world, proposal._replace(previous_params_hash=hashlib.sha256(b"others").digest())), propose(
        world, proposal
    )


@story(MessageCode.PARAMS_PREVIOUS_NOT_ACTIVE)
def compared_with_other_rules() -> Pair:
    """It was compared with rules that are not the active ones; and a version that waits may be replaced."""
    world = open_market()
    proposal = draft(world)
    world.propose(proposal)
    later = draft(world, penalty_ppm=1_000)
    return propose(world, later._replace(previous_rules_hash=hashlib.sha256(b"others").digest())), propose(world, later)
