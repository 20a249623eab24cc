# pragma version 0.4.3
"""
@title The leaf of one version of the parameters
@notice state/SPEC.md section 3. The lists of signers, assets and underlyings stay in the leaf until one of their
        entries is asked for: there may be hundreds.
@dev Mirrors Params, AssetTerms and UnderlyingTerms of state/leaves.py.
"""
import constants
import fields

SIGNERS_AT: constant(uint256) = 2
HEAD_BYTES: constant(uint256) = 195
ASSET_BYTES: constant(uint256) = 30
UNDERLYING_BYTES: constant(uint256) = 12

# Masks of the lowest bits.
U8: constant(uint256) = 2**8 - 1
U16: constant(uint256) = 2**16 - 1
U32: constant(uint256) = 2**32 - 1
U64: constant(uint256) = 2**64 - 1

# The quote asset has no underlying, and a quote that is a dollar no peg.
NO_UNDERLYING: constant(uint256) = 2**16 - 1

struct Params:
    oracle_threshold: uint256
    oracle_count: uint256
    oracle_age_max: uint256
    oracle_skew_max: uint256
    price_age_max: uint256
    guard_ppm: uint256
    halt_ppm: uint256
    halt_seconds: uint256
    band_ppm: uint256
    maker_fee_ppm: uint256
    taker_fee_ppm: uint256
    l1_fee: uint256
    funding_period: uint256
    funding_cap_ppm: uint256
    cancel_only_interval: uint256
    auction_seconds: uint256
    close_delay: uint256
    penalty_ppm: uint256
    quote_debt_max: uint256
    peg_underlying: uint256
    debt_rate_ppm: uint256
    active_from: uint256
    asset_entries: uint256
    underlying_entries: uint256

struct AssetTerms:
    underlying: uint256
    maintenance_haircut_ppm: uint256
    initial_haircut_ppm: uint256
    confidence_threshold_ppm: uint256
    units_per_lot: uint256
    create_min: uint256

struct UnderlyingTerms:
    correlation_q20: uint256
    open_interest_max: uint256


@internal
@pure
def _decode_params(leaf: Bytes[constants.LEAF_BYTES_MAX]) -> Params:
    """
    @notice All but the lists. The active version is never empty, so an empty leaf is a bad witness and reverts.
    """
    params: Params = empty(Params)
    params.oracle_threshold = fields._uint(leaf, 0, 1)
    params.oracle_count = fields._uint(leaf, 1, 1)
    # Behind the signers: eight fields that fill one word, seven that fill another, and seven in most of one.
    word: uint256 = convert(extract32(leaf, 102), uint256)
    params.oracle_age_max = word >> 224
    params.oracle_skew_max = (word >> 192) & U32
    params.price_age_max = (word >> 160) & U32
    params.guard_ppm = (word >> 128) & U32
    params.halt_ppm = (word >> 96) & U32
    params.halt_seconds = (word >> 64) & U32
    params.band_ppm = (word >> 32) & U32
    params.maker_fee_ppm = word & U32
    word = convert(extract32(leaf, 134), uint256)
    params.taker_fee_ppm = word >> 224
    params.l1_fee = (word >> 160) & U64
    params.funding_period = (word >> 128) & U32
    params.funding_cap_ppm = (word >> 96) & U32
    params.cancel_only_interval = (word >> 64) & U32
    params.auction_seconds = (word >> 32) & U32
    params.close_delay = word & U32
    word = fields._uint(leaf, 166, 29)
    params.penalty_ppm = word >> 200
    params.quote_debt_max = (word >> 136) & U64
    params.peg_underlying = (word >> 120) & U16
    params.debt_rate_ppm = (word >> 88) & U32
    params.active_from = (word >> 24) & U64
    params.asset_entries = (word >> 16) & U8
    params.underlying_entries = word & U16
    lists: uint256 = ASSET_BYTES * params.asset_entries + UNDERLYING_BYTES * params.underlying_entries
    assert len(leaf) == HEAD_BYTES + lists, "params"
    return params


@internal
@pure
def _get_oracle_signer(leaf: Bytes[constants.LEAF_BYTES_MAX], signer: uint256) -> address:
    """
    @notice The address of an oracle signer; `signer` is below oracle_count.
    """
    return convert(fields._uint(leaf, SIGNERS_AT + 20 * signer, 20), address)


@internal
@pure
def _get_asset_terms(leaf: Bytes[constants.LEAF_BYTES_MAX], asset: uint256) -> AssetTerms:
    """
    @notice How an asset counts as collateral; `asset` is listed.
    """
    word: uint256 = fields._uint(leaf, HEAD_BYTES + ASSET_BYTES * asset, ASSET_BYTES)
    return AssetTerms(
        underlying=word >> 224,
        maintenance_haircut_ppm=(word >> 192) & U32,
        initial_haircut_ppm=(word >> 160) & U32,
        confidence_threshold_ppm=(word >> 128) & U32,
        units_per_lot=(word >> 64) & U64,
        create_min=word & U64,
    )


@internal
@pure
def _get_underlying_terms(
    leaf: Bytes[constants.LEAF_BYTES_MAX], params: Params, underlying: uint256
) -> UnderlyingTerms:
    """
    @notice How an underlying counts beside others, and its bound of open interest; `underlying` is listed.
    """
    at: uint256 = HEAD_BYTES + ASSET_BYTES * params.asset_entries + UNDERLYING_BYTES * underlying
    word: uint256 = fields._uint(leaf, at, UNDERLYING_BYTES)
    return UnderlyingTerms(correlation_q20=word >> 64, open_interest_max=word & U64)
