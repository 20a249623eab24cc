"""A sender's word: whatever crashes and however the L1 reorganizes, each call that was made is mined exactly once."""

import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from node.amounts import ETHER
from node.anvil import Anvil, run_anvil
from node.errors import L1Refused
from node.keys import Secp256k1Key
from node.l1 import L1, Call
from node.transactions import Mined, Sender
from tests.node.reorgs import list_transactions, reorganize

KEY = Secp256k1Key(bytes([77]) * 32)
EPOCH = 8


class Crash(BaseException):
    """The end of a process: nobody catches it."""


class CrashingL1:
    """An L1 before whose n-th answer, or after whose n-th request, the process ends."""

    def __init__(self, l1: L1, number: int, *, is_after: bool) -> None:
        self._l1, self._number, self._is_after = l1, number, is_after

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def ask(*arguments: Any) -> Any:
            self._number -= 1
            if self._number == 0 and not self._is_after:
                raise Crash
            answer = getattr(self._l1, name)(*arguments)
            if self._number == 0:
                raise Crash
            return answer

        return ask

    @property
    def is_spent(self) -> bool:
        return self._number <= 0


def pay(shop: int) -> Call:
    """Each to an address of its own: how often it happened can be read there."""
    return Call(shop.to_bytes(20), b"", 1, "pay")


def fund(anvil: Anvil) -> None:
    anvil.request("anvil_setBalance", "0x" + KEY.address.hex(), hex(1_000 * ETHER))


@pytest.mark.slow
def test_a_crash_at_any_request_sends_nothing_twice(tmp_path: Path) -> None:
    """Two payments; the process dies before or after each of its requests in turn; its next life pays the rest."""
    shops = iter(range(1_000, 2**20))
    with run_anvil() as anvil:
        fund(anvil)
        l1 = L1([anvil.url])
        for is_after in (False, True):
            for number in range(1, 1_000):
                wanted = [next(shops) for _ in range(2)]
                crashing = CrashingL1(l1, number, is_after=is_after)
                crash_at(crashing, tmp_path / "journal", wanted)
                pay_the_rest(l1, tmp_path / "journal", wanted)
                assert [l1.get_balance(shop.to_bytes(20)) for shop in wanted] == [1, 1], (number, is_after)
                if not crashing.is_spent:
                    break
            assert number > 20


def crash_at(l1: Any, journal: Path, shops: list[int]) -> None:
    sender = None
    try:
        sender = Sender(l1, KEY, journal, poll_seconds=0.001)
        for shop in shops:
            sender.send(pay(shop))
    except Crash:
        return
    finally:
        if sender is not None:
            sender.close()


def pay_the_rest(l1: L1, journal: Path, shops: list[int]) -> None:
    """What every role does at its start: wait for what was on its way, look, and act on what is missing."""
    with Sender(l1, KEY, journal, poll_seconds=0.001) as sender:
        sender.settle()
        for shop in shops:
            if not l1.get_balance(shop.to_bytes(20)):
                assert isinstance(sender.send(pay(shop)), Mined)


def test_the_first_offer_is_mined_after_all(tmp_path: Path) -> None:
    """It was offered dearer and the network took the older offer: one end, of that one, also after a restart."""
    with run_anvil() as anvil:
        fund(anvil)
        anvil.request("evm_setAutomine", False)
        l1 = L1([anvil.url])
        with Sender(l1, KEY, tmp_path / "journal", bump_after_blocks=1) as sender:
            nonce = sender.begin(pay(1_000))
            waiting = "0x" + sender._journal.entries[nonce].hashes[0].hex()
            first = anvil.request("eth_getRawTransactionByHash", waiting)
            anvil.request("anvil_setNextBlockBaseFeePerGas", hex(20 * 10**9))
            anvil.request("evm_mine")
            assert sender.poll(nonce) is None
            early, late = sender._journal.entries[nonce].hashes
        anvil.request("anvil_dropTransaction", "0x" + late.hex())
        anvil.request("anvil_setNextBlockBaseFeePerGas", hex(10**9))
        anvil.request("eth_sendRawTransaction", first)
        anvil.request("evm_mine")
        with Sender(l1, KEY, tmp_path / "journal") as sender:
            (end,) = sender.settle()
            assert isinstance(end, Mined)
            assert end.hash == early
        assert l1.get_balance((1_000).to_bytes(20)) == 1


@pytest.mark.parametrize("round_number", range(6))
def test_reorgs_restarts_and_dear_blocks_in_any_order(tmp_path: Path, seed: int, round_number: int) -> None:
    """Sends, reorgs that keep some transactions and lose others, restarts and fee jumps, drawn; then calm returns."""
    rng = random.Random(seed + round_number)
    begun: list[int] = []
    with run_anvil(epoch_slots=EPOCH) as anvil:
        fund(anvil)
        anvil.request("anvil_mine", 2 * EPOCH + 2)
        anvil.request("evm_setAutomine", False)
        l1 = L1([anvil.url])
        sender = Sender(l1, KEY, tmp_path / "journal", bump_after_blocks=2)
        for _ in range(40):
            match rng.choice(("send", "send", "poll", "mine", "mine", "reorg", "restart", "dear")):
                case "send":
                    with suppress(L1Refused):  # too dear just now: then nothing was sent
                        sender.begin(pay(1_000 + len(begun)))
                        begun.append(1_000 + len(begun))
                case "poll":
                    poll_all(sender)
                case "mine":
                    anvil.request("evm_mine")
                case "reorg":
                    depth = rng.randint(1, 2 * EPOCH)
                    reorganize(anvil, depth, draw_kept(rng, list_transactions(anvil, depth), depth))
                case "restart":
                    sender.close()
                    sender = Sender(l1, KEY, tmp_path / "journal", bump_after_blocks=2)
                case "dear":
                    anvil.request("anvil_setNextBlockBaseFeePerGas", hex(rng.choice((1, 3, 9)) * 10**9))
        bring_to_rest(anvil, sender)
        sender.close()
        assert [l1.get_balance(shop.to_bytes(20)) for shop in begun] == [1] * len(begun)
        assert l1.get_nonce(KEY.address) == len(begun) + 1


def draw_kept(rng: random.Random, mined: list[tuple[str, int]], depth: int) -> list[tuple[str, int]]:
    """Some of them, in later blocks and now and then out of order."""
    return [(raw, rng.randrange(block, depth)) for raw, block in mined if rng.random() < 0.5]


def poll_all(sender: Sender) -> None:
    for nonce, entry in sorted(sender._journal.entries.items()):
        if entry.ended_block is None:
            sender.poll(nonce)


def bring_to_rest(anvil: Anvil, sender: Sender) -> None:
    """No more reorgs; what every role does: go on polling what waits, and begin something now and then."""
    for _ in range(40):
        poll_all(sender)
        anvil.request("evm_mine")
    sender.begin(Call(bytes(20), b"", 0, "the next transaction"))
    for _ in range(3):
        poll_all(sender)
        anvil.request("evm_mine")
