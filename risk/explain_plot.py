"""Draw an explanation: the P&L surface, and every scenario's P&L beside the loss that margin takes. Advisory."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot as plt

from risk.explain import SURFACE_MOVES_PPM, SURFACE_VOLS, Explanation


def draw_explanation(explanation: Explanation, quote_units_a_dollar: int, path: Path) -> None:
    """Write a PNG file."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.5), layout="constrained")
    moves = [move / 10_000 for move in SURFACE_MOVES_PPM]
    for vol, row in zip(SURFACE_VOLS, explanation.surface, strict=True):
        left.plot(moves, [pnl / quote_units_a_dollar for pnl in row], marker="o", label=f"vol {vol.name.lower()}")
    left.axhline(0, color="black", linewidth=0.5)
    left.axhline(-explanation.margin.loss / quote_units_a_dollar, color="red", linestyle="--", label="scenario loss")
    left.set(title="P&L of a joint move, today", xlabel="spot, %", ylabel="dollars")
    left.legend()
    for index, underlying in enumerate(explanation.margin.underlyings):
        right.plot([pnl / quote_units_a_dollar for pnl in underlying.pnl], marker=".", label=f"underlying {index}")
    right.axhline(0, color="black", linewidth=0.5)
    right.set(title="P&L by scenario", xlabel="scenario", ylabel="dollars")
    right.legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)
