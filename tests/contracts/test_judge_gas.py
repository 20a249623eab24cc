"""Gas that runs out is no verdict: an honest step outlives provers who starve the calls beneath the judge."""

from bisect import bisect_left
from collections.abc import Iterator

import pytest

from fraud_proofs.challenger import Proof
from fraud_proofs.grounds import EFFECT, Ground, check_ground
from state.batches import BatchData, decode_frame
from state.codes import Code, Kind
from tests.contracts.court import deploy_with_needs, dispute
from tests.evm import TRANSACTION_GAS_LIMIT, Contract, Evm
from tests.world import ROLLUP, World, open_market

ROLLUP_ADDRESS = "0x" + ROLLUP.hex()


@pytest.fixture(scope="module")
def judge() -> Contract:
    """The judge with every verifier, as it is deployed."""
    return deploy_with_needs(Evm(), "judge", {})


@pytest.fixture(scope="module")
def world() -> World:
    """A market in which readings were taken, an order registered and money moved, all in one batch."""
    world = open_market()
    world.place("alice", 0, 5, 17_000_000)
    world.play(world.sign_transfer("alice", "bob", 10**6))
    return world


@pytest.fixture(scope="module")
def batch(world: World) -> BatchData:
    """That batch."""
    return world.seal()


def prove_honest_step(world: World, batch: BatchData, kind: Kind, ground: Ground) -> Proof:
    """The best proof there is against the first step of a kind."""
    index = next(index for index, played in enumerate(world.steps) if played.op[0] == kind)
    witness = dispute(world.steps[index], ground).witness
    for number, data in enumerate(batch.frames):
        frame = decode_frame(data)
        assert frame is not None
        if index < frame.first_index + len(frame.steps):
            return Proof(batch, number, index - frame.first_index, ground, witness)
    raise AssertionError("the step is in no frame")


def list_limits(least: int, most: int) -> Iterator[int]:
    """Gas limits from `least` to `most`, closest at the upper end, where the last calls are."""
    for missing in range(most - least):
        if (missing < 4_000 and missing % 53 == 0) or missing % 10_007 == 0:
            yield most - missing


@pytest.mark.parametrize(
    ("kind", "ground"),
    [
        (Kind.ORACLE, check_ground(Code.ORACLE_SIGNATURES_MUST_VERIFY)),
        (Kind.ORDER, check_ground(Code.ORDER_SIGNATURE_MUST_VERIFY)),
        (Kind.TRANSFER, check_ground(Code.TRANSFER_SIGNATURE_MUST_VERIFY)),
        (Kind.TRANSFER, EFFECT),
    ],
    ids=str,
)
def test_starved_proof_convicts_nobody(
    judge: Contract, world: World, batch: BatchData, kind: Kind, ground: Ground
) -> None:
    """Whatever the gas, the call reverts or says that nothing is shown: no call that failed is taken for a proof."""
    proof = prove_honest_step(world, batch, kind, ground).encode()

    def ask(gas: int) -> bool | None:
        answer = judge.read("judge", world.domain, batch.batch_hash, proof, sender=ROLLUP_ADDRESS, gas=gas)
        return None if answer.reverted else answer.value

    enough = judge.read("judge", world.domain, batch.batch_hash, proof, sender=ROLLUP_ADDRESS)
    intrinsic = enough.gas_used - enough.execution_gas
    # Every call keeps back a 64th of the gas, so that more is needed than is used.
    limit = bisect_left(range(TRANSACTION_GAS_LIMIT), True, lo=enough.gas_used, key=lambda gas: ask(gas) is not None)
    assert ask(limit) is False

    assert {ask(gas) for gas in list_limits(intrinsic, limit - 1)} == {None}
