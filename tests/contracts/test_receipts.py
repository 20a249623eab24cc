"""A broken word before the contract: it says what its Python twin says, and the rollup takes the bond."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from coincurve import PrivateKey

from fraud_proofs.contradiction_search import (
    HeldReceipt,
    encode_batch,
    encode_step,
    find_contradiction,
    list_steps,
    prove_other_receipt,
)
from fraud_proofs.contradictions import BadProof, ContradictionKind, find_signer
from state.constants import NEVER
from state.operations import Take, Tick, hash_digest
from state.receipts import ReceiptBody, SignedReceipt, decode_receipt
from tests.contracts.rollup_chain import BOND, BURNED, ETH, UNKNOWN, WINDOW, Chain, compile_once
from tests.evm import Contract, Evm
from tests.fraud_proofs.broken_word import LIES, post_bent
from tests.fraud_proofs.receipted import Life
from tests.world import get_address

BOOK = """
# pragma version 0.4.3
struct Batch:
    hash: bytes32
    root: bytes32
    submitted_at: uint256
    time: uint256
    inbox_cursor: uint256
    generation: uint256
    position_to: uint256
    submitter: address
    duty_at: uint256

interface Receipts:
    def find_signer(domain: bytes32, proof: Bytes[24_576]) -> address: view

batches: public(HashMap[uint256, Batch])

@external
def keep(index: uint256, batch_hash: bytes32, generation: uint256, submitter: address):
    self.batches[index] = empty(Batch)
    self.batches[index].hash = batch_hash
    self.batches[index].generation = generation
    self.batches[index].submitter = submitter

@external
@view
def ask(receipts: address, domain: bytes32, proof: Bytes[24_576]) -> address:
    return staticcall Receipts(receipts).find_signer(domain, proof)
"""
KEY = PrivateKey(b"\x09" * 32)
HOLDER = "0x" + get_address(KEY).hex()


class Court:
    """The contract, asked by a book of batches, beside its twin."""

    def __init__(self) -> None:
        evm = Evm()
        self.receipts: Contract = evm.deploy("receipts")
        self.book: Contract = evm.deploy_artifact(compile_once(BOOK))

    def summon(self, life: Life) -> None:
        """Take down what lives on L1."""
        for posted in life.chain:
            kept = posted.kept
            self.book.send("keep", posted.index, kept.hash, kept.generation, "0x" + kept.submitter.hex())

    def judge(self, life: Life, proof: bytes) -> bytes | None:
        """Whom the proof convicts, say both; None when it shows nothing."""
        try:
            signer = find_signer(life.domain, life.get_batch, proof)
        except BadProof:
            signer = None
        outcome = self.book.read("ask", self.receipts.address, life.domain, proof)
        assert outcome.reverted == (signer is None), f"{outcome.reason}: {proof.hex()}"
        assert signer is None or outcome.value == "0x" + signer.hex()
        return signer


@pytest.fixture
def court() -> Court:
    return Court()


@pytest.fixture
def life(tmp_path: Path, seed: int) -> Iterator[Life]:
    """A sequencer that has just begun a generation, on top of one of another's; its book is empty."""
    life = Life(tmp_path, seed)
    life.serve(3)
    life.post()
    life.change_hands()
    yield life
    life.close()


@pytest.mark.parametrize("lie", LIES)
def test_contract_convicts_as_its_twin_does(court: Court, life: Life, lie: str) -> None:
    """A broken word convicts; bent anywhere, cut anywhere, or asked for another batch, its proof shows nothing."""
    proof = LIES[lie].tell(life)
    assert proof is not None
    court.summon(life)
    assert court.judge(life, proof) == life.address

    places = {*range(150), *life.random.sample(range(len(proof)), 50)}
    for at in sorted(place for place in places if place < len(proof)):
        bent = bytearray(proof)
        bent[at] ^= 1 << life.random.randrange(8)
        assert court.judge(life, bytes(bent)) is None, at
        assert court.judge(life, proof[:at]) is None, at
    assert court.judge(life, proof + b"\0") is None


def test_contract_convicts_no_honest_life(court: Court, tmp_path: Path, seed: int) -> None:
    """Of the receipts that two honest sequencers gave in their lives, no proof that might be tried convicts either."""
    life = Life(tmp_path, seed)
    life.live(3)
    court.summon(life)

    tried = life.list_near_misses()
    for proof in life.random.sample(tried, min(300, len(tried))):
        assert court.judge(life, proof) is None
    life.close()


@pytest.mark.parametrize("changes", [{}, {"slice_ppm": 2}, {"valid_until": 0}, {"sequence": 8}], ids=str)
def test_a_take_is_known_by_what_its_bidder_signed(court: Court, life: Life, changes: dict[str, int]) -> None:
    """What the sequencer claims in it is no part of his word; with any of the bidder's own fields it is another op."""
    (held,) = life.take(life.order("alice", 10))
    asked = Take(held.position, 0, 0, 0, 0, 1, 7, 2, 1, 0, NEVER, 0, bytes(64))
    claimed = replace(
        asked, equity=-1, maintenance=-2, value=3, relief=4, target_active=b"\5" * 8, rest_active=b"\6" * 8
    )
    posted = replace(claimed, **changes)  # type: ignore[arg-type]
    receipt = decode_receipt(held.data)
    assert receipt is not None
    word = life.sign(replace(receipt.body, op_digest=hash_digest(life.domain, asked)))
    batch = post_bent(life, lambda ops: [*ops[:-1], posted.encode(), ops[-1]])
    court.summon(life)

    step = next(step for step in list_steps(batch.batch) if step.op == posted.encode())
    proof = bytes([ContradictionKind.OTHER_OP]) + word + encode_batch(batch.index, batch.batch)
    signer = court.judge(life, proof + encode_step(batch.batch, step))

    assert signer == (life.address if changes else None)


# The bond


@pytest.fixture
def chain() -> Chain:
    """A rollup whose slot KEY holds."""
    chain = Chain()
    chain.evm.set_balance(HOLDER, 1000 * BOND)
    chain.do("post_bond", sender=HOLDER, value=BOND)
    chain.do("take_slot", sender=HOLDER)
    return chain


def sign(chain: Chain, generation: int, position: int, log_hash: bytes = b"\1" * 32, key: PrivateKey = KEY) -> bytes:
    """A receipt for some op."""
    body = ReceiptBody(generation, position, bytes(32), log_hash)
    signed = key.sign_recoverable(body.hash_signing(chain.read("DOMAIN")), hasher=None)
    return SignedReceipt(body, signed[:64] + bytes([signed[64] + 27])).encode()


def contradict_log(chain: Chain, index: int) -> bytes:
    """The proof that a batch of ten positions from 0 commits another log than a receipt for the last of them."""
    held = HeldReceipt(sign(chain, chain.read("generation"), 9), Tick(0, 0))  # type: ignore[arg-type]
    proof = find_contradiction(chain.read("DOMAIN"), held, index, chain.posted[index])
    assert proof is not None
    return proof


def test_a_contradiction_costs_the_bond_and_the_slot(chain: Chain) -> None:
    """Half goes to the prover, half is burned, the slot opens; batches live on, for what they hold may be true."""
    index, prover = chain.post(HOLDER), chain.person("prover")

    outcome = chain.do("contradict", contradict_log(chain, index), sender=prover)

    assert chain.read("bond_of", HOLDER) == 0
    assert chain.read("balance_of", ETH, prover) == BOND // 2
    assert chain.read("balance_of", ETH, BURNED) == BOND - BOND // 2
    assert chain.read("slot_holder") == ETH
    assert (chain.read("tip"), chain.read("generation")) == (index, 1)
    assert outcome.events[-1].name == "Contradicted"
    assert outcome.events[-1].arguments == {"signer": HOLDER, "prover": prover, "reward": BOND // 2}


def test_nobody_is_slashed_beyond_the_bond(chain: Chain) -> None:
    """Where no bond is left nothing is paid, however much is shown; a bond that is posted again answers again."""
    proof, prover = prove_other_receipt(sign(chain, 1, 5), sign(chain, 1, 5, bytes(32))), chain.person("prover")
    chain.do("contradict", proof, sender=prover)
    assert chain.refuse("contradict", proof, sender=prover) == "rollup: bond"
    other = prove_other_receipt(sign(chain, 1, 6), sign(chain, 1, 6, bytes(32)))
    assert chain.refuse("contradict", other, sender=prover) == "rollup: bond"

    chain.do("post_bond", sender=HOLDER, value=3 * BOND + 1)
    chain.do("contradict", other, sender=prover)

    assert chain.read("balance_of", ETH, prover) == BOND // 2 + (3 * BOND + 1) // 2


def test_a_key_without_bond_or_slot_takes_nobody_elses(chain: Chain) -> None:
    """Whoever signs contradictions with a key that has posted nothing moves nothing."""
    stranger = PrivateKey(b"\x0a" * 32)
    receipts = sign(chain, 1, 5, key=stranger), sign(chain, 1, 5, bytes(32), key=stranger)
    assert chain.refuse("contradict", prove_other_receipt(*receipts)) == "rollup: bond"
    mixed = prove_other_receipt(receipts[0], sign(chain, 1, 5, bytes(32)))
    assert chain.refuse("contradict", mixed) == "receipts: signer"


def test_final_batches_contradict_too_and_dead_ones_do_not(chain: Chain) -> None:
    """A batch answers for its key's receipts from the day it is posted, for ever, unless it dies."""
    index = chain.post(HOLDER)
    proof = contradict_log(chain, index)
    chain.wait(WINDOW)
    chain.do("finalise", index)
    assert not chain.rollup.read("contradict", proof, sender=HOLDER).reverted

    false = chain.post(HOLDER, UNKNOWN)
    later = HeldReceipt(sign(chain, 1, 19), Tick(0, 0))  # type: ignore[arg-type]
    against_false = find_contradiction(chain.read("DOMAIN"), later, false, chain.posted[false])
    assert against_false is not None
    assert not chain.rollup.read("contradict", against_false, sender=HOLDER).reverted
    chain.convict(false, chain.person("prover"))
    chain.do("post_bond", sender=HOLDER, value=BOND)
    assert chain.refuse("contradict", against_false) == "receipts: submitter"
    chain.do("contradict", proof)


def test_a_contradiction_leaves_the_slot_of_another_alone(chain: Chain) -> None:
    """Who has left the slot loses his bond; the one who holds it now keeps both."""
    chain.post(HOLDER)
    chain.do("leave_slot", sender=HOLDER)
    bob = chain.holder("bob")

    chain.do("contradict", prove_other_receipt(sign(chain, 1, 5), sign(chain, 1, 5, bytes(32))))

    assert chain.read("slot_holder").lower() == bob.lower()
    assert chain.read("bond_of", bob) == BOND
    assert chain.read("bond_of", HOLDER) == 0
