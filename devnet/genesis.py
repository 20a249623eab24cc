"""What the development rollup is born with: five markets, two assets, and terms short enough to watch.

ZEC is listed and has no price yet: so there is a market whose first reading could come late.
"""

from collections.abc import Sequence

from node.amounts import ETHER, GWEI
from node.launch import Launch, LaunchAsset
from node.rollup import ETH, Terms
from risk.parameter_sets import PARAMETER_SETS
from state.genesis import CORRELATION_ONE, Genesis, Listing
from state.leaves import QUOTE_UNDERLYING, AssetTerms, Params, UnderlyingTerms

SYMBOLS = (b"BTC", b"ETH", b"LTC", b"XRP", b"ZEC")
ORACLE_THRESHOLD = 2
DOLLAR = 1_000_000
"""Quote units."""

TERMS = Terms(
    challenge_window=75,
    silence_limit=600,
    inbox_deadline=20,
    time_lag_max=70,
    bond=2 * ETHER,
    message_fee=100_000 * GWEI,
    wind_down_limit=3_600,
    registration_period=75,
)


def build_launch(oracle_signers: Sequence[bytes], governor: bytes | None = None) -> Launch:
    """Everything that a deployment takes; the chain's clock starts with it."""
    params = Params(
        oracle_threshold=ORACLE_THRESHOLD,
        oracle_signers=tuple(oracle_signers),
        oracle_age_max=15,
        oracle_skew_max=5,
        price_age_max=120,
        guard_ppm=100_000,
        halt_ppm=100_000,
        halt_seconds=10,
        band_ppm=50_000,
        maker_fee_ppm=100,
        taker_fee_ppm=500,
        l1_fee=1_000,
        funding_period=3_600,
        funding_cap_ppm=30_000,
        cancel_only_interval=1,
        auction_seconds=60,
        close_delay=60,
        penalty_ppm=50_000,
        quote_debt_max=1_000_000 * DOLLAR,
        peg_underlying=QUOTE_UNDERLYING,
        debt_rate_ppm=100_000,
        active_from=0,
        assets=(
            AssetTerms(QUOTE_UNDERLYING, 0, 0, 0, 1, 10 * DOLLAR),
            AssetTerms(SYMBOLS.index(b"ETH"), 100_000, 50_000, 550_000, 10_000_000, 5_000_000),
        ),
        underlyings=tuple(UnderlyingTerms(CORRELATION_ONE, 1 << 40) for _ in SYMBOLS),
    )
    dollar = LaunchAsset("USD", None, 1, 10**15)
    ether = LaunchAsset("ETH", ETH, GWEI, 10**12)
    listings = tuple(Listing(symbol) for symbol in SYMBOLS)
    return Launch(Genesis(params, PARAMETER_SETS["keel"], listings, 0), (dollar, ether), TERMS, governor)
