"""A disk that fails under a running sequencer: whoever has a receipt is in the log, and nobody else has one."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from nacl.signing import SigningKey

from node.client import Client, GatewayUnreachable, open_client
from node.gateway import MethodError
from node.logs import Log
from node.sequencer_role import Sequencer, SequencerSettings, run_sequencer
from sequencer.oplog import decode_record
from sequencer.refusals import Refusal
from sequencer.requests import build_request
from state.leaves import decode_account
from state.operations import Cancel, hash_digest
from state.receipts import ReceiptBody, decode_receipt
from state.store import Store, StoreError
from tests.node.test_vertical import ALICE, OPERATOR, Stage, open_stage, read_status, until

ROOM_BYTES = 20_000


@contextmanager
def limit_files(folder: Path) -> Iterator[None]:
    """A file system on which no file grows by more than ROOM_BYTES: every write beyond it fails, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    largest = max(path.stat().st_size for path in folder.rglob("*.log"))
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest + ROOM_BYTES, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def run_until_the_disk_fails(stage: Stage, ports: list[int], failures: list[BaseException]) -> None:
    """The operator's sequencer; its end is noted, not raised."""
    settings = SequencerSettings(port=0, poll_seconds=0.1, tick_seconds=60)
    sender, log = stage.sender(OPERATOR), Log("sequencer")
    with Store(stage.folder / "data") as store:
        sequencer = Sequencer(stage.rollup, sender, store, OPERATOR.secret, settings, log)
        try:
            await run_sequencer(sequencer, settings, log, on_start=ports.append)
        except* StoreError as group:
            failures.extend(group.exceptions)
        finally:
            sender.close()


async def cancel(stage: Stage, client: Client, counter: int) -> bytes:
    """Forbid a counter of slot 0, which is always in order while counters rise; the receipt."""
    generation, *_ = await read_status(client)
    bare = Cancel(0, 1, 0, counter, generation, 0, bytes(64))
    signature = SigningKey(ALICE.secret).sign(hash_digest(stage.rollup.get_domain(), bare)).signature
    answer = await client.call("submit", build_request(Cancel(0, 1, 0, counter, generation, 0, signature)))
    assert isinstance(answer, list)
    assert isinstance(answer[0], bytes)
    return answer[0]


async def cancel_until_refused(stage: Stage, client: Client) -> tuple[list[ReceiptBody], int | None]:
    """Every receipt, and the code of the first refusal; None when the connection was gone before."""
    receipts: list[ReceiptBody] = []
    while True:
        try:
            receipt = decode_receipt(await cancel(stage, client, len(receipts) + 1))
        except MethodError as error:
            return receipts, error.code
        except GatewayUnreachable:
            return receipts, None
        assert receipt is not None
        assert receipt.recover(stage.rollup.get_domain()) == OPERATOR.address
        receipts.append(receipt.body)


@pytest.mark.slow
async def test_a_failing_write_is_a_refusal_and_never_a_receipt(tmp_path: Path) -> None:
    """The node tells whoever waits, and ends; its log holds every receipt, and a new start goes on behind them."""
    ports: list[int] = []
    failures: list[BaseException] = []
    async with open_stage(tmp_path) as stage:
        await stage.fund(ALICE, 1, stage.senders[0])
        stage.nursery.start_soon(run_until_the_disk_fails, stage, ports, failures)
        await until(lambda: bool(ports))
        async with open_client("127.0.0.1", ports[0]) as client:

            async def is_funded() -> bool:
                account = decode_account(await client.call("account", 1))  # type: ignore[arg-type]
                return account is not None and bool(account.keys)

            await until(is_funded)
            with limit_files(tmp_path / "data"):
                receipts, code = await cancel_until_refused(stage, client)
                await until(lambda: bool(failures))
        assert code == Refusal.LOG_NOT_WRITTEN
        assert len(receipts) > 10
        with Store(tmp_path / "data") as store:
            log = dict(store.read_log(receipts[0].generation, 0))
        for counter, receipt in enumerate(receipts, 1):
            record = decode_record(receipt.position, log[receipt.position])
            assert int.from_bytes(record.body[7:15]) == counter

        ports.clear()
        stage.nursery.start_soon(run_until_the_disk_fails, stage, ports, failures)
        await until(lambda: bool(ports))
        async with open_client("127.0.0.1", ports[0]) as client:
            again = decode_receipt(await cancel(stage, client, len(receipts) + 2))
            assert again is not None
            assert again.body.position > receipts[-1].position
        assert len(failures) == 1
