"""A crash, replayed by the minute against leveraged accounts, with liquidations at once or as late as an L1 makes them.

Each minute: time moves, the oracle signs every price and surface, the keeper posts what is due, makers bid in auctions
(asking for more when the price falls), and a few people trade. The replay decides nothing: it asks an exchange.
"""

import math
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from devnet.crash_exchange import ROLLUP, CrashExchange, Event, make_oracle_keys
from devnet.crash_market import Closes, CrashMarket
from devnet.crash_people import DOLLAR, Chain, Crowd, Legs, Person, Trade, draw_people, draw_portfolio
from risk.fast_account import load
from risk.parameter_sets import PARAMETER_SETS
from sequencer.keeper import Sweep
from state.constants import EXPIRY_SECOND_OF_DAY, EXPIRY_STEP, PPM
from state.genesis import Genesis, Listing
from state.leaves import QUOTE_UNDERLYING, Account, AssetTerms, Params, UnderlyingTerms
from state.ledger import Ledger
from state.marks import compute_mark
from state.operations import Deleverage, Liquidate, Oracle, Settle, Surface, Take
from state.process_deleverage import compute_shift_ceil
from state.process_take import claim_take
from state.slices import SLICE_ROOM_PPM, compute_price
from state.valuation import add_position, compute_account_margin, read_quotes

SEED = 20171221
SETTLEMENT_WINDOW = 1_800
OPTION_DAYS = (1, 2, 8, 36)
OPTION_MONEYNESS = (0.85, 1.0, 1.15)
OPTION_MARKETS = 2
LOT_DOLLARS = 10
HALF_SPREAD_PPM = 500
PERSONS_A_MINUTE = 6
HURDLE, HURDLE_OF_DROP = 0.05, 1.0
"""A bidder asks for this share of the margin that it frees, and more while the price falls."""

AUCTION_SECONDS = 600
CORRELATION_Q20 = 1 << 20


@dataclass(frozen=True, slots=True)
class Scene:
    """What is replayed: minutes from `first` on, `count` people, liquidations so many minutes late."""

    closes: tuple[Closes, ...]
    first: int
    minutes: int
    people: int = 2_000
    delay_minutes: int = 0
    seed: int = SEED


@dataclass(slots=True)
class Outcome:
    """What came of it. Amounts in quote units; updates are price updates between a breach and its liquidation."""

    liquidated: dict[int, None] = field(default_factory=dict)
    updates: list[int] = field(default_factory=list)
    takes: int = 0
    deleverages: int = 0
    settlements: int = 0
    deleverage_loss: int = 0
    bad_debt: int = 0
    fund: int = 0
    refused_readings: int = 0
    course: list[tuple[int, int]] = field(default_factory=list)
    """By minute: accounts in auction, and losses shared so far."""

    def to_json(self) -> dict[str, int | float]:
        """The figures that are compared, in dollars."""
        ordered = sorted(self.updates) or [0]
        return {
            "accounts_liquidated": len(self.liquidated),
            "updates_to_liquidation_p50": ordered[len(ordered) // 2],
            "updates_to_liquidation_p99": ordered[min(len(ordered) - 1, math.ceil(0.99 * len(ordered)) - 1)],
            "bad_debt": self.bad_debt / DOLLAR,
            "insurance_fund": self.fund / DOLLAR,
            "socialised_loss": (self.bad_debt + self.deleverage_loss) / DOLLAR,
            "takes": self.takes,
            "deleverages": self.deleverages,
            "settlements": self.settlements,
        }


class DelayedSweep:
    """A sweep through a congested L1: it sees a breach `delay` updates late, and remembers since when there was one."""

    def __init__(self, sweep: Sweep, delay: int) -> None:
        self._sweep = sweep
        self._delay = delay
        self._breached: dict[int, int] = {}
        self._told: dict[int, int] = {}
        self.update = 0

    def find_changed(self, ledger: Ledger, accounts: Mapping[int, Account]) -> list[int]:
        """As sequencer.keeper.Sweep."""
        changed = dict.fromkeys(self._sweep.find_changed(ledger, accounts))
        breached = {index: None for index in changed if accounts[index].liquidation_from == 0}
        self._breached = {index: self._breached.get(index, self.update) for index in breached}
        due = [index for index, since in self._breached.items() if self.update - since >= self._delay]
        self._told |= {index: self._breached[index] for index in due}
        return [*due, *(index for index in changed if index not in breached)]

    def find_debtors(self, ledger: Ledger, accounts: Mapping[int, Account]) -> Iterable[int]:
        """As sequencer.keeper.Sweep; interest has no haste."""
        return self._sweep.find_debtors(ledger, accounts)

    def find_lag(self, account: int) -> int:
        """Updates since the breach of an account that was seen at last; one look may not be enough to act upon it."""
        return self.update - self._told[account]


class Replay:
    """One run of a scene. `watch` is called whenever batches may have been sealed."""

    def __init__(
        self, scene: Scene, sweep: Sweep, watch: Callable[[CrashExchange], None], rollup: bytes = ROLLUP
    ) -> None:
        load()  # a replay has no time to lose, and nobody to serve meanwhile
        self.scene = scene
        self.watch = watch
        self.dice = random.Random(scene.seed)
        self.markets = [CrashMarket(closes, choose_units(closes)) for closes in scene.closes]
        self.crowd = Crowd(draw_people(scene.seed, scene.people))
        self.sweep = DelayedSweep(sweep, scene.delay_minutes)
        self.exchange = CrashExchange(build_genesis(self.markets, self.get_time(-2)), self.sweep, rollup)
        self.chains = build_chains(self.markets, scene.first, self.get_time(0))
        self.integrals = [0] * len(self.markets)
        self.outcome = Outcome()

    def get_time(self, minute: int) -> int:
        """Seconds since the epoch of a minute of the replay."""
        return self.markets[0].start + 60 * (self.scene.first + minute)

    def run(self, progress: Callable[[int, Outcome], None]) -> Outcome:
        """Everything, from the first deposit to the last minute."""
        self._open()
        for minute in range(1, self.scene.minutes):
            self._play_minute(minute)
            progress(minute, self.outcome)
        self.exchange.seal()
        self.watch(self.exchange)
        return self.outcome

    # Minutes

    def _open(self) -> None:
        """Deposits, first prices, everybody's portfolio."""
        exchange = self.exchange
        exchange.tick(self.get_time(-1))
        for person in (*self.crowd.makers, *self.crowd.people):
            exchange.deposit(person)
            self.watch(exchange)
        exchange.tick(self.get_time(0))
        self._publish(0)
        for person in self.crowd.people:
            trades = draw_portfolio(self.dice, person.style, range(len(self.markets)), self.chains)
            self._take_on(person, trades)
            self.watch(exchange)

    def _play_minute(self, minute: int) -> None:
        self.exchange.tick(self.get_time(minute))
        self._publish(minute)
        self.sweep.update = minute
        self._count(self.exchange.keep())
        self._bid()
        self._trade(minute)
        self.watch(self.exchange)
        books = self.exchange.ledger.require_asset(0)
        self.outcome.bad_debt, self.outcome.fund = books.bad_debt, books.fund
        in_auction = sum(self.exchange.keeper.is_in_auction(one) for one in self.outcome.liquidated)
        self.outcome.course.append((in_auction, books.bad_debt + self.outcome.deleverage_loss))

    def _publish(self, minute: int) -> None:
        """Sign every price and every living surface; what a guard refuses is counted."""
        at, time = self.scene.first + minute, self.get_time(minute)
        for index, market in enumerate(self.markets):
            reading = market.read(at)
            self.integrals[index] += 60 * reading.spot
            op = Oracle(0, index, time, reading.spot, reading.mark, PPM, PPM, reading.volatility_ppm, 0, ())
            self.outcome.refused_readings += not self.exchange.publish(op)
        for chain in self.chains:
            for expiry in chain.expiries:
                if time <= expiry:
                    self._publish_surface(chain.underlying, expiry, at, time)

    def _publish_surface(self, underlying: int, expiry: int, at: int, time: int) -> None:
        reading = self.markets[underlying].read_surface(at, expiry - time)
        leaf = self.exchange.ledger.get_expiry(underlying, expiry)
        forward, integral = reading.forward, self.integrals[underlying]
        if leaf is not None and time > expiry - SETTLEMENT_WINDOW:
            # In the window the forward is what has been, and what may still come.
            left = max(expiry - time, 0)
            forward = (integral - leaf.start_integral + left * forward) // SETTLEMENT_WINDOW
        surface = (reading.rate, reading.a, reading.b, reading.rho, reading.m, reading.sigma)
        op = Surface(0, underlying, expiry, time, integral, forward, *surface, PPM, 0, ())
        self.outcome.refused_readings += not self.exchange.publish(op)

    def _count(self, events: Sequence[Event]) -> None:
        for event in events:
            match event.op:
                case Liquidate(account=account):
                    if self.exchange.ledger.require_account(account).liquidation_from == event.time:
                        self.outcome.liquidated[account] = None
                        self.outcome.updates.append(self.sweep.find_lag(account))
                case Deleverage():
                    self.outcome.deleverages += 1
                    self.outcome.deleverage_loss += self._compute_loss(event.op)
                case Settle():
                    self.outcome.settlements += 1
                case _:
                    pass

    def _compute_loss(self, op: Deleverage) -> int:
        """What the counterparty of a deleveraging gave beside the mark, quote units."""
        ledger = self.exchange.ledger
        return compute_shift_ceil(op, ledger.require_underlying(op.instrument.underlying), ledger.require_asset(0))

    # People

    def _compute_price(self, legs: Legs) -> int:
        """The mark of a lot of legs, quote units."""
        ledger, time, price = self.exchange.ledger, self.exchange.time, 0
        for instrument, ratio in legs:
            expiry = ledger.require_expiry(instrument.underlying, instrument.expiry) if instrument.expiry else None
            price += ratio * compute_mark(instrument, ledger.require_underlying(instrument.underlying), expiry, time)
        return price

    def _compute_use(self, trades: Sequence[Trade]) -> int:
        """Initial margin that a lot of a portfolio needs, quote units."""
        ledger, held = self.exchange.ledger, Account(owner=bytes(20))
        for trade in trades:
            for instrument, ratio in trade.legs:
                held = add_position(held, instrument, trade.lots * ratio)
        params = ledger.get_params()
        margin = compute_account_margin(held, read_quotes(ledger, held, params), ledger.get_globals().time, params)
        return max(margin.equity - margin.initial, 1)

    def _take_on(self, person: Person, trades: Sequence[Trade]) -> None:
        """Trade as many lots of the portfolio as the person's share of equity needs margin for."""
        lots = int(person.use * person.deposit) // self._compute_use(trades)
        maker = self.crowd.makers[person.number % len(self.crowd.makers)]
        for trade in trades:
            if lots > 0:
                self._quote(maker, person, trade.legs, trade.lots * lots, 0.0)

    def _quote(self, maker: Person, person: Person, legs: Legs, lots: int, drop: float) -> int:
        """The maker's price is the mark, worse for the taker by a half spread that widens with the drop."""
        ledger = self.exchange.ledger
        base = ledger.require_underlying(legs[0][0].underlying).mark
        half = max(1, round(base * HALF_SPREAD_PPM * (1 + 20 * drop)) // PPM)
        price = self._compute_price(legs) + (half if lots > 0 else -half)
        if len(legs) == 1:
            price = max(price, 1)
        return self.exchange.trade(maker, person, legs, lots, price)

    def _trade(self, minute: int) -> None:
        """A few people add to what they hold or take from it."""
        for person in self.dice.sample(self.crowd.people, min(PERSONS_A_MINUTE, len(self.crowd.people))):
            account = self.exchange.ledger.require_account(person.account)
            living = [held for held in account.positions if held[0].expiry == 0 or held[0].expiry > self.exchange.time]
            if account.liquidation_from or not living:
                continue
            instrument, quantity = self.dice.choice(living)
            lots = max(1, abs(quantity) // 10) * (1 if quantity > 0 else -1) * self.dice.choice((-1, -1, 1))
            drop = self.markets[instrument.underlying].compute_drop(self.scene.first + minute)
            self._quote(self.dice.choice(self.crowd.makers), person, ((instrument, 1),), lots, drop)

    # Auctions

    def _bid(self) -> None:
        """Makers look at every auction and bid where the discount pays for the risk."""
        minute = self.sweep.update + self.scene.first
        hurdle = HURDLE + HURDLE_OF_DROP * max(market.compute_drop(minute) for market in self.markets)
        for target in self.outcome.liquidated:
            if self.exchange.keeper.is_in_auction(target):
                self._bid_for(target, hurdle)

    def _bid_for(self, target: int, hurdle: float) -> None:
        for bidder in self.dice.sample(self.crowd.makers, len(self.crowd.makers)):
            ledger = self.exchange.ledger
            params, account = ledger.get_params(), ledger.require_account(target)
            if not account.positions and not account.collateral:
                return
            whole = claim_take(ledger, make_bid(bidder.account, target, PPM))
            if whole.maintenance >= 0:
                return
            slice_ppm = choose_slice(whole)
            bid = claim_take(ledger, make_bid(bidder.account, target, slice_ppm))
            price = compute_price(bid, account, params, ledger.require_asset(0), self.exchange.time)
            wanted = int(max(bid.relief, 0) * hurdle)
            if price.discount < wanted:
                return
            if self.exchange.bid(bidder, target, slice_ppm, wanted):
                self.outcome.takes += 1
                return


def choose_slice(whole: Take) -> int:
    """The most that check 1507 lets go at once, parts per million."""
    if whole.equity <= 0:
        return PPM
    requirement = max(1, whole.equity - whole.maintenance)
    return min(PPM, 2 * (max(0, -whole.maintenance) * PPM // requirement) + SLICE_ROOM_PPM)


def make_bid(bidder: int, target: int, slice_ppm: int) -> Take:
    """A bid without claims and signature, to reckon with."""
    return Take(0, 0, 0, 0, 0, bidder, 0, target, slice_ppm, 0, 0, 0, bytes(64))


def choose_units(closes: Closes) -> float:
    """Quote units a lot for a dollar of price: a lot is the power of ten of coins that is worth some ten dollars."""
    return float(DOLLAR * 10.0 ** round(math.log10(LOT_DOLLARS / closes.prices[0])))


def round_strike(price: float) -> int:
    """To three significant digits, as instruments must have."""
    step = 10 ** max(0, math.floor(math.log10(price)) - 2)
    return round(price / step) * step


def build_chains(markets: Sequence[CrashMarket], first: int, time: int) -> list[Chain]:
    """Options on the dearest markets: a few expiries at eight in the morning, three strikes each."""
    morning = time - time % EXPIRY_STEP + EXPIRY_SECOND_OF_DAY
    expiries = tuple(morning + EXPIRY_STEP * days for days in OPTION_DAYS)
    chains = []
    for index in list_option_markets(markets):
        spot = markets[index].read(first).spot
        strikes = tuple(sorted({round_strike(spot * share) for share in OPTION_MONEYNESS}))
        chains.append(Chain(index, expiries, tuple(strikes for _ in expiries)))
    return chains


def list_option_markets(markets: Sequence[CrashMarket]) -> list[int]:
    """Those with the best known symbols first, else the first ones."""
    known = [index for index, market in enumerate(markets) if market.symbol[:3] in ("BTC", "ETH", "XBT")]
    return (known or list(range(len(markets))))[:OPTION_MARKETS]


def build_genesis(markets: Sequence[CrashMarket], time: int) -> Genesis:
    """The exchange of the replay: Keel's own rules of margin, readings every minute, auctions of ten minutes."""
    params = Params(
        oracle_threshold=2,
        oracle_signers=tuple(key.address for key in make_oracle_keys()),
        oracle_age_max=90,
        oracle_skew_max=5,
        price_age_max=300,
        guard_ppm=100_000,
        halt_ppm=150_000,
        halt_seconds=60,
        band_ppm=100_000,
        maker_fee_ppm=100,
        taker_fee_ppm=500,
        l1_fee=1_000,
        funding_period=28_800,
        funding_cap_ppm=30_000,
        cancel_only_interval=0,
        auction_seconds=AUCTION_SECONDS,
        close_delay=3_600,
        penalty_ppm=50_000,
        quote_debt_max=1_000_000 * DOLLAR,
        peg_underlying=QUOTE_UNDERLYING,
        debt_rate_ppm=100_000,
        active_from=0,
        assets=(AssetTerms(QUOTE_UNDERLYING, 0, 0, 0, 1, DOLLAR),),
        underlyings=tuple(UnderlyingTerms(CORRELATION_Q20, 1 << 50) for _ in markets),
    )
    listings = tuple(Listing(market.symbol.encode()[:8]) for market in markets)
    return Genesis(params, PARAMETER_SETS["keel"], listings, time)
