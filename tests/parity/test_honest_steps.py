"""Honest steps: no ground convicts one, with the witness of an honest prover or with any other."""

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from fraud_proofs.challenger import Proof
from fraud_proofs.grounds import EFFECT, MALFORMED, Ground
from fraud_proofs.witness import Witness, WitnessLeaf
from state.codes import Kind
from state.tree import Path
from tests.contracts.scene import draw_exhibit
from tests.parity.case import Case, list_grounds
from tests.parity.history import History, Replay
from tests.parity.tally import Tally
from tests.parity.tribunal import Ruling, Tribunal

STEPS = 300
ATTEMPTS_PER_STEP = 8


@pytest.mark.slow
def test_no_ground_convicts_an_honest_step(seed: int, tally: Tally) -> None:
    """Every check and the effect of every step of a random history hold before the bytecode, and every frame parses;
    a byte behind the honest witness makes a bad one.
    """
    tribunal = Tribunal()
    history = History(tribunal, seed)
    history.open_market()
    replay = Replay(history)
    for batch in history.live(STEPS):
        for case in replay.walk(batch):
            for ground in list_grounds(Kind(case.op[0])):
                assert case.compare(tribunal, tally, ground) is Ruling.NOT_SHOWN, f"{ground} convicts {case.op.hex()}"
                if ground is EFFECT or ground.check > 0:
                    padded = case.encode(ground, case.build_witness(ground)) + b"\0"
                    assert tribunal.rule(batch.batch_hash, padded) is Ruling.BAD_WITNESS, (
                        "something follows the witness"
                    )
        for number in range(len(batch.frames)):
            proof = Proof(batch, number, 0, MALFORMED, Witness(())).encode()
            assert tribunal.rule(batch.batch_hash, proof) is Ruling.NOT_SHOWN


def test_no_witness_convicts_an_honest_step(seed: int) -> None:
    """Leaves of other states, places and steps, wrong hints and messages, flipped bytes anywhere: nothing convicts."""
    tribunal, chance = Tribunal(), random.Random(seed)
    history = History(tribunal, seed)
    history.open_market()
    replay = Replay(history)
    stale: list[Witness] = []
    for batch in history.live(STEPS):
        for case in replay.walk(batch):
            grounds = list_grounds(Kind(case.op[0]))
            for _ in range(ATTEMPTS_PER_STEP):
                ground = chance.choice(grounds)
                witness = case.build_witness(ground)
                stale.append(witness)
                proof = forge_proof(case, ground, witness, stale, chance)
                ruling = tribunal.rule(batch.batch_hash, proof)
                assert ruling is not Ruling.FRAUD, f"{ground} convicts {case.op.hex()} by {proof.hex()}"


def forge_proof(case: Case, ground: Ground, witness: Witness, stale: list[Witness], chance: random.Random) -> bytes:
    """The bytes of a proof that no honest prover sends."""
    way = chance.randrange(4)
    if way == 0:
        return flip_byte(case.encode(ground, witness), chance)
    if way == 1:
        proof = case.encode(ground, witness)
        return chance.choice((proof[: chance.randrange(len(proof))], proof + chance.randbytes(chance.randint(1, 64))))
    if way == 2:
        return case.encode(ground, chance.choice(stale[-200:]))
    return case.encode(ground, chance.choice(FORGERIES)(witness, stale, chance))


def flip_byte(data: bytes, chance: random.Random) -> bytes:
    """One bit of it, in the last part more often than not: that is the witness."""
    at = chance.choice((chance.randrange(len(data)), len(data) - 1 - chance.randrange(min(len(data), 400))))
    return data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]


Forgery = Callable[[Witness, list[Witness], random.Random], Witness]


def shuffle(witness: Witness, stale: list[Witness], chance: random.Random) -> Witness:
    """The leaves in another order."""
    return replace(witness, leaves=tuple(chance.sample(witness.leaves, len(witness.leaves))))


def drop(witness: Witness, stale: list[Witness], chance: random.Random) -> Witness:
    """A leaf too few."""
    at = chance.randrange(len(witness.leaves) + 1)
    return replace(witness, leaves=witness.leaves[:at] + witness.leaves[at + 1 :])


def add(witness: Witness, stale: list[Witness], chance: random.Random) -> Witness:
    """A leaf too many, of this state or of another."""
    leaves = [leaf for one in (witness, chance.choice(stale)) for leaf in one.leaves]
    at = chance.randrange(len(witness.leaves) + 1)
    extra = chance.sample(leaves, min(1, len(leaves)))
    return replace(witness, leaves=(*witness.leaves[:at], *extra, *witness.leaves[at:]))


def exchange(witness: Witness, stale: list[Witness], chance: random.Random) -> Witness:
    """Every leaf that an older state had too as it was then: whole, or its data under today's path."""
    old = {leaf.key: leaf for one in stale for leaf in one.leaves}
    is_whole = chance.random() < 0.5

    def pick(leaf: WitnessLeaf) -> WitnessLeaf:
        found = old.get(leaf.key, leaf)
        return found if is_whole else WitnessLeaf(leaf.key, found.data, leaf.path)

    return replace(witness, leaves=tuple(pick(leaf) for leaf in witness.leaves))


def bend_leaf(witness: Witness, stale: list[Witness], chance: random.Random) -> Witness:
    """A leaf of other bytes, of none, or on another path."""
    if not witness.leaves:
        return witness
    leaves = list(witness.leaves)
    at = chance.randrange(len(leaves))
    leaf = leaves[at]
    match chance.randrange(4):
        case 0:
            data = flip_byte(leaf.data, chance) if leaf.data else b"\0"
            leaves[at] = WitnessLeaf(leaf.key, data, leaf.path)
        case 1:
            leaves[at] = WitnessLeaf(leaf.key, b"", leaf.path)
        case 2:
            mask = leaf.path.mask ^ 1 << chance.randrange(64)
            leaves[at] = WitnessLeaf(leaf.key, leaf.data, Path(mask, leaf.path.siblings))
        case _:
            siblings = tuple(chance.randbytes(32) for _ in leaf.path.siblings)
            leaves[at] = WitnessLeaf(leaf.key, leaf.data, Path(leaf.path.mask, siblings))
    return replace(witness, leaves=tuple(leaves))


def mislead(witness: Witness, stale: list[Witness], chance: random.Random) -> Witness:
    """Hints of another kind, of another signature, or of none."""
    known = [one.hints for one in stale if one.hints]
    random_words = bytes([chance.randrange(5)]) + chance.randbytes(128)
    same_words = bytes([chance.randrange(5)]) + witness.hints[1:]
    zeros = bytes([chance.randrange(5)]) + bytes(128)
    return replace(witness, hints=chance.choice((*known[-3:], random_words, same_words, zeros, b"")))


def misquote(witness: Witness, stale: list[Witness], chance: random.Random) -> Witness:
    """Another message than the inbox has at this index."""
    known = [one.message for one in stale if one.message is not None]
    return replace(witness, message=chance.choice((*known, chance.randbytes(43), None)))


def exhibit_others(witness: Witness, stale: list[Witness], chance: random.Random) -> Witness:
    """Other scenarios, or some where no margin is judged, or at another place."""
    at = witness.scenarios_at
    return replace(witness, scenarios=draw_exhibit(chance), scenarios_at=chance.choice((at, at, chance.randrange(9))))


FORGERIES: tuple[Forgery, ...] = (shuffle, drop, add, exchange, bend_leaf, mislead, misquote, exhibit_others)
