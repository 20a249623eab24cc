"""The replay in one picture: the price, the accounts in auction, and the bad debt, by how late liquidations were."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from devnet.crash_market import Closes
from devnet.crash_people import DOLLAR
from devnet.crash_replay import Outcome, Scene


def draw(path: Path, closes: Sequence[Closes], scene: Scene, outcomes: Mapping[int, Outcome]) -> None:
    """Write a PNG; `outcomes` by minutes of delay."""
    # Imported here: it is slow to load, and the replay's test does without a picture.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 9), layout="constrained")
    price, auctions, debt = figure.subplots(3, 1, sharex=True)
    for close in closes:
        window = close.prices[scene.first : scene.first + scene.minutes]
        price.plot([value / window[0] for value in window], label=close.symbol)
    for delay, outcome in sorted(outcomes.items()):
        name = "at once" if delay == 0 else f"{delay} min late"
        auctions.plot([row[0] for row in outcome.course], label=name)
        debt.plot([row[1] / DOLLAR for row in outcome.course], label=name)
    price.set_ylabel("price, first minute = 1")
    auctions.set_ylabel("accounts in auction")
    debt.set_ylabel("bad debt and losses shared, dollars")
    debt.set_xlabel("minute; vols, surfaces and forwards are modelled")
    for axes in (price, auctions, debt):
        axes.legend(loc="best", fontsize="small")
    figure.savefig(path, dpi=120)
