"""Numbers at the ends of their fields, in every leaf that a step looks at: what honest history takes too long to reach.

Bounds are those of state/SPEC.md, which every state keeps; within them no arithmetic of the contracts may revert.
"""

import random
from dataclasses import replace
from typing import Any

from state.constants import (
    ACCOUNTS_MAX,
    CASH_MAX,
    CUSTODY_MAX,
    EXPIRY_HORIZON,
    FEE_PPM_MAX,
    FUNDING_INDEX_MAX,
    NEVER,
    PPM,
    PRICE_MAX,
    QUANTITY_MAX,
    RULES_OFFSET,
)
from state.leaves import (
    AssetTerms,
    UnderlyingTerms,
    decode_account,
    decode_asset,
    decode_expiry,
    decode_globals,
    decode_order,
    decode_params,
    decode_underlying,
)
from state.tree import Collection, LeafKey, get_collection, get_index
from tests.contracts.scene import Scene
from tests.workload import pick_boundary
from tests.world import GENESIS_TIME

U32 = (1 << 32) - 1
TIME_MAX = NEVER - U32
"""Of state time, which L1 bounds; no L1 gets there."""

COUNT_MAX = 1 << 62
"""Of what is only ever counted up by one: no history reaches the end of such a field."""

RANGES: dict[Collection, dict[str, tuple[int, int]]] = {
    Collection.GLOBALS: {
        "time": (GENESIS_TIME, TIME_MAX),
        "batch": (0, COUNT_MAX),
        "generation": (0, U32),
        "next_position": (0, NEVER),
        "inbox_cursor": (0, COUNT_MAX),
        "outbox_count": (0, U32),
        "account_count": (1, ACCOUNTS_MAX),
        "cancel_only_until": (0, NEVER),
    },
    Collection.ACCOUNTS: {
        "sequence": (0, NEVER),
        "epoch": (0, U32),
        "tier": (0, 255),
        "liquidation_from": (0, NEVER),
        "close_from": (0, NEVER),
        "interest_from": (0, NEVER),
        "cash": (-CASH_MAX, CASH_MAX),
    },
    Collection.ORDERS: {
        "counter": (1, NEVER),
        "accepted": (0, NEVER),
        "generation": (0, U32),
        "epoch": (0, U32),
        "valid_until": (0, NEVER),
        "flags": (0, 7),
        "price": (1 - PRICE_MAX, PRICE_MAX - 1),
        "remaining": (0, QUANTITY_MAX),
        "max_fee_ppm": (0, FEE_PPM_MAX),
        "counterparty": (0, ACCOUNTS_MAX - 1),
    },
    Collection.UNDERLYINGS: {
        "oracle_time": (0, TIME_MAX),
        "spot": (0, PRICE_MAX - 1),
        "mark": (0, PRICE_MAX - 1),
        "spot_confidence": (0, PPM),
        "mark_confidence": (0, PPM),
        "volatility": (0, 20 * PPM),
        "funding_index": (-FUNDING_INDEX_MAX, FUNDING_INDEX_MAX),
        "index_time": (0, NEVER),
        "premium": (-PRICE_MAX, PRICE_MAX),
        "open_interest": (0, COUNT_MAX),
        "halted_until": (0, NEVER),
    },
    Collection.EXPIRIES: {
        "time": (GENESIS_TIME - EXPIRY_HORIZON, GENESIS_TIME),
        "forward": (1, PRICE_MAX - 1),
        "rate": (-(1 << 38), 1 << 38),
        "a": (1 - (1 << 46), (1 << 46) - 1),
        "b": (0, (1 << 42) - 1),
        "rho": (1 - (1 << 38), (1 << 38) - 1),
        "m": (1 - (1 << 46), (1 << 46) - 1),
        "sigma": (1, (1 << 46) - 1),
        "confidence": (0, PPM),
        "settlement": (1, PRICE_MAX - 1),
    },
    Collection.PARAMS: {
        "oracle_threshold": (1, 5),
        "oracle_age_max": (0, U32),
        "oracle_skew_max": (0, U32),
        "price_age_max": (0, U32),
        "guard_ppm": (0, U32),
        "halt_ppm": (0, U32),
        "halt_seconds": (0, U32),
        "band_ppm": (0, U32),
        "maker_fee_ppm": (0, U32),
        "taker_fee_ppm": (0, U32),
        "l1_fee": (0, NEVER),
        "funding_period": (1, U32),
        "funding_cap_ppm": (0, U32),
        "cancel_only_interval": (0, U32),
        "auction_seconds": (1, U32),
        "close_delay": (0, U32),
        "penalty_ppm": (0, U32),
        "quote_debt_max": (0, NEVER),
        "debt_rate_ppm": (0, U32),
    },
    Collection.ASSETS: {
        "custody": (0, CUSTODY_MAX),
        "house_cash": (-CASH_MAX, CASH_MAX),
        "fund": (-CASH_MAX, CASH_MAX),
        "fees": (-CASH_MAX, CASH_MAX),
        "bad_debt": (0, CASH_MAX),
    },
}

HEADER_RANGES = {
    "generation": (0, U32),
    "time_from": (0, NEVER),
    "time": (0, NEVER),
    "position_from": (0, NEVER),
    "position_to": (0, NEVER),
    "oracle_time": (0, NEVER),
}

DECODERS: dict[Collection, Any] = {
    Collection.GLOBALS: decode_globals,
    Collection.ACCOUNTS: decode_account,
    Collection.ORDERS: decode_order,
    Collection.UNDERLYINGS: decode_underlying,
    Collection.EXPIRIES: decode_expiry,
    Collection.PARAMS: decode_params,
    Collection.ASSETS: decode_asset,
}


def stretch(scene: Scene, keys: list[LeafKey], chance: random.Random) -> None:
    """Take some numbers of these leaves, and now and then of the header, to where their fields end."""
    share = chance.choice((0.05, 0.3, 0.9))
    stretch_leaves(scene, keys, share, chance)
    if chance.random() < 0.3:
        scene.bend_header(**_draw(HEADER_RANGES, share, chance))


def stretch_leaves(scene: Scene, keys: list[LeafKey], share: float, chance: random.Random) -> None:
    """Take this share of the numbers of these leaves to where their fields end."""
    for key in keys:
        collection = get_collection(key)
        is_rules = collection is Collection.PARAMS and get_index(key) >= RULES_OFFSET
        if collection in RANGES and scene.leaves.get(key) and not is_rules:
            scene.write(key, _stretch_leaf(scene.leaves[key], collection, share, chance))


def _draw(ranges: dict[str, tuple[int, int]], share: float, chance: random.Random) -> dict[str, int]:
    return {name: _pick(chance, *ends) for name, ends in ranges.items() if chance.random() < share}


def _pick(chance: random.Random, low: int, high: int) -> int:
    """From `low`, which may be negative, to `high`."""
    if low < 0 and chance.random() < 0.5:
        return -pick_boundary(chance, 0, -low)
    return pick_boundary(chance, max(0, low), high)


def _stretch_leaf(data: bytes, collection: Collection, share: float, chance: random.Random) -> bytes:
    leaf = DECODERS[collection](data)
    changes: dict[str, Any] = _draw(RANGES[collection], share, chance)
    if collection is Collection.ACCOUNTS:
        positions = [(held, _pick(chance, -QUANTITY_MAX, QUANTITY_MAX) or 1) for held, _ in leaf.positions]
        collateral = [(asset, _pick(chance, 1, CUSTODY_MAX)) for asset, _ in leaf.collateral]
        changes |= {"positions": tuple(positions), "collateral": tuple(collateral)}
    if collection is Collection.PARAMS and chance.random() < share:
        terms = [UnderlyingTerms(_pick(chance, 0, 1 << 20), _pick(chance, 0, NEVER)) for _ in leaf.underlyings]
        assets = [_stretch_terms(one, chance) for one in leaf.assets]
        changes |= {"underlyings": tuple(terms), "assets": tuple(assets)}
    return replace(leaf, **changes).encode()


def _stretch_terms(terms: AssetTerms, chance: random.Random) -> AssetTerms:
    """Both haircuts together take the whole at most."""
    first = _pick(chance, 0, PPM)
    return AssetTerms(
        underlying=terms.underlying,
        maintenance_haircut_ppm=first,
        initial_haircut_ppm=_pick(chance, 0, PPM - first),
        confidence_threshold_ppm=_pick(chance, 0, PPM),
        units_per_lot=_pick(chance, 1, NEVER),
        create_min=_pick(chance, 0, NEVER),
    )
