"""The short form of the torture, and the one thing that all receipts stand on: the disk has them first."""

import shutil
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import trio

from node.anvil import run_anvil
from node.op_log import LOG_FOLDER
from tests.torture.audit import Auditor
from tests.torture.campaign import Campaign
from tests.torture.load import Kept, trade
from tests.torture.site import Site, build_site, keep_no_process
from tests.torture.trace import STRACE, find_early_receipts, read_calls
from tests.torture.writes import Kind

PEOPLE = 4
RECEIPTS = 300
SECONDS_MAX = 120


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A rollup and people who have no account yet; nothing of the node runs."""
    folder = tmp_path_factory.mktemp("torture")
    with run_anvil(block_seconds=1) as anvil:
        site = build_site(folder / "site", anvil, PEOPLE)
        with keep_no_process(site):
            site.add_role("sequencer")
            site.add_role("oracle")
            yield site


async def trade_until(site: Site, kept: Kept, count: int, seed: int) -> None:
    """Everybody, until so many receipts more are kept."""
    enough = len(kept.answers) + count
    with trio.fail_after(SECONDS_MAX):
        async with trio.open_nursery() as nursery:
            for number, person in enumerate(site.people):
                nursery.start_soon(trade, site, person, kept, seed + number)
            while len(kept.answers) < enough:  # noqa: ASYNC110
                await trio.sleep(0.05)
            nursery.cancel_scope.cancel()


@pytest.mark.slow
async def test_no_receipt_leaves_before_its_record_is_synced(site: Site, tmp_path: Path, seed: int) -> None:
    """Of a sequencer under load strace tells every write, sync and send, in order."""
    if shutil.which("strace") is None:
        pytest.skip("no strace (Debian: apt-get install strace)")
    role, file, kept = site.roles["sequencer"], tmp_path / "trace", Kept()
    plain, role.command = role.command, [*STRACE, "-o", str(file), *role.command]
    await role.start()
    assert await site.wait_until_ready(), role.read_log()
    await site.open_accounts()
    await trade_until(site, kept, RECEIPTS, seed)
    await role.stop()
    role.command = plain

    calls = list(read_calls(file.read_text().splitlines()))
    count, early = find_early_receipts(calls)

    assert count >= RECEIPTS
    assert early == []
    without_syncs = [call for call in calls if call.name not in ("fsync", "fdatasync")]
    assert len(find_early_receipts(without_syncs)[1]) == count


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["fdatasync:error=EIO", "write:error=ENOSPC"])
async def test_a_disk_that_fails_ends_the_node_and_loses_nothing(
    site: Site, fault: str, tmp_path: Path, seed: int
) -> None:
    """A sync that fails, and a disk that is full, of LevelDB's own journal: no receipt is given on either."""
    if shutil.which("strace") is None:
        pytest.skip("no strace (Debian: apt-get install strace)")
    campaign = Campaign(site, seed, hits=1, deadline=time.monotonic() + SECONDS_MAX, say=print)
    campaign.auditor = await trio.to_thread.run_sync(Auditor, site, campaign.kept)
    with trio.fail_after(SECONDS_MAX):
        await campaign.restart()
        await site.open_accounts()
        assert campaign.sequencer.process is not None
        journal = max((site.folder / "data" / LOG_FOLDER / "leveldb").glob("*.log"))
        call = fault.partition(":")[0]
        command = ["strace", "--follow-forks", "--quiet=all", f"--trace={call}", f"--trace-path={journal}"]
        command += [f"--inject={fault}:when={3 + seed % 20}", "-o", str(tmp_path / "trace")]
        async with trio.open_nursery() as nursery:
            command += [f"--attach={campaign.sequencer.process.pid}"]
            nursery.start_soon(partial(trio.run_process, command, check=False))
            for number, person in enumerate(site.people):
                nursery.start_soon(trade, site, person, campaign.kept, seed + number)
            await campaign.sequencer.wait()
            await campaign.audit()
            nursery.cancel_scope.cancel()

    assert "INJECTED" in (tmp_path / "trace").read_text()
    assert "a write failed" in campaign.sequencer.read_log()
    assert campaign.auditor.checked == len(campaign.kept.answers) > 0


@pytest.mark.slow
async def test_nothing_acknowledged_is_lost_to_a_kill_within_a_write(site: Site, seed: int) -> None:
    """Three kinds of writes, each cut at a drawn byte; what is left is what an uninterrupted engine comes to."""
    campaign = Campaign(site, seed, hits=1, deadline=time.monotonic() + SECONDS_MAX, say=print)
    campaign.auditor = await trio.to_thread.run_sync(Auditor, site, campaign.kept)
    with trio.fail_after(SECONDS_MAX):
        await campaign.restart()
        await site.open_accounts()
        async with trio.open_nursery() as nursery:
            for number, person in enumerate(site.people):
                nursery.start_soon(trade, site, person, campaign.kept, seed + number)
            for kind in (Kind.LOG_GROUP, Kind.RECEIPT, Kind.SEALED_BATCH):
                await campaign.die_at_a_byte(kind)
            await campaign.sequencer.kill()
            await campaign.audit()
            nursery.cancel_scope.cancel()

    assert campaign.counts.total() == 3
    assert campaign.auditor.checked == len(campaign.kept.answers) > 0
