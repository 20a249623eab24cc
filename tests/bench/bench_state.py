"""What the state costs: time for a root after every step, and memory for an account that does nothing."""

import functools
import gc
import random
import tracemalloc

from fraud_proofs.challenger import State
from state.constants import NEVER
from state.leaves import Account, SessionKey
from state.tree import LeafKey, Tree, account_key, build_tree, hash_leaf
from tests.bench import Measurement, measure_us
from tests.workload import random_steps
from tests.world import open_market

ACCOUNTS = 100_000
STEPS = 3_000


def build_idle_leaves() -> dict[LeafKey, bytes]:
    """Accounts with some dollars and one session key."""
    return {
        account_key(number): Account(
            owner=number.to_bytes(20),
            cash=1_000_000 * number,
            keys=(SessionKey(number.to_bytes(32), 7, NEVER),),
        ).encode()
        for number in range(1, ACCOUNTS + 1)
    }


@functools.cache
def get_idle_tree() -> Tree:
    """The tree over them; roots of other leaves may be written into it, for its shape stays."""
    return build_tree(build_idle_leaves().items())


def time_updates(tree: Tree, updates: list[dict[LeafKey, bytes]]) -> Measurement:
    """Microseconds for the root after each update, one after the other."""

    def update_all() -> int:
        for update in updates:
            tree.update(update)
        return len(updates)

    return Measurement(measure_us(update_all), "us a step")


def bench_step_root_us() -> Measurement:
    """The root after every step that writes two accounts, anywhere among 100 000."""
    chance = random.Random(1)
    pairs = [chance.sample(range(1, ACCOUNTS + 1), 2) for _ in range(STEPS)]
    updates = [{account_key(number): chance.randbytes(32) for number in pair} for pair in pairs]
    measured = time_updates(get_idle_tree(), updates)
    return Measurement(measured.runs, measured.unit, target=60)


def bench_step_root_mixed_us() -> Measurement:
    """The root after every step of a random history of all kinds of ops, beside 100 000 idle accounts."""
    world = open_market(1)
    updates = []
    before = dict(world.state.leaves)
    for _ in random_steps(world, STEPS // 3):
        after = world.state.leaves
        updates.append({key: hash_leaf(key, data) for key, data in after.items() if before.get(key) != data})
        before = dict(after)
        world.steps.clear()
    return time_updates(get_idle_tree(), updates)


def bench_account_bytes() -> Measurement:
    """Memory of leaves and tree for each idle account, as the interpreter counts its own allocations."""
    gc.collect()
    tracemalloc.start()
    leaves = build_idle_leaves()
    state = State(leaves, build_tree(leaves.items()))
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(state.leaves) == ACCOUNTS
    return Measurement((used / ACCOUNTS,), "bytes", target=1024)
