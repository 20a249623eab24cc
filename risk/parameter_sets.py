"""The parameter sets that ship: Keel's own, and published ones of venues, read into the same engine.

A venue's set reproduces its grid, weights, vol shocks and factors as published; where its rules go beyond what this
engine has, the set says so. Numbers are parts per million. Sources are named in each set.
"""

from collections.abc import Sequence
from dataclasses import replace

from risk.fixed_point import DAY_MS, ONE_Q38
from risk.offsets import CORRELATION_ONE
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

PPM = 1_000_000
ALL_VOLS = (VolShock.DOWN, VolShock.NONE, VolShock.UP)


def ppm(parts: int) -> int:
    """Parts per million as Q38, nearest."""
    return (2 * parts * ONE_Q38 + PPM) // (2 * PPM)


def make_grid(steps_ppm: Sequence[int], *, is_scaled: bool = False, ends_up_only: bool = True) -> tuple[Scenario, ...]:
    """Every spot move, up and down, with all three vols; the outermost with vol up alone if asked."""
    scenarios = []
    for move in (*(-step for step in reversed(steps_ppm) if step), *steps_ppm):
        is_end = ends_up_only and abs(move) == max(steps_ppm)
        vols = (VolShock.UP,) if is_end else ALL_VOLS
        scenarios += [Scenario(ppm(move), vol, is_scaled=is_scaled) for vol in vols]
    return tuple(scenarios)


def make_tails(moves_ppm: Sequence[int], weights_ppm: Sequence[int]) -> tuple[Scenario, ...]:
    """Far moves with vol up, of which only a fraction of the P&L counts."""
    return tuple(
        Scenario(ppm(move), VolShock.UP, weight_q38=ppm(weight))
        for move, weight in zip(moves_ppm, weights_ppm, strict=True)
    )


def find_basis(scenarios: Sequence[Scenario], step_ppm: int, *, is_scaled: bool = False) -> tuple[int, int]:
    """Indices of the grid's two scenarios that move spot by one step and leave vols alone."""
    up, down = (Scenario(ppm(move), VolShock.NONE, is_scaled=is_scaled) for move in (step_ppm, -step_ppm))
    return scenarios.index(up), scenarios.index(down)


SKEWS = (Scenario(0, VolShock.LINEAR_SKEW), Scenario(0, VolShock.ABSOLUTE_SKEW))
FAR_MOVES = (-660_000, -330_000, 500_000, 1_000_000, 2_000_000, 3_000_000, 4_000_000, 5_000_000)


KEEL_TIERS = (
    Tier(
        initial_factor_q38=ONE_Q38,
        maintenance_factor_q38=ppm(800_000),
        gamma_threshold=2_000_000 * PPM,
        vega_threshold=2_000_000 * PPM,
    ),
    Tier(
        initial_factor_q38=ppm(900_000),
        maintenance_factor_q38=ppm(750_000),
        gamma_threshold=4_000_000 * PPM,
        vega_threshold=4_000_000 * PPM,
        minimum_equity=1_000_000 * PPM,
        maximum_use_q38=ppm(800_000),
    ),
)
"""Everyone, and professionals, who bear a lower factor and twice the size. Quote units are micro-dollars."""


def make_keel() -> Parameters:
    """Keel's default: 31 scenarios on two dates; the grid's width follows the underlying's volatility."""
    moves = FAR_MOVES[:6]
    scenarios = (
        *make_grid((0, 250_000, 500_000, 750_000, 1_000_000), is_scaled=True),
        *make_tails(moves, [120_000 * PPM // abs(move) for move in moves]),
        *SKEWS,
    )
    basis_up, basis_down = find_basis(scenarios, 250_000, is_scaled=True)
    return Parameters(
        name="keel",
        source="our own; the tail weights keep weight * move at 0.12, as Paradex does",
        scenarios=scenarios,
        vol_range=VolRange(ppm(500_000), ppm(300_000), ppm(400_000), ppm(300_000), ppm(130_000), DAY_MS),
        tiers=KEEL_TIERS,
        skew=Skew(
            linear_cap_q38=ppm(250_000),
            linear_slope_q38=ppm(-100_000),
            absolute_cap_q38=ppm(250_000),
            absolute_slope_q38=ppm(-100_000),
            width_floor_q38=ppm(10_000),
            width_scale_q38=ppm(4_000_000),
            width_vol_q38=ppm(600_000),
        ),
        discount=StaticDiscount(
            long_factor_q38=ppm(950_000),
            long_spread_q38=ppm(160_000),
            short_factor_q38=ppm(1_050_000),
            short_spread_q38=ppm(160_000),
        ),
        contingencies=Contingencies(
            perpetual_maintenance_q38=ppm(30_000),
            perpetual_initial_q38=ppm(10_000),
            naked_maintenance_q38=ppm(3_000),
            naked_initial_q38=ppm(2_000),
            basis_up=basis_up,
            basis_down=basis_down,
            basis_add_q38=ppm(500_000),
            basis_multiple_q38=ppm(2_000_000),
            confidence_threshold_q38=ppm(550_000),
            confidence_margin_q38=ONE_Q38,
            peg_threshold_q38=ppm(990_000),
            peg_factor_q38=ppm(4_000_000),
        ),
        steps_ms=(0, DAY_MS),
        spot_scale=SpotScale(
            deviations_q38=ppm(4_000_000),
            horizon_ms=2 * DAY_MS,
            floor_q38=ppm(80_000),
            ceiling_q38=ppm(400_000),
        ),
        concentration=Concentration(
            move_q38=ppm(160_000),
            gamma_fraction_q38=ppm(250_000),
            vega_fraction_q38=ppm(250_000),
        ),
    )


def make_derive_pm2() -> Parameters:
    """Derive's PM2 for BTC and ETH. Its rates enter the static discount; the multiples are zero on mainnet."""
    scenarios = (
        *make_grid((0, 45_000, 90_000, 135_000, 180_000)),
        *make_tails(FAR_MOVES, (210_000, 420_000, 277_200, 138_600, 69_300, 46_200, 34_650, 27_720)),
        *SKEWS,
    )
    basis_up, basis_down = find_basis(scenarios, 45_000)
    return Parameters(
        name="derive_pm2",
        source="derivexyz/v2-core @ 7736900d, config-mainnet.sol; docs.derive.xyz, Portfolio Margin Parameters [New]",
        scenarios=scenarios,
        vol_range=VolRange(ppm(500_000), ppm(300_000), ppm(400_000), ppm(300_000), ppm(130_000), DAY_MS),
        tiers=(Tier(ONE_Q38, ppm(800_000)),),
        skew=Skew(
            linear_cap_q38=ppm(250_000),
            linear_slope_q38=ppm(-100_000),
            absolute_cap_q38=ppm(250_000),
            absolute_slope_q38=ppm(-100_000),
            width_floor_q38=ppm(10_000),
            width_scale_q38=ppm(4_000_000),
            width_vol_q38=ppm(600_000),
        ),
        discount=StaticDiscount(
            long_factor_q38=ppm(950_000),
            long_spread_q38=ppm(160_000),
            short_factor_q38=ppm(1_050_000),
            short_spread_q38=ppm(160_000),
        ),
        contingencies=Contingencies(
            perpetual_maintenance_q38=ppm(30_000),
            perpetual_initial_q38=ppm(10_000),
            naked_maintenance_q38=ppm(3_000),
            naked_initial_q38=ppm(2_000),
            basis_up=basis_up,
            basis_down=basis_down,
            basis_add_q38=ppm(500_000),
            basis_multiple_q38=ppm(2_000_000),
            confidence_threshold_q38=ppm(550_000),
            confidence_margin_q38=ONE_Q38,
            peg_threshold_q38=ppm(990_000),
            peg_factor_q38=ppm(4_000_000),
        ),
    )


def make_deribit_pm() -> Parameters:
    """Deribit's risk matrix for BTC.

    What was read gives neither the extended table's dampening nor the ratio of initial to maintenance margin: the tails
    take weight * move = 0.12 and the ratio 1.3, both assumed. Delta and vega contingencies are left out.
    """
    weights = [120_000 * PPM // abs(move) for move in FAR_MOVES]
    return Parameters(
        name="deribit_pm",
        source="support.deribit.com, article 25944756247837; vol shocks of BTC as listed by docs.oreome.com",
        scenarios=(
            *make_grid((0, 40_000, 80_000, 120_000, 160_000), ends_up_only=False),
            *make_tails(FAR_MOVES, weights),
        ),
        vol_range=VolRange(ppm(500_000), ppm(250_000), ppm(500_000), ppm(300_000), ppm(130_000), DAY_MS),
        tiers=(Tier(ppm(1_300_000), ONE_Q38),),
        contingencies=Contingencies(naked_maintenance_q38=ppm(10_000)),
    )


def make_paradex_scan() -> Parameters:
    """Paradex's SCAN for BTC and ETH: maintenance is half. Minimum-delta, funding and fee provisions are left out."""
    grid = [
        Scenario(ppm(move), vol)
        for move in (0, 40_000, -40_000, 80_000, -80_000, 120_000, -120_000)
        for vol in (VolShock.UP, VolShock.DOWN)
    ]
    grid += [Scenario(ppm(move), VolShock.UP) for move in (160_000, -160_000)]
    return Parameters(
        name="paradex_scan",
        source="tradeparadex/paradex-docs @ 9b82a75a, portfolio margin",
        scenarios=(
            *grid,
            *make_tails(FAR_MOVES, (180_000, 360_000, 240_000, 120_000, 60_000, 40_000, 30_000, 24_000)),
        ),
        vol_range=VolRange(ppm(400_000), ppm(220_000), ppm(400_000), ppm(300_000), ppm(130_000), DAY_MS),
        tiers=(Tier(ONE_Q38, ppm(500_000)),),
    )


def make_cme_span() -> Parameters:
    """CME's SPAN array of 16 scenarios, a day on; the extremes cover 35 % of a double move.

    The scan ranges are inputs there; these are a tenth of spot, and 35 % of vol as in the example of CME's slides.
    Intra-commodity charges and inter-commodity credits are left out.
    """
    third = 33_333
    grid = [
        Scenario(ppm(move), vol)
        for move in (0, third, -third, 2 * third, -2 * third, 100_000, -100_000)
        for vol in (VolShock.UP, VolShock.DOWN)
    ]
    extremes = [Scenario(ppm(move), VolShock.NONE, weight_q38=ppm(350_000)) for move in (200_000, -200_000)]
    return Parameters(
        name="cme_span",
        source="cmegroupclientsite.atlassian.net, risk array file, type 8 and type B records",
        scenarios=(*grid, *extremes),
        vol_range=VolRange(ppm(350_000), ppm(350_000), 0, 0, 0, DAY_MS),
        tiers=(Tier(ppm(1_100_000), ONE_Q38),),
        steps_ms=(DAY_MS,),
    )


def make_linear(initial_ppm: int, maintenance_ppm: int) -> Parameters:
    """A fraction of notional and nothing else: spot up and down today, without vols, tails or contingencies."""
    return Parameters(
        name="linear",
        source="our own",
        scenarios=tuple(Scenario(sign * ppm(initial_ppm), VolShock.NONE) for sign in (-1, 1)),
        vol_range=VolRange(0, 0, 0, 0, 0, DAY_MS),
        tiers=(Tier(ONE_Q38, (2 * maintenance_ppm * ONE_Q38 + initial_ppm) // (2 * initial_ppm)),),
    )


def scale_money(parameters: Parameters, factor: int) -> Parameters:
    """The same rules for quote units that are `factor` times smaller than micro-dollars."""
    tiers = tuple(
        replace(
            tier,
            gamma_threshold=tier.gamma_threshold * factor,
            vega_threshold=tier.vega_threshold * factor,
            minimum_equity=tier.minimum_equity * factor,
        )
        for tier in parameters.tiers
    )
    return replace(parameters, tiers=tiers)


KEEL_LOADING = CORRELATION_ONE * 985 // 1000
"""Q20. Two underlyings so loaded correlate by 0.970: more than BTC and ETH were seen to over any number of hours."""

PARAMETER_SETS = {
    made.name: made
    for made in (make_keel(), make_derive_pm2(), make_deribit_pm(), make_paradex_scan(), make_cme_span())
}
