# pragma version 0.4.3
"""
@title Margin of an account, before and after an op
@notice Reads M* of state/SPEC.md section 6 out of a witness: the scenarios that the prover exhibits, the rules of
        margin, the underlyings that the account needs, and the expiries that it holds, each ascending. Says what the
        account is worth and what is left above its requirements, as section 8 has it, without and with what an op
        changes; whether its prices are fresh; and what instruments are marked at. All of it stands under one root,
        which is part of the answer: who asks compares it.
@dev Pairs [before, after] are lanes. One list holds the instruments of both accounts, so each is valued once. Leaves
     are read in the calldata (entries.vy). BOUNDS (state/SPEC.md section 1): quantities up to 2^41, prices below 2^44,
     a collateral's value at most 2^90, 2^128 at the quote's own price, sums below 2^133, fractions below 2^63. So no
     checked operation here can revert. A union of more than 68 instruments does: an account that holds so many has
     passed its caps, and that is a check of its own.
     Mirrors state/valuation.py, state/marks.py, state/rules.py, risk/margin.py, risk/offsets.py, risk/concentration.py,
     risk/tiers.py, risk/settlement.py and state/active_scenarios.py.
"""
import accounts
import constants
import entries
import instruments
import params as parameters
import underlyings
import expiries

ONE_Q38: constant(int256) = 2**38
DOLLAR: constant(uint256) = 1_000_000
VALUE_MAX: constant(uint256) = 2**90
LOSS_SUM_END: constant(int256) = 2**106
CORRELATION_ONE: constant(int256) = 2**20
MARK_WING_WIDTH: constant(int256) = 4

POSITIONS_MAX: constant(uint256) = accounts.POSITIONS_HELD_MAX
EXPIRIES_MAX: constant(uint256) = constants.ACCOUNT_EXPIRIES_MAX + constants.LEGS_MAX
READING_WORDS: constant(uint256) = 3
ONE_OPTION: constant(uint256) = 2**192  # of the last word of its expiry's reading
SCENARIOS_MAX: constant(uint256) = 32

# Masks of the lowest bits.
U8: constant(uint256) = 2**8 - 1
U16: constant(uint256) = 2**16 - 1
U32: constant(uint256) = 2**32 - 1
U64: constant(uint256) = 2**64 - 1
U128: constant(uint256) = 2**128 - 1
NO_POSITION: constant(uint256) = 2**160 - 1  # no instrument is that high
MASK_50: constant(int256) = 2**50 - 1

# The rules' leaf: two counts, then numbers of eight bytes as state/rules.py lists them, tiers, scenarios.
NUMBERS_AT: constant(uint256) = 2
TIERS_AT: constant(uint256) = 346
TIER_BYTES: constant(uint256) = 48
SCENARIO_BYTES: constant(uint256) = 18
COUNTS: constant(int256) = 2  # a flag of a scenario; one place higher it speaks of the account after
NOT_COUNTS: constant(int256) = -3  # all but that flag
OF_BASIS: constant(int256) = 8  # a flag of those that the basis contingency asks for
OF_FALLS: constant(int256) = 2**72 - 1  # weight and flags of a scenario
RULES_WORDS: constant(uint256) = 35  # 346, four tiers, 32 scenarios
VOL_UP: constant(uint256) = 0
PERPETUAL_MAINTENANCE: constant(uint256) = 20
PERPETUAL_INITIAL: constant(uint256) = 21
NAKED_MAINTENANCE: constant(uint256) = 22
NAKED_INITIAL: constant(uint256) = 23
BASIS_UP: constant(uint256) = 24
BASIS_DOWN: constant(uint256) = 25
CONFIDENCE_THRESHOLD: constant(uint256) = 28
CONFIDENCE_MARGIN: constant(uint256) = 29
PEG_THRESHOLD: constant(uint256) = 30
PEG_FACTOR: constant(uint256) = 31
SETTLEMENT_WINDOW_MS: constant(uint256) = 34
MOVE: constant(uint256) = 40
GAMMA_FRACTION: constant(uint256) = 41
VEGA_FRACTION: constant(uint256) = 42

# The exhibit in front of M*: for each lane a scenario of each underlying with options, ascending.
EXHIBIT_BYTES: constant(uint256) = 16
EXHIBIT_LANE_BYTES: constant(uint256) = 8
BASIS_ACTIVE: constant(uint256) = 255

# Arguments of `compute`
PARAMS_ARGUMENT: constant(uint256) = 4
BEFORE_ARGUMENT: constant(uint256) = 5
AFTER_ARGUMENT: constant(uint256) = 6

# Freshness
YOUNG: constant(uint256) = 1
NOT_HALTED: constant(uint256) = 2

# As risk_underlying.vy has them.
struct Rules:
    vol_up: int256
    vol_down: int256
    vol_floor: int256
    short_power: int256
    long_power: int256
    tenor_floor_ms: int256
    linear_cap: int256
    linear_slope: int256
    absolute_cap: int256
    absolute_slope: int256
    width_floor: int256
    width_scale: int256
    width_vol: int256
    width_vol_slope: int256
    long_factor: int256
    long_multiple: int256
    long_spread: int256
    short_factor: int256
    short_multiple: int256
    short_spread: int256
    basis_add: int256
    basis_multiple: int256
    later_ms: int256
    wing_width: int256
    reference_tenor_ms: int256
    spot_deviations: int256
    spot_horizon_ms: int256
    spot_floor: int256
    spot_ceiling: int256

struct Risk:
    mark: int256[2]
    loss: int256[2]
    basis: int256[2]
    gamma: int256[2]
    vega: int256[2]

interface UnderlyingRisk:
    def compute_underlying_risk(
        rules: Rules,
        scenarios: DynArray[int256, SCENARIOS_MAX],
        volatility: int256,
        linear: int256[2],
        readings: DynArray[uint256, READING_WORDS * EXPIRIES_MAX],
        options: DynArray[int256, POSITIONS_MAX],
    ) -> Risk: view
    def compute_linear_loss(
        rules: Rules, scenarios: DynArray[int256, SCENARIOS_MAX], volatility: int256, linear: int256[2]
    ) -> int256[2]: view

# Quote units. `initial` and `maintenance` are what is left above the requirement.
struct Margin:
    quote_equity: int256
    equity: int256
    initial: int256
    maintenance: int256

# What is read of one underlying. Confidences and volatility in Q38, the funding index at state time.
struct Quote:
    underlying: uint256
    is_young: bool
    is_halted: bool
    spot: int256
    mark: int256
    spot_confidence: int256
    mark_confidence: int256
    volatility: int256
    funding_index: int256

# What is read of one expiry, settlement 0 for none. `fixed` is 0 outside the settlement window, confidence in Q38.
struct Dated:
    head: uint256  # the first two words of the leaf
    shape: uint256
    terms: uint256  # `fixed` and times as risk_underlying.vy reads them
    forward: int256
    fixed: int256
    confidence: int256
    settlement: uint256
    is_young: bool

# Where things stand in the calldata, and what all underlyings share.
struct Frame:
    time: uint256
    asked_at: uint256  # when prices must have been young
    params_at: uint256
    exhibit_at: uint256
    rules_at: uint256
    stable: int256
    tiers: uint256[2]
    must_cover: bool
    confidence_threshold: int256
    confidence_margin: int256
    settlement_window_ms: int256
    gamma_factor: int256  # from an exposure to its P&L
    vega_factor: int256
    gamma_fraction: int256
    vega_fraction: int256
    gamma_thresholds: int256[3]  # of the first tier, then of those that the account chose
    vega_thresholds: int256[3]

# How far the witness has been read.
struct Cursor:
    at: uint256
    root: bytes32
    is_missing: bool
    freshness: uint256

# Sums over the account, in lanes. Charges are rounded up already, `perpetual` and `naked` are the notionals of theirs.
struct Tally:
    quote_equity: int256[2]
    collateral: int256[2]
    maintenance_charge: int256[2]
    initial_charge: int256[2]
    perpetual: int256[2]
    naked: int256[2]
    loss: int256[2]
    common: int256[2]
    own: int256[2]
    first_size: int256[2]  # add-ons for size under the first tier
    chosen_size: int256[2]  # and under the one that the account chose

RISK: immutable(address)


@deploy
def __init__(risk_underlying: address):
    """
    @param risk_underlying The deployed contracts/risk_underlying.vy
    """
    assert risk_underlying.is_contract, "risk"
    RISK = risk_underlying


@external
@view
def compute(
    witness: Bytes[constants.WITNESS_BYTES_MAX],
    at: uint256,
    time: uint256,
    params_version: uint256,
    params_leaf: Bytes[constants.LEAF_BYTES_MAX],
    before_leaf: Bytes[constants.LEAF_BYTES_MAX],
    after_leaf: Bytes[constants.LEAF_BYTES_MAX],
    must_cover: bool,
    asked_at: uint256 = max_value(uint256),
) -> (Margin, Margin, uint256, bytes32, uint256, bool):
    """
    @notice What an account is worth and has to spare, before and after an op, under the scenarios exhibited: never less
            than in truth, and under the worst of each underlying the truth.
    @param at Where M* begins in the witness
    @param params_leaf The active parameters, authenticated by the caller as both leaves of the account are
    @param must_cover Whether collateral whose price is stale counts nothing
    @param asked_at Prices are as old as they were then, or now if that is before
    @return both margins; freshness of the account after, bit 0 for young prices, bit 1 for none halted; the root of M*;
            where the witness goes on; whether a leaf was not there, behind which reading stopped
    """
    witness_at: uint256 = entries._begin(0)
    cursor: Cursor = empty(Cursor)
    cursor.at = witness_at + at
    frame: Frame = empty(Frame)
    frame.time = time
    frame.asked_at = min(asked_at, time)
    frame.params_at = entries._begin(PARAMS_ARGUMENT)
    frame.must_cover = must_cover
    frame.exhibit_at = cursor.at
    cursor.at += EXHIBIT_BYTES
    frame.rules_at = cursor.at + 2
    cursor = self._read_rules(cursor, params_version)
    leaves_at: uint256[2] = [entries._begin(BEFORE_ARGUMENT), entries._begin(AFTER_ARGUMENT)]
    positions: DynArray[uint256, POSITIONS_MAX] = self._merge_positions(leaves_at)
    needed: uint256 = self._list_needed(frame.params_at, leaves_at, positions)
    quotes_at: uint256[constants.UNDERLYINGS_MAX] = empty(uint256[constants.UNDERLYINGS_MAX])
    cursor, quotes_at = self._read_underlyings(cursor, needed)
    if cursor.is_missing:
        return empty(Margin), empty(Margin), 0, cursor.root, cursor.at - witness_at, True

    frame = self._frame_rules(frame, leaves_at)
    frame.stable, cursor.freshness = self._read_peg(frame, quotes_at)
    tally: Tally = empty(Tally)
    followers: int256[2][constants.UNDERLYINGS_MAX] = empty(int256[2][constants.UNDERLYINGS_MAX])
    for lane: uint256 in range(2):
        tally.quote_equity[lane] = self._signed(entries._word(leaves_at[lane] + 60) >> 128, 128)
        tally, followers = self._add_collateral(tally, frame, quotes_at, followers, leaves_at[lane], lane)
    tally, cursor = self._add_underlyings(tally, cursor, frame, needed, quotes_at, followers, positions)
    if cursor.is_missing:
        return empty(Margin), empty(Margin), 0, cursor.root, cursor.at - witness_at, True
    return (
        self._close(tally, frame, 0),
        self._close(tally, frame, 1),
        cursor.freshness,
        cursor.root,
        cursor.at - witness_at,
        False,
    )


@internal
@view
def _number(rules_at: uint256, number: uint256) -> int256:
    """
    @notice A number of the rules, by its place among them.
    """
    return self._signed(entries._word(rules_at + NUMBERS_AT + 8 * number) >> 192, 64)


@internal
@pure
def _signed(field: uint256, bits: uint256) -> int256:
    """
    @notice The two's complement number in the lowest `bits` bits.
    """
    return convert(convert(field << (256 - bits), bytes32), int256) >> (256 - bits)


@internal
@pure
def _ppm_floor_q38(parts: uint256) -> int256:
    """
    @dev Mirrors marks.convert_ppm_floor_q38.
    """
    return convert((parts << 38) // constants.PPM, int256)


@internal
@pure
def _multiply_ceil_q38(amount: int256, fraction: int256) -> int256:
    """
    @dev Mirrors fixed_point.multiply_ceil_q38.
    """
    return unsafe_sub(0, unsafe_mul(unsafe_sub(0, amount), fraction) >> 38)


# Reading


@internal
@view
def _read_rules(cursor: Cursor, params_version: uint256) -> Cursor:
    """
    @notice Behind the entry of the rules, which says what the root is. The active version is never empty.
    """
    words: uint256[RULES_WORDS] = empty(uint256[RULES_WORDS])
    length: uint256 = entries._get_length(cursor.at)
    assert length > TIERS_AT and length <= 32 * RULES_WORDS, "rules"
    for i: uint256 in range(RULES_WORDS):
        if 32 * i >= length:
            break
        words[i] = entries._word(cursor.at + 2 + 32 * i)
    leaf_hash: bytes32 = sha256(
        concat(convert(convert(constants.PARAMS, uint8), bytes1), slice(abi_encode(words), 0, length))
    )
    return self._pass(cursor, constants.PARAMS, constants.RULES_OFFSET + params_version, leaf_hash)


@internal
@view
def _frame_rules(frame: Frame, leaves_at: uint256[2]) -> Frame:
    """
    @notice What of the rules is asked for again and again, and the tiers that both accounts chose.
    """
    after: Frame = frame
    rules_at: uint256 = frame.rules_at
    after.confidence_threshold = self._number(rules_at, CONFIDENCE_THRESHOLD)
    after.confidence_margin = self._number(rules_at, CONFIDENCE_MARGIN)
    after.settlement_window_ms = self._number(rules_at, SETTLEMENT_WINDOW_MS)
    move: int256 = self._number(rules_at, MOVE)
    after.gamma_factor = move * move >> 38
    after.vega_factor = self._number(rules_at, VOL_UP)
    after.gamma_fraction = self._number(rules_at, GAMMA_FRACTION)
    after.vega_fraction = self._number(rules_at, VEGA_FRACTION)
    highest: uint256 = (entries._word(rules_at) >> 240 & U8) - 1
    tier: uint256 = 0
    for place: uint256 in range(3):
        if place != 0:
            tier = min(entries._word(leaves_at[place - 1] + 32) >> 248, highest)
            after.tiers[place - 1] = tier
        thresholds: uint256 = entries._word(self._get_tier_at(rules_at, tier) + 16)
        after.gamma_thresholds[place] = convert(thresholds >> 192, int256)
        after.vega_thresholds[place] = convert((thresholds >> 128) & U64, int256)
    return after


@internal
@view
def _pass(cursor: Cursor, collection: uint256, index: uint256, leaf_hash: bytes32) -> Cursor:
    """
    @notice Behind an entry, which stands under the root of those before it; the first says which that is.
    """
    after: Cursor = cursor
    after.root, after.at = entries._fold(cursor.at, collection, index, leaf_hash)
    assert cursor.root == after.root or cursor.root == empty(bytes32), "root"
    after.is_missing = leaf_hash == empty(bytes32)
    return after


@internal
@view
def _merge_positions(leaves_at: uint256[2]) -> DynArray[uint256, POSITIONS_MAX]:
    """
    @notice The instruments of both accounts in order: instrument, 128 bits | lots before, 64 | lots after, 64.
    """
    merged: DynArray[uint256, POSITIONS_MAX] = []
    at: uint256[2] = empty(uint256[2])
    end: uint256[2] = empty(uint256[2])
    for lane: uint256 in range(2):
        counts: uint256 = entries._word(leaves_at[lane] + 33) >> 232
        at[lane] = leaves_at[lane] + accounts.HEAD_BYTES + accounts.KEY_BYTES * (counts >> 16)
        at[lane] += accounts.COLLATERAL_BYTES * ((counts >> 8) & U8)
        end[lane] = at[lane] + accounts.POSITION_BYTES * (counts & U8)
    before: uint256 = self._get_position(at[0], end[0])
    after: uint256 = self._get_position(at[1], end[1])
    for i: uint256 in range(POSITIONS_MAX + 1):
        instrument: uint256 = min(before >> 64, after >> 64)
        if instrument == NO_POSITION >> 64:
            break
        word: uint256 = instrument << 128
        if before >> 64 == instrument:
            word |= (before & U64) << 64
            at[0] += accounts.POSITION_BYTES
            before = self._get_position(at[0], end[0])
        if after >> 64 == instrument:
            word |= after & U64
            at[1] += accounts.POSITION_BYTES
            after = self._get_position(at[1], end[1])
        merged.append(word)
    return merged


@internal
@view
def _get_position(at: uint256, end: uint256) -> uint256:
    """
    @notice Instrument and lots of the position that begins at `at`, NO_POSITION behind the last.
    """
    if at == end:
        return NO_POSITION
    return entries._word(at + accounts.POSITION_BYTES - 32) & NO_POSITION


@internal
@view
def _get_peg(params_at: uint256) -> uint256:
    """
    @notice The underlying that is the quote asset's own price, if there is one.
    """
    return entries._word(params_at + 178) >> 240


@internal
@view
def _list_needed(
    params_at: uint256, leaves_at: uint256[2], positions: DynArray[uint256, POSITIONS_MAX]
) -> uint256:
    """
    @notice U*: bit u stands for underlying u.
    """
    needed: uint256 = 0
    for position: uint256 in positions:
        needed |= 1 << (position >> 208)
    for lane: uint256 in range(2):
        counts: uint256 = entries._word(leaves_at[lane] + 33) >> 232
        at: uint256 = leaves_at[lane] + accounts.HEAD_BYTES + accounts.KEY_BYTES * (counts >> 16)
        for i: uint256 in range((counts >> 8) & U8, bound=constants.ASSETS_MAX):
            at += accounts.COLLATERAL_BYTES
            asset: uint256 = (entries._word(at - 32) >> 128) & U16
            needed |= 1 << (self._get_asset_word(params_at, asset) >> 240)
    peg: uint256 = self._get_peg(params_at)
    if peg != parameters.NO_UNDERLYING:
        needed |= 1 << peg
    return needed


@internal
@view
def _get_asset_word(params_at: uint256, asset: uint256) -> uint256:
    """
    @notice Terms of an asset from the left: underlying u16, two haircuts and a threshold u32 each, units_per_lot u64.
    """
    return entries._word(params_at + parameters.HEAD_BYTES + parameters.ASSET_BYTES * asset)


@internal
@view
def _read_underlyings(cursor: Cursor, needed: uint256) -> (Cursor, uint256[constants.UNDERLYINGS_MAX]):
    """
    @notice Behind every needed underlying, ascending; where the bytes of each begin.
    """
    after: Cursor = cursor
    quotes_at: uint256[constants.UNDERLYINGS_MAX] = empty(uint256[constants.UNDERLYINGS_MAX])
    for u: uint256 in range(constants.UNDERLYINGS_MAX):
        if needed >> u == 0:
            break
        if (needed >> u) & 1 != 0:
            quotes_at[u] = after.at + 2
            after = self._read_underlying(after, u)
            if after.is_missing:
                break
    return after, quotes_at


@internal
@view
def _read_underlying(cursor: Cursor, underlying: uint256) -> Cursor:
    """
    @notice Behind the entry of an underlying.
    """
    leaf_hash: bytes32 = empty(bytes32)
    length: uint256 = entries._get_length(cursor.at)
    if length != 0:
        assert length == underlyings.BYTES, "underlying"
        leaf_hash = sha256(
            concat(
                convert(convert(constants.UNDERLYINGS, uint8), bytes1),
                slice(msg.data, cursor.at + 2, underlyings.BYTES),
            )
        )
    return self._pass(cursor, constants.UNDERLYINGS, underlying, leaf_hash)


@internal
@view
def _read_peg(frame: Frame, quotes_at: uint256[constants.UNDERLYINGS_MAX]) -> (int256, uint256):
    """
    @notice What the quote asset is worth in dollars, in Q38 and above 0, and freshness as far as it tells.
    @dev Mirrors valuation.compute_stable_floor_q38.
    """
    peg: uint256 = self._get_peg(frame.params_at)
    if peg == parameters.NO_UNDERLYING:
        return ONE_Q38, YOUNG | NOT_HALTED
    prices: uint256 = entries._word(quotes_at[peg] + 8)
    stable: uint256 = max((((prices >> 128) & U64) << 38) // DOLLAR, 1)
    return convert(stable, int256), self._get_freshness(self._is_price_young(prices, frame), False)


@internal
@view
def _is_price_young(prices: uint256, frame: Frame) -> bool:
    """
    @param prices The word of the leaf that begins with the time of the reading
    """
    return (prices >> 192) + self._get_price_age_max(frame.params_at) >= frame.asked_at


@internal
@view
def _decode_quote(underlying: uint256, leaf_at: uint256, frame: Frame) -> Quote:
    """
    @notice What margin needs of the leaf of an underlying, as underlyings.vy lays it out.
    """
    prices: uint256 = entries._word(leaf_at + 8)
    funding: uint256 = entries._word(leaf_at + 40)
    return Quote(
        underlying=underlying,
        is_young=self._is_price_young(prices, frame),
        is_halted=entries._word(leaf_at + 76) >> 192 > frame.time,
        spot=convert((prices >> 128) & U64, int256),
        mark=convert((prices >> 64) & U64, int256),
        spot_confidence=self._ppm_floor_q38((prices >> 32) & U32),
        mark_confidence=self._ppm_floor_q38(prices & U32),
        volatility=self._ppm_floor_q38(funding >> 224),
        funding_index=self._compute_funding_index_floor(funding, frame),
    )


@internal
@view
def _compute_funding_index_floor(funding: uint256, frame: Frame) -> int256:
    """
    @notice Quote units a lot at state time, saturating.
    @param funding The word of the leaf in which index, its time and premium stand
    @dev Mirrors valuation.compute_funding_index_floor.
    """
    elapsed: int256 = convert(frame.time, int256) - convert((funding >> 96) & U64, int256)
    period: int256 = convert(entries._word(frame.params_at + 146) >> 224, int256)
    accrued: int256 = self._signed((funding >> 32) & U64, 64) * elapsed
    # Rounded towards minus infinity, where the EVM truncates.
    accrued = accrued // period if accrued >= 0 else -((period - 1 - accrued) // period)
    index: int256 = self._signed((funding >> 160) & U64, 64) + accrued
    return max(-constants.FUNDING_INDEX_MAX, min(constants.FUNDING_INDEX_MAX, index))


@internal
@view
def _get_price_age_max(params_at: uint256) -> uint256:
    return entries._word(params_at + 110) >> 224


@internal
@view
def _read_expiry(cursor: Cursor, frame: Frame, instrument: uint256) -> (Cursor, Dated):
    """
    @notice The expiry of a dated instrument, as expiries.vy lays it out.
    """
    after: Cursor = cursor
    underlying: uint256 = instruments._get_underlying(instrument)
    expiry: uint256 = instruments._get_expiry(instrument)
    leaf_at: uint256 = after.at + 2
    leaf_hash: bytes32 = empty(bytes32)
    length: uint256 = entries._get_length(after.at)
    if length != 0:
        assert length == expiries.BYTES, "expiry"
        leaf_hash = sha256(
            concat(convert(convert(constants.EXPIRIES, uint8), bytes1), slice(msg.data, leaf_at, expiries.BYTES))
        )
    after = self._pass(
        after, constants.EXPIRIES, instruments._get_expiry_index(underlying, expiry), leaf_hash
    )
    if after.is_missing:
        return after, empty(Dated)
    return after, self._decode_dated(leaf_at, frame, expiry)


@internal
@view
def _decode_dated(leaf_at: uint256, frame: Frame, expiry: uint256) -> Dated:
    """
    @dev Mirrors marks.convert_expiry, marks.compute_fixed_floor and scenarios.fixed_of_forward.
    """
    head: uint256 = entries._word(leaf_at)
    confidence: uint256 = entries._word(leaf_at + 64)
    tail: uint256 = entries._word(leaf_at + 76)
    time: uint256 = head >> 192
    time_ms: uint256 = (max(expiry, frame.time) - frame.time) * 1000
    fixed: uint256 = 0
    if time > expiry - constants.SETTLEMENT_WINDOW and convert(time_ms, int256) < frame.settlement_window_ms:
        integral: uint256 = (tail >> 64) & U128
        fixed = (integral - ((confidence >> 96) & U128)) // constants.SETTLEMENT_WINDOW
    return Dated(
        head=head,
        shape=entries._word(leaf_at + 32),
        terms=(fixed << 128) | (time_ms << 64) | (expiry - time) * 1000,
        forward=convert((head >> 128) & U64, int256),
        fixed=convert(fixed, int256),
        confidence=self._ppm_floor_q38(confidence >> 224),
        settlement=tail & U64,
        is_young=tail & U64 != 0 or time + self._get_price_age_max(frame.params_at) >= frame.asked_at,
    )


# Adding up


@internal
@view
def _add_collateral(
    tally: Tally,
    frame: Frame,
    quotes_at: uint256[constants.UNDERLYINGS_MAX],
    followers: int256[2][constants.UNDERLYINGS_MAX],
    leaf_at: uint256,
    lane: uint256,
) -> (Tally, int256[2][constants.UNDERLYINGS_MAX]):
    """
    @notice The sums with one account's collateral, and by underlying what of it moves with that.
    @dev Mirrors valuation.build_collateral and what margin.compute_margin does with it.
    """
    total: Tally = tally
    following: int256[2][constants.UNDERLYINGS_MAX] = followers
    counts: uint256 = entries._word(leaf_at + 33) >> 232
    at: uint256 = leaf_at + accounts.HEAD_BYTES + accounts.KEY_BYTES * (counts >> 16)
    for i: uint256 in range((counts >> 8) & U8, bound=constants.ASSETS_MAX):
        at += accounts.COLLATERAL_BYTES
        held: uint256 = entries._word(at - 32)  # a word that ends with the field never passes the end of the calldata
        terms: uint256 = self._get_asset_word(frame.params_at, (held >> 128) & U16)
        underlying: uint256 = terms >> 240
        prices: uint256 = entries._word(quotes_at[underlying] + 8)
        value: uint256 = 0
        if not frame.must_cover or self._is_price_young(prices, frame):
            value = (held & U128) * ((prices >> 128) & U64) // ((terms >> 80) & U64)
        worth: int256 = convert((min(value, VALUE_MAX) << 38) // convert(frame.stable, uint256), int256)
        maintenance: int256 = self._multiply_ceil_q38(worth, self._ppm_floor_q38((terms >> 208) & U32))
        initial: int256 = self._multiply_ceil_q38(worth, self._ppm_floor_q38((terms >> 176) & U32))
        confidence: int256 = self._ppm_floor_q38((prices >> 32) & U32)
        if confidence < self._ppm_floor_q38((terms >> 144) & U32):
            missing: int256 = self._multiply_ceil_q38(worth, ONE_Q38 - confidence)
            initial += self._multiply_ceil_q38(missing, frame.confidence_margin)
        total.collateral[lane] += worth
        total.maintenance_charge[lane] += maintenance
        total.initial_charge[lane] += initial
        following[underlying][lane] += worth
    return total, following


@internal
@view
def _add_underlyings(
    tally: Tally,
    cursor: Cursor,
    frame: Frame,
    needed: uint256,
    quotes_at: uint256[constants.UNDERLYINGS_MAX],
    followers: int256[2][constants.UNDERLYINGS_MAX],
    positions: DynArray[uint256, POSITIONS_MAX],
) -> (Tally, Cursor):
    """
    @notice The sums with everything that the account holds in each underlying, and how its losses combine.
    """
    total: Tally = tally
    after: Cursor = cursor
    rules: Rules = self._get_rules(frame.rules_at)
    scenarios: DynArray[int256, SCENARIOS_MAX] = self._list_scenarios(frame.rules_at)
    falls: DynArray[int256, SCENARIOS_MAX] = self._list_worst_falls(scenarios)
    first: uint256 = 0
    order: uint256 = 0  # among the underlyings of options
    for u: uint256 in range(constants.UNDERLYINGS_MAX):
        if needed >> u == 0:
            break
        if (needed >> u) & 1 == 0:
            continue
        quote: Quote = self._decode_quote(u, quotes_at[u], frame)
        linear: int256[2] = followers[u]
        readings: DynArray[uint256, READING_WORDS * EXPIRIES_MAX] = []
        options: DynArray[int256, POSITIONS_MAX] = []
        if first < len(positions) and positions[first] >> 208 == u:
            total, after, linear, readings, options, first = self._gather(
                total, after, frame, quote, linear, positions, first
            )
            if after.is_missing:
                break
        if len(options) != 0:
            active: uint256[2] = self._get_active(frame.exhibit_at, order)
            order += 1
            risk: Risk = staticcall UnderlyingRisk(RISK).compute_underlying_risk(
                rules,
                self._select_scenarios(frame.rules_at, scenarios, active),
                quote.volatility,
                linear,
                readings,
                options,
            )
            for lane: uint256 in range(2):
                if active[lane] == BASIS_ACTIVE:
                    risk.loss[lane] = risk.basis[lane]
            total = self._add_risk(total, frame, u, risk)
        elif linear[0] != 0 or linear[1] != 0:
            risk: Risk = empty(Risk)
            if linear[0] >= 0 and linear[1] >= 0:
                risk.loss = staticcall UnderlyingRisk(RISK).compute_linear_loss(
                    rules, falls, quote.volatility, linear
                )
            else:
                risk.loss = staticcall UnderlyingRisk(RISK).compute_linear_loss(
                    rules, scenarios, quote.volatility, linear
                )
            total = self._add_risk(total, frame, u, risk)
    return total, after


@internal
@view
def _get_active(exhibit_at: uint256, order: uint256) -> uint256[2]:
    """
    @notice The scenarios exhibited, before and after, for one underlying of those of options; 0 beyond the eighth.
    """
    if order >= EXHIBIT_LANE_BYTES:
        return [0, 0]
    exhibit: uint256 = entries._word(exhibit_at)
    return [(exhibit >> (248 - 8 * order)) & U8, (exhibit >> (184 - 8 * order)) & U8]


@internal
@view
def _select_scenarios(
    rules_at: uint256, scenarios: DynArray[int256, SCENARIOS_MAX], active: uint256[2]
) -> DynArray[int256, SCENARIOS_MAX]:
    """
    @notice Those of the scenarios that count for one of both accounts, and behind them those of the basis contingency,
            as risk_underlying.vy reads them.
    """
    selected: DynArray[int256, SCENARIOS_MAX] = []
    for lane: uint256 in range(2):
        counts: int256 = COUNTS << lane
        if lane == 1 and active[1] == active[0] and len(selected) != 0:
            selected[0] |= counts
        elif active[lane] < len(scenarios) and scenarios[active[lane]] & COUNTS != 0:
            selected.append((scenarios[active[lane]] ^ COUNTS) | counts)
    if active[0] == BASIS_ACTIVE or active[1] == BASIS_ACTIVE:
        for name: uint256 in [BASIS_UP, BASIS_DOWN]:
            basis: int256 = self._number(rules_at, name)
            if basis >= 0:
                scenario: int256 = scenarios[convert(basis, uint256)]
                selected.append((scenario & NOT_COUNTS) | OF_BASIS)
    return selected


@internal
@view
def _add_risk(tally: Tally, frame: Frame, underlying: uint256, risk: Risk) -> Tally:
    """
    @notice The sums with what one underlying adds; the squares of losses are garbage beyond LOSS_SUM_END, where nobody
            asks for them.
    """
    total: Tally = tally
    loading: int256 = self._get_loading(frame.params_at, underlying)
    for lane: uint256 in range(2):
        loss: int256 = risk.loss[lane]
        own: int256 = unsafe_mul(loss, unsafe_mul(loss, CORRELATION_ONE * CORRELATION_ONE - loading * loading))
        total.quote_equity[lane] += risk.mark[lane]
        total.loss[lane] += loss
        total.common[lane] = unsafe_add(total.common[lane], unsafe_mul(loss, loading))
        total.own[lane] = unsafe_add(total.own[lane], own)
        if risk.gamma[lane] != 0 or risk.vega[lane] != 0:
            gamma: int256 = risk.gamma[lane]
            total.first_size[lane] += self._compute_size_ceil(frame, 0, gamma, risk.vega[lane])
            total.chosen_size[lane] += self._compute_size_ceil(frame, 1 + lane, gamma, risk.vega[lane])
    return total


@internal
@view
def _get_loading(params_at: uint256, underlying: uint256) -> int256:
    """
    @notice How far an underlying's losses come with the others', in Q20.
    """
    assets: uint256 = entries._word(params_at + (parameters.HEAD_BYTES - 3)) >> 248
    at: uint256 = params_at + parameters.HEAD_BYTES + parameters.ASSET_BYTES * assets
    return convert(entries._word(at + parameters.UNDERLYING_BYTES * underlying) >> 224, int256)


@internal
@view
def _gather(
    tally: Tally,
    cursor: Cursor,
    frame: Frame,
    quote: Quote,
    followers: int256[2],
    positions: DynArray[uint256, POSITIONS_MAX],
    first: uint256,
) -> (
    Tally, Cursor, int256[2], DynArray[uint256, READING_WORDS * EXPIRIES_MAX], DynArray[int256, POSITIONS_MAX], uint256
):
    """
    @notice What the account holds in one underlying: the sums with all that needs no scenarios; what moves with spot
            alone; its expiries, and its options in the words of risk_scenarios.vy; and where the next one's begins.
    """
    total: Tally = tally
    after: Cursor = cursor
    linear: int256[2] = followers
    readings: DynArray[uint256, READING_WORDS * EXPIRIES_MAX] = []
    options: DynArray[int256, POSITIONS_MAX] = []
    dated: Dated = empty(Dated)
    confidences: int256[2] = [quote.spot_confidence, quote.spot_confidence]  # of options, but for their expiry's
    series: uint256 = 0  # the last instrument without its kind, and the lots of a put and a call together
    net: int256[2] = [0, 0]
    is_held: bool = False  # by the account after
    next: uint256 = first
    for i: uint256 in range(POSITIONS_MAX):
        if next == len(positions) or positions[next] >> 208 != quote.underlying:
            break
        instrument: uint256 = positions[next] >> 128
        lots: int256[2] = [self._signed((positions[next] >> 64) & U64, 64), self._signed(positions[next] & U64, 64)]
        next += 1
        is_held = is_held or lots[1] != 0
        if instruments._get_kind(instrument) == instruments.PERPETUAL:
            worth: int256 = quote.mark - quote.funding_index
            own: int256 = min(quote.spot_confidence, quote.mark_confidence)
            total, linear = self._add_linear(total, frame, linear, lots, worth, quote.mark, quote.spot, own)
            confidences = self._get_confidences(quote.spot_confidence, own, lots)
            continue
        if instrument >> 48 != series >> 40:
            after, dated = self._read_expiry(after, frame, instrument)
            if after.is_missing:
                break
            if dated.settlement == 0:
                readings.append(dated.head)
                readings.append(dated.shape)
                readings.append(dated.terms)
        if instrument >> 8 != series:
            series = instrument >> 8
            total.naked = self._add_naked(total.naked, net, quote.spot)
            net = [0, 0]
        if lots[1] != 0 and not dated.is_young:
            after.freshness &= NOT_HALTED
        if dated.settlement != 0:
            payoff: int256 = convert(instruments._compute_payoff(instrument, dated.settlement), int256)
            total, linear = self._add_linear(total, frame, linear, lots, payoff, 0, 0, ONE_Q38)
        elif instruments._get_kind(instrument) == instruments.FUTURE:
            own: int256 = min(quote.spot_confidence, dated.confidence)
            moving: int256 = dated.forward - dated.fixed
            total, linear = self._add_linear(total, frame, linear, lots, dated.forward, moving, dated.forward, own)
        else:
            options.append(self._encode_option(instrument, lots))
            readings[len(readings) - 1] += ONE_OPTION
            net = [net[0] + lots[0], net[1] + lots[1]]
            own: int256[2] = [min(confidences[0], dated.confidence), min(confidences[1], dated.confidence)]
            total.initial_charge = self._add_thin(total.initial_charge, frame, lots, quote.spot, own)
    total.naked = self._add_naked(total.naked, net, quote.spot)
    if is_held:
        after.freshness &= self._get_freshness(quote.is_young, quote.is_halted)
    return total, after, linear, readings, options, next


@internal
@pure
def _get_freshness(is_young: bool, is_halted: bool) -> uint256:
    freshness: uint256 = 0
    if is_young:
        freshness = YOUNG
    if not is_halted:
        freshness |= NOT_HALTED
    return freshness


@internal
@pure
def _encode_option(instrument: uint256, lots: int256[2]) -> int256:
    """
    @notice An option in the words of risk_scenarios.vy.
    """
    is_call: uint256 = convert(instruments._get_kind(instrument) == instruments.CALL, uint256)
    described: uint256 = instruments._get_strike(instrument) << 161 | is_call << 50
    return (lots[0] << 206) | convert(described, int256) | ((lots[1] - lots[0]) & MASK_50)


@internal
@pure
def _add_naked(naked: int256[2], net: int256[2], spot: int256) -> int256[2]:
    """
    @notice The notionals by which series are net short, and that of one more.
    """
    return [naked[0] + max(-net[0], 0) * spot, naked[1] + max(-net[1], 0) * spot]


@internal
@pure
def _add_linear(
    tally: Tally,
    frame: Frame,
    linear: int256[2],
    lots: int256[2],
    worth: int256,
    moving: int256,
    notional: int256,
    confidence: int256,
) -> (Tally, int256[2]):
    """
    @notice The sums with a position that needs no revaluation; all prices are for a lot.
    """
    total: Tally = tally
    moved: int256[2] = linear
    for lane: uint256 in range(2):
        total.quote_equity[lane] += lots[lane] * worth
        moved[lane] += lots[lane] * moving
        total.perpetual[lane] += abs(lots[lane]) * notional
    total.initial_charge = self._add_thin(total.initial_charge, frame, lots, notional, [confidence, confidence])
    return total, moved


@internal
@pure
def _get_confidences(spot: int256, perpetual: int256, lots: int256[2]) -> int256[2]:
    """
    @notice How far the prices of options are trusted, by lane: as a perpetual's where one is held.
    """
    return [perpetual if lots[0] != 0 else spot, perpetual if lots[1] != 0 else spot]


@internal
@pure
def _add_thin(
    charges: int256[2], frame: Frame, lots: int256[2], notional: int256, confidences: int256[2]
) -> int256[2]:
    """
    @notice The charges, and what lots cost whose price is trusted too little; `notional` is a lot's.
    @dev Mirrors margin._thin_confidence_ceil.
    """
    total: int256[2] = charges
    for lane: uint256 in range(2):
        if confidences[lane] < frame.confidence_threshold:
            missing: int256 = self._multiply_ceil_q38(abs(lots[lane]) * notional, ONE_Q38 - confidences[lane])
            total[lane] += self._multiply_ceil_q38(missing, frame.confidence_margin)
    return total


@internal
@view
def _get_tier_at(rules_at: uint256, tier: uint256) -> uint256:
    return rules_at + TIERS_AT + TIER_BYTES * tier


@internal
@pure
def _compute_size_ceil(frame: Frame, place: uint256, gamma: int256, vega: int256) -> int256:
    """
    @notice The add-on for size under the thresholds of a tier.
    @dev Mirrors concentration.compute_concentration_ceil.
    """
    gamma_pnl: int256 = gamma * frame.gamma_factor >> 39
    vega_pnl: int256 = vega * frame.vega_factor >> 38
    excess_gamma: int256 = max(-gamma_pnl - frame.gamma_thresholds[place], 0)
    excess_vega: int256 = max(abs(vega_pnl) - frame.vega_thresholds[place], 0)
    return self._multiply_ceil_q38(excess_gamma, frame.gamma_fraction) + self._multiply_ceil_q38(
        excess_vega, frame.vega_fraction
    )


# What comes of it


@internal
@view
def _close(tally: Tally, frame: Frame, lane: uint256) -> Margin:
    """
    @dev Mirrors the end of margin.compute_margin_under: under the tier that the account chose, if it may have it, and
         never less than under the first.
    """
    rules_at: uint256 = frame.rules_at
    equity: int256 = tally.quote_equity[lane] + tally.collateral[lane]
    perpetual: int256 = tally.perpetual[lane]
    naked: int256 = tally.naked[lane]
    maintenance_charge: int256 = (
        tally.maintenance_charge[lane]
        + self._multiply_ceil_q38(perpetual, self._number(rules_at, PERPETUAL_MAINTENANCE))
        + self._multiply_ceil_q38(naked, self._number(rules_at, NAKED_MAINTENANCE))
    )
    initial_charge: int256 = (
        tally.initial_charge[lane]
        + self._multiply_ceil_q38(perpetual, self._number(rules_at, PERPETUAL_INITIAL))
        + self._multiply_ceil_q38(naked, self._number(rules_at, NAKED_INITIAL))
    )
    loss: int256 = self._combine_losses_ceil(tally.loss[lane], tally.common[lane], tally.own[lane])
    peg_gap: int256 = max(self._number(rules_at, PEG_THRESHOLD) - frame.stable, 0)
    peg_loss: int256 = peg_gap * self._number(rules_at, PEG_FACTOR) >> 38
    margin: Margin = empty(Margin)
    margin.quote_equity = tally.quote_equity[lane]
    margin.equity = equity
    margin.initial = min_value(int256)
    margin.maintenance = min_value(int256)
    tier: uint256 = 0
    size: int256 = tally.first_size[lane]
    for attempt: uint256 in range(2):
        factors: uint256 = entries._word(self._get_tier_at(rules_at, tier))
        rest: int256 = equity - maintenance_charge - size
        initial_loss: int256 = self._multiply_ceil_q38(loss, self._signed(factors >> 192, 64) + peg_loss)
        maintenance_loss: int256 = self._multiply_ceil_q38(loss, self._signed((factors >> 128) & U64, 64))
        margin.initial = max(margin.initial, rest - initial_charge - initial_loss)
        margin.maintenance = max(margin.maintenance, rest - maintenance_loss)
        if tier == frame.tiers[lane]:
            break
        tier = frame.tiers[lane]
        size = tally.chosen_size[lane]
        minimum: int256 = convert(entries._word(self._get_tier_at(rules_at, tier) + 32) >> 192, int256)
        use: int256 = self._signed((entries._word(self._get_tier_at(rules_at, tier) + 32) >> 128) & U64, 64)
        if equity < minimum or equity - margin.initial > self._multiply_ceil_q38(equity, use):
            break
    return margin


@internal
@pure
def _combine_losses_ceil(total: int256, common: int256, own: int256) -> int256:
    """
    @dev Mirrors offsets.combine_losses_ceil.
    @param common The losses' sum, each by its loading
    @param own The sum of their squares, each by one less its loading's square
    """
    if total >= LOSS_SUM_END:
        return total
    form: uint256 = convert(common * common + own, uint256)
    square: uint256 = (form + 2**40 - 1) >> 40
    if square == 0:
        return 0
    return convert(isqrt(square - 1) + 1, int256)


@internal
@view
def _list_scenarios(rules_at: uint256) -> DynArray[int256, SCENARIOS_MAX]:
    """
    @notice The scenarios as they stand in the leaf, a word each.
    """
    scenarios: DynArray[int256, SCENARIOS_MAX] = []
    counts: uint256 = entries._word(rules_at) >> 240
    at: uint256 = self._get_tier_at(rules_at, counts & U8)
    for i: uint256 in range(counts >> 8, bound=SCENARIOS_MAX):
        scenarios.append(convert(entries._word(at) >> 112, int256))
        at += SCENARIO_BYTES
    return scenarios


@internal
@pure
def _list_worst_falls(scenarios: DynArray[int256, SCENARIOS_MAX]) -> DynArray[int256, SCENARIOS_MAX]:
    """
    @notice Of the scenarios those that alone can be the worst for what loses when spot falls, as collateral does: of
            each weight, scaled or not, the deepest fall.
    @dev Every rounding on the way from a move to its loss is monotone, so the answer is that of all scenarios.
    """
    falls: DynArray[int256, SCENARIOS_MAX] = []
    for scenario: int256 in scenarios:
        if scenario & COUNTS == 0 or scenario >> 143 & 1 == 0:
            continue
        is_known: bool = False
        for i: uint256 in range(len(falls), bound=SCENARIOS_MAX):
            if (falls[i] ^ scenario) & OF_FALLS == 0:
                is_known = True
                if (scenario << 112) >> 192 < (falls[i] << 112) >> 192:
                    falls[i] = scenario
                break
        if not is_known:
            falls.append(scenario)
    return falls


@internal
@view
def _get_rules(rules_at: uint256) -> Rules:
    """
    @notice What of the rules scenarios need.
    """
    n: int256[40] = empty(int256[40])
    for i: uint256 in range(40):
        n[i] = self._number(rules_at, i)
    return Rules(
        vol_up=n[0], vol_down=n[1], vol_floor=n[2], short_power=n[3], long_power=n[4], tenor_floor_ms=n[5],
        linear_cap=n[6], linear_slope=n[7], absolute_cap=n[8], absolute_slope=n[9],
        width_floor=n[10], width_scale=n[11], width_vol=n[12], width_vol_slope=n[13],
        long_factor=n[14], long_multiple=n[15], long_spread=n[16],
        short_factor=n[17], short_multiple=n[18], short_spread=n[19],
        basis_add=n[26], basis_multiple=n[27],
        later_ms=n[32], wing_width=n[33], reference_tenor_ms=n[35],
        spot_deviations=n[36], spot_horizon_ms=n[37], spot_floor=n[38], spot_ceiling=n[39],
    )


# Marks


@external
@view
def compute_marks(
    witness: Bytes[constants.WITNESS_BYTES_MAX],
    at: uint256,
    time: uint256,
    instruments_: DynArray[uint256, constants.LEGS_MAX],
) -> (uint256[constants.LEGS_MAX], uint256, bytes32, uint256, bool):
    """
    @notice What instruments are marked at; reads their underlying, and the expiries of those that are dated.
    @param instruments_ Of one underlying, ascending, at least one
    @return marks in quote units a lot; the underlying's own; the root; where the witness goes on; whether a leaf was
            not there, behind which reading stopped
    @dev Mirrors marks.compute_mark.
    """
    marks: uint256[constants.LEGS_MAX] = empty(uint256[constants.LEGS_MAX])
    witness_at: uint256 = entries._begin(0)
    cursor: Cursor = empty(Cursor)
    cursor.at = witness_at + at
    frame: Frame = empty(Frame)
    frame.time = time
    underlying_at: uint256 = cursor.at + 2
    cursor = self._read_underlying(cursor, instruments._get_underlying(instruments_[0]))
    if cursor.is_missing:
        return marks, 0, cursor.root, cursor.at - witness_at, True
    underlying_mark: uint256 = entries._word(underlying_at + 24) >> 192
    dated: Dated = empty(Dated)
    expiry: uint256 = 0
    order: uint256 = 0
    for instrument: uint256 in instruments_:
        if instruments._get_kind(instrument) == instruments.PERPETUAL:
            marks[order] = underlying_mark
        else:
            if instruments._get_expiry(instrument) != expiry:
                expiry = instruments._get_expiry(instrument)
                cursor, dated = self._read_expiry(cursor, frame, instrument)
                if cursor.is_missing:
                    return marks, underlying_mark, cursor.root, cursor.at - witness_at, True
            marks[order] = self._compute_dated_mark(instrument, dated)
        order += 1
    return marks, underlying_mark, cursor.root, cursor.at - witness_at, False


@internal
@view
def _compute_dated_mark(instrument: uint256, dated: Dated) -> uint256:
    """
    @notice Quote units a lot of a future or an option; one lot, revalued in no scenario, is worth its mark.
    """
    if dated.settlement != 0:
        return instruments._compute_payoff(instrument, dated.settlement)
    if instruments._get_kind(instrument) == instruments.FUTURE:
        return convert(dated.forward, uint256)
    rules: Rules = empty(Rules)
    rules.wing_width = MARK_WING_WIDTH
    readings: DynArray[uint256, READING_WORDS * EXPIRIES_MAX] = [dated.head, dated.shape, dated.terms + ONE_OPTION]
    risk: Risk = staticcall UnderlyingRisk(RISK).compute_underlying_risk(
        rules, [], 0, [0, 0], readings, [self._encode_option(instrument, [1, 1])]
    )
    return convert(risk.mark[0], uint256)
