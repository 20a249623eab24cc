"""Accounts of every shape before and after an op, and the witness from which contracts/margin.vy judges them."""

from contextlib import suppress
from dataclasses import dataclass, replace
from random import Random

from fraud_proofs.witness import build_leaves
from risk.margin import BASIS_ACTIVE
from risk.parameters import Parameters, Scenario, Tier, VolShock
from state.active_scenarios import WORST, Scales
from state.constants import (
    ACCOUNT_EXPIRIES_MAX,
    ACCOUNT_UNDERLYINGS_MAX,
    ASSETS_MAX,
    EXPIRY_SECOND_OF_DAY,
    EXPIRY_STEP,
    KEYS_MAX,
    LEGS_MAX,
    POSITIONS_MAX,
    PPM,
    PRICE_MAX,
    QUANTITY_MAX,
    RULES_OFFSET,
    UNDERLYINGS_MAX,
)
from state.leaves import (
    QUOTE_UNDERLYING,
    Account,
    AssetTerms,
    Expiry,
    Globals,
    Instrument,
    Params,
    SessionKey,
    Underlying,
    UnderlyingTerms,
    call,
    future,
    perpetual,
    put,
)
from state.ledger import Exhibit, Ledger, SubjectMissing
from state.operations import NO_ACTIVE
from state.rules import encode_rules
from state.tree import (
    GLOBALS_KEY,
    Collection,
    LeafKey,
    account_key,
    build_tree,
    expiry_key,
    get_collection,
    leaf_key,
    underlying_key,
)
from state.valuation import (
    Quotes,
    add_position,
    compute_account_margin,
    drop_stale_spots,
    is_halted,
    is_young,
    read_quotes,
)
from tests.risk.samples import make_expiry
from tests.world import QUOTE_TERMS, build_params

TODAY = 20_000 * EXPIRY_STEP + EXPIRY_SECOND_OF_DAY
"""An expiry; scenes lie around it, so that it is far, in its settlement window, due, or settled."""

VERSION = 1

EXHIBIT_BYTES = 16

Answer = tuple[tuple[int, int, int, int], tuple[int, int, int, int], int, bytes, int, bool]


@dataclass(frozen=True)
class Scene:
    """Leaves, a state time, one account without and with an op, and the scenarios exhibited; WORST for the worst."""

    leaves: dict[LeafKey, bytes]
    params: Params
    time: int
    before: Account
    after: Account
    must_cover: bool
    exhibit: Exhibit = WORST

    def list_leaves(self) -> tuple[bytes, bytes, int]:
        """The entries of M*, the root that they stand under, and how many there are."""
        ledger, tree = Ledger(self.leaves), build_tree(self.leaves.items())
        with suppress(SubjectMissing):
            self._read_quotes(ledger)
        reads = {key: data for key, data in ledger.reads.items() if _is_priced(key)}
        entries = [leaf.encode() for leaf in build_leaves(tree, reads, {})]
        return b"".join(entries), tree.root, len(entries)

    def call(self, prefix: bytes = b"", suffix: bytes = b"") -> tuple[object, ...]:
        """The arguments of margin.compute, M* between other entries of a witness."""
        entries, _, _ = self.list_leaves()
        leaves = (self.params.encode(), self.before.encode(), self.after.encode())
        witness = prefix + self.name_exhibit().encode() + entries + suffix
        return (witness, len(prefix), self.time, VERSION, *leaves, self.must_cover)

    def name_exhibit(self) -> Exhibit:
        """The scenarios that stand before the leaves; any where one of these is missing."""
        if self.exhibit != WORST:
            return self.exhibit
        try:
            scales = self._measure(self._read_quotes(Ledger(self.leaves)))
        except SubjectMissing:
            return Exhibit(NO_ACTIVE, NO_ACTIVE)
        return Exhibit(scales.name_worst_before(), scales.name_worst_after())

    def answer(self, prefix: bytes = b"") -> Answer:
        """What the reference says of it: under the scenarios exhibited, or under all."""
        entries, root, _ = self.list_leaves()
        end = len(prefix) + EXHIBIT_BYTES + len(entries)
        try:
            quotes = self._read_quotes(Ledger(self.leaves))
        except SubjectMissing:
            return (0, 0, 0, 0), (0, 0, 0, 0), 0, root, end, True
        freshness = is_young(self.after, quotes, self.time, self.params) + 2 * (
            not is_halted(self.after, quotes, self.time)
        )
        if self.exhibit == WORST:
            held = self._cover(quotes)
            margins = [compute_account_margin(side, held, self.time, self.params) for side in (self.before, self.after)]
        else:
            scales = self._measure(quotes)
            margins = [scales.compute_before(self.exhibit.before), scales.compute_after(self.exhibit.after)]
        before, after = ((m.quote_equity, m.equity, m.initial, m.maintenance) for m in margins)
        return before, after, freshness, root, end, False

    def _read_quotes(self, ledger: Ledger) -> Quotes:
        return read_quotes(
            ledger, self._hold_all(), self.params, [instrument for instrument, _ in self.after.positions]
        )

    def _cover(self, quotes: Quotes) -> Quotes:
        return drop_stale_spots(quotes, self.time, self.params) if self.must_cover else quotes

    def _measure(self, quotes: Quotes) -> Scales:
        return Scales(self._cover(quotes), self.time, self.params, self.before, self.after)

    def _hold_all(self) -> Account:
        """An account that needs what either side needs of collateral; its positions are those before."""
        held = dict(self.before.collateral) | dict(self.after.collateral)
        return replace(self.before, collateral=tuple(sorted(held.items())))


def _is_priced(key: LeafKey) -> bool:
    """Whether a leaf belongs to M*."""
    if get_collection(key) is Collection.PARAMS:
        return key == leaf_key(Collection.PARAMS, RULES_OFFSET + VERSION)
    return get_collection(key) in (Collection.UNDERLYINGS, Collection.EXPIRIES)


def _describe_globals(time: int) -> Globals:
    return Globals(
        batch=1,
        generation=1,
        time=time,
        next_position=0,
        log_hash=bytes(32),
        inbox_cursor=0,
        inbox_hash=bytes(32),
        outbox_count=0,
        account_count=2,
        underlying_count=8,
        asset_count=16,
        params_version=VERSION,
        cancel_only_until=0,
    )


def draw_rules(random: Random, rules: Parameters) -> Parameters:
    """The same rules with tiers that random accounts reach and fail."""
    tiers = tuple(
        Tier(
            initial_factor_q38=random.randrange(1 << 37, 1 << 39),
            maintenance_factor_q38=random.randrange(1 << 36, 1 << 39),
            gamma_threshold=int(2 ** random.uniform(0, 63)),
            vega_threshold=int(2 ** random.uniform(0, 63)),
            minimum_equity=random.choice((0, int(2 ** random.uniform(0, 60)))),
            maximum_use_q38=random.choice((1 << 38, random.randrange(1 << 40))),
        )
        for _ in range(random.randrange(1, 5))
    )
    later = random.choice((0, 86_400_000))
    return replace(rules, tiers=tiers, steps_ms=(0, later) if later else (0,))


def draw_params(random: Random, underlyings: int) -> Params:
    """Assets on random underlyings, a peg or none, loadings of every size."""
    asset_count = random.randrange(16)
    assets = tuple(
        AssetTerms(
            random.randrange(underlyings),
            random.randrange(PPM),
            random.randrange(PPM),
            random.choice((0, 500_000, PPM)),
            random.choice((1, 10**6, 10**18)),
            0,
        )
        for _ in range(asset_count)
    )
    return build_params(
        assets=(QUOTE_TERMS, *assets),
        peg_underlying=random.choice((QUOTE_UNDERLYING, random.randrange(underlyings))),
        underlyings=tuple(
            UnderlyingTerms(random.choice((0, 1 << 20, random.randrange(1 << 20))), 1 << 50) for _ in range(underlyings)
        ),
        price_age_max=random.choice((300, 100_000)),
    )


def draw_underlying(random: Random, time: int, spot: int) -> Underlying:
    """Young or stale, halted or not, trusted or not."""
    return Underlying(
        b"SYMBOL\0\0",
        oracle_time=time - random.choice((0, 300, 301, random.randrange(10_000))),
        spot=spot,
        mark=min(max(int(spot * random.uniform(0.98, 1.02)), 1), PRICE_MAX - 1),
        spot_confidence=random.choice((PPM, 900_000, 400_000, 0)),
        mark_confidence=random.choice((PPM, 700_000, 300_000)),
        volatility=random.choice((0, 1, 600_000, 20_000_000)),
        funding_index=random.choice((0, random.randrange(-(1 << 56), 1 << 56), random.randrange(-(10**6), 10**6))),
        index_time=time - random.randrange(100_000),
        premium=random.choice((0, random.randrange(-(10**9), 10**9))),
        open_interest=random.getrandbits(60),
        halted_until=random.choice((0, 0, 0, time, time + 1)),
    )


def draw_expiry(random: Random, time: int, expiry: int, spot: int) -> Expiry:
    """Live, in its settlement window, due, or settled."""
    read_at = min(time, expiry) - random.choice((0, 5, 300, 301, 2_000, 90_000))
    forward = min(max(int(spot * random.uniform(0.97, 1.06)), 1), PRICE_MAX - 1)
    surface = make_expiry(random, max(expiry - read_at, 1) * 1000, forward)
    start = random.randrange(1 << 60)
    elapsed = max(read_at - (expiry - 1800), 0)
    settles = read_at == expiry or (expiry <= time and random.random() < 0.5)
    return Expiry(
        time=expiry if settles else read_at,
        forward=forward,
        rate=surface.rate_q38,
        a=surface.svi.a,
        b=surface.svi.b,
        rho=surface.svi.rho,
        m=surface.svi.m,
        sigma=surface.svi.sigma,
        confidence=random.choice((PPM, 800_000, 200_000)),
        start_integral=start,
        integral=start + elapsed * random.randrange(1, forward + 1) + random.choice((0, 17)) * (elapsed > 0),
        settlement=random.randrange(1, PRICE_MAX) if settles and random.random() < 0.3 else spot * settles,
    )


def draw_instruments(random: Random, leaves: dict[LeafKey, bytes], time: int, spots: list[int]) -> list[Instrument]:
    """Lists expiries on some underlyings, and answers with what may be held."""
    instruments = []
    for underlying, spot in enumerate(spots):
        instruments.append(perpetual(underlying))
        for day in random.sample((-2, -1, 0, 1, 2, 7, 30, 90, 380), random.randrange(0, 4)):
            expiry = TODAY + day * EXPIRY_STEP
            leaves[expiry_key(underlying, expiry)] = draw_expiry(random, time, expiry, spot).encode()
            instruments.append(future(underlying, expiry))
            for _ in range(4):
                strike = min(max(int(spot * 2 ** random.gauss(0, 0.5)), 1), (1 << 40) - 1)
                instruments += [put(underlying, expiry, strike), call(underlying, expiry, strike)]
    return instruments


def draw_scene(random: Random, rules: Parameters) -> Scene:
    """An account of a random shape, and an op that trades up to four instruments, moves cash, or takes collateral."""
    count = random.randrange(1, 9)
    time = TODAY + random.choice((-40_000, -1_801, -1_800, -1_799, -900, -1, 0, 1, 3_600))
    params = draw_params(random, count)
    size = random.choice((10, 10**6, QUANTITY_MAX))
    spots = [min(int(2 ** random.uniform(3, 44)), PRICE_MAX - 1) for _ in range(count)]
    leaves: dict[LeafKey, bytes] = {
        GLOBALS_KEY: _describe_globals(time).encode(),
        leaf_key(Collection.PARAMS, VERSION): params.encode(),
        leaf_key(Collection.PARAMS, RULES_OFFSET + VERSION): encode_rules(rules),
    }
    for underlying, spot in enumerate(spots):
        leaves[underlying_key(underlying)] = draw_underlying(random, time, spot).encode()
    instruments = draw_instruments(random, leaves, time, spots)
    held = random.sample(instruments, min(random.choice((0, 1, 3, 8, 20)), len(instruments)))
    assets = random.sample(range(1, len(params.assets)), random.randrange(len(params.assets)))
    before = Account(
        bytes(20),
        tier=random.randrange(5),
        cash=random.randrange(-(1 << random.randrange(1, 112)), 1 << random.randrange(1, 112)),
        keys=(SessionKey(bytes(32), 1, 1),) * random.randrange(9),
        collateral=tuple((asset, random.getrandbits(random.choice((10, 60, 96))) + 1) for asset in sorted(assets)),
        positions=tuple(sorted((i, random.choice((-1, 1)) * random.randrange(1, size + 1)) for i in held)),
    )
    after = replace(before, cash=before.cash + random.choice((0, random.randrange(-(10**9), 10**9))))
    for instrument in random.sample(instruments, random.choice((0, 1, 2, 4))) if len(instruments) > 3 else []:
        closing = -before.get_position(instrument)
        after = add_position(after, instrument, random.choice((closing, random.randrange(-size, size))))
    if before.collateral and random.random() < 0.3:
        after = replace(after, collateral=before.collateral[1:])
    leaves[account_key(1)] = before.encode()
    return Scene(leaves, params, time, before, after, random.random() < 0.5)


def build_dearest_scene(
    random: Random, rules: Parameters, positions: int = POSITIONS_MAX, expiries: int = ACCOUNT_EXPIRIES_MAX
) -> Scene:
    """An account at every cap of the protocol that trades four options more, in a market as full as it may be.

    Every underlying that an account may have positions in, and as many with collateral as there are assets; no
    confidence that suffices, and prices at which no valuation ends early. Three valuations of each option at each date
    are the most that is asked for: a scenario that no move of spot makes cheap, and two of the basis contingency.
    """
    count, held = UNDERLYINGS_MAX, range(0, UNDERLYINGS_MAX, UNDERLYINGS_MAX // ACCOUNT_UNDERLYINGS_MAX)
    pledged = [underlying for underlying in range(count) if underlying not in held][: ASSETS_MAX - 1]
    days = [100 * number for number in range(1, expiries // ACCOUNT_UNDERLYINGS_MAX + 1)]
    time, strikes = TODAY, -(-positions // expiries)
    spot = random.randrange(1 << 37, 1 << 38)
    params = build_params(
        assets=(QUOTE_TERMS, *(AssetTerms(underlying, 50_000, 50_000, PPM, 10**6, 0) for underlying in pledged)),
        peg_underlying=count - 1,
        underlyings=(UnderlyingTerms(1 << 19, 1 << 50),) * count,
    )
    quote = Underlying(b"SYMBOL\0\0", time, spot, spot, 1, 1, 600_000, -5, time - 1, -7, 5, 0)
    leaves: dict[LeafKey, bytes] = {
        GLOBALS_KEY: _describe_globals(time).encode(),
        leaf_key(Collection.PARAMS, VERSION): params.encode(),
        leaf_key(Collection.PARAMS, RULES_OFFSET + VERSION): encode_rules(rules),
    }
    leaves |= {underlying_key(underlying): quote.encode() for underlying in range(count)}
    instruments = []
    for underlying in range(count):
        for day in range(1, 400):
            expiry = TODAY + day * EXPIRY_STEP
            leaves[expiry_key(underlying, expiry)] = b"\1"  # filled where it is read
        for day in days if underlying in held else ():
            expiry = TODAY + day * EXPIRY_STEP
            surface = make_expiry(random, (expiry - time) * 1000, spot)
            svi = surface.svi
            shape = (max(surface.rate_q38, 1), svi.a, svi.b, svi.rho, svi.m, svi.sigma)
            leaves[expiry_key(underlying, expiry)] = Expiry(time, spot, *shape, 1).encode()
            instruments += [put(underlying, expiry, int(spot * random.uniform(0.8, 1.3))) for _ in range(strikes)]
    legs = [replace_strike(instrument) for instrument in instruments[:LEGS_MAX]]
    before = Account(
        bytes(20),
        tier=1,
        cash=1 << 100,
        keys=(SessionKey(bytes(32), 1, 1),) * KEYS_MAX,
        collateral=tuple((asset, 1 << 60) for asset in range(1, ASSETS_MAX)),
        positions=tuple(sorted((i, -1000) for i in spread(instruments, strikes)[:positions])),
    )
    after = replace(before, positions=tuple(sorted([*before.positions, *((leg, -5) for leg in legs)])))
    leaves[account_key(1)] = before.encode()
    central = rules.scenarios.index(Scenario(0, VolShock.UP, is_scaled=True))
    exhibit = Exhibit(bytes([central] * 8), bytes([BASIS_ACTIVE] * 8))
    return Scene(leaves, params, time, before, after, True, exhibit)


def spread(instruments: list[Instrument], strikes: int) -> list[Instrument]:
    """The first strike of every expiry, then the second of each."""
    return [instrument for row in range(strikes) for instrument in instruments[row::strikes]]


def replace_strike(instrument: Instrument) -> Instrument:
    """The same a little above, which nobody holds."""
    return put(instrument.underlying, instrument.expiry, instrument.strike + 1)
