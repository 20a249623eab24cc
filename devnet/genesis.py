"""What the development rollup is born with: five markets, two assets, and terms short enough to watch.

ZEC is listed and has no price yet: so there is a market whose first reading could come late.
"""

from collections.abc import Sequence

from node.amounts import ETHER, GWEI
from node.launch import Launch, LaunchAsset
from node.rollup import ETH, Terms
from state.genesis import Genesis
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
    bond=1 * ETHER,
    message_fee=100_000 * GWEI,
)


def build_launch(oracle_signers: Sequence[bytes]) -> Launch:
    """Everything that a deployment takes; the chain's clock starts with it."""
    params = Params(
        oracle_threshold=ORACLE_THRESHOLD,
        oracle_signers=tuple(oracle_signers),
        oracle_age_max=15,
        oracle_skew_max=5,
        price_age_max=120,
        band_ppm=50_000,
        maker_fee_ppm=100,
        taker_fee_ppm=500,
        l1_fee=1_000,
        funding_period=3_600,
        funding_cap_ppm=30_000,
        cancel_only_interval=1,
        assets=(
            AssetTerms(QUOTE_UNDERLYING, 0, 1, 10 * DOLLAR),
            AssetTerms(SYMBOLS.index(b"ETH"), 150_000, 10_000_000, 5_000_000),
        ),
        underlyings=tuple(UnderlyingTerms(150_000, 90_000) for _ in SYMBOLS),
    )
    dollar = LaunchAsset("USD", None, 1, 10**15)
    ether = LaunchAsset("ETH", ETH, GWEI, 10**12)
    return Launch(Genesis(params, SYMBOLS, 0), (dollar, ether), TERMS)
