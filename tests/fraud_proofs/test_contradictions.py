"""Receipts against receipts and batches: a broken word convicts, and an honest life never does."""

import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from fraud_proofs.contradictions import CONTRADICTION_BYTES_MAX, BadProof, ContradictionKind, find_signer
from state.batches import decode_header
from state.codes import Kind
from tests.fraud_proofs.broken_word import LIES
from tests.fraud_proofs.receipted import Life


@pytest.fixture
def life(tmp_path: Path, seed: int) -> Iterator[Life]:
    """A sequencer that has just begun a generation, on top of one of another's; its book is empty."""
    life = Life(tmp_path, seed)
    life.serve(3)
    life.post()
    life.change_hands()
    yield life
    life.close()


def convicts(life: Life, proof: bytes) -> bytes | None:
    """Whom the proof convicts; None when it shows nothing."""
    try:
        return find_signer(life.domain, life.get_batch, proof)
    except BadProof:
        return None


@pytest.mark.parametrize("lie", LIES)
def test_a_broken_word_convicts(life: Life, lie: str) -> None:
    """What anybody finds who holds the receipt convicts the key that gave it, on the ground that the lie is of."""
    proof = LIES[lie].tell(life)

    assert proof is not None
    assert proof[0] == LIES[lie].kind
    assert len(proof) <= CONTRADICTION_BYTES_MAX
    assert find_signer(life.domain, life.get_batch, proof) == life.address


@pytest.mark.parametrize("lie", LIES)
def test_no_byte_of_a_proof_is_idle(life: Life, lie: str) -> None:
    """A proof with another byte, with one more or with one less, shows nothing; nor does it for another rollup."""
    proof = LIES[lie].tell(life)
    assert proof is not None
    for at in {*range(160), *random.Random(len(proof)).sample(range(len(proof)), 100)} & set(range(len(proof))):
        bent = bytearray(proof)
        bent[at] ^= 1 << at % 8
        assert convicts(life, bytes(bent)) is None, at
    assert convicts(life, proof + b"\0") is None
    assert convicts(life, proof[:-1]) is None
    with pytest.raises(BadProof):
        find_signer(bytes(32), life.get_batch, proof)


@pytest.mark.parametrize("lie", [lie for lie, told in LIES.items() if told.kind])
def test_a_batch_of_another_says_nothing(life: Life, lie: str) -> None:
    """What another submitter has posted, or what stands in another generation or nowhere, contradicts no receipt."""
    proof = LIES[lie].tell(life)
    assert proof is not None
    kept = life.chain[-1].kept
    others = (
        kept._replace(submitter=bytes(20)),
        kept._replace(generation=life.generation + 1),
        kept._replace(hash=bytes(32)),
    )
    for other in others:
        with pytest.raises(BadProof):
            find_signer(life.domain, dict.fromkeys(range(life.chain[-1].index + 1), other).get, proof)
    life.lose(1)
    assert convicts(life, proof) is None


def test_contradictions_are_numbered_as_the_specification_says() -> None:
    """Names and numbers of SPEC.md section 5."""
    text = (Path(__file__).resolve().parents[2] / "fraud_proofs" / "SPEC.md").read_text().partition("## 5.")[2]
    rows = re.findall(r"^\| ([A-Z_]+) \| (\d) \|", text, re.MULTILINE)
    assert rows == [(kind.name, str(kind.value)) for kind in ContradictionKind]


def test_an_honest_life_convicts_nobody(tmp_path: Path, seed: int) -> None:
    """Whatever befell two honest sequencers, no receipt of theirs is contradicted, search or try what one may."""
    life = Life(tmp_path, seed)
    life.live(5)

    lived = [decode_header(posted.batch.header).is_rescue for posted in life.dead + life.chain]
    assert True in lived
    kinds = {held.op.kind for receipts in life.held.values() for held in receipts}
    assert kinds == {Kind.ORACLE, Kind.ORDER, Kind.CANCEL, Kind.TRANSFER, Kind.WITHDRAW}
    assert life.find_all() == []
    tried = life.list_near_misses()
    assert {proof[0] for proof in tried} == set(ContradictionKind)
    assert [proof for proof in tried if convicts(life, proof)] == []
    life.close()
