"""How long a node is away after kill -9: a sequencer with 100 000 accounts and a million log records.

The log is made by the sequencer's own core, in this process and without a gateway; the process that is timed is the
shipped one, with its L1, from the command to the first answer.
"""

import functools
import random
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from fraud_proofs.challenger import State
from fraud_proofs.replica import Replica, execute_all
from node.event_reader import ReadPoint
from node.replica_checkpoint import ReplicaCheckpoint
from sequencer.derivation import L1Cursor
from sequencer.engine import Accepted
from sequencer.requests import decode_request
from state.constants import NEVER
from state.genesis import Genesis
from state.store import Store
from state.tree import build_tree
from tests.bench import Measurement
from tests.bench.exchange import Exchange, People, build_leaves, open_exchange
from tests.world import LISTINGS, RULES, build_params

RECORDS = 1_000_000
GROUP = 256
REQUESTS_A_SECOND = 4_000


@dataclass(frozen=True)
class Run:
    """Seconds until the first answer, and what there was to recover."""

    seconds: float
    records: int
    resting: int
    tail: int


def grow_log(exchange: Exchange, records: int) -> tuple[int, int, int]:
    """Trade until the log has so many records, sealing as a node does whose L1 is slow; (records, resting, tail)."""
    people = People(exchange.domain, random.Random(1))
    with exchange.open_core(NEVER) as core:
        assert core.recover([].__getitem__)
        start = core.engine.globals.time
        for seconds in (1, 3):
            core.make_durable(core.engine.tick(start + seconds))
        taken = 0
        while core.engine.next_position < records:
            drawn = [decode_request(people.draw()[1]) for _ in range(GROUP)]
            requests = [request for request in drawn if request is not None]
            # Signed a moment ago by ourselves; verifying is the gateway's work and not what is measured.
            messages = [message for request in requests if (message := core.engine.get_signed(request))]
            core.verdicts.note(messages, [True] * len(messages))
            while requests:
                group = core.take(requests)
                core.make_durable(group.records)
                taken += sum(isinstance(outcome, Accepted) for outcome in group.outcomes)
                del requests[: len(group.outcomes)]
                if core.is_full:
                    core.seal()
            core.make_durable(core.engine.tick(start + 3 + taken // REQUESTS_A_SECOND))
        assert core.head is not None
        resting = sum(known.order is not None for known in core.engine.slots.values())
        return core.engine.next_position, resting, core.engine.next_position - core.head.position


def bench_replica_restart_100k_s() -> Measurement:
    """What a watchtower's start takes before it reads L1: its replica of 100 000 accounts, from disk and checked."""
    genesis = Genesis(build_params(), RULES, LISTINGS, 1)
    leaves = build_leaves(genesis, 1)
    replica = Replica(bytes(32), state=State(leaves, build_tree(leaves.items())))
    replica.roots[0], replica.batch_hashes[0] = replica.state.tree.root, genesis.batch_hash
    point, found = ReadPoint(1, bytes(32), L1Cursor(is_born=True)), []
    with TemporaryDirectory(prefix="keel-bench-") as name, Store(Path(name)) as store:
        ReplicaCheckpoint(store).save(replica, point)
        for _ in range(3):
            began = time.perf_counter()
            kept = ReplicaCheckpoint(store).load(bytes(32), execute_all, lambda _: True)
            found.append(time.perf_counter() - began)
            assert kept is not None
            assert kept.replica.state.tree.root == replica.state.tree.root
    return Measurement(tuple(found), "s", target=10)


@functools.cache
def run_once() -> Run:
    """Some minutes, nearly all of it spent on making the log."""
    with open_exchange() as exchange:
        found = grow_log(exchange, RECORDS)
        exchange.start()
        exchange.kill()
        return Run(exchange.start(), *found)


def bench_recovery_1m_s() -> Measurement:
    """From the command to the first answer after kill -9, with a million log records and 100 000 accounts."""
    return Measurement((run_once().seconds,), "s", target=10)


def bench_recovery_1m_records() -> Measurement:
    """How long that log was."""
    return Measurement((run_once().records,), "records", more_is_better=True)


def bench_recovery_1m_resting() -> Measurement:
    """Orders in the book that had to come back."""
    return Measurement((run_once().resting,), "orders", more_is_better=True)


def bench_recovery_1m_tail() -> Measurement:
    """Records behind the last checkpoint, which are done again."""
    return Measurement((run_once().tail,), "records")
