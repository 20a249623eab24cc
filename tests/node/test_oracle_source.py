"""What several sources say becomes one reading: medians, fitted surfaces, and integrals that settle to a true mean."""

import json
import random
from dataclasses import replace

import pytest

from node.oracle_integrals import begin_integral
from node.oracle_source import Price, Smile, SourceError, Sources, fit_smile, parse_line
from node.oracle_surfaces import SurfaceDesk
from risk.svi import Svi, vol_floor_q38
from state.constants import EXPIRY_SECOND_OF_DAY, EXPIRY_STEP, PPM, SETTLEMENT_WINDOW
from state.leaves import Expiry
from state.ledger import Ledger
from tests.world import GENESIS_TIME, open_market

EXPIRY = (GENESIS_TIME // EXPIRY_STEP + 3) * EXPIRY_STEP + EXPIRY_SECOND_OF_DAY
FORWARD = 17_000_000
QUOTES = [[FORWARD * part // 100, 600_000 + 4_000 * abs(part - 100)] for part in (70, 85, 95, 100, 105, 115, 130)]


def say(**values: object) -> str:
    """A line of a source."""
    return json.dumps({"symbol": "BTC"} | values)


def test_one_source_of_three_moves_no_median() -> None:
    """Whatever one of three says, the price stays between the other two's; confidence is the least."""
    sources = Sources()
    for name, spot in (("a", 100), ("b", 102), ("liar", 9_999)):
        sources.take(say(source=name, spot=spot, mark=spot, volatility_ppm=spot, spot_confidence_ppm=PPM - spot))
    (price,) = sources.list_prices()
    assert price == Price("BTC", 102, 102, PPM - 9_999, PPM, 102)


def test_the_latest_line_of_a_source_counts() -> None:
    """A source speaks for itself alone, and its last word stands."""
    sources = Sources()
    for spot in (100, 200, 300):
        sources.take(say(spot=spot))
    assert sources.list_prices() == [Price("BTC", 300, 300)]


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"spot": 0}, "spot"),
        ({"spot": 1.5}, "spot"),
        ({"spot": True}, "spot"),
        ({"spot": 1, "mark": -1}, "mark"),
        ({"spot": 1, "volatility_ppm": 0}, "volatility_ppm"),
        ({"spot": 1, "spot_confidence_ppm": PPM + 1}, "spot_confidence_ppm"),
        ({"expiry": EXPIRY + 1}, "expiry"),
        ({"expiry": EXPIRY, "quotes": QUOTES[:4]}, "quotes"),
        ({"expiry": EXPIRY, "quotes": [[1]] * 5, "forward": 1}, "quotes"),
        ({"expiry": EXPIRY, "quotes": [[1, 0]] * 5, "forward": 1}, "quotes: vol"),
        ({"expiry": EXPIRY, "quotes": QUOTES, "forward": None}, "forward"),
    ],
)
def test_a_bad_line_names_its_field(values: dict[str, object], field: str) -> None:
    """It is skipped, with the reason in the log."""
    with pytest.raises(SourceError, match=f"^{field}:"):
        parse_line(say(**values))


def test_a_fitted_surface_gives_the_quotes_back() -> None:
    """Within half a vol point at every strike quoted."""
    smile = Smile("BTC", EXPIRY, FORWARD, 30_000, PPM, tuple((strike, vol) for strike, vol in QUOTES))
    fit = fit_smile(smile, EXPIRY - 5 * EXPIRY_STEP)
    svi = Svi(fit.a, fit.b, fit.rho, fit.m, fit.sigma, 1_000 * 5 * EXPIRY_STEP)
    at_the_money = vol_floor_q38(svi, 0) * PPM >> 38
    assert abs(at_the_money - 600_000) < 5_000


def test_readings_settle_to_the_mean_of_spot(seed: int) -> None:
    """Through a wandering spot, with a desk that looks now and then, the chain settles at the mean of the window."""
    dice, world = random.Random(seed), open_market()
    sources = Sources()
    sources.take(say(expiry=EXPIRY, forward=FORWARD, quotes=QUOTES))
    desk = SurfaceDesk(sources, heartbeat=300, deviation_ppm=PPM)
    time, spot, start = EXPIRY - 4_000, FORWARD, EXPIRY - SETTLEMENT_WINDOW
    world.tick(time - world.globals.time)
    passed = 0
    while (leaf := Ledger(world.state.leaves).get_expiry(0, EXPIRY)) is None or leaf.settlement == 0:
        desk.advance(time, {"BTC": 0}, [Price("BTC", spot, spot)], {})
        (smile,) = sources.list_smiles()
        for bare in desk.list_readings(smile, 0, leaf, time):
            placed = replace(bare, position=world.position, signer_mask=0b011)
            world.play(replace(placed, signatures=world.sign_as_oracles(placed)))
        step = dice.randint(1, 200)
        passed += spot * max(0, min(time + step, EXPIRY) - max(time, start))
        time += step
        world.tick(step)
        spot += dice.randint(-200_000, 200_000)
    assert leaf.settlement == passed // SETTLEMENT_WINDOW


def test_an_integral_goes_on_where_the_chain_stands() -> None:
    """A restart in the middle of a window begins with what is signed already, as if spot had stood since."""
    integral = begin_integral([Expiry(time=1_000, integral=50_000), Expiry()], 1_010, 7)
    assert integral.compute(1_000) == 50_000
    assert integral.compute(1_010) == 50_070
    integral.advance(1_020, 9)
    assert integral.compute(1_030) == 50_000 + 7 * 20 + 9 * 10
