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
    FEE_PPM_MAX,
    FUNDING_INDEX_MAX,
    NEVER,
    PRICE_MAX,
    QUANTITY_MAX,
)
from state.leaves import (
    AssetTerms,
    UnderlyingTerms,
    decode_account,
    decode_asset,
    decode_globals,
    decode_order,
    decode_params,
    decode_underlying,
)
from state.tree import Collection, LeafKey, get_collection
from tests.contracts.scene import Scene
from tests.workload import pick_boundary

U32 = (1 << 32) - 1
COUNT_MAX = 1 << 62
"""Of what is only ever counted up by one: no history reaches the end of such a field."""

RANGES: dict[Collection, dict[str, tuple[int, int]]] = {
    Collection.GLOBALS: {
        "time": (0, NEVER),
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
        "cash": (-CASH_MAX, CASH_MAX),
    },
    Collection.ORDERS: {
        "counter": (1, NEVER),
        "accepted": (0, NEVER),
        "generation": (0, U32),
        "epoch": (0, U32),
        "valid_until": (0, NEVER),
        "flags": (0, 7),
        "price": (1, PRICE_MAX),
        "remaining": (0, QUANTITY_MAX),
        "max_fee_ppm": (0, FEE_PPM_MAX),
        "counterparty": (0, ACCOUNTS_MAX - 1),
    },
    Collection.UNDERLYINGS: {
        "oracle_time": (0, NEVER),
        "spot": (1, PRICE_MAX),
        "mark": (1, PRICE_MAX),
        "funding_index": (-FUNDING_INDEX_MAX, FUNDING_INDEX_MAX),
        "index_time": (0, NEVER),
        "premium": (-PRICE_MAX, PRICE_MAX),
        "open_interest": (0, COUNT_MAX),
    },
    Collection.PARAMS: {
        "oracle_threshold": (1, 5),
        "oracle_age_max": (0, U32),
        "oracle_skew_max": (0, U32),
        "price_age_max": (0, U32),
        "band_ppm": (0, U32),
        "maker_fee_ppm": (0, U32),
        "taker_fee_ppm": (0, U32),
        "l1_fee": (0, NEVER),
        "funding_period": (1, U32),
        "funding_cap_ppm": (0, U32),
        "cancel_only_interval": (0, U32),
    },
    Collection.ASSETS: {
        "custody": (0, CUSTODY_MAX),
        "fees": (-CASH_MAX, CASH_MAX),
        "bad_debt": (0, 1),
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
        if collection in RANGES and scene.leaves.get(key):
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
        terms = [UnderlyingTerms(_pick(chance, 1, U32), 1) for _ in leaf.underlyings]
        assets = [
            AssetTerms(one.underlying, _pick(chance, 0, 10**6), _pick(chance, 1, NEVER), _pick(chance, 0, NEVER))
            for one in leaf.assets
        ]
        changes |= {"underlyings": tuple(terms), "assets": tuple(assets)}
    return replace(leaf, **changes).encode()
