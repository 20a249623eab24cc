# pragma version 0.4.3
"""
@title Governor: who may propose parameters, and what he may propose
@notice Everything else stands for ever; parameters are versions, and this contract lets one key add the next. It asks
        of every version what keeps those safe who do not look for a month, whoever holds the key: a notice, ranges, and
        that it resembles the one before. What passes becomes a message of the inbox. The transition takes it if the
        version before is the one it was compared with, and activates it on its day.

        It knows no rollup: one that trusts it has its address, and takes what it sends.
@dev The key can be handed over, in two steps, and renounced: then nothing changes any more.
     Mirrors state/proposals.py, fence by fence.
"""
import constants
import fields
import params as parameters

interface Rollup:
    def govern(kind: uint8, payload: Bytes[PAYLOAD_BYTES_MAX]): payable

PARAMS: constant(uint8) = 11
PAYLOAD_BYTES_MAX: constant(uint256) = constants.MESSAGE_BYTES_MAX - 33

DAY: constant(uint256) = 86_400
NOTICE_MIN: constant(uint256) = 30 * DAY
POSTPONEMENT_MAX: constant(uint256) = 30 * DAY

CORRELATION_ONE: constant(uint256) = 2**20
HAIRCUT_STEP_PPM: constant(uint256) = 100_000
CREATE_MIN_FACTOR: constant(uint256) = 10
INITIAL_MIN_PPM: constant(uint256) = 20_000
MAINTENANCE_MIN_PPM: constant(uint256) = 10_000

# The longest leaves there are: 16 assets and 64 underlyings; 4 tiers and 32 scenarios.
PARAMS_LISTS_BYTES: constant(uint256) = parameters.ASSET_BYTES * 16 + parameters.UNDERLYING_BYTES * 64
PARAMS_BYTES_MAX: constant(uint256) = parameters.HEAD_BYTES + PARAMS_LISTS_BYTES
RULES_BYTES_MAX: constant(uint256) = RULES_HEAD_BYTES + TIER_BYTES * TIERS_MAX + SCENARIO_BYTES * SCENARIOS_MAX

# Rules of margin, as margin.vy reads them: two counts, numbers, tiers, scenarios.
RULES_HEAD_BYTES: constant(uint256) = 346
TIER_BYTES: constant(uint256) = 48
SCENARIO_BYTES: constant(uint256) = 18
TIER_NUMBERS: constant(uint256) = 6
TIERS_MAX: constant(uint256) = 4
SCENARIOS_MAX: constant(uint256) = 32
ONE: constant(int256) = 2**38
END_MS: constant(int256) = 16 * 365 * 86_400_000
MONEY_END: constant(int256) = 2**63

NUMBERS: constant(uint256) = 43
BASIS_UP: constant(uint256) = 24
BASIS_DOWN: constant(uint256) = 25
SHORT_POWER: constant(uint256) = 3
TENOR_FLOOR: constant(uint256) = 5
REFERENCE_TENOR: constant(uint256) = 35
SCALE_FLOOR: constant(uint256) = 38
SCALE_CEILING: constant(uint256) = 39
SHOCK_MAX: constant(int256) = 7 * ONE
TENOR_RATIO_MAX: constant(int256) = 1024

LEAST: constant(int256[NUMBERS]) = [
    0, 0, 0, 0, 0, 0,  # vol range
    -16 * ONE, -16 * ONE, -16 * ONE, -16 * ONE, 2**22, 0, -16 * ONE, -16 * ONE,  # skew
    0, -16 * ONE, -16 * ONE, 0, -16 * ONE, -16 * ONE,  # discount
    0, 0, 0, 0, -1, -1, 0, 0, 0, 0, 0, 0,  # contingencies
    0, 0, 0, 1,  # times
    0, 0, 0, 0,  # spot scale
    0, 0, 0,  # concentration
]
MOST: constant(int256[NUMBERS]) = [
    16 * ONE, 16 * ONE, 16 * ONE, ONE, 4 * ONE, END_MS - 1,
    16 * ONE, 16 * ONE, 16 * ONE, 16 * ONE, 16 * ONE, 16 * ONE, 16 * ONE, 16 * ONE,
    2 * ONE, 16 * ONE, 16 * ONE, 2 * ONE, 16 * ONE, 16 * ONE,
    16 * ONE, 16 * ONE, 16 * ONE, 16 * ONE, 31, 31, 16 * ONE, 16 * ONE, ONE, 16 * ONE, 16 * ONE, 1024 * ONE,
    END_MS - 1, 2**16, END_MS - 1, END_MS - 1,
    1024 * ONE, END_MS - 1, SHOCK_MAX, SHOCK_MAX,
    SHOCK_MAX, 16 * ONE, 16 * ONE,
]
# Of a tier: factors, thresholds of gamma and vega, least equity, most use.
TIER_MOST: constant(int256[TIER_NUMBERS]) = [
    1024 * ONE, 1024 * ONE, MONEY_END - 1, MONEY_END - 1, MONEY_END - 1, ONE
]


NOTICE: public(immutable(uint256))  # seconds from proposal to effect, at least

governor: public(address)
heir: public(address)


event Proposed:
    rollup: indexed(address)
    version: indexed(uint256)
    active_from: uint256

event HandedOver:
    governor: indexed(address)


@deploy
def __init__(governor: address, notice: uint256):
    """
    @param governor Whose key it is
    @param notice Seconds before a version can be active; a rollup refuses a governor whose notice is too short for it
    """
    assert notice >= NOTICE_MIN and notice < 2**32, "governor: notice"
    NOTICE = notice
    self.governor = governor
    log HandedOver(governor=governor)


@external
@payable
def propose(
    rollup: address,
    version: uint256,
    previous_params: Bytes[PARAMS_BYTES_MAX],
    previous_rules: Bytes[RULES_BYTES_MAX],
    params: Bytes[PARAMS_BYTES_MAX],
    rules: Bytes[RULES_BYTES_MAX],
):
    """
    @notice Sends the next version to a rollup, with the fee of the message.
    @param rollup One that has this contract for its governor
    @param version The active one and 1; another of that number, not active yet, is replaced, with a notice of its own
    @param previous_params The active leaf, and `previous_rules` the rules beside it; the message carries their hashes
    @param params The leaf to come, and `rules` the rules beside it
    """
    assert msg.sender == self.governor, "governor: sender"
    assert version < constants.RULES_OFFSET, "governor: version"
    active_from: uint256 = parameters._decode_params(params).active_from
    earliest: uint256 = block.timestamp + NOTICE
    assert active_from >= earliest and active_from <= earliest + POSTPONEMENT_MAX, "governor: notice"
    self._check(previous_params, previous_rules, params, rules)
    extcall Rollup(rollup).govern(
        PARAMS,
        concat(
            convert(convert(version, uint16), bytes2),
            sha256(previous_params),
            sha256(previous_rules),
            convert(convert(len(params), uint16), bytes2),
            params,
            convert(convert(len(rules), uint16), bytes2),
            rules,
        ),
        value=msg.value,
    )
    log Proposed(rollup=rollup, version=version, active_from=active_from)


@external
def hand_over(heir: address):
    """
    @notice Names who may take the key over.
    """
    assert msg.sender == self.governor, "governor: sender"
    self.heir = heir


@external
def take_over():
    """
    @notice Makes the sender the governor, if he was named.
    """
    assert msg.sender == self.heir, "governor: heir"
    self.governor = msg.sender
    self.heir = empty(address)
    log HandedOver(governor=msg.sender)


@external
def renounce():
    """
    @notice Burns the key: what is active, or on its way, stays for ever.
    """
    assert msg.sender == self.governor, "governor: sender"
    self.governor = empty(address)
    self.heir = empty(address)
    log HandedOver(governor=empty(address))


@external
@view
def check(
    previous_params: Bytes[PARAMS_BYTES_MAX],
    previous_rules: Bytes[RULES_BYTES_MAX],
    params: Bytes[PARAMS_BYTES_MAX],
    rules: Bytes[RULES_BYTES_MAX],
):
    """
    @notice Reverts with the fence that stands between a version and the one before; its day is not asked for.
    """
    self._check(previous_params, previous_rules, params, rules)


@internal
@view
def _check(
    previous_params: Bytes[constants.LEAF_BYTES_MAX],
    previous_rules: Bytes[constants.LEAF_BYTES_MAX],
    params: Bytes[constants.LEAF_BYTES_MAX],
    rules: Bytes[constants.LEAF_BYTES_MAX],
):
    before: parameters.Params = parameters._decode_params(previous_params)
    after: parameters.Params = parameters._decode_params(params)
    assert self._are_numbers_in_range(after), "governor: range"
    assert self._is_near(
        convert(before.quote_debt_max, int256), convert(after.quote_debt_max, int256)
    ), "governor: debt"
    assert after.peg_underlying == before.peg_underlying, "governor: peg"
    assert self._are_signers_sound(previous_params, before, params, after), "governor: signers"
    assert self._are_assets_kept(previous_params, before, params, after), "governor: assets"
    assert self._are_underlyings_kept(before, params, after), "governor: underlyings"
    assert self._is_shape_kept(previous_rules, rules), "governor: shape"
    assert self._are_rules_near(previous_rules, rules), "governor: quarter"
    assert self._are_rules_defined(rules), "governor: rules"
    assert self._is_margin_enough(after, rules), "governor: margin"


# The parameters


@internal
@pure
def _are_numbers_in_range(params: parameters.Params) -> bool:
    """
    @notice Each in the range of its name; and a reading that is taken can be margined with.
    """
    return (
        self._is_within(params.oracle_age_max, 10, 3_600)
        and self._is_within(params.oracle_skew_max, 0, 300)
        and self._is_within(params.price_age_max, 60, 3_600)
        and self._is_within(params.guard_ppm, 10_000, 200_000)
        and self._is_within(params.halt_ppm, 10_000, constants.PPM)
        and self._is_within(params.halt_seconds, 0, 3_600)
        and self._is_within(params.band_ppm, 1_000, 200_000)
        and self._is_within(params.maker_fee_ppm, 0, 10_000)
        and self._is_within(params.taker_fee_ppm, 0, 10_000)
        and self._is_within(params.l1_fee, 0, 100_000_000)
        and self._is_within(params.funding_period, 3_600, DAY)
        and self._is_within(params.funding_cap_ppm, 0, 50_000)
        and self._is_within(params.cancel_only_interval, 0, 3_600)
        and self._is_within(params.auction_seconds, 60, DAY)
        and self._is_within(params.close_delay, 0, 7 * DAY)
        and self._is_within(params.penalty_ppm, 0, 200_000)
        and self._is_within(params.quote_debt_max, 0, constants.AMOUNT_MAX)
        and self._is_within(params.debt_rate_ppm, 0, 500_000)
        and params.oracle_age_max <= params.price_age_max
    )


@internal
@pure
def _is_within(number: uint256, least: uint256, most: uint256) -> bool:
    return least <= number and number <= most


@internal
@pure
def _are_signers_sound(
    previous_leaf: Bytes[constants.LEAF_BYTES_MAX],
    before: parameters.Params,
    leaf: Bytes[constants.LEAF_BYTES_MAX],
    after: parameters.Params,
) -> bool:
    """
    @notice A majority of different signers signs, and the new among them are too few to sign alone. Behind the last
            signer there is nothing.
    """
    count: uint256 = after.oracle_count
    if count > constants.ORACLE_SIGNERS_MAX or before.oracle_count > constants.ORACLE_SIGNERS_MAX:
        return False
    newcomers: uint256 = 0
    for i: uint256 in range(constants.ORACLE_SIGNERS_MAX):
        signer: address = parameters._get_oracle_signer(leaf, i)
        if (signer == empty(address)) == (i < count):
            return False
        is_known: bool = False
        for j: uint256 in range(constants.ORACLE_SIGNERS_MAX):
            if j < before.oracle_count and signer == parameters._get_oracle_signer(previous_leaf, j):
                is_known = True
            if j < i and i < count and signer == parameters._get_oracle_signer(leaf, j):
                return False
        if i < count and not is_known:
            newcomers += 1
    return after.oracle_threshold <= count and count < 2 * after.oracle_threshold and newcomers < after.oracle_threshold


@internal
@pure
def _are_assets_kept(
    previous_leaf: Bytes[constants.LEAF_BYTES_MAX],
    before: parameters.Params,
    leaf: Bytes[constants.LEAF_BYTES_MAX],
    after: parameters.Params,
) -> bool:
    """
    @notice Each asset is priced as before, by the same unit, and counts for about as much; the quote has no haircuts.
    """
    if before.asset_entries != after.asset_entries or after.asset_entries > constants.ASSETS_MAX:
        return False
    for asset: uint256 in range(after.asset_entries, bound=constants.ASSETS_MAX):
        old: parameters.AssetTerms = parameters._get_asset_terms(previous_leaf, asset)
        new: parameters.AssetTerms = parameters._get_asset_terms(leaf, asset)
        haircuts_ppm: uint256 = new.maintenance_haircut_ppm + new.initial_haircut_ppm
        if not (
            new.underlying == old.underlying
            and new.units_per_lot == old.units_per_lot
            and self._is_step(old.maintenance_haircut_ppm, new.maintenance_haircut_ppm)
            and self._is_step(old.initial_haircut_ppm, new.initial_haircut_ppm)
            and haircuts_ppm <= (constants.PPM if asset > 0 else 0)
            and new.confidence_threshold_ppm <= constants.PPM
            and old.create_min <= CREATE_MIN_FACTOR * new.create_min
            and new.create_min <= CREATE_MIN_FACTOR * old.create_min
        ):
            return False
    return True


@internal
@pure
def _is_step(before: uint256, after: uint256) -> bool:
    return max(before, after) - min(before, after) <= HAIRCUT_STEP_PPM


@internal
@pure
def _are_underlyings_kept(
    before: parameters.Params, leaf: Bytes[constants.LEAF_BYTES_MAX], after: parameters.Params
) -> bool:
    """
    @notice Every underlying keeps its entry; entries may be added, for listings to come.
    """
    count: uint256 = after.underlying_entries
    if before.underlying_entries > count or count > constants.UNDERLYINGS_MAX:
        return False
    for underlying: uint256 in range(count, bound=constants.UNDERLYINGS_MAX):
        terms: parameters.UnderlyingTerms = parameters._get_underlying_terms(leaf, after, underlying)
        if terms.correlation_q20 > CORRELATION_ONE or terms.open_interest_max > constants.AMOUNT_MAX:
            return False
    return True


# The rules


@internal
@pure
def _get_scenarios_at(rules: Bytes[constants.LEAF_BYTES_MAX]) -> uint256:
    return RULES_HEAD_BYTES + TIER_BYTES * fields._uint(rules, 1, 1)


@internal
@pure
def _get_number(rules: Bytes[constants.LEAF_BYTES_MAX], number: uint256) -> int256:
    return fields._int(rules, 2 + 8 * number, 8)


@internal
@pure
def _get_tier_number(rules: Bytes[constants.LEAF_BYTES_MAX], tier: uint256, number: uint256) -> int256:
    """
    @notice A number of a tier. The factors and the use are signed; the rest is not, and must stay below 2^63.
    """
    at: uint256 = RULES_HEAD_BYTES + TIER_BYTES * tier + 8 * number
    if number < 2 or number == 5:
        return fields._int(rules, at, 8)
    return convert(fields._uint(rules, at, 8), int256)


@internal
@pure
def _is_near(before: int256, after: int256) -> bool:
    """
    @notice Within a quarter; what is 0 stays 0.
    """
    return 4 * abs(after - before) <= abs(before)


@internal
@pure
def _is_shape_kept(before: Bytes[constants.LEAF_BYTES_MAX], after: Bytes[constants.LEAF_BYTES_MAX]) -> bool:
    """
    @notice As many scenarios and tiers, each scenario of its kind, and the same two that price the basis.
    """
    scenarios: uint256 = fields._uint(after, 0, 1)
    tiers: uint256 = fields._uint(after, 1, 1)
    if scenarios > SCENARIOS_MAX or tiers > TIERS_MAX:
        return False
    if slice(before, 0, 2) != slice(after, 0, 2) or len(before) != len(after):
        return False
    if len(after) != RULES_HEAD_BYTES + TIER_BYTES * tiers + SCENARIO_BYTES * scenarios:
        return False
    at: uint256 = self._get_scenarios_at(after)
    for i: uint256 in range(scenarios, bound=SCENARIOS_MAX):
        for place: uint256 in [8, 17]:  # vol, flags
            byte: uint256 = at + SCENARIO_BYTES * i + place
            if fields._uint(before, byte, 1) != fields._uint(after, byte, 1):
                return False
    return (
        self._get_number(before, BASIS_UP) == self._get_number(after, BASIS_UP)
        and self._get_number(before, BASIS_DOWN) == self._get_number(after, BASIS_DOWN)
    )


@internal
@pure
def _are_rules_near(before: Bytes[constants.LEAF_BYTES_MAX], after: Bytes[constants.LEAF_BYTES_MAX]) -> bool:
    """
    @notice No number of the rules moves by more than a quarter of itself.
    """
    for number: uint256 in range(NUMBERS):
        if not self._is_near(self._get_number(before, number), self._get_number(after, number)):
            return False
    for tier: uint256 in range(fields._uint(after, 1, 1), bound=TIERS_MAX):
        for number: uint256 in range(TIER_NUMBERS):
            if not self._is_near(
                self._get_tier_number(before, tier, number), self._get_tier_number(after, tier, number)
            ):
                return False
    at: uint256 = self._get_scenarios_at(after)
    for i: uint256 in range(fields._uint(after, 0, 1), bound=SCENARIOS_MAX):
        for place: uint256 in [0, 9]:  # spot move, weight
            byte: uint256 = at + SCENARIO_BYTES * i + place
            if not self._is_near(fields._int(before, byte, 8), fields._int(after, byte, 8)):
                return False
    return True


@internal
@pure
def _are_rules_defined(rules: Bytes[constants.LEAF_BYTES_MAX]) -> bool:
    """
    @notice Inside the bounds of risk/SPEC.md section 2, under which no formula overflows; the climb of a short tenor's
            vol by whole numbers alone: (reference tenor / tenor floor)^power is at most 1,024.
    """
    scenarios: uint256 = fields._uint(rules, 0, 1)
    tiers: uint256 = fields._uint(rules, 1, 1)
    if scenarios == 0 or tiers == 0:
        return False
    for number: uint256 in range(NUMBERS):
        value: int256 = self._get_number(rules, number)
        if value < LEAST[number] or value > MOST[number]:
            return False
    for number: uint256 in [BASIS_UP, BASIS_DOWN]:
        if self._get_number(rules, number) >= convert(scenarios, int256):
            return False
    ceiling: int256 = self._get_number(rules, SCALE_CEILING)
    if self._get_number(rules, SCALE_FLOOR) > ceiling:
        return False
    if self._get_number(rules, REFERENCE_TENOR) > TENOR_RATIO_MAX * max(self._get_number(rules, TENOR_FLOOR), 1):
        return False
    for tier: uint256 in range(tiers, bound=TIERS_MAX):
        for number: uint256 in range(TIER_NUMBERS):
            value: int256 = self._get_tier_number(rules, tier, number)
            if value < 0 or value > TIER_MOST[number]:
                return False
        if self._get_tier_number(rules, tier, 1) > self._get_tier_number(rules, tier, 0):
            return False
    at: uint256 = self._get_scenarios_at(rules)
    for i: uint256 in range(scenarios, bound=SCENARIOS_MAX):
        move: int256 = fields._int(rules, at + SCENARIO_BYTES * i, 8)
        weight: int256 = fields._int(rules, at + SCENARIO_BYTES * i + 9, 8)
        is_scaled: bool = fields._uint(rules, at + SCENARIO_BYTES * i + 17, 1) & 1 == 1
        widest: int256 = max(ceiling * move >> 38, -ONE) if is_scaled else move
        if abs(move) > SHOCK_MAX or weight < 0 or weight > 16 * ONE or widest < -ONE or widest > SHOCK_MAX:
            return False
    return True


@internal
@pure
def _compute_least_loss(rules: Bytes[constants.LEAF_BYTES_MAX]) -> int256:
    """
    @notice What a perpetual's scenarios charge at least, as a fraction of its notional in Q38, whichever side it is.
    """
    falls: int256 = 0
    rises: int256 = 0
    unit: int256 = self._get_number(rules, SCALE_FLOOR)
    at: uint256 = self._get_scenarios_at(rules)
    for i: uint256 in range(fields._uint(rules, 0, 1), bound=SCENARIOS_MAX):
        move: int256 = fields._int(rules, at + SCENARIO_BYTES * i, 8)
        weight: int256 = fields._int(rules, at + SCENARIO_BYTES * i + 9, 8)
        flags: uint256 = fields._uint(rules, at + SCENARIO_BYTES * i + 17, 1)
        if flags & 2 == 2:
            least: int256 = unit * move >> 38 if flags & 1 == 1 else move
            falls = max(falls, -(least * weight >> 38))
            rises = max(rises, least * weight >> 38)
    return min(falls, rises)


@internal
@pure
def _is_margin_enough(params: parameters.Params, rules: Bytes[constants.LEAF_BYTES_MAX]) -> bool:
    """
    @notice In every tier initial margin is above the band and a floor, and maintenance above one of its own.
    """
    least: int256 = self._compute_least_loss(rules) * convert(constants.PPM, int256)
    initial: int256 = convert(max(params.band_ppm, INITIAL_MIN_PPM) << 76, int256)
    maintenance: int256 = convert(MAINTENANCE_MIN_PPM << 76, int256)
    for tier: uint256 in range(fields._uint(rules, 1, 1), bound=TIERS_MAX):
        if least * self._get_tier_number(rules, tier, 0) <= initial:
            return False
        if least * self._get_tier_number(rules, tier, 1) < maintenance:
            return False
    return True
