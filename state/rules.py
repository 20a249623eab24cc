"""The rules of margin as a leaf: risk/parameters.py in bytes (SPEC.md section 3).

They stand beside the parameters of the same version, in the same collection, RULES_OFFSET further.

Mirrors contracts/margin.vy.
"""

import struct
from dataclasses import astuple
from functools import lru_cache

from risk.parameters import (
    Concentration,
    Contingencies,
    Parameters,
    Scenario,
    Skew,
    SpotScale,
    StaticDiscount,
    Tier,
    VolRange,
    VolShock,
)
from state.leaves import LeafError

_COUNTS = struct.Struct(">BB")
_NUMBERS = struct.Struct(">43q")
_TIER = struct.Struct(">qqQQQq")
_SCENARIO = struct.Struct(">qBqB")

SCENARIOS_MAX = 32
TIERS_MAX = 4

FLAG_SCALED = 1
FLAG_COUNTS = 2


def encode_rules(rules: Parameters) -> bytes:
    """346 bytes, 48 a tier, 18 a scenario. Raises LeafError when the dates are not today and at most one later."""
    if not rules.steps_ms or rules.steps_ms[0] != 0 or len(rules.steps_ms) > 2:
        raise LeafError("rules: scenarios are valued today and at most once later")
    numbers = [
        *(number for part in (rules.vol_range, rules.skew, rules.discount) for number in astuple(part)),
        *astuple(rules.contingencies),
        rules.steps_ms[-1],
        rules.wing_width,
        rules.settlement_window_ms,
        rules.reference_tenor_ms,
        *astuple(rules.spot_scale),
        *astuple(rules.concentration),
    ]
    tiers = [_TIER.pack(*astuple(tier)) for tier in rules.tiers]
    scenarios = [
        _SCENARIO.pack(
            scenario.spot_move_q38,
            scenario.vol,
            scenario.weight_q38,
            FLAG_SCALED * scenario.is_scaled | FLAG_COUNTS * scenario.counts,
        )
        for scenario in rules.scenarios
    ]
    head = _COUNTS.pack(len(scenarios), len(tiers)) + _NUMBERS.pack(*numbers)
    return b"".join((head, *tiers, *scenarios))


@lru_cache(maxsize=16)
def decode_rules(data: bytes) -> Parameters | None:
    """None when there is no such version. The name and source of a set are for people, and not in its bytes."""
    if not data:
        return None
    tiers_at = _COUNTS.size + _NUMBERS.size
    if len(data) < tiers_at:
        raise LeafError("rules: too short")
    scenario_count, tier_count = _COUNTS.unpack_from(data)
    scenarios_at = tiers_at + tier_count * _TIER.size
    if len(data) != scenarios_at + scenario_count * _SCENARIO.size:
        raise LeafError("rules: length and counts disagree")
    scenarios = list(_SCENARIO.iter_unpack(data[scenarios_at:]))
    if any(vol > max(VolShock) for _, vol, _, _ in scenarios):
        raise LeafError("rules: a scenario does to vols what no rule says")
    numbers = iter(_NUMBERS.unpack_from(data, _COUNTS.size))

    def take(count: int) -> list[int]:
        return [next(numbers) for _ in range(count)]

    vol_range, skew, discount = VolRange(*take(6)), Skew(*take(8)), StaticDiscount(*take(6))
    contingencies = Contingencies(*take(12))
    later_ms, wing_width, settlement_window_ms, reference_tenor_ms = take(4)
    return Parameters(
        name="",
        source="",
        scenarios=tuple(
            Scenario(move, VolShock(vol), weight, bool(flags & FLAG_SCALED), bool(flags & FLAG_COUNTS))
            for move, vol, weight, flags in scenarios
        ),
        vol_range=vol_range,
        tiers=tuple(Tier(*tier) for tier in _TIER.iter_unpack(data[tiers_at:scenarios_at])),
        skew=skew,
        discount=discount,
        contingencies=contingencies,
        steps_ms=(0, later_ms) if later_ms else (0,),
        wing_width=wing_width,
        settlement_window_ms=settlement_window_ms,
        reference_tenor_ms=reference_tenor_ms,
        spot_scale=SpotScale(*take(4)),
        concentration=Concentration(*take(3)),
    )
