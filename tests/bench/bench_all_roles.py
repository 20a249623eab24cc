"""Everything on one machine: sequencer, watchtower, follower, oracle and L1, and what people get of it.

Reported without a target: on two cores the roles take each other's time, and nobody runs an exchange so.
"""

import functools
import json
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import msgpack  # type: ignore[import-untyped]
import trio

from devnet.people import Person
from node.anvil import run_anvil
from sequencer.requests import build_request
from state.constants import NEVER
from state.leaves import FLAG_SELL, perpetual
from state.operations import Cancel, OrderOp, OrderTerms, hash_digest
from tests.bench import Measurement
from tests.torture.site import PRICE, Site, build_site, feed_oracle, keep_no_process

PEOPLE = 24
REQUESTS = 12_000
SLOTS = 4
START_SECONDS_MAX = 120


@dataclass(frozen=True)
class Run:
    """Receipts, requests that traded, seconds to the last receipt, and more until the follower had all of it."""

    acknowledged: int
    filled: int
    seconds: float
    seconds_behind: float


def draw_requests(site: Site, rng: random.Random) -> Iterator[tuple[int, bytes]]:
    """(account, request): three orders to a cancel, around one price, so that many trade."""
    counters = dict.fromkeys(((person.account, slot) for person in site.people for slot in range(SLOTS)), 0)
    for _ in range(REQUESTS):
        person, slot = rng.choice(site.people), rng.randrange(SLOTS)
        counters[person.account, slot] += 1
        yield person.account, _sign(site, person, slot, counters[person.account, slot], rng)


def _sign(site: Site, person: Person, slot: int, counter: int, rng: random.Random) -> bytes:
    bare: OrderOp | Cancel
    if rng.random() < 0.25:
        bare = Cancel(0, person.account, slot, counter, 1, 0, bytes(64))
    else:
        price, flags = PRICE + rng.randrange(-100, 101) * 1000, rng.choice((0, FLAG_SELL))
        size = rng.randrange(1, 50)
        terms = OrderTerms(
            person.account, slot, counter, 1, 0, NEVER - 1, flags, price, size, 10_000, 0, ((perpetual(0), 1),)
        )
        bare = OrderOp(0, 0, terms, 0, bytes(64))
    return build_request(replace(bare, signature=person.session.sign(hash_digest(site.domain, bare))))


async def start_everything(site: Site) -> None:
    """Every role, everybody's account, and a price."""
    for name, options in (
        ("sequencer", ()),
        ("watchtower", ("--key", str(site.folder / "keys" / "wallet.json"))),
        ("follower", ()),
        ("oracle", ()),
    ):
        await site.add_role(name, *options).start()
    assert await site.wait_until_ready(), site.roles["sequencer"].read_log()
    await site.open_accounts()


async def measure(site: Site) -> Run:
    """Start, send everything, and wait until the follower shows the batch that came last."""
    async with trio.open_nursery() as nursery:
        with trio.fail_after(START_SECONDS_MAX):
            await start_everything(site)
            nursery.start_soon(feed_oracle, site.roles["oracle"], [PRICE])
            await site.wait_until_open()
        path = site.folder / "requests"
        path.write_bytes(msgpack.packb(list(draw_requests(site, random.Random(1)))))
        command = [sys.executable, "-m", "tests.bench.load_client", str(site.port), str(path), "0"]
        done = await trio.run_process(command, capture_stdout=True, cwd=Path(__file__).parents[2])
        result = json.loads(done.stdout)
        answered = time.perf_counter()
        sealed = await site.read_sealed()
        with trio.fail_after(START_SECONDS_MAX):
            while ((await site.read_follower()) or (0, b"", None))[0] < sealed:  # noqa: ASYNC110
                await trio.sleep(0.1)
        nursery.cancel_scope.cancel()
    return Run(result["codes"]["0"], result["filled"], result["seconds"], time.perf_counter() - answered)


@functools.cache
def run_once() -> Run:
    """About a minute, most of it spent on deploying and on opening accounts."""
    with TemporaryDirectory(prefix="keel-bench-") as name, run_anvil(block_seconds=1) as anvil:
        site = build_site(Path(name) / "site", anvil, PEOPLE)
        with keep_no_process(site):
            return trio.run(measure, site)


def bench_all_roles_receipts_s() -> Measurement:
    """Receipts a second with every role on this machine, L1 and the people included."""
    run = run_once()
    return Measurement((run.acknowledged / run.seconds,), "1/s", more_is_better=True)


def bench_all_roles_fills() -> Measurement:
    """Requests among them that traded at once."""
    return Measurement((run_once().filled,), "requests", more_is_better=True)


def bench_all_roles_behind_s() -> Measurement:
    """From the last receipt until the follower shows, from L1, the last batch sealed by then."""
    return Measurement((run_once().seconds_behind,), "s")
