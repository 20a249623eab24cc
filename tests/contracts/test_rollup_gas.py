"""What calls of the rollup cost on a real node, as contracts/README.md states it."""

import random
import re
from collections.abc import Iterator

import pytest

from fraud_proofs.challenger import Proof
from fraud_proofs.grounds import MALFORMED
from fraud_proofs.witness import Witness
from node.anvil import Anvil, run_anvil
from node.contracts import SOURCES
from state.batches import BatchData, Frame, decode_frame
from state.constants import BATCH_BYTES_MAX, FRAME_BYTES_MAX, FRAMES_MAX
from state.leaves import Withdrawal
from state.tree import Collection, Path, compute_root, get_depth, hash_leaf, leaf_key
from tests.contracts.l1_evm import L1Evm
from tests.contracts.rollup_chain import DEPOSIT_MAX, ETH, ETH_UNIT, FEE, WINDOW, Chain, address
from tests.contracts.test_rollup_batches import HOLDER, fill_batch

STEPS_PER_FRAME_MAX = (FRAME_BYTES_MAX - 38) // 35

ROW = re.compile(r"^\| `(\w+)`,? ?([^|]*?) \| ([\d,]+) \|$", re.MULTILINE)
SECTION = "## Gas of the rollup"


@pytest.fixture
def l1() -> Iterator[Anvil]:
    """A development L1 of its own: time is bent here."""
    with run_anvil() as running:
        yield running


def read_stated_gas() -> dict[str, int]:
    """Call -> gas, from the table in contracts/README.md."""
    text = (SOURCES / "README.md").read_text().partition(SECTION)[2].partition("\n## ")[0]
    return {f"{call} {case}".strip(): int(gas.replace(",", "")) for call, case, gas in ROW.findall(text)}


class Meter:
    """A rollup on a real node, and what each call of it cost."""

    def __init__(self, l1: Anvil) -> None:
        evm = L1Evm(l1)
        self.token = evm.deploy("token", "Dollar", "USD", 6)
        self.chain = Chain(((ETH, ETH_UNIT, DEPOSIT_MAX), (self.token.address, 1, DEPOSIT_MAX)), evm=evm)
        self.user = self.chain.person("user")
        self.token.send("mint", self.user, 10**30)
        self.token.send("approve", self.chain.rollup.address, 2**256 - 1, sender=self.user)
        self.gas: dict[str, int] = {}

    def send(self, case: str, function: str, *arguments: object, **options: object) -> None:
        """A call that is metered under its name and case."""
        self.gas[f"{function} {case}".strip()] = self.chain.do(function, *arguments, **options).gas_used

    def meter_users(self) -> None:
        """Messages of every kind; the second of a kind, since the first one fills empty slots."""
        key = random.Random(1).randbytes(32)
        for _ in range(2):
            self.send("of ether", "deposit", 0, 10**8, 7, sender=self.user, value=FEE + 10**8 * ETH_UNIT)
            self.send("of a token", "deposit", 1, 10**14, 7, sender=self.user, value=FEE)
            self.send("", "register_key", 7, key, 7, 2**64 - 1, sender=self.user, value=FEE)
            self.send("", "force_withdraw", 7, 1, 10**14, sender=self.user, value=FEE)
            self.send("", "cancel_all", 7, sender=self.user, value=FEE)

    def meter_batches(self) -> None:
        """The smallest and the largest batches of a holder who has submitted before, and the dearest proof of noise."""
        chain = self.chain
        self.send("", "post_bond", sender=chain.person("holder"), value=chain.read("required_bond"))
        self.send("", "take_slot", sender=HOLDER)
        chain.post(HOLDER)
        self.send("of 3 steps", "submit_batch", chain.draft(HOLDER, b"\x03").encode(), sender=HOLDER)
        small = chain.draft(HOLDER, *[b"\x06"] * (FRAMES_MAX - 2), frame_bytes=73)
        self.send("of 64 frames", "submit_batch", small.encode(), sender=HOLDER)
        self.send("of 110 KiB", "submit_batch", fill_batch(chain, BATCH_BYTES_MAX).encode(), sender=HOLDER)

        batch = self.build_noise()
        chain.do("submit_batch", batch.encode(), sender=HOLDER)
        proof = Proof(batch, FRAMES_MAX - 1, 0, MALFORMED, Witness(()))
        self.send("that the largest frame is noise", "prove", chain.read("tip"), proof.encode(), sender=self.user)

    def build_noise(self) -> BatchData:
        """Sixty-three frames of one step, and a full one of which the last step has no end."""
        honest = self.chain.draft(HOLDER, *[b"\x06"] * (FRAMES_MAX - 1 + STEPS_PER_FRAME_MAX - 2), frame_bytes=73)
        frames = [frame for frame in map(decode_frame, honest.frames) if frame is not None]
        rest = tuple(frame.steps[0] for frame in frames[FRAMES_MAX - 1 :])
        assert len(rest) == STEPS_PER_FRAME_MAX
        full = bytearray(Frame(frames[FRAMES_MAX - 1].pre_root, FRAMES_MAX - 1, rest).encode())
        full[-35:-33] = b"\xff\xff"
        return BatchData(honest.header, (*honest.frames[: FRAMES_MAX - 1], bytes(full)))

    def meter_claims(self) -> None:
        """A claim with every sibling there can be, and what it pays."""
        chain, rng = self.chain, random.Random(1)
        owner = address("owner")
        leaf = Withdrawal(bytes.fromhex(owner[2:]), 1, 10**14, 7).encode()
        key = leaf_key(Collection.OUTBOX, 2**32 - 1)
        siblings = tuple(rng.randbytes(32) for _ in range(get_depth(key)))
        path = Path(2 ** len(siblings) - 1, siblings)
        waiting = chain.read("inbox_count") - chain.read("batches", chain.read("tip"))[4]
        batch = chain.post(chain.bonded("heir"), root=compute_root(key, hash_leaf(key, leaf), path), take=waiting)
        chain.wait(WINDOW)
        chain.person("owner")
        self.send("", "finalise", batch)
        self.send("", "transfer_claim", 2**32 - 1, leaf, owner, sender=owner)
        self.send("with 35 siblings", "claim", 2**32 - 1, leaf, path.mask, list(siblings), batch)
        self.send("of a token", "collect", self.token.address, sender=owner)
        chain.do("withdraw_bond", sender=address("heir"))
        self.send("of ether", "collect", ETH, sender=address("heir"))


def test_gas_is_as_stated(l1: Anvil) -> None:
    """No call costs more than the table says, nor a tenth less; no transaction needs half of EIP-7825's cap."""
    meter = Meter(l1)
    meter.meter_users()
    meter.meter_batches()
    meter.meter_claims()
    stated = read_stated_gas()

    assert meter.gas.keys() == stated.keys()
    wrong = {call: gas for call, gas in meter.gas.items() if not 0.9 * stated[call] < gas <= stated[call]}
    assert not wrong, f"measured: {wrong}"
    assert max(meter.gas.values()) < 16_777_216 // 2


def test_delegated_account_cannot_submit(l1: Anvil) -> None:
    """An account that has delegated to code (EIP-7702) may hide its data in calls of that code, so it is refused."""
    chain = Chain(evm=L1Evm(l1))
    alice = chain.bonded("alice")
    l1.request("anvil_setCode", alice, "0xef0100" + chain.judge.address[2:])
    assert chain.refuse("submit_batch", chain.draft(alice).encode(), sender=alice) == "rollup: caller"
    l1.request("anvil_setCode", alice, "0x")

    chain.post(alice)
