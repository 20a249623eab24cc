"""What the devnet's flow costs on L1: bytes and gas of its posted batches, by what its receipts say.

The devnet posts small batches every second or two; what a batch costs by itself (some 200 k gas) is shared by few ops
there. A full batch shares it among hundreds: then the price of its bytes, 40 gas each by EIP-7623, is nearly all.
"""

import functools
import io
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

import trio

from devnet.console import Console
from devnet.network import build_network
from devnet.play import TRADERS, Play
from node.anvil import Anvil, open_anvil
from node.l1 import in_thread
from sequencer.derivation import BATCH_SUBMITTED
from state.batches import decode_batch, decode_frame
from state.codes import Kind
from state.l1_events import BatchPosted
from tests.bench import Measurement

STEPS_MIN = 500
SECONDS_MAX = 90
OVERHEAD = (Kind.OPEN, Kind.CLOSE, Kind.TICK)
"""Steps that no op of anybody's asks for."""


@functools.cache
def play_devnet() -> tuple[float, float]:
    """Bytes and gas for each op, over at least STEPS_MIN steps of a small devnet with a block a second."""
    return trio.run(measure_flow)


async def measure_flow() -> tuple[float, float]:
    """Run the network until enough was posted, then read L1."""
    with tempfile.TemporaryDirectory() as name:
        async with open_anvil() as anvil:
            network = await in_thread(build_network, Path(name), anvil, TRADERS)
            await in_thread(anvil.request, "evm_setIntervalMining", 1)
            async with AsyncExitStack() as stack, trio.open_nursery() as nursery:
                play = Play(network, Console(io.StringIO()), speed=60, block_seconds=1)
                await play.start(stack, nursery)
                with trio.fail_after(SECONDS_MAX):
                    await play.watch.wait_until(lambda: play.watch.steps >= STEPS_MIN)
                batches = list(play.watch.valid)
                nursery.cancel_scope.cancel()
            ops = sum(count_ops(batch) for batch in batches)
            gas = sum_gas(anvil, network.deployment.rollup, len(batches))
            return sum(len(batch.data) for batch in batches) / ops, gas / ops


def count_ops(batch: BatchPosted) -> int:
    """Steps of a batch that somebody asked for."""
    data = decode_batch(batch.data)
    assert data is not None
    frames = [frame for frame in map(decode_frame, data.frames) if frame is not None]
    return sum(step.op[0] not in OVERHEAD for frame in frames for step in frame.steps)


def sum_gas(anvil: Anvil, rollup: str, count: int) -> int:
    """Gas of the first `count` submissions, from their receipts."""
    wanted = {"address": rollup, "fromBlock": "0x0", "topics": ["0x" + BATCH_SUBMITTED.hex()]}
    logs = anvil.request("eth_getLogs", wanted)[:count]
    receipts = [anvil.request("eth_getTransactionReceipt", log["transactionHash"]) for log in logs]
    return sum(int(receipt["gasUsed"], 16) for receipt in receipts)


def bench_l1_bytes_per_op() -> Measurement:
    """Posted bytes for each op, headers, frames and roots included."""
    return Measurement((play_devnet()[0],), "bytes")


def bench_l1_gas_per_op() -> Measurement:
    """Gas of submit_batch for each op."""
    return Measurement((play_devnet()[1],), "gas")
