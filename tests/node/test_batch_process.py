"""Batches in a process of their own: the same bytes and the same roots as here, and nothing that the log has not."""

import os
import random
import signal
from pathlib import Path

import pytest

from node.batch_process import STEPS_TOLD_AT_ONCE, BatchWorkerEnded, run_batch_process
from sequencer.batcher import open_batcher
from state.batches import decode_header
from tests.node.test_sequencer_core import PRICE, Desk


def test_batches_are_those_of_the_reference(tmp_path: Path, seed: int) -> None:
    """Batch after batch behind the same parent, of whatever a desk has taken; a new state begins anew."""
    desk = Desk(tmp_path, seed)
    with run_batch_process() as process:
        for _ in range(2):
            leaves, parent = dict(desk.core.engine.leaves), bytes([seed & 0xFF]) * 32
            here, there = open_batcher(leaves, parent), process.open_batcher(leaves, parent)
            assert there.root == here.root
            for _ in range(3):
                # Most of it is told while it is open.
                while desk.core.engine.pending_count <= 2 * STEPS_TOLD_AT_ONCE:
                    desk.keep(desk.core.take(desk.ask()).records)
                    there.advance(desk.core.engine.pending)
                sealed, _ = desk.core.seal()
                assert there.build(sealed) == here.build(sealed)
                assert (there.root, there.parent) == (here.root, here.parent)
            parent = there.parent
    desk.store.close()


def test_a_batch_that_is_sealed_and_not_written_comes_again(tmp_path: Path, seed: int) -> None:
    """The process dies with two batches before it and requests behind them: the log gives one batch of all of it."""
    rng = random.Random(seed)
    with run_batch_process() as process:
        desk = Desk(tmp_path, seed, process.open_batcher)
        sealings = []
        for _ in range(2):
            for _ in range(rng.randrange(1, 5)):
                desk.keep(desk.core.take(desk.ask()).records)
            sealings.append(desk.core.begin_seal())
        desk.keep(desk.core.take([desk.market.order("alice", 10, PRICE)]).records)
        position, log_hash = desk.core.engine.next_position, desk.core.engine.log_hash
        os.kill(process.pid, signal.SIGKILL)
        for sealing in sealings:
            with pytest.raises(BatchWorkerEnded):
                sealing.write()
    with run_batch_process() as process:
        desk.open_batcher = process.open_batcher

        desk.crash()

        assert (desk.core.engine.next_position, desk.core.engine.log_hash) == (position, log_hash)
        assert desk.core.sealed == {}
        sealed, batch = desk.core.seal()
        assert sealed.header.position_to == position
        assert desk.core.batcher.parent == batch.batch_hash
        assert decode_header(batch.header).post_root == desk.core.batcher.root
    desk.store.close()
