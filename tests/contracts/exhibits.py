"""Accounts for which it matters which scenarios are looked at, and such as show less of a shortfall than there is."""

import random
from dataclasses import replace

from fraud_proofs.grounds import check_ground
from state.active_scenarios import weigh_account
from state.codes import Code
from state.leaves import CALL, PUT, Instrument
from state.ledger import Exhibit
from tests.contracts.court import Court, dispute
from tests.contracts.scene import DATED, Scene, draw_active
from tests.world import WEEK

MONEYNESS_PERCENT = (85, 90, 95, 100, 105, 110, 115)
LOTS_MAX = 2_000
ATTEMPTS = 20


def draw_options(scene: Scene, rng: random.Random) -> tuple[tuple[Instrument, int], ...]:
    """A few options on each underlying that has any, long and short."""
    pool = []
    for underlying in DATED:
        spot = scene.underlying(underlying).spot
        unit = 10 ** (len(str(spot)) - 3)
        strikes = [spot * percent // 100 // unit * unit for percent in MONEYNESS_PERCENT]
        pool += [Instrument(underlying, WEEK, strike, kind) for strike in strikes for kind in (PUT, CALL)]
    drawn = sorted(rng.sample(pool, rng.randint(2, 8)))
    return tuple((instrument, rng.choice((-1, 1)) * rng.randint(1, LOTS_MAX)) for instrument in drawn)


def find_other_active(scene: Scene, account: int, rng: random.Random) -> bytes | None:
    """Scenarios under which more is left of an account than under its worst; None where none were found."""
    scales, _ = weigh_account(scene.ledger, scene.account(account))
    worst = scales.compute_after(None).maintenance
    drawn = (draw_active(rng) for _ in range(ATTEMPTS))
    return next((active for active in drawn if scales.compute_after(active).maintenance > worst), None)


def judge_under(court: Court, scene: Scene, code: Code, before: bytes, after: bytes) -> bool:
    """The verdict of a check under these scenarios and no others, on which both judges agree."""
    case = dispute(scene.played, check_ground(code))
    return court.judge(replace(case, witness=replace(case.witness, scenarios=Exhibit(before, after))))
