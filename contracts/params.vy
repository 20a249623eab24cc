# pragma version 0.4.3
"""
@title The leaf of one version of the parameters
@notice state/SPEC.md section 3. The terms of assets and underlyings stay in the leaf until they are asked for: there
        may be hundreds.
@dev Mirrors Params, AssetTerms and UnderlyingTerms of state/leaves.py.
"""
import constants
import fields

HEAD_BYTES: constant(uint256) = 149
ASSET_BYTES: constant(uint256) = 22
UNDERLYING_BYTES: constant(uint256) = 8

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
    leaf: Bytes[constants.LEAF_BYTES_MAX]

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
    params.oracle_age_max = fields._uint(leaf, 102, 4)
    params.oracle_skew_max = fields._uint(leaf, 106, 4)
    params.price_age_max = fields._uint(leaf, 110, 4)
    params.band_ppm = fields._uint(leaf, 114, 4)
    params.maker_fee_ppm = fields._uint(leaf, 118, 4)
    params.taker_fee_ppm = fields._uint(leaf, 122, 4)
    params.l1_fee = fields._uint(leaf, 126, 8)
    params.funding_period = fields._uint(leaf, 134, 4)
    params.funding_cap_ppm = fields._uint(leaf, 138, 4)
    params.cancel_only_interval = fields._uint(leaf, 142, 4)
    params.asset_entries = fields._uint(leaf, 146, 1)
    params.underlying_entries = fields._uint(leaf, 147, 2)
    params.leaf = leaf
    return params


@internal
@pure
def _get_oracle_signer(params: Params, signer: uint256) -> address:
    """
    @notice The address of an oracle signer; `signer` is below oracle_count.
    """
    return convert(fields._uint(params.leaf, 2 + 20 * signer, 20), address)


@internal
@pure
def _get_asset_terms(params: Params, asset: uint256) -> AssetTerms:
    """
    @notice How an asset counts as collateral; `asset` is listed.
    """
    at: uint256 = HEAD_BYTES + ASSET_BYTES * asset
    return AssetTerms(
        underlying=fields._uint(params.leaf, at, 2),
        haircut_ppm=fields._uint(params.leaf, at + 2, 4),
        units_per_lot=fields._uint(params.leaf, at + 6, 8),
        create_min=fields._uint(params.leaf, at + 14, 8),
    )


@internal
@pure
def _get_underlying_terms(params: Params, underlying: uint256) -> UnderlyingTerms:
    """
    @notice Shocks of mark in parts per million; `underlying` is listed.
    """
    at: uint256 = HEAD_BYTES + ASSET_BYTES * params.asset_entries + UNDERLYING_BYTES * underlying
    return UnderlyingTerms(
        initial_ppm=fields._uint(params.leaf, at, 4),
        maintenance_ppm=fields._uint(params.leaf, at + 4, 4),
    )
