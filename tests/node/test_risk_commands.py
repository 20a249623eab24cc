"""The risk commands as a user meets them: lines in, lines out, and a numbered error for whatever is wrong."""

import io
import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from node.risk_commands import main
from tests.risk.exact import REAL, greeks, price

GOOD = {"right": "call", "forward": 100, "strike": 110, "vol": 0.6, "years": 0.25, "discount": 0.99}

ACCOUNT = {
    "parameters": "keel",
    "cash": 10_000,
    "underlyings": [
        {
            "name": "BTC",
            "spot": 100_000,
            "mark": 100_010,
            "perpetuals": -0.5,
            "volatility": 0.6,
            "expiries": [
                {
                    "name": "30d",
                    "days": 30,
                    "forward": 100_500,
                    "svi": {"a": 0.02, "b": 0.06, "rho": -0.3, "m": 0, "sigma": 0.2},
                }
            ],
        }
    ],
    "futures": [{"underlying": "BTC", "expiry": "30d", "quantity": 1}],
    "options": [{"underlying": "BTC", "expiry": "30d", "strike": 110_000, "right": "call", "quantity": -2}],
    "collateral": [{"value": 50_000, "follows": "BTC", "haircut": 0.1}],
}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run `keel risk …` with this standard input; gives exit status and printed text."""

    def run_command(*argv: str, text: str = "") -> tuple[int, str]:
        monkeypatch.setattr("sys.stdin", io.StringIO(text))
        return main(["risk", *argv]), capsys.readouterr().out

    return run_command


def test_prices_end_to_end(run: Any, seed: int) -> None:
    """From decimals to decimals a price is within 2e-8 of F plus 2e-6, and a Greek within 1e-7 of its scale."""
    random = Random(seed)
    quotes: list[dict[str, Any]] = []
    while len(quotes) < 400:
        forward = round(10 ** random.uniform(2, 6), 4)
        vol, years = round(random.uniform(0.1, 2.5), 6), round(10 ** random.uniform(-2.5, 0.5), 9)
        strike = round(forward * (1 + random.uniform(-0.6, 0.6) * min(vol * years**0.5 * 3, 1)), 4)
        if strike > 0 and vol * years**0.5 > 0.01:
            discount = round(random.uniform(0.7, 1), 6)
            right = random.choice(("call", "put"))
            quotes.append(
                {"right": right, "forward": forward, "strike": strike, "vol": vol, "years": years, "discount": discount}
            )
    status, printed = run("price", text="\n".join(map(json.dumps, quotes)))
    assert status == 0
    for quote, line in zip(quotes, printed.splitlines(), strict=True):
        answer = json.loads(line)
        f, k, vol, years, d = (REAL.mpf(repr(quote[n])) for n in ("forward", "strike", "vol", "years", "discount"))
        is_call = quote["right"] == "call"
        exact = d * price(f, k, vol * REAL.sqrt(years), is_call)
        assert abs(answer["price"] - exact) <= 2e-8 * f + 2e-6, quote
        units = {"gamma": 1 / f, "vega": f, "theta": f, "volga": f}
        for name, (value, scale) in greeks(REAL.log(f / k), vol, years, d, is_call).items():
            unit = units.get(name, 1)
            assert abs(answer[name] - value * unit) <= (1e-7 * scale + 8e-12) * unit, (name, quote)


def test_parity_is_exact(run: Any) -> None:
    """At a discount of 1 call minus put is forward minus strike to the last printed digit."""
    lines = [json.dumps(GOOD | {"right": right, "discount": 1}) for right in ("call", "put")]
    _, printed = run("price", text="\n".join(lines))
    call, put = (json.loads(line, parse_float=str)["price"] for line in printed.splitlines())
    assert REAL.mpf(call) - REAL.mpf(put) == -10


@pytest.mark.parametrize(
    ("changes", "name", "field"),
    [
        ({"vol": 0}, "VOL_OUT_OF_RANGE", "vol"),
        ({"vol": -0.5}, "VOL_OUT_OF_RANGE", "vol"),
        ({"vol": 1e9}, "VOL_OUT_OF_RANGE", "vol"),
        ({"vol": 100}, "TOTAL_VOL_OUT_OF_RANGE", "vol"),
        ({"years": 0}, "TIME_OUT_OF_RANGE", "time_ms"),
        ({"years": -1}, "TIME_OUT_OF_RANGE", "time_ms"),
        ({"years": 17}, "TIME_OUT_OF_RANGE", "time_ms"),
        ({"strike": 0}, "STRIKE_OUT_OF_RANGE", "strike"),
        ({"strike": -1}, "STRIKE_OUT_OF_RANGE", "strike"),
        ({"strike": 1e30}, "STRIKE_OUT_OF_RANGE", "strike"),
        ({"strike": 1e9}, "MONEYNESS_OUT_OF_RANGE", "strike"),
        ({"forward": 0}, "FORWARD_OUT_OF_RANGE", "forward"),
        ({"forward": float("nan")}, "FIELD_NOT_FINITE", "forward"),
        ({"discount": float("inf")}, "FIELD_NOT_FINITE", "discount"),
        ({"discount": 0}, "DISCOUNT_OUT_OF_RANGE", "discount"),
        ({"vol": "1e999999999"}, "FIELD_MALFORMED", "vol"),
        ({"vol": "much"}, "FIELD_MALFORMED", "vol"),
        ({"vol": None}, "FIELD_MALFORMED", "vol"),
        ({"vol": True}, "FIELD_MALFORMED", "vol"),
        ({"right": "both"}, "FIELD_MALFORMED", "right"),
        ({"right": 1}, "FIELD_MALFORMED", "right"),
    ],
)
def test_a_bad_quote_is_refused_by_name(run: Any, changes: dict[str, Any], name: str, field: str) -> None:
    """Each wrong input has its number and its field, and the lines around it are answered."""
    lines = [json.dumps(GOOD), json.dumps(GOOD | changes), json.dumps(GOOD)]
    status, printed = run("price", text="\n".join(lines))
    before, refused, after = map(json.loads, printed.splitlines())
    assert status == 1
    assert before == after
    assert "price" in before
    assert (refused["error"]["name"], refused["error"]["field"]) == (name, field)


@pytest.mark.parametrize("text", ["{", "[1]", "7", '"x"', "{}", "[" * 100_000])
def test_what_is_no_quote_is_refused(run: Any, text: str) -> None:
    """Whatever stands on a line, an error stands in the answer."""
    status, printed = run("price", text=text)
    assert status == 1
    assert json.loads(printed)["error"]["code"] >= 30


def test_case_files(run: Any, shared: Path) -> None:
    """Each case file is one line with its margins; a file that is none is an error in its place."""
    files = sorted((shared / "vectors/pm2").glob("*.json"))
    status, printed = run("pm2", *map(str, files), str(shared / "absent.json"))
    *answers, missing = map(json.loads, printed.splitlines())
    assert status == 1
    assert missing["case"] == "absent"
    assert missing["error"]["name"] == "LINE_NOT_JSON"
    for file, answer in zip(files, answers, strict=True):
        result = json.loads(file.read_text())["Result"]
        assert answer["case"] == file.stem
        assert answer["im"] == pytest.approx(result["IM"], rel=1e-6, abs=0.02)
        assert answer["mm"] == pytest.approx(result["MM"], rel=1e-6, abs=0.02)
        assert answer["worst"]["pnl"] <= 0


def test_an_account_is_explained_and_drawn(run: Any, tmp_path: Path) -> None:
    """The explanation names the margin, the surface, the worst scenarios and the Greeks, and the picture is a PNG."""
    account, picture = tmp_path / "account.json", tmp_path / "account.png"
    account.write_text(json.dumps(ACCOUNT))
    status, printed = run("explain", str(account), "--plot", str(picture))
    assert status == 0
    for part in ("initial surplus", "P&L of a joint move", "worst scenarios", "BTC 30d", "spot  +40.0 %"):
        assert part in printed
    assert picture.read_bytes().startswith(b"\x89PNG")


def write_later(folder: Path, changes: dict[tuple[str | int, ...], Any]) -> tuple[str, str]:
    """The account's file, and another in which some of the market is different."""
    document = json.loads(json.dumps(ACCOUNT))
    for path, value in changes.items():
        place = document
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value
    before, after = folder / "before.json", folder / "after.json"
    before.write_text(json.dumps(ACCOUNT))
    after.write_text(json.dumps(document))
    return str(before), str(after)


def test_pnl_is_explained_by_cause(run: Any, tmp_path: Path) -> None:
    """Between two markets every cause has its line, the columns add up, and the residual of a small move is small."""
    first = ("underlyings", 0, "expiries", 0)
    changes = {("underlyings", 0, "mark"): 100_210, (*first, "forward"): 100_700, (*first, "days"): 29.99}
    status, printed = run("explain", *write_later(tmp_path, changes))
    assert status == 0
    rows = [line.split() for line in printed.splitlines()[1:]]
    amounts = {name: float(total.replace(",", "")) for name, _, total in rows}
    assert list(amounts) == ["delta", "gamma", "vega", "theta", "vanna", "volga", "residual", "total"]
    total = amounts.pop("total")
    assert total == pytest.approx(sum(amounts.values()), abs=0.05)
    assert abs(amounts["residual"]) < 1
    assert amounts["theta"] > 0


@pytest.mark.parametrize(
    ("path", "value", "name"),
    [
        (("underlyings", 0, "name"), "ETH", "UNDERLYING_WITHOUT_PRICE"),
        (("underlyings", 0, "expiries", 0, "name"), "60d", "EXPIRY_WITHOUT_SURFACE"),
        (("underlyings", 0, "spot"), 0, "SPOT_OUT_OF_RANGE"),
        (("cash",), float("nan"), "FIELD_NOT_FINITE"),
    ],
)
def test_a_later_market_must_list_what_is_held(
    run: Any, tmp_path: Path, path: tuple[str | int, ...], value: Any, name: str
) -> None:
    """A second file that lacks an underlying or an expiry, or is wrong itself, is refused by name."""
    changes: dict[tuple[str | int, ...], Any] = {path: value, ("futures",): [], ("options",): [], ("collateral",): []}
    status, printed = run("explain", *write_later(tmp_path, changes))
    assert status == 1
    assert json.loads(printed)["error"]["name"] == name


@pytest.mark.parametrize(
    ("path", "value", "name"),
    [
        (("options", 0, "expiry"), "31d", "EXPIRY_WITHOUT_SURFACE"),
        (("options", 0, "underlying"), "ETH", "UNDERLYING_WITHOUT_PRICE"),
        (("options", 0, "quantity"), 0, "QUANTITY_OUT_OF_RANGE"),
        (("options", 0, "quantity"), 1e9, "QUANTITY_OUT_OF_RANGE"),
        (("options", 0, "strike"), 0, "STRIKE_OUT_OF_RANGE"),
        (("options",), [ACCOUNT["options"][0]] * 2, "POSITION_DUPLICATED"),  # type: ignore[index]
        (("futures", 0, "expiry"), "31d", "EXPIRY_WITHOUT_SURFACE"),
        (("futures", 0, "underlying"), "ETH", "UNDERLYING_WITHOUT_PRICE"),
        (("futures", 0, "quantity"), 0, "QUANTITY_OUT_OF_RANGE"),
        (("futures", 0, "quantity"), -1e9, "QUANTITY_OUT_OF_RANGE"),
        (("futures",), [ACCOUNT["futures"][0]] * 2, "POSITION_DUPLICATED"),  # type: ignore[index]
        (("underlyings", 0, "volatility"), -0.1, "VOL_OUT_OF_RANGE"),
        (("underlyings", 0, "volatility"), 21, "VOL_OUT_OF_RANGE"),
        (("underlyings", 0, "volatility"), float("inf"), "FIELD_NOT_FINITE"),
        (("underlyings", 0, "volatility"), "high", "FIELD_MALFORMED"),
        (("underlyings", 0, "spot"), 0, "SPOT_OUT_OF_RANGE"),
        (("underlyings", 0, "mark"), 0, "UNDERLYING_WITHOUT_PRICE"),
        (("underlyings", 0, "expiries", 0, "days"), -1, "TIME_OUT_OF_RANGE"),
        (("underlyings", 0, "expiries", 0, "days"), 0, "TIME_OUT_OF_RANGE"),
        (("underlyings", 0, "expiries", 0, "forward"), 0, "FORWARD_OUT_OF_RANGE"),
        (("underlyings", 0, "expiries", 0, "svi", "sigma"), 0, "SURFACE_OUT_OF_RANGE"),
        (("parameters",), "none such", "FIELD_MALFORMED"),
        (("cash",), float("nan"), "FIELD_NOT_FINITE"),
    ],
)
def test_a_bad_account_is_refused_by_name(
    run: Any, tmp_path: Path, path: tuple[str | int, ...], value: Any, name: str
) -> None:
    """Whatever is wrong in an account file has a number and a field."""
    document = json.loads(json.dumps(ACCOUNT))
    place = document
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    account = tmp_path / "account.json"
    account.write_text(json.dumps(document))
    status, printed = run("explain", str(account))
    assert status == 1
    assert json.loads(printed)["error"]["name"] == name
