"""Replay a crash: prints what becomes of the accounts, draws it, and writes devnet/run/crash.json."""

import argparse
import json
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

from devnet.crash_follower import CrashFollower
from devnet.crash_market import CrashDataError, read_closes, read_shipped
from devnet.crash_people import Style
from devnet.crash_replay import SEED, Outcome, Replay, Scene
from sequencer.sweep import BookSweep
from tests.crash.bytecode import Bytecode
from tests.crash.plot import draw
from tests.parity.tribunal import Tribunal

PROJECT = Path(__file__).parents[2]
FOLDER = PROJECT / "devnet" / "run"
DELAYS = (1, 5, 15, 60)
PROGRESS_MINUTES = 120


def parse_arguments() -> argparse.Namespace:
    """What may be chosen."""
    parser = argparse.ArgumentParser(prog="make crash", description=__doc__)
    parser.add_argument("--data", type=Path, help="another crash: timestamp_ms,symbol,open,high,low,close,volume")
    parser.add_argument("--accounts", type=int, default=2_000)
    parser.add_argument("--first", type=int, default=0, help="minute of the data to begin with")
    parser.add_argument("--minutes", type=int, default=0, help="how many; 0: to the end of the data")
    parser.add_argument("--share", type=float, default=0.01, help="of all other steps, to be re-executed on bytecode")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--no-delays", action="store_true", help="leave out the runs with a congested L1")
    return parser.parse_args()


def report(name: str, minutes: int) -> Callable[[int, Outcome], None]:
    """A line now and then."""
    started = time.monotonic()

    def tell(minute: int, outcome: Outcome) -> None:
        if minute % PROGRESS_MINUTES == 0:
            print(
                f"  {name}: minute {minute} of {minutes}, {time.monotonic() - started:.0f} s, "
                f"{len(outcome.liquidated)} liquidated, {outcome.takes} slices taken, "
                f"{outcome.deleverages} deleveraged, bad debt {outcome.bad_debt / 1e6:,.0f} dollars",
                flush=True,
            )

    return tell


def replay_checked(scene: Scene, share: float) -> tuple[Outcome, CrashFollower, Bytecode]:
    """The run at full speed, followed root by root and put to the bytecode."""
    tribunal = Tribunal()
    watchers: list[tuple[CrashFollower, Bytecode]] = []
    replay = Replay(scene, BookSweep(), lambda exchange: watchers[0][0].follow(exchange.sealed), tribunal.address)
    exchange = replay.exchange
    bytecode = Bytecode(tribunal, exchange.messages, share, random.Random(scene.seed))
    watchers.append((CrashFollower(exchange.genesis, exchange.domain, exchange.messages, bytecode.examine), bytecode))
    outcome = replay.run(report("at once", scene.minutes))
    return outcome, *watchers[0]


def replay_late(scene: Scene, delay: int) -> Outcome:
    """The same accounts and prices, liquidations `delay` minutes late."""
    late = Scene(scene.closes, scene.first, scene.minutes, scene.people, delay, scene.seed)
    replay = Replay(late, BookSweep(), lambda exchange: exchange.sealed.clear())
    return replay.run(report(f"{delay} min late", scene.minutes))


def main() -> int:
    """0 when no root departed."""
    arguments = parse_arguments()
    try:
        closes = read_closes(arguments.data) if arguments.data else read_shipped()
    except (CrashDataError, OSError) as error:
        print(f"crash: {error}", file=sys.stderr)
        return 2
    length = len(closes[0].prices) - arguments.first
    scene = Scene(
        closes, arguments.first, min(arguments.minutes or length, length), arguments.accounts, 0, arguments.seed
    )
    names = ", ".join(f"{close.symbol} {min(close.prices):g} to {max(close.prices):g}" for close in closes)
    print(f"{scene.minutes} minutes of {names}; {scene.people} accounts of {len(Style)} styles, seed {scene.seed}")
    print("spot is history; vols, surfaces and forwards are modelled (devnet/crash_market.py)")
    outcome, follower, bytecode = replay_checked(scene, arguments.share)
    figures: dict[str, object] = {
        **outcome.to_json(),
        "divergent_roots": follower.divergent_roots,
        "batches": follower.batches,
        "steps": follower.steps,
        "steps_reexecuted_on_bytecode": bytecode.steps,
        "reexecuted_by_kind": bytecode.executed,
        "modelled": "vols, surfaces, forwards",
    }
    late = {} if arguments.no_delays else {delay: replay_late(scene, delay) for delay in DELAYS}
    figures["congested_l1"] = {str(delay): one.to_json() for delay, one in late.items()}
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "crash.json").write_text(json.dumps(figures, indent=1) + "\n")
    draw(FOLDER / "crash.png", closes, scene, {0: outcome, **late})
    print(json.dumps(figures, indent=1))
    print(f"written: {FOLDER / 'crash.json'}, {FOLDER / 'crash.png'}")
    return 1 if follower.divergent_roots else 0


if __name__ == "__main__":
    sys.exit(main())
