"""What calls of the rollup cost on a real node, as contracts/README.md states it."""

import random
import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
from coincurve import PrivateKey

from fraud_proofs.challenger import Proof
from fraud_proofs.contradiction_search import HeldReceipt, encode_batch, encode_step, list_steps
from fraud_proofs.contradictions import ContradictionKind
from fraud_proofs.grounds import MALFORMED
from fraud_proofs.witness import Witness, WitnessLeaf
from node.anvil import Anvil, run_anvil
from node.contracts import SOURCES
from state.batches import BatchData, Frame, Step, decode_frame, decode_header
from state.codes import Kind
from state.constants import BATCH_BYTES_MAX, FRAME_BYTES_MAX, FRAMES_MAX
from state.leaves import Order, Withdrawal, perpetual
from state.operations import Fill, OrderOp, OrderTerms, Tick, Transfer, hash_digest
from state.receipts import ReceiptBody, SignedReceipt
from state.tree import Collection, Path, compute_root, get_depth, hash_leaf, leaf_key, order_key
from tests.contracts.l1_evm import L1Evm
from tests.contracts.rollup_chain import BOND, DEPOSIT_MAX, ETH, ETH_UNIT, FEE, WINDOW, Chain, address
from tests.contracts.test_rollup_batches import HOLDER, fill_batch
from tests.world import get_address

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
            self.send("", "force_close", 7, True, sender=self.user, value=FEE)
            self.send("", "force_liquidate", 7, sender=self.user, value=FEE)
            self.send("", "take", 7, 1, 8, 10**6, 10**9, 2**64 - 1, sender=self.user, value=FEE)
            self.send("of a surface that five signed", "relay", True, key * 13, sender=self.user, value=2 * FEE)

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

    def meter_contradictions(self) -> None:
        """Each of a holder's key, before a prover who has nothing yet, in the longest frames of the fullest batch."""
        key, order, transfer = PrivateKey(b"\x09" * 32), build_order(), Transfer(0, 1, 1, 2, 0, 1, 0, bytes(64))
        holder = "0x" + get_address(key).hex()
        self.chain.evm.set_balance(holder, 1000 * BOND)
        self.chain.do("post_bond", sender=holder, value=self.chain.read("required_bond"))
        self.chain.do("take_slot", sender=holder)
        batch, leaf = build_fullest(self.chain, holder)
        index = self.chain.read("tip") + 1
        self.chain.do("submit_batch", batch.encode(), sender=holder)

        domain = self.chain.read("DOMAIN")
        generation = decode_header(batch.header).generation
        posted, steps = encode_batch(index, batch), list(list_steps(batch))
        at = next(number for number, step in enumerate(steps) if step.op[0] == Kind.FILL)
        left, right = (encode_step(batch, step) for step in steps[at : at + 2])
        held = {position: hold(key, domain, generation, position, transfer) for position in (FILLED, MISSED, ENDED)}
        replaced = hold(key, domain, generation, FILLED - 1, order)
        cancelled = replaced.data + replaced.encode_request() + posted + left + leaf
        missing = held[MISSED].data + held[MISSED].encode_request() + posted + left + right
        other = hold(key, domain, generation, MISSED, order).data
        for case, kind, rest in [
            ("by two receipts", ContradictionKind.TWO_RECEIPTS, held[MISSED].data + other),
            ("by another op", ContradictionKind.OTHER_OP, held[FILLED].data + posted + left),
            ("by another log", ContradictionKind.OTHER_LOG, held[ENDED].data + posted),
            ("by what is missing", ContradictionKind.MISSING, missing),
            ("by a cancelled order's fill", ContradictionKind.CANCELLED_FILL, cancelled),
        ]:
            self.send(case, "contradict", bytes([kind]) + rest, sender=self.chain.person(f"prover {kind}"))
            self.chain.do("post_bond", sender=holder, value=self.chain.read("required_bond"))
            self.chain.do("take_slot", sender=holder)


FILLED, MISSED, ENDED = 3, 5, 9
"""Positions: of a fill, of what stands nowhere, and the last of the batch."""


def build_order() -> OrderOp:
    """The longest request."""
    terms = OrderTerms(1, 0, 2, 1, 0, 0, 0, 1, 1, 0, 0, ((perpetual(0), 1),))
    return OrderOp(0, 0, terms, 0, bytes(64))


def hold(key: PrivateKey, domain: bytes, generation: int, position: int, op: OrderOp | Transfer) -> HeldReceipt:
    """A receipt, and what it is for."""
    body = ReceiptBody(generation, position, hash_digest(domain, op), b"\1" * 32)
    signed = key.sign_recoverable(body.hash_signing(domain), hasher=None)
    return HeldReceipt(SignedReceipt(body, signed[:64] + bytes([signed[64] + 27])).encode(), op)


def build_fullest(chain: Chain, holder: str) -> tuple[BatchData, bytes]:
    """Sixty-four frames; a fill ends one of the longest, a tick begins the next. And the leaf of the order filled."""
    rng, draft = random.Random(1), chain.draft(holder)
    key, order = order_key(1, 0), Order(1, 0, 1, 0, 0, 0, 1, 1, 0, 0, ((perpetual(0), 1),)).encode()
    path = Path(2 ** get_depth(key) - 1, tuple(rng.randbytes(32) for _ in range(get_depth(key))))
    fill, tick = Fill(FILLED, 1, 0, 2, 0, 1, 1).encode(), Tick(ENDED, 1).encode()
    short = STEPS_PER_FRAME_MAX - 2
    contents = [[b"\x01"], *[[b"\x06"]] * 60, [b"\x06"] * short + [fill], [tick] + [b"\x06"] * short, [b"\x02"]]
    header, frames, index = decode_header(draft.header), list[bytes](), 0
    root = header.pre_root
    for ops in contents:
        steps = [Step(op, rng.randbytes(32)) for op in ops]
        if fill in ops:
            steps[-2] = Step(ops[-2], compute_root(key, hash_leaf(key, order), path))
        frames.append(Frame(root, index, tuple(steps)).encode())
        root, index = steps[-1].post_root, index + len(steps)
    changed = replace(header, post_root=root, step_count=index)
    return BatchData(changed.encode(), tuple(frames)), WitnessLeaf(key, order, path).encode()


def test_gas_is_as_stated(l1: Anvil) -> None:
    """No call costs more than the table says, nor a tenth less; no transaction needs half of EIP-7825's cap."""
    meter = Meter(l1)
    meter.meter_users()
    meter.meter_batches()
    meter.meter_claims()
    meter.meter_contradictions()
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
