"""Every check of every op, at its edges: the bytecode convicts where the rules say that it fails, and only there."""

import random

import pytest

from fraud_proofs.grounds import EFFECT, check_ground
from state.codes import Code, Kind
from tests.contracts.scene import Scene
from tests.parity.case import Case, bent
from tests.parity.every_edge import EDGES
from tests.parity.history import History, Replay
from tests.parity.tally import Tally
from tests.parity.tribunal import Tribunal

STEPS_MAX = 8_000
"""Of honest history; the rarest kind makes the last of its checks enough long before."""

BENDS_PER_STEP = 4
BENDS_PER_RARE_STEP = 16
RARE_KINDS = (Kind.SETTLE, Kind.LIQUIDATE, Kind.TAKE, Kind.DELEVERAGE, Kind.INTEREST, Kind.BID, Kind.RELAY)


@pytest.mark.slow
def test_every_check_convicts_where_it_fails_and_nowhere_else(seed: int, tally: Tally) -> None:
    """Each check is put to its edge until it has failed 20 times and held 20 times; both judges always agree."""
    tribunal, chance = Tribunal(), random.Random(seed)
    history = History(tribunal, seed)
    history.open_market()
    replay = Replay(history)
    for batch in history.live(STEPS_MAX):
        for case in replay.walk(batch):
            times = BENDS_PER_RARE_STEP if case.op[0] in RARE_KINDS else BENDS_PER_STEP
            for code in list_missing(tally, case) * times:
                put_to_edge(tribunal, tally, case, code, chance)
        if all(tally.is_enough(code) for code in Code):
            break
    assert [code.name for code in Code if not tally.is_enough(code)] == []


def list_missing(tally: Tally, case: Case) -> list[Code]:
    """The checks that this step can try and that were not tried often enough."""
    kind = Kind(case.op[0])
    return [code for code in Code if code // 100 in (0, kind) and not tally.is_enough(code)]


def put_to_edge(tribunal: Tribunal, tally: Tally, case: Case, code: Code, chance: random.Random) -> None:
    """Bend the step for one check; both judges must agree on it, on another check and on the effect.

    What falls on a side that has been tried often enough is let go.
    """
    scene = Scene(case.context, case.state.leaves, case.op)
    EDGES[code](scene, chance)
    with bent(case, scene, chance) as wrong:
        ground = check_ground(code)
        if tally.is_side_enough(code, wrong.rule(ground, wrong.build_witness(ground))):
            return
        other = chance.choice([one for one in Code if one // 100 == wrong.op[0]] or [code])
        for ground in (check_ground(code), check_ground(other), EFFECT):
            wrong.compare(tribunal, tally, ground)
