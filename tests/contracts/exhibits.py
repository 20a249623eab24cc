"""Claims of margins put to the scenarios that a proof exhibits, and accounts for which it matters which those are."""

import random
from dataclasses import replace

from fraud_proofs.grounds import Ground
from state.active_scenarios import weigh_account
from state.leaves import CALL, PUT, Instrument
from state.ledger import Exhibit
from tests.contracts.court import Court, dispute
from tests.contracts.margin_scene import draw_exhibit
from tests.contracts.scene import DATED, Scene
from tests.world import WEEK, PlayedStep

MONEYNESS_PERCENT = (85, 90, 95, 100, 105, 110, 115)
LOTS_MAX = 2_000


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
    for _ in range(20):
        active = draw_exhibit(rng).after
        if scales.compute_after(active).maintenance > scales.compute_after(None).maintenance:
            return active
    return None


def assert_no_exhibit_convicts(
    court: Court, step: PlayedStep, ground: Ground, named: bytes, rng: random.Random, rounds: int
) -> None:
    """Under whatever scenarios an honest step is accused, both judges acquit it; also under those that it names before
    or after alone, and under all of them but one."""
    case = dispute(step, ground)
    assert case.witness.scenarios is not None
    for _ in range(rounds):
        drawn = draw_exhibit(rng)
        nearly = bytearray(named)
        nearly[rng.randrange(len(nearly))] = rng.randrange(256)
        after = rng.choice((drawn.after, named, bytes(nearly)))
        scenarios = Exhibit(rng.choice((drawn.before, named)), after)
        assert not court.judge(replace(case, witness=replace(case.witness, scenarios=scenarios))), scenarios
