"""Account files of `keel risk explain`: a market and a portfolio in dollars, as JSON that a person can write.

    {"parameters": "keel", "stable": 1, "cash": 10000,
     "underlyings": [{"name": "BTC", "spot": 100000, "mark": 100010, "perpetuals": -0.5,
                      "volatility": 0.6,
                      "expiries": [{"name": "30d", "days": 30, "forward": 100500, "rate": 0.05,
                                    "svi": {"a": 0.02, "b": 0.06, "rho": -0.3, "m": 0, "sigma": 0.2}}]}],
     "futures": [{"underlying": "BTC", "expiry": "30d", "quantity": 1}],
     "options": [{"underlying": "BTC", "expiry": "30d", "strike": 110000, "right": "call", "quantity": -2}],
     "collateral": [{"value": 50000, "follows": "BTC", "haircut": 0.1}]}

`mark`, `perpetuals`, `rate`, `futures`, `options` and `collateral` may be left out; so may `volatility`, and is then
the surface's at the money of the expiry nearest to 30 days. A case file of pm2.py is taken too. Advisory.
"""

from dataclasses import dataclass, replace

from risk.bounds import Refusal, RiskCode
from risk.checks import VOLATILITY_MAX_Q38, check_inputs, check_portfolio
from risk.decimals import Fields, Refused, parse_json
from risk.fixed_point import DAY_MS, ONE_Q38
from risk.market import Collateral, Expiry, Future, Market, Option, Portfolio, Underlying
from risk.parameter_sets import PARAMETER_SETS, PPM, scale_money
from risk.parameters import Parameters
from risk.pm2 import LOTS_A_UNIT, QUOTE_UNITS_A_DOLLAR, TICKS_A_DOLLAR, Case, parse_case
from risk.svi import Svi, vol_floor_q38


@dataclass(frozen=True, slots=True)
class Account:
    """An account with the names that its file gives to underlyings and, by underlying, to expiries."""

    parameters: Parameters
    market: Market
    portfolio: Portfolio
    underlyings: tuple[str, ...]
    expiries: tuple[tuple[str, ...], ...]


def parse_account(text: str) -> Account | Refusal:
    """Read an account file or a case file, and put it through the engine's gate."""
    try:
        document = Fields(parse_json(text))
        if "Scenario" in document:
            return _name_case(parse_case(text))
        account = _parse(document)
        checked = check_inputs(account.parameters, account.market, account.portfolio)
        return checked or _complete(account)
    except Refused as error:
        return error.refusal


def find_market(account: Account, later: Account) -> Market | Refusal:
    """The later file's market for what the account's file lists, in its order, by the names that they give."""
    underlyings = []
    for name, expiry_names in zip(account.underlyings, account.expiries, strict=True):
        if name not in later.underlyings:
            return Refusal(RiskCode.UNDERLYING_WITHOUT_PRICE, f"underlyings {name}")
        place = later.underlyings.index(name)
        own, listed = later.market.underlyings[place], later.expiries[place]
        missing = [expiry for expiry in expiry_names if expiry not in listed]
        if missing:
            return Refusal(RiskCode.EXPIRY_WITHOUT_SURFACE, f"underlyings {name}, expiries {missing[0]}")
        expiries = tuple(own.expiries[listed.index(expiry)] for expiry in expiry_names)
        underlyings.append(replace(own, expiries=expiries))
    market = Market(tuple(underlyings), later.market.stable_q38)
    return check_portfolio(market, account.portfolio) or market


def _complete(account: Account) -> Account:
    """The account with its rules in the file's quote units, and the surfaces' answer for every volatility that the file
    leaves out."""
    month = account.parameters.reference_tenor_ms

    def fill(underlying: Underlying) -> Underlying:
        if underlying.volatility_q38 or not underlying.expiries:
            return underlying
        nearest = min(underlying.expiries, key=lambda expiry: abs(expiry.time_ms - month))
        return replace(underlying, volatility_q38=min(vol_floor_q38(nearest.svi, 0), VOLATILITY_MAX_Q38))

    underlyings = tuple(fill(underlying) for underlying in account.market.underlyings)
    parameters = scale_money(account.parameters, QUOTE_UNITS_A_DOLLAR // PPM)
    return replace(account, parameters=parameters, market=replace(account.market, underlyings=underlyings))


def _name_case(case: Case | Refusal) -> Account | Refusal:
    if isinstance(case, Refusal):
        return case
    times = (expiry.time_ms for expiry in case.market.underlyings[0].expiries)
    names = tuple(f"{time // DAY_MS}d" if time >= DAY_MS else f"{time // 1000}s" for time in times)
    return Account(case.parameters, case.market, case.portfolio, ("spot",), (names,))


def _parse(document: Fields) -> Account:
    name = document.text("parameters", tuple(PARAMETER_SETS)) if "parameters" in document else "keel"
    entries = document.objects("underlyings")
    names = tuple(entry.text("name") for entry in entries)
    expiries = tuple(tuple(expiry.text("name") for expiry in entry.objects("expiries")) for entry in entries)
    market = Market(
        tuple(_parse_underlying(entry) for entry in entries),
        document.q38("stable") if "stable" in document else ONE_Q38,
    )
    rows = document.objects("options") if "options" in document else []
    options = [_parse_option(row, names, expiries) for row in rows]
    dated = document.objects("futures") if "futures" in document else []
    futures = [_parse_future(row, names, expiries) for row in dated]
    kept = document.objects("collateral") if "collateral" in document else []
    portfolio = Portfolio(
        cash=document.integer("cash", QUOTE_UNITS_A_DOLLAR),
        perpetuals=tuple(entry.integer("perpetuals", LOTS_A_UNIT) if "perpetuals" in entry else 0 for entry in entries),
        options=tuple(sorted(options, key=lambda o: (o.underlying, o.expiry, o.strike, o.is_call))),
        collateral=tuple(_parse_collateral(entry, names) for entry in kept),
        futures=tuple(sorted(futures, key=lambda f: (f.underlying, f.expiry))),
    )
    return Account(PARAMETER_SETS[name], market, portfolio, names, expiries)


def _parse_underlying(entry: Fields) -> Underlying:
    return Underlying(
        spot=entry.integer("spot", TICKS_A_DOLLAR),
        mark=entry.integer("mark", TICKS_A_DOLLAR) if "mark" in entry else 0,
        spot_confidence_q38=ONE_Q38,
        mark_confidence_q38=ONE_Q38,
        volatility_q38=entry.q38("volatility") if "volatility" in entry else 0,
        expiries=tuple(_parse_expiry(expiry) for expiry in entry.objects("expiries")),
    )


def _parse_expiry(entry: Fields) -> Expiry:
    svi = entry.object("svi")
    time_ms = entry.integer("days", DAY_MS)
    shape = (svi.q38("a"), svi.q38("b"), svi.q38("rho"), svi.q38("m"), svi.q38("sigma"))
    return Expiry(
        time_ms=time_ms,
        forward=entry.integer("forward", TICKS_A_DOLLAR),
        fixed=0,
        rate_q38=entry.q38("rate") if "rate" in entry else 0,
        confidence_q38=ONE_Q38,
        svi=Svi(*shape, time_ms),
    )


def _parse_future(row: Fields, names: tuple[str, ...], expiries: tuple[tuple[str, ...], ...]) -> Future:
    underlying = _find(row, "underlying", names, RiskCode.UNDERLYING_WITHOUT_PRICE)
    expiry = _find(row, "expiry", expiries[underlying], RiskCode.EXPIRY_WITHOUT_SURFACE)
    return Future(underlying, expiry, row.integer("quantity", LOTS_A_UNIT))


def _parse_option(row: Fields, names: tuple[str, ...], expiries: tuple[tuple[str, ...], ...]) -> Option:
    underlying = _find(row, "underlying", names, RiskCode.UNDERLYING_WITHOUT_PRICE)
    return Option(
        underlying=underlying,
        expiry=_find(row, "expiry", expiries[underlying], RiskCode.EXPIRY_WITHOUT_SURFACE),
        strike=row.integer("strike", TICKS_A_DOLLAR),
        is_call=row.text("right", ("call", "put")) == "call",
        quantity=row.integer("quantity", LOTS_A_UNIT),
    )


def _parse_collateral(entry: Fields, names: tuple[str, ...]) -> Collateral:
    follows = _find(entry, "follows", names, RiskCode.UNDERLYING_WITHOUT_PRICE) if "follows" in entry else -1
    value = entry.integer("value", QUOTE_UNITS_A_DOLLAR)
    return Collateral(value, follows, entry.q38("haircut") if "haircut" in entry else 0, 0, ONE_Q38, 0)


def _find(entry: Fields, field: str, names: tuple[str, ...], code: RiskCode) -> int:
    name = entry.text(field)
    if name not in names:
        raise Refused(code, f"{field} {name}")
    return names.index(name)
