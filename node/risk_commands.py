"""`keel risk price | pm2 | explain`: the risk kernel at the command line.

    echo '{"right":"call","forward":100,"strike":110,"vol":0.6,"years":0.25,"discount":0.99}' | keel risk price
    keel risk pm2 case.json …
    keel risk explain account.json --plot account.png

What cannot be answered is answered with {"error": {"code", "name", "field"}} in its place, and the exit status is 1.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from risk.account_files import Account, find_market, parse_account
from risk.attribution import Attribution, add_attributions, attribute_pnl
from risk.bounds import Refusal, RiskCode
from risk.explain import SURFACE_MOVES_PPM, SURFACE_VOLS, Explanation, explain_margin, name_scenario
from risk.margin import Margin, compute_margin
from risk.pm2 import QUOTE_UNITS_A_DOLLAR, Case, parse_case
from risk.quotes import answer_quote, parse_quote


def add_risk_parser(subparsers: Any) -> None:
    """Mount `risk` and its commands; `run` of the parsed arguments answers with an exit status."""
    risk = subparsers.add_parser("risk", help="price options, margin portfolios, explain a margin")
    commands = risk.add_subparsers(dest="risk_command", required=True)
    price = commands.add_parser("price", help="price and Greeks of options given as JSON lines on standard input")
    price.set_defaults(run=lambda arguments: print_lines(answer_quotes(sys.stdin)))
    pm2 = commands.add_parser("pm2", help="margin of portfolio-margin case files")
    pm2.add_argument("files", nargs="+", type=Path, metavar="FILE")
    pm2.set_defaults(run=lambda arguments: print_lines(answer_cases(arguments.files)))
    explain = commands.add_parser("explain", help="where an account's margin comes from")
    explain.add_argument("file", type=Path, metavar="ACCOUNT.json")
    explain.add_argument(
        "after", nargs="?", type=Path, metavar="AFTER.json", help="explain the P&L from the first market to this one"
    )
    explain.add_argument("--plot", type=Path, metavar="FILE.png", help="also draw it")
    explain.set_defaults(run=run_explain)


def main(argv: list[str] | None = None) -> int:
    """The risk commands alone: `python -m node.risk_commands risk price`."""
    parser = argparse.ArgumentParser(prog="keel")
    add_risk_parser(parser.add_subparsers(dest="command", required=True))
    arguments = parser.parse_args(argv)
    status: int = arguments.run(arguments)
    return status


def print_lines(answers: Iterable[dict[str, Any]]) -> int:
    """One JSON line each; 1 when any of them is an error."""
    status = 0
    for answer in answers:
        print(json.dumps(answer, allow_nan=False), flush=True)
        status |= "error" in answer
    return status


def describe(refusal: Refusal) -> dict[str, Any]:
    """A refusal as JSON."""
    return {"error": {"code": int(refusal.code), "name": refusal.code.name, "field": refusal.field}}


def answer_quotes(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Price and Greeks of each line that is not blank."""
    for line in lines:
        if line.strip():
            quote = parse_quote(line)
            yield describe(quote) if isinstance(quote, Refusal) else dict(answer_quote(quote))


def read_text(file: Path) -> str | Refusal:
    """A file's text; what cannot be read is not JSON."""
    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError):
        return Refusal(RiskCode.LINE_NOT_JSON, str(file))


def answer_cases(files: Iterable[Path]) -> Iterator[dict[str, Any]]:
    """IM, MM and the worst scenario of each case file, in dollars."""
    for file in files:
        text = read_text(file)
        case = text if isinstance(text, Refusal) else parse_case(text)
        name = {"case": file.name.removesuffix(".json")}
        if isinstance(case, Refusal):
            yield name | describe(case)
            continue
        margin = compute_margin(case.parameters, case.market, case.portfolio)
        yield name | {
            "im": to_dollars(margin.initial),
            "mm": to_dollars(margin.maintenance),
            "worst": describe_worst(case, margin),
        }


def describe_worst(case: Case, margin: Margin) -> dict[str, Any]:
    """What sets the scenario loss: a scenario, the basis contingency, or nothing."""
    risk = margin.underlyings[0]
    names = {-1: "basis contingency", -2: "none"}
    name = names[risk.worst] if risk.worst < 0 else name_scenario(case.parameters.scenarios[risk.worst])
    return {"scenario": name, "pnl": to_dollars(-risk.loss)}


def to_dollars(quote_units: int) -> float:
    """For reading."""
    return quote_units / QUOTE_UNITS_A_DOLLAR


def run_explain(arguments: argparse.Namespace) -> int:
    """Print an account's explanation, and draw it if asked."""
    text = read_text(arguments.file)
    account = text if isinstance(text, Refusal) else parse_account(text)
    if isinstance(account, Refusal):
        return print_lines([describe(account)])
    if arguments.after is not None:
        return print_attribution(account, arguments.after)
    explanation = explain_margin(account.parameters, account.market, account.portfolio)
    for line in render_explanation(account, explanation):
        print(line)
    if arguments.plot is not None:
        # Imported here: drawing takes a second to load, and only this needs it.
        from risk.explain_plot import draw_explanation

        draw_explanation(explanation, QUOTE_UNITS_A_DOLLAR, arguments.plot)
        print(f"drawn: {arguments.plot}")
    return 0


def print_attribution(account: Account, file: Path) -> int:
    """Print what made the account's P&L up to the market of another file, by underlying and Greek."""
    text = read_text(file)
    later = text if isinstance(text, Refusal) else parse_account(text)
    market = later if isinstance(later, Refusal) else find_market(account, later)
    if isinstance(market, Refusal):
        return print_lines([describe(market)])
    parts = attribute_pnl(account.parameters, account.market, market, account.portfolio)
    columns = [*zip(account.underlyings, parts, strict=True), ("total", add_attributions(parts))]
    print(f"{'P&L by cause':<14}" + "".join(f"{name:>18}" for name, _ in columns))
    for name in Attribution.__slots__:
        print(f"  {name:<12}" + "".join(f"{to_dollars(getattr(part, name)):>18,.2f}" for _, part in columns))
    return 0


def render_explanation(account: Account, explanation: Explanation) -> Iterator[str]:
    """The explanation as lines of text, in dollars."""
    margin = explanation.margin
    yield f"parameters          {account.parameters.name:>18}"
    for name, amount in (
        ("equity", margin.equity),
        ("initial surplus", margin.initial),
        ("maintenance surplus", margin.maintenance),
        ("scenario loss", margin.loss),
    ):
        yield f"{name:<20}{to_dollars(amount):>18,.2f}"
    for name in margin.charges.__slots__:
        if charge := getattr(margin.charges, name):
            yield f"  {name.replace('_', ' '):<24}{to_dollars(charge):>12,.2f}"
    if margin.concentration:
        yield f"  {'concentration':<24}{to_dollars(margin.concentration):>12,.2f}"
    yield ""
    yield "P&L of a joint move  " + "".join(f"{vol.name.lower():>18}" for vol in SURFACE_VOLS)
    for index, move in enumerate(SURFACE_MOVES_PPM):
        row = "".join(f"{to_dollars(pnl[index]):>18,.2f}" for pnl in explanation.surface)
        yield f"  spot {move / 10_000:+6.1f} %       {row}"
    yield ""
    yield "worst scenarios"
    for underlying, scenario, pnl in explanation.worst:
        label = name_scenario(account.parameters.scenarios[scenario])
        yield f"  {account.underlyings[underlying]:<8}{to_dollars(pnl):>18,.2f}  {label}"
    yield ""
    columns = ("delta", "gamma", "vega", "theta", "vanna", "charm", "volga")
    yield "cash Greeks by expiry" + "".join(f"{name:>16}" for name in columns)
    for greeks in explanation.greeks:
        where = f"  {account.underlyings[greeks.underlying]} {account.expiries[greeks.underlying][greeks.expiry]}"
        yield f"{where:<21}" + "".join(f"{to_dollars(getattr(greeks, name)):>16,.2f}" for name in columns)


if __name__ == "__main__":
    sys.exit(main())
