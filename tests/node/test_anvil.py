"""The development L1 refuses what a real one would, finalizes, keeps its state and goes away when told."""

import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from node.anvil import Anvil, AnvilError, RequestError, open_anvil, run_anvil, start_anvil
from tests.node.reorgs import list_transactions, reorganize

GAS_CAP = 16_777_216


@pytest.fixture(scope="module")
def l1() -> Iterator[Anvil]:
    """A chain of this file's own: its clock is moved."""
    with run_anvil() as running:
        yield running


def send(l1: Anvil, **fields: Any) -> dict[str, Any]:
    """Send from the first account, wait for the block, return the receipt."""
    fields = {"from": l1.request("eth_accounts")[0], "gas": hex(GAS_CAP)} | fields
    transaction = l1.request("eth_sendTransaction", fields)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if receipt := l1.request("eth_getTransactionReceipt", transaction):
            return receipt
    raise AssertionError("no receipt within ten seconds")


def deploy_code_of(l1: Anvil, size: int) -> dict[str, Any]:
    """Deploy `size` bytes of nothing: PUSH2 size, PUSH1 0, RETURN."""
    return send(l1, data=f"0x61{size:04x}6000f3")


def get_block(l1: Anvil, tag: str) -> dict[str, int]:
    block = l1.request("eth_getBlockByNumber", tag, False)
    return {"number": int(block["number"], 16), "timestamp": int(block["timestamp"], 16)}


def test_request_of_an_unknown_method_is_an_error(l1: Anvil) -> None:
    """An error of the L1 is raised with its code, not returned."""
    with pytest.raises(RequestError, match="keel_unknown") as raised:
        l1.request("keel_unknown")

    assert raised.value.code == -32601


def test_transaction_above_the_gas_cap_is_refused(l1: Anvil) -> None:
    """EIP-7825 is on: 2^24 gas may be asked for, one more may not."""
    assert send(l1, to="0x" + "00" * 20)["status"] == "0x1"
    with pytest.raises(RequestError, match="tx_gas_limit_cap"):
        send(l1, to="0x" + "00" * 20, gas=hex(GAS_CAP + 1))


def test_code_above_the_size_limit_is_not_deployed(l1: Anvil) -> None:
    """EIP-170 is on: 24,576 bytes of code may stand on chain, one more may not."""
    assert deploy_code_of(l1, 24_576)["status"] == "0x1"
    assert deploy_code_of(l1, 24_577)["status"] == "0x0"


def test_finalized_follows_two_blocks_behind(l1: Anvil) -> None:
    """With epochs of one slot, a block is final once two stand on it."""
    l1.request("anvil_mine", hex(3))

    head = get_block(l1, "latest")["number"]
    assert get_block(l1, "safe")["number"] == head - 1
    assert get_block(l1, "finalized")["number"] == head - 2


def test_a_reorg_forgets_what_was_mined_and_keeps_the_height() -> None:
    """Of two transactions the one that is named is in a new block, the other nowhere; the clock has gone back."""
    with run_anvil(epoch_slots=4) as l1:
        l1.request("anvil_mine", hex(12))
        kept, lost = (send(l1, to="0x" + "00" * 20, **{"from": l1.request("eth_accounts")[n]}) for n in (0, 1))
        l1.request("evm_increaseTime", 1000)
        l1.request("evm_mine")
        finalized, head = get_block(l1, "finalized"), get_block(l1, "latest")
        ((raw, _), _) = list_transactions(l1, 3)
        l1.request("anvil_reorg", 3, [[raw, 2]])

        assert get_block(l1, "finalized") == finalized
        assert get_block(l1, "latest")["number"] == head["number"]
        assert get_block(l1, "latest")["timestamp"] < head["timestamp"] - 900
        (block, gone) = (l1.request("eth_getTransactionReceipt", one["transactionHash"]) for one in (kept, lost))
        assert int(block["blockNumber"], 16) == head["number"]
        assert gone is None
        assert l1.request("eth_getTransactionByHash", lost["transactionHash"]) is None
        assert l1.request("txpool_status") == {"pending": "0x0", "queued": "0x0"}


def test_a_reorg_leaves_the_pool_alone_but_for_what_waits_behind_a_gap() -> None:
    """Two wait; one of them behind a transaction that the reorg forgets, and the next block drops it."""
    with run_anvil(epoch_slots=4) as l1:
        l1.request("anvil_mine", hex(9))
        one, other = l1.request("eth_accounts")[:2]
        send(l1, to=one, **{"from": one})
        l1.request("evm_setAutomine", False)
        waiting = [
            l1.request("eth_sendTransaction", {"from": who, "to": one, "gas": hex(21_000)}) for who in (one, other)
        ]
        reorganize(l1, 1)
        assert [l1.request("eth_getTransactionReceipt", hash_text) for hash_text in waiting] == [None, None]
        l1.request("evm_mine")

        behind_gap, free = (l1.request("eth_getTransactionByHash", hash_text) for hash_text in waiting)
        assert behind_gap is None
        assert free["blockNumber"] is not None


def test_next_timestamp_is_what_was_asked_and_never_goes_back(l1: Anvil) -> None:
    """Tests skip time block by block, forwards only."""
    target = get_block(l1, "latest")["timestamp"] + 86_400
    l1.request("evm_setNextBlockTimestamp", target)
    l1.request("evm_mine")

    assert get_block(l1, "latest")["timestamp"] == target
    with pytest.raises(RequestError, match="Timestamp error"):
        l1.request("evm_setNextBlockTimestamp", target - 1)


def test_calldata_of_a_full_batch_comes_back_whole(l1: Anvil, seed: int) -> None:
    """120 KiB of calldata are taken, charged at the calldata floor, and answered as the transaction's input."""
    data = random.Random(seed).randbytes(120 * 1024)
    receipt = send(l1, to="0x" + "00" * 20, data="0x" + data.hex())

    transaction = l1.request("eth_getTransactionByHash", receipt["transactionHash"])
    assert bytes.fromhex(transaction["input"][2:]) == data
    zeros = data.count(0)
    assert int(receipt["gasUsed"], 16) == 21_000 + 40 * (len(data) - zeros) + 10 * zeros


def test_state_file_carries_the_chain_over_a_restart(tmp_path: Path) -> None:
    """A chain stopped and started on its state file stands at the same head."""
    state_file = tmp_path / "l1.json"
    with run_anvil(state_file=state_file, timestamp=1_700_000_000) as before:
        deployed = deploy_code_of(before, 100)["contractAddress"]
        head = before.request("eth_getBlockByNumber", "latest", False)

    with run_anvil(state_file=state_file) as after:
        assert after.request("eth_getBlockByNumber", "latest", False) == head
        assert after.request("eth_getCode", deployed, "latest") == "0x" + "00" * 100


def test_leaving_the_block_stops_the_process() -> None:
    """No process outlives its `with` block, whatever happens inside."""
    with pytest.raises(ZeroDivisionError), run_anvil() as running:
        raise ZeroDivisionError

    assert running.process.returncode is not None


def test_a_process_that_does_not_start_says_why() -> None:
    """A port in use and an unknown rule set are errors with anvil's own words."""
    with run_anvil() as running, pytest.raises(AnvilError, match="in use"):
        start_anvil(port=running.port)
    with pytest.raises(AnvilError, match="atlantis"):
        start_anvil(hardfork="atlantis")


async def test_open_anvil_mines_by_time_and_stops_when_cancelled() -> None:
    """Under trio the L1 makes its own blocks, and a cancelled scope takes it along."""
    with trio.move_on_after(20) as scope:
        async with open_anvil(block_seconds=1) as running:
            while await trio.to_thread.run_sync(lambda: get_block(running, "latest")["number"]) < 1:
                await trio.lowlevel.checkpoint()
            scope.cancel()
            await trio.sleep_forever()

    assert scope.cancelled_caught
    assert running.process.returncode is not None


async def test_watch_reports_a_process_that_ends_by_itself() -> None:
    """Whoever runs an L1 hears of its death at once."""
    async with open_anvil() as running:
        running.process.send_signal(signal.SIGKILL)
        with pytest.raises(AnvilError, match="status -9"):
            await running.watch()
