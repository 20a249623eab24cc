"""Attacks on the watchtower: whatever becomes of one transaction, a wrong batch must not live until it is final."""

from dataclasses import dataclass, field
from typing import Any, cast

import pytest
import trio

from fraud_proofs.challenger import Proof
from fraud_proofs.rehearsal import rehearse
from fraud_proofs.replica import Replica, Verdict
from node.chain_follower import Progress
from node.errors import CallReverted
from node.event_reader import Reading
from node.l1 import Block, Call
from node.logs import Log
from node.rollup import Rollup
from node.transactions import Mined, Replaced, Reverted, Sender
from node.watchtower_role import Watchtower, WatchtowerSettings
from state.l1_events import BatchPosted, L1Event, RolledBack
from tests.world import World

HEAD = Block(100, bytes(32), 1_700_000_000, 1)
MINED = Mined(bytes(32), 1, 1, 1)


@dataclass
class L1:
    """An L1 that answers each attempt to convict as the attacker likes, and rolls back when one counts."""

    world: World
    answers: list[object]
    events: list[L1Event] = field(default_factory=list)
    attempts: int = 0
    is_rolled_back: trio.Event = field(default_factory=trio.Event)
    address: bytes = bytes(20)
    first_block: None = None

    @property
    def l1(self) -> "L1":
        return self

    def get_domain(self) -> bytes:
        return self.world.domain

    def get_terms(self) -> Any:
        return self

    challenge_window = 600
    wind_down_limit = 600

    def prove(self, index: int, proof: bytes) -> Call:
        return Call(None, proof)

    def call(self, *_: object) -> None:
        self.attempts += 1
        if isinstance(self.answers[0], CallReverted):
            raise cast(Exception, self.answers.pop(0))

    async def send_async(self, call: Call) -> object:
        answer = self.answers.pop(0)
        if answer is MINED:
            self.events.append(RolledBack(2, 1, 2, self.address))
            self.is_rolled_back.set()
        return answer


class Follower:
    """The real replica of a chain with one wrong batch, fed what the L1 above says."""

    def __init__(self, l1: L1) -> None:
        self._l1 = l1
        world = l1.world
        self.replica = Replica(world.domain, state=world.state, tip=0, roots={0: world.root})
        self.replica.batch_hashes[0] = world.parent
        batch, self.proof = rehearse(world.state, world.parent, world.domain)
        l1.events.append(BatchPosted(1, 1, bytes(20), batch.encode(), batch.batch_hash, 1, HEAD.time))

    async def advance_async(self) -> Progress:
        events, self._l1.events = tuple(self._l1.events), []
        verdicts = []
        for event in events:
            verdict = self.replica.apply(event)
            if verdict is not None:
                verdicts.append((cast(BatchPosted, event), verdict))
        return Progress(Reading(events, 0, HEAD, 0, False), events, tuple(verdicts), False, 0)


def fresh_world() -> World:
    """The state of a genesis, before any batch."""
    world = World()
    leaves = world.genesis.build_leaves()
    world.state.commit(dict.fromkeys(world.state.leaves, b""))
    world.state.commit(leaves)
    return world


async def watch(*answers: object) -> tuple[L1, Watchtower]:
    """A tower in front of a wrong batch, until it has convicted it."""
    l1 = L1(fresh_world(), list(answers))
    tower = Watchtower(cast(Rollup, l1), cast(Sender, l1), WatchtowerSettings(poll_seconds=0), Log("test"))
    tower._follower = cast(Any, Follower(l1))
    with trio.move_on_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(tower.run)
            await l1.is_rolled_back.wait()
            nursery.cancel_scope.cancel()
    return l1, tower


@pytest.mark.slow
async def test_proof_whose_nonce_was_taken() -> None:
    """The transaction of the proof is replaced, by a second tower with the same key."""
    l1, tower = await watch(Replaced(7), MINED)
    assert (l1.attempts, tower.counters.convictions) == (2, 1)


@pytest.mark.slow
async def test_proof_that_reverted() -> None:
    """The proof is mined and reverts, for too little gas."""
    l1, tower = await watch(Reverted(bytes(32), 1, 1, ""), MINED)
    assert (l1.attempts, tower.counters.convictions) == (2, 1)


@pytest.mark.slow
async def test_endpoint_that_says_it_is_done() -> None:
    """A lying endpoint says that another has convicted the batch, or that the proof is bad."""
    lies = [CallReverted("prove", reason) for reason in ("rollup: not pending", "rollup: not shown")]
    l1, tower = await watch(*lies, MINED)
    assert (l1.attempts, tower.counters.convictions) == (3, 1)


def test_proof_is_of_the_batch() -> None:
    """What the tower above sends is the proof that the replica found, not one made for the test."""
    follower = Follower(l1 := L1(fresh_world(), []))
    verdict = follower.replica.apply(l1.events[0])
    assert isinstance(verdict, Verdict)
    assert isinstance(verdict.proof, Proof)
    assert verdict.proof == follower.proof
