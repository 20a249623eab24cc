"""fraud_proofs/SPEC.md says what the code does: its tables are read and compared."""

import re
from pathlib import Path

from fraud_proofs.grounds import EFFECT, GroundKind
from fraud_proofs.step import BadWitness
from fraud_proofs.witness import WitnessLeaf
from state.batches import HEADER_BYTES
from state.tree import Path as TreePath
from state.tree import account_key
from tests.fraud_proofs.disputes import Ruling
from tests.fraud_proofs.posted import post_market

SPEC = (Path(__file__).resolve().parents[2] / "fraud_proofs" / "SPEC.md").read_text()


def read_table(heading: str) -> list[list[str]]:
    """The rows of the first table below a heading."""
    below = SPEC.partition(f"\n{heading}\n")[2]
    table = re.search(r"(?:^\|.*\n)+", below, re.MULTILINE)
    assert table, heading
    lines = table[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_grounds() -> None:
    """The three grounds and their numbers are the enumeration."""
    assert [(row[0], int(row[1])) for row in read_table("## 1. Grounds")] == [(g.name, int(g)) for g in GroundKind]


def test_outcomes() -> None:
    """A proof has three outcomes: it is bad, it shows nothing, it shows fraud."""
    _, _, outcomes = SPEC.partition("| outcome | how | consequence |\n")
    named = re.findall(r"^\| ([a-z ]+) \| (?:revert|the call)", outcomes, re.MULTILINE)
    assert named == [ruling.value for ruling in Ruling]
    assert issubclass(BadWitness, Exception)


def test_proof_layout() -> None:
    """A proof's bytes, cut as the table says from its first field to the witness, are the proof's parts."""
    posted = post_market()
    proof = posted.with_step(7, lambda step: step._replace(post_root=bytes(32))).convict().proof
    batch, frame = proof.batch, proof.batch.frames[proof.frame_number]
    data, found = proof.encode(), dict[str, bytes]()
    for name, kind, _ in read_table("## 2. Proof"):
        size = len(data)
        if kind[0] in "ub" and kind[1:].isdigit():
            size = int(kind[1:]) // (8 if kind[0] == "u" else 1)
        elif kind == "bytes":
            size = int.from_bytes(found["frame_length"])
        elif kind == "frame_count x b32":
            size = 32 * int.from_bytes(found["frame_count"])
        found[name], data = data[:size], data[size:]
    assert data == b""
    assert len(found["header"]) == HEADER_BYTES
    assert found["header"] == batch.header
    assert int.from_bytes(found["frame_count"]) == len(batch.frames)
    assert int.from_bytes(found["frame_number"]) == proof.frame_number
    assert found["frame"] == frame
    assert int.from_bytes(found["step"]) == proof.step
    assert (found["ground"], found["check"]) == (bytes([EFFECT.kind]), b"\0")
    assert found["witness"] == proof.witness.encode()


def test_witness_layout() -> None:
    """An entry of a witness is the leaf with its length, the mask, and the siblings that the mask names."""
    kinds = [row[1] for row in read_table("## 3. Witness")]
    assert kinds == ["u16", "bytes", "u64", "popcount(mask) x b32"]
    entry = WitnessLeaf(account_key(5), b"leaf", TreePath(0b101, (b"a" * 32, b"b" * 32)))
    assert entry.encode() == b"\0\x04leaf" + (5).to_bytes(8) + b"a" * 32 + b"b" * 32
