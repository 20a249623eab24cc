"""What an operator decides before a rollup exists: genesis, assets on L1, terms, and what must hold among them.

Nothing of it can be changed later, so everything is checked here, before a deployment costs anything.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from fraud_proofs.challenger import PROOF_GAS_MAX
from node.amounts import ETHER, GWEI
from node.errors import ConfigError
from node.rollup import ETH, Terms
from node.toml_fields import Table, read_toml
from risk.fixed_point import ONE_Q38
from risk.margin import compute_margin
from risk.market import Market, Portfolio, Underlying
from risk.parameter_bounds import check_parameters
from risk.parameter_sets import PARAMETER_SETS
from risk.parameters import Parameters
from state.constants import (
    AMOUNT_MAX,
    ASSETS_MAX,
    ORACLE_SIGNERS_MAX,
    PPM,
    UNDERLYINGS_MAX,
)
from state.genesis import CORRELATION_ONE, Genesis, Listing, is_sound
from state.leaves import QUOTE_UNDERLYING, AssetTerms, Params, UnderlyingTerms
from state.proposals import NOTICE_MIN, Version, find_refusal
from state.tree import Root, build_tree

PROOF_GAS_PRICE = 50 * GWEI
"""Half of a bond must pay for the dearest proof at this price: at a higher one watchtowers act at a loss."""

GENESIS_BYTES_MAX = 8_192
PARAMS_BYTES_MAX = 4_096
U32 = (1 << 32) - 1
U64 = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class LaunchAsset:
    """An asset on its L1 side. `token` is ETH, an ERC-20's address, or None: then a development token is deployed.

    `unit` is base units of the token in one unit of the rollup; `deposit_max` is in units.
    """

    name: str
    token: bytes | None
    unit: int
    deposit_max: int


@dataclass(frozen=True, slots=True)
class Launch:
    """Everything that a deployment takes. A genesis time of 0 stands for the L1's at deployment; without the address of
    a governor no parameter ever changes."""

    genesis: Genesis
    assets: tuple[LaunchAsset, ...]
    terms: Terms
    governor: bytes | None = None

    def at(self, time: int) -> "Launch":
        """The same with its genesis time filled in."""
        return self if self.genesis.time else replace(self, genesis=replace(self.genesis, time=time))


def compute_genesis_root(genesis: Genesis) -> Root:
    """The root of the first state."""
    return build_tree(genesis.build_leaves().items()).root


def check_launch(launch: Launch) -> None:
    """Raises ConfigError with every inequality that does not hold."""
    broken = [*_list_broken_terms(launch.terms), *_list_broken_params(launch.genesis), *_list_broken_assets(launch)]
    broken += _list_broken_governance(launch)
    if broken:
        raise ConfigError("this rollup would not work: " + "; ".join(broken))


def compute_notice(terms: Terms) -> int:
    """Seconds from a proposal to its effect, at least: a month to ask in, and until whoever asked is heard and paid, or
    the end has come."""
    return NOTICE_MIN + terms.challenge_window + terms.inbox_deadline + terms.wind_down_limit


def _list_broken_governance(launch: Launch) -> Iterator[str]:
    active = Version(launch.genesis.params, launch.genesis.rules)
    refusal = None if launch.governor is None else find_refusal(active, active)
    if refusal is not None:
        yield f"a governor could propose nothing that resembles these parameters ({refusal}): change them, or have none"


def _list_broken_terms(terms: Terms) -> Iterator[str]:
    for name, seconds in terms._asdict().items():
        if name not in ("bond", "message_fee") and not 1 <= seconds <= U32:
            yield f"terms.{name} must be from 1 to {U32} seconds"
    if terms.time_lag_max > terms.silence_limit:
        yield "terms.time_lag_max must not exceed silence_limit, or a punctual holder could count as silent"
    if terms.wind_down_limit < terms.inbox_deadline + terms.silence_limit + terms.challenge_window:
        yield (
            "terms.wind_down_limit must be at least inbox_deadline, silence_limit and challenge_window together, so "
            "that rescuers come first"
        )
    if terms.registration_period < terms.challenge_window:
        yield "terms.registration_period must be at least challenge_window, the time within which somebody looks"
    if terms.bond // 2 < PROOF_GAS_MAX * PROOF_GAS_PRICE:
        least = 2 * PROOF_GAS_MAX * PROOF_GAS_PRICE
        yield f"terms.bond must be at least {least / ETHER:g} ether, so that its half pays for the dearest proof"


def _list_broken_params(genesis: Genesis) -> Iterator[str]:
    params = genesis.params
    signers = params.oracle_signers
    if not 1 <= params.oracle_threshold <= len(signers) <= ORACLE_SIGNERS_MAX or len(set(signers)) != len(signers):
        yield f"oracle.threshold must be from 1 to the number of different signers, at most {ORACLE_SIGNERS_MAX}"
    if params.price_age_max < params.oracle_age_max:
        yield "oracle.price_age_max must be at least age_max, or a reading could come too old to margin with"
    if params.funding_period < 1:
        yield "funding.period must be at least 1 second"
    if not 1 <= len(genesis.symbols) <= UNDERLYINGS_MAX or len(set(genesis.symbols)) != len(genesis.symbols):
        yield f"there must be from 1 to {UNDERLYINGS_MAX} underlyings of different symbols"
    if len(params.underlyings) != len(genesis.symbols):
        yield "each underlying needs its symbol and its margins"
    if params.auction_seconds < 1:
        yield "auction.seconds must be at least 1"
    refusal = check_parameters(genesis.rules)
    if refusal is not None:
        yield f"margin.rules: {refusal.field} is out of range (risk code {refusal.code})"
    elif params.band_ppm >= (least := compute_least_initial_ppm(genesis.rules)):
        # Whoever trades at the edge of the band loses the band at once: initial margin must cover that.
        yield f"fees.band_ppm must be below {least}, the least initial margin that the rules ask for"
    if not is_sound(replace(genesis, time=0)):
        yield "the rules are not defined under these parameters: look at baskets, haircuts, periods and thresholds"
    if len(params.encode()) > PARAMS_BYTES_MAX or len(genesis.encode()) > GENESIS_BYTES_MAX:
        yield f"parameters must fit {PARAMS_BYTES_MAX} bytes and the genesis {GENESIS_BYTES_MAX}: list less"


def _list_broken_assets(launch: Launch) -> Iterator[str]:
    terms = launch.genesis.params.assets
    if not 1 <= len(terms) == len(launch.assets) <= ASSETS_MAX:
        yield f"there must be from 1 to {ASSETS_MAX} assets, each with its terms"
    for number, (asset, margin) in enumerate(zip(launch.assets, terms, strict=False)):
        if number == 0 and margin != (QUOTE_UNDERLYING, 0, 0, 0, 1, margin.create_min):
            yield f"{asset.name}: the first asset is the quote dollar: no underlying, no haircuts, units_per_lot 1"
        if number > 0 and not margin.underlying < len(launch.genesis.symbols):
            yield f"{asset.name}: underlying must be one of the listed symbols"
        if margin.maintenance_haircut_ppm + margin.initial_haircut_ppm > PPM or margin.units_per_lot < 1:
            yield f"{asset.name}: both haircuts must be at most {PPM} together, and units_per_lot at least 1"
        if not 1 <= asset.unit < 1 << 128:
            yield f"{asset.name}: unit must be from 1 to 2^128 - 1 base units"
        if not margin.create_min <= asset.deposit_max <= AMOUNT_MAX:
            yield f"{asset.name}: deposit_max must be from create_min, or nobody could begin, to {AMOUNT_MAX}"


def compute_least_initial_ppm(rules: Parameters) -> int:
    """The least initial margin of a perpetual, in parts per million of its notional: where vol is all but nothing."""
    price, lots = PPM, PPM
    underlying = Underlying(price, price, ONE_Q38, ONE_Q38, 1, ())
    margin = compute_margin(rules, Market((underlying,), ONE_Q38), Portfolio(0, (lots,), (), ()))
    return (margin.equity - margin.initial) * PPM // (price * lots)


# The file


def read_launch(path: Path) -> Launch:
    """From a genesis.toml as `keel init` writes it. Raises ConfigError."""
    table = read_toml(path, "run `keel init DIR`, or name the file with --genesis")
    time = table.take_integer("time", 0, U64, 0)
    rules = _read_rules(table.take_table("margin", is_required=True))
    symbols: list[bytes] = []
    underlyings = [_read_underlying(one, symbols) for one in table.take_tables("underlyings")]
    assets = [_read_asset(one, symbols) for one in table.take_tables("assets")]
    terms = _read_terms(table.take_table("terms", is_required=True))
    params = _read_params(table, symbols, tuple(one for _, one in assets), tuple(one for _, one in underlyings))
    governor = table.take_address("governor")
    table.finish()
    listings = tuple(listing for listing, _ in underlyings)
    launch = Launch(Genesis(params, rules, listings, time), tuple(asset for asset, _ in assets), terms, governor)
    check_launch(launch)
    return launch


def _read_rules(table: Table) -> Parameters:
    name = table.take_text("rules")
    if name not in PARAMETER_SETS:
        raise table.refuse("rules", f"{name!r} is no set of rules; write one of {', '.join(PARAMETER_SETS)}")
    table.finish()
    return PARAMETER_SETS[name]


def _read_underlying(table: Table, symbols: list[bytes]) -> tuple[Listing, UnderlyingTerms]:
    """One underlying; `symbols` are those before it, and it joins them."""
    symbol = table.take_text("symbol")
    if not symbol.isascii() or not symbol.isprintable() or len(symbol) > 8:
        raise table.refuse("symbol", f'{symbol!r} will not do; write at most 8 ASCII characters, as in "BTC"')
    correlation_ppm = table.take_integer("correlation_ppm", 0, PPM, PPM)
    open_interest_max = table.take_integer("open_interest_max", 1, AMOUNT_MAX)
    basket = [_read_component(table, text, symbols) for text in table.take_texts("basket", [])]
    table.finish()
    symbols.append(symbol.encode())
    terms = UnderlyingTerms(CORRELATION_ONE * correlation_ppm // PPM, open_interest_max)
    return Listing(symbol.encode(), tuple(basket)), terms


def _read_component(table: Table, text: str, symbols: list[bytes]) -> tuple[int, int]:
    """`"BTC 500000"`: a component that is listed before, and its weight in parts per million of its price."""
    symbol, _, weight = text.partition(" ")
    if symbol.encode() not in symbols or not weight.isdecimal() or not 1 <= int(weight) <= U32:
        raise table.refuse("basket", f'{text!r} will not do; write a symbol listed before and a weight: "BTC 500000"')
    return symbols.index(symbol.encode()), int(weight)


def _read_asset(table: Table, symbols: list[bytes]) -> tuple[LaunchAsset, AssetTerms]:
    token_text = table.take_text("token", "ETH")
    named = {"ETH": ETH, "development": None}
    token = named[token_text] if token_text in named else table.parse_address("token", token_text)
    name = table.take_text("name")
    asset = LaunchAsset(
        name,
        token,
        table.take_integer("unit", 1, (1 << 128) - 1),
        table.take_integer("deposit_max", 1, AMOUNT_MAX),
    )
    symbol = table.take_text("underlying", "USD").encode()
    if symbol != b"USD" and symbol not in symbols:
        listed = ", ".join(_decode_symbol(one) for one in symbols)
        raise table.refuse("underlying", f"{_decode_symbol(symbol)} is not listed; write one of {listed}")
    terms = AssetTerms(
        symbols.index(symbol) if symbol in symbols else QUOTE_UNDERLYING,
        table.take_integer("haircut_ppm", 0, PPM, 0),
        table.take_integer("initial_haircut_ppm", 0, PPM, 0),
        table.take_integer("confidence_threshold_ppm", 0, PPM, 0),
        table.take_integer("units_per_lot", 1, AMOUNT_MAX, 1),
        table.take_integer("create_min", 0, AMOUNT_MAX),
    )
    table.finish()
    return asset, terms


def _read_terms(table: Table) -> Terms:
    terms = Terms(
        challenge_window=table.take_integer("challenge_window", 1, U32),
        silence_limit=table.take_integer("silence_limit", 1, U32),
        inbox_deadline=table.take_integer("inbox_deadline", 1, U32),
        time_lag_max=table.take_integer("time_lag_max", 1, U32),
        bond=table.take_integer("bond_gwei", 1, U64) * GWEI,
        message_fee=table.take_integer("message_fee_gwei", 0, U64) * GWEI,
        wind_down_limit=table.take_integer("wind_down_limit", 1, U32),
        registration_period=table.take_integer("registration_period", 1, U32),
    )
    table.finish()
    return terms


def _read_params(
    table: Table, symbols: list[bytes], assets: tuple[AssetTerms, ...], underlyings: tuple[UnderlyingTerms, ...]
) -> Params:
    names = ("oracle", "fees", "funding", "auction")
    oracle, fees, funding, auction = (table.take_table(name, is_required=True) for name in names)
    signers = oracle.take_texts("signers")
    peg = oracle.take_text("peg", "USD").encode()
    if peg != b"USD" and peg not in symbols:
        raise oracle.refuse("peg", f"{_decode_symbol(peg)} is not listed; name what prices the quote asset, or USD")
    params = Params(
        oracle_threshold=oracle.take_integer("threshold", 1, ORACLE_SIGNERS_MAX),
        oracle_signers=tuple(oracle.parse_address(f"signers[{n}]", text) for n, text in enumerate(signers)),
        oracle_age_max=oracle.take_integer("age_max", 1, U32),
        oracle_skew_max=oracle.take_integer("skew_max", 0, U32),
        price_age_max=oracle.take_integer("price_age_max", 1, U32),
        guard_ppm=oracle.take_integer("guard_ppm", 1, PPM),
        halt_ppm=oracle.take_integer("halt_ppm", 1, PPM),
        halt_seconds=oracle.take_integer("halt_seconds", 0, U32),
        band_ppm=fees.take_integer("band_ppm", 1, PPM),
        maker_fee_ppm=fees.take_integer("maker_ppm", 0, PPM),
        taker_fee_ppm=fees.take_integer("taker_ppm", 0, PPM),
        l1_fee=fees.take_integer("l1_fee", 0, AMOUNT_MAX),
        funding_period=funding.take_integer("period", 1, U32),
        funding_cap_ppm=funding.take_integer("cap_ppm", 0, PPM),
        cancel_only_interval=fees.take_integer("cancel_only_seconds", 0, U32),
        auction_seconds=auction.take_integer("seconds", 1, U32),
        close_delay=auction.take_integer("close_delay", 0, U32),
        penalty_ppm=auction.take_integer("penalty_ppm", 0, PPM),
        quote_debt_max=auction.take_integer("quote_debt_max", 0, AMOUNT_MAX),
        peg_underlying=symbols.index(peg) if peg in symbols else QUOTE_UNDERLYING,
        debt_rate_ppm=auction.take_integer("debt_rate_ppm", 0, PPM),
        active_from=0,
        assets=assets,
        underlyings=underlyings,
    )
    for part in (oracle, fees, funding, auction):
        part.finish()
    return params


def _decode_symbol(symbol: bytes) -> str:
    return symbol.rstrip(b"\0").decode(errors="replace")
