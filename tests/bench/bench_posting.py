"""What the shipped sequencer gets onto the L1 while trades never cease: operations a second, and their price there.

While more waits, IN_LINE_MAX full batches are sent at a time, so that one block takes them: their gas is what the
figures are at. The L1 makes a block in BLOCK_SECONDS; the next line goes out when the last is seen in a block, which
costs a block now and then. What waits is bounded: at `unposted_bytes_max` nothing is admitted but cancels and readings.
"""

import functools
import random
import time
from collections import Counter
from dataclasses import dataclass, replace

from node.anvil import Anvil
from node.rollup import Rollup
from node.sequencer_role import IN_LINE_MAX
from sequencer.derivation import BATCH_SUBMITTED, L1Cursor
from sequencer.requests import build_request
from state.constants import PPM
from state.l1_events import BatchPosted
from state.operations import Oracle, OracleSignature, hash_digest
from tests.bench import Measurement
from tests.bench.bench_gateway import send
from tests.bench.bench_l1 import count_ops
from tests.bench.exchange import PRICE, Exchange, People, open_funded_exchange
from tests.world import ORACLE_KEYS

ACCOUNTS = 32
TRADES = 7_000
BLOCK_SECONDS = 4
BATCHES = 4 * IN_LINE_MAX + 1
SECONDS_MAX = 120


@dataclass(frozen=True)
class Posting:
    """Full batches of one run: how many ops they hold, and the seconds and gas that they took."""

    batches: int
    ops: int
    seconds: int
    gas: int
    block_gas: int


def sign_reading(domain: bytes, now: int) -> bytes:
    """A price of now."""
    bare = Oracle(0, 0, now, PRICE, PRICE, PPM, PPM, PPM, 0b011, ())
    signed = [key.sign_recoverable(hash_digest(domain, bare), hasher=None) for key in ORACLE_KEYS[:2]]
    signatures = tuple(OracleSignature(one[:32], one[32:64], one[64] + 27) for one in signed)
    return build_request(replace(bare, signatures=signatures))


def draw_trades(people: People) -> list[tuple[int, bytes]]:
    """Two fresh orders each that fill each other, one of each side, among ACCOUNTS accounts in turn."""
    found = []
    for number in range(TRADES):
        seller = 1 + number % ACCOUNTS
        buyer = 1 + (number + ACCOUNTS // 2) % ACCOUNTS
        size = people.random.randrange(1, 100)
        # Who sells and who buys changes each time round, so that nobody's position grows for ever.
        is_turned = bool(number // ACCOUNTS % 2)
        found.append((seller, people.order(seller, 0, not is_turned, PRICE, size)))
        found.append((buyer, people.order(buyer, 1, is_turned, PRICE, size)))
    return found


@functools.cache
def post_once() -> Posting:
    """More trades than are posted meanwhile, and the batches that the L1 took of them."""
    with open_funded_exchange(ACCOUNTS) as (exchange, town):
        exchange.start()
        exchange.wait_until_open()
        wait_for_accounts(exchange)
        assert exchange.ask("submit", sign_reading(exchange.domain, int(time.time())))
        requests = draw_trades(People(exchange.domain, random.Random(1)))
        town.anvil.request("evm_setIntervalMining", BLOCK_SECONDS)
        send(exchange, requests, 0)
        wait_for_batches(exchange, BATCHES + 2)
        return measure(town.anvil, town.rollup)


def wait_for_accounts(exchange: Exchange) -> None:
    """Until every deposit and key has come from L1."""
    deadline = time.monotonic() + SECONDS_MAX
    while not exchange.ask("account", ACCOUNTS):
        assert time.monotonic() < deadline, exchange.read_log()
        time.sleep(0.1)


def wait_for_batches(exchange: Exchange, count: int) -> None:
    """Until the L1 holds so many."""
    deadline, tip = time.monotonic() + SECONDS_MAX, 0
    while tip < count:
        assert time.monotonic() < deadline, exchange.read_log()
        time.sleep(0.1)
        status = exchange.ask("status")
        assert isinstance(status, list)
        tip = int(status[6])  # type: ignore[arg-type]


def measure(anvil: Anvil, rollup: Rollup) -> Posting:
    """Of full batches, what was posted in the time from the first's block to the last's."""
    _, events = rollup.read_events(L1Cursor(), 0, int(anvil.request("eth_blockNumber"), 16))
    full = [event for event in events if isinstance(event, BatchPosted) and len(event.data) >= 85_000][:BATCHES]
    wanted = {"fromBlock": "0x0", "address": "0x" + rollup.address.hex(), "topics": ["0x" + BATCH_SUBMITTED.hex()]}
    gas: dict[int, int] = {}
    for log in anvil.request("eth_getLogs", wanted):
        receipt = anvil.request("eth_getTransactionReceipt", log["transactionHash"])
        gas[int(log["topics"][1], 16)] = int(receipt["gasUsed"], 16)
    block_gas: Counter[int] = Counter()
    for event in full:
        block_gas[event.block] += gas[event.index]
    first, last = full[0].posted_at, full[-1].posted_at
    later = [event for event in full if event.posted_at > first]
    return Posting(
        batches=len(later),
        ops=sum(count_ops(event) for event in later),
        seconds=last - first,
        gas=sum(gas[event.index] for event in later),
        block_gas=max(block_gas.values()),
    )


def bench_posting_ops_s() -> Measurement:
    """Operations a second that the L1 took."""
    posting = post_once()
    return Measurement((posting.ops / posting.seconds,), "1/s", more_is_better=True)


def bench_posting_block_gas() -> Measurement:
    """The most gas that they took of one block."""
    return Measurement((post_once().block_gas,), "gas")


def bench_posting_gas_s() -> Measurement:
    """The gas that they took of a second."""
    posting = post_once()
    return Measurement((posting.gas / posting.seconds,), "gas/s")


def bench_posting_gas_per_op() -> Measurement:
    """Gas of a full batch for each operation in it."""
    posting = post_once()
    return Measurement((posting.gas / posting.ops,), "gas")


def bench_posting_ops_per_batch() -> Measurement:
    """Operations in a full batch: registered orders, fills and the like."""
    posting = post_once()
    return Measurement((posting.ops / posting.batches,), "ops", more_is_better=True)
