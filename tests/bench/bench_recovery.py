"""How long a node is away after kill -9: a sequencer with 100 000 accounts and a million log records.

The log is made by the sequencer's own core, in this process and without a gateway; the process that is timed is the
shipped one, with its L1, from the command to the first answer.
"""

import functools
import random
from dataclasses import dataclass

from node.sequencer_core import SequencerCore
from sequencer.engine import Accepted
from sequencer.requests import decode_request
from state.constants import NEVER
from state.store import Store
from tests.bench import Measurement
from tests.bench.exchange import Exchange, People, open_exchange

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
    with Store(exchange.folder / "data") as store:
        core = SequencerCore(store, exchange.domain, NEVER)
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
