"""Numbers at the ends of their fields: both judges rule alike, and no arithmetic of the contracts reverts."""

import random

import pytest

from state.codes import Kind
from state.ledger import Ledger
from state.transition import PROCESSES, decode_step
from state.tree import LeafKey
from tests.contracts.scene import Scene
from tests.parity.case import Case, bent, list_grounds
from tests.parity.extremes import stretch
from tests.parity.history import History, Replay
from tests.parity.tally import Tally
from tests.parity.tribunal import Tribunal

STEPS = 100
STRETCHES_PER_STEP = 3


@pytest.mark.slow
def test_judges_agree_at_the_ends_of_every_field(seed: int, tally: Tally) -> None:
    """Honest witnesses of states stretched to the bounds of every number are never refused, and are ruled on alike."""
    tribunal, chance = Tribunal(), random.Random(seed)
    history = History(tribunal, seed)
    history.open_market()
    replay = Replay(history)
    for batch in history.live(STEPS):
        for case in replay.walk(batch):
            reads = list_reads(case)
            for _ in range(STRETCHES_PER_STEP):
                scene = Scene(case.context, case.state.leaves, case.op)
                stretch(scene, reads, chance)
                with bent(case, scene, chance) as stretched:
                    for ground in list_grounds(Kind(case.op[0])):
                        stretched.compare(tribunal, tally, ground)


def list_reads(case: Case) -> list[LeafKey]:
    """Every leaf that a check or the effect of a valid op reads."""
    op, ledger = decode_step(case.context, case.op), Ledger(case.state.leaves)
    assert op is not None
    process = PROCESSES[op.kind]
    for _, check in process.checks:
        assert check(ledger, case.context, op)
    process.apply_effects(ledger, case.context, op)
    return list(ledger.reads)
