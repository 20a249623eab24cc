"""A backlog on a real L1: what waits is posted together."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from nacl.signing import SigningKey

from node.client import Client, open_client
from sequencer.batcher import SealRule
from sequencer.derivation import L1Cursor
from sequencer.requests import build_request
from state.l1_events import BatchPosted
from state.leaves import decode_account
from state.operations import Transfer, hash_digest
from tests.node.test_vertical import ALICE, BOB, Stage, open_stage, read_status, until

TRANSFERS = 60
# Four transfers: they come faster than blocks.
BATCH_BYTES = 500


async def send_transfers(stage: Stage, client: Client) -> None:
    """From Alice to Bob, one behind the other."""
    domain, key = stage.rollup.get_domain(), SigningKey(ALICE.secret)
    for sequence in range(1, TRANSFERS + 1):
        bare = Transfer(0, 1, sequence, 2, 0, 1_000, 0, bytes(64))
        request = build_request(replace(bare, signature=key.sign(hash_digest(domain, bare)).signature))
        await client.call("submit", request)


async def has_key(client: Client, account: int) -> bool:
    found = decode_account(await client.call("account", account))  # type: ignore[arg-type]
    return found is not None and bool(found.keys)


def list_batches(stage: Stage) -> list[BatchPosted]:
    """As L1 holds them."""
    _, events = stage.rollup.read_events(L1Cursor(), 0, stage.l1.get_block().number)
    return [event for event in events if isinstance(event, BatchPosted)]


@pytest.mark.slow
async def test_batches_that_wait_are_posted_together(tmp_path: Path) -> None:
    """Several of them stand in one block, in their order, and everything that was receipted is on L1."""
    async with open_stage(tmp_path) as stage:
        desk = await stage.start_sequencer(seal=SealRule(bytes_max=BATCH_BYTES, age_max=1))
        await stage.fund(ALICE, 1, stage.senders[0])
        await stage.fund(BOB, 2, stage.senders[0])
        async with open_client("127.0.0.1", desk.port) as client:
            await until(lambda: has_key(client, 1))
            await until(lambda: has_key(client, 2))
            # From here on a block comes with the clock, and not with each transaction.
            stage.anvil.request("evm_setAutomine", False)
            await send_transfers(stage, client)
            position = (await read_status(client))[1]
            posted: list[BatchPosted] = []

            def is_all_posted() -> bool:
                posted[:] = list_batches(stage)
                last = stage.rollup.get_batch(posted[-1].index) if posted else None
                return last is not None and last.position_to >= position

            await until(is_all_posted)

    assert [batch.index for batch in posted] == list(range(1, len(posted) + 1))
    assert max(Counter(batch.block for batch in posted).values()) > 1
