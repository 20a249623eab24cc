"""One option, from decimals to price and Greeks: what `keel risk price` answers a line with.

Prices are scale-free, so a quote gets the finest decimal tick that its forward and strike allow. Everything between the
rounding of the inputs and the last conversion is the kernel's integers. Advisory: reads text and writes decimals.
"""

from dataclasses import dataclass
from decimal import Decimal

from risk.black76 import log_moneyness_nearest_q30, price_floor, total_vol_nearest_q30
from risk.bounds import PRICE_END, Refusal, RiskCode, check_quote
from risk.decimals import Fields, Refused, parse_json
from risk.fixed_point import ONE_Q38, YEAR_MS, ln_q38, sqrt_years_floor_q38
from risk.greeks import Greeks, compute_greeks

TICK_DECIMALS_MAX = 30


@dataclass(frozen=True, slots=True)
class Quote:
    """An option within the kernel's bounds; forward and strike in ticks of 10^-decimals."""

    is_call: bool
    forward: int
    strike: int
    decimals: int
    vol_q38: int
    time_ms: int
    discount_q38: int


def parse_quote(line: str) -> Quote | Refusal:
    """Read {"right", "forward", "strike", "vol", "years", "discount"}."""
    try:
        fields = Fields(parse_json(line))
        right = fields.text("right", ("call", "put"))
        forward, strike = fields.decimal("forward"), fields.decimal("strike")
        for value, code, name in (
            (forward, RiskCode.FORWARD_OUT_OF_RANGE, "forward"),
            (strike, RiskCode.STRIKE_OUT_OF_RANGE, "strike"),
        ):
            if not 0 < value < PRICE_END:
                raise Refused(code, name)
        decimals = count_tick_decimals(max(forward, strike))
        quote = Quote(
            is_call=right == "call",
            forward=int(forward.scaleb(decimals).to_integral_value()),
            strike=int(strike.scaleb(decimals).to_integral_value()),
            decimals=decimals,
            vol_q38=fields.q38("vol"),
            time_ms=fields.integer("years", YEAR_MS),
            discount_q38=fields.q38("discount"),
        )
    except Refused as error:
        return error.refusal
    return check_quote(quote.forward, quote.strike, quote.vol_q38, quote.time_ms, quote.discount_q38) or quote


def count_tick_decimals(largest: Decimal) -> int:
    """Decimals of the finest tick in which a price still stays below PRICE_END."""
    decimals = TICK_DECIMALS_MAX
    while largest.scaleb(decimals).to_integral_value() >= PRICE_END:
        decimals -= 1
    return decimals


def compute_price_floor(quote: Quote) -> int:
    """Discounted price in ticks. Time value and intrinsic value are discounted apart, so that parity stays exact."""
    x = log_moneyness_nearest_q30(ln_q38(quote.forward), ln_q38(quote.strike))
    v = total_vol_nearest_q30(quote.vol_q38, sqrt_years_floor_q38(quote.time_ms))
    price = price_floor(quote.forward, quote.strike, x, v, quote.is_call)
    gap = quote.forward - quote.strike
    intrinsic = max(gap if quote.is_call else -gap, 0)
    return (intrinsic * quote.discount_q38 >> 38) + ((price - intrinsic) * quote.discount_q38 >> 38)


def compute_quote_greeks(quote: Quote, price: int) -> Greeks:
    """Per unit of forward."""
    return compute_greeks(
        ln_q38(quote.forward) - ln_q38(quote.strike),
        quote.vol_q38,
        quote.time_ms,
        quote.discount_q38,
        (price << 38) // quote.forward,
        quote.is_call,
    )


def answer_quote(quote: Quote) -> dict[str, float]:
    """Price and Greeks of one unit: vega and volga per 1.00 of vol, theta and charm a day."""
    price = compute_price_floor(quote)
    greeks = compute_quote_greeks(quote, price)
    forward = Decimal(quote.forward).scaleb(-quote.decimals)
    answer = {
        "price": Decimal(price).scaleb(-quote.decimals),
        "delta": Decimal(greeks.delta) / ONE_Q38,
        "gamma": Decimal(greeks.gamma) / ONE_Q38 / forward,
        "vega": Decimal(greeks.vega) / ONE_Q38 * forward,
        "theta": Decimal(greeks.theta) / ONE_Q38 * forward,
        "vanna": Decimal(greeks.vanna) / ONE_Q38,
        "charm": Decimal(greeks.charm) / ONE_Q38,
        "volga": Decimal(greeks.volga) / ONE_Q38 * forward,
    }
    return {name: float(value) for name, value in answer.items()}
