# pragma version 0.4.3
"""
@title The leaf of one version of the parameters
@notice state/SPEC.md section 3. The terms of assets and underlyings stay packed until they are asked for: there may be
        hundreds.
@dev Mirrors Params, AssetTerms and UnderlyingTerms of state/leaves.py.
"""
import constants
import fields

HEAD_BYTES: constant(uint256) = 149
ASSET_BYTES: constant(uint256) = 22
UNDERLYING_BYTES: constant(uint256) = 8
UNDERLYING_WORDS: constant(uint256) = constants.UNDERLYINGS_MAX // 4

# Masks of the lowest bits.
U8: constant(uint256) = 2**8 - 1
U16: constant(uint256) = 2**16 - 1
U32: constant(uint256) = 2**32 - 1
U64: constant(uint256) = 2**64 - 1

struct Params:
    oracle_threshold: uint256
    oracle_count: uint256
    oracle_age_max: uint256
    oracle_skew_max: uint256
    price_age_max: uint256
    band_ppm: uint256
    maker_fee_ppm: uint256
    taker_fee_ppm: uint256
    l1_fee: uint256
    funding_period: uint256
    funding_cap_ppm: uint256
    cancel_only_interval: uint256
    asset_entries: uint256
    underlying_entries: uint256
    oracle_signers: address[constants.ORACLE_SIGNERS_MAX]
    assets: uint256[constants.ASSETS_MAX]  # an entry to a word
    underlyings: uint256[UNDERLYING_WORDS]  # four entries to a word, the first highest

struct AssetTerms:
    underlying: uint256
    haircut_ppm: uint256
    units_per_lot: uint256
    create_min: uint256

struct UnderlyingTerms:
    initial_ppm: uint256
    maintenance_ppm: uint256


@internal
@pure
def _decode_params(leaf: Bytes[constants.LEAF_BYTES_MAX]) -> Params:
    """
    @notice The active version is never empty, so an empty leaf is a bad witness and reverts.
    """
    params: Params = empty(Params)
    params.oracle_threshold = fields._uint(leaf, 0, 1)
    params.oracle_count = fields._uint(leaf, 1, 1)
    # Behind the signers: seven fields that fill one word, then five in half a word.
    word: uint256 = convert(extract32(leaf, 102), uint256)
    params.oracle_age_max = word >> 224
    params.oracle_skew_max = (word >> 192) & U32
    params.price_age_max = (word >> 160) & U32
    params.band_ppm = (word >> 128) & U32
    params.maker_fee_ppm = (word >> 96) & U32
    params.taker_fee_ppm = (word >> 64) & U32
    params.l1_fee = word & U64
    word = fields._uint(leaf, 134, 15)
    params.funding_period = word >> 88
    params.funding_cap_ppm = (word >> 56) & U32
    params.cancel_only_interval = (word >> 24) & U32
    params.asset_entries = (word >> 16) & U8
    params.underlying_entries = word & U16

    for i: uint256 in range(constants.ORACLE_SIGNERS_MAX):
        params.oracle_signers[i] = convert(fields._uint(leaf, 2 + 20 * i, 20), address)

    at: uint256 = HEAD_BYTES
    for i: uint256 in range(params.asset_entries, bound=constants.ASSETS_MAX):
        params.assets[i] = fields._uint(leaf, at, ASSET_BYTES)
        at += ASSET_BYTES
    for i: uint256 in range(params.underlying_entries, bound=constants.UNDERLYINGS_MAX):
        params.underlyings[i // 4] |= fields._uint(leaf, at, UNDERLYING_BYTES) << (64 * (3 - i % 4))
        at += UNDERLYING_BYTES
    assert len(leaf) == at, "params"
    return params


@internal
@pure
def _get_oracle_signer(params: Params, signer: uint256) -> address:
    """
    @notice The address of an oracle signer; `signer` is below oracle_count.
    """
    return params.oracle_signers[signer]


@internal
@pure
def _get_asset_terms(params: Params, asset: uint256) -> AssetTerms:
    """
    @notice How an asset counts as collateral; `asset` is listed.
    """
    word: uint256 = params.assets[asset]
    return AssetTerms(
        underlying=word >> 160,
        haircut_ppm=(word >> 128) & U32,
        units_per_lot=(word >> 64) & U64,
        create_min=word & U64,
    )


@internal
@pure
def _get_underlying_terms(params: Params, underlying: uint256) -> UnderlyingTerms:
    """
    @notice Shocks of mark in parts per million; `underlying` is listed.
    """
    word: uint256 = params.underlyings[underlying // 4] >> (64 * (3 - underlying % 4))
    return UnderlyingTerms(
        initial_ppm=(word >> 32) & U32, maintenance_ppm=word & U32
    )
