# pragma version 0.4.3
"""
@title Signed readings of an underlying, and of one expiry of it
@notice Their bytes, the rules that speak for or against them, and what they make of a leaf, by whichever way they come:
        state/SPEC.md sections 5 to 7.
@dev Mirrors state/process_market.py and state/process_surface.py.
"""
import constants
import expiries
import fields
import globals
import instruments
import params as parameters
import signatures
import underlyings

# An op as decoded, whichever of the three it is; its signatures stay in the bytes.
struct Reading:
    decodes: bool
    position: uint256
    underlying: uint256
    expiry: uint256  # 0 unless it is a surface
    time: uint256
    prices: underlyings.Underlying  # of an oracle op: spot, mark, confidences and volatility
    surface: expiries.Expiry  # of a surface op
    signer_mask: uint256

# The leaves that a check reads, and where the witness goes on behind them.
struct Leaves:
    state: globals.Globals
    params: parameters.Params
    params_leaf: Bytes[constants.LEAF_BYTES_MAX]
    underlying: underlyings.Underlying
    surface: expiries.Expiry
    is_missing: bool  # the underlying does not exist, so the check fails
    end: uint256

# Where the signed fields end, and the mask stands; the signatures follow it.
SIGNED_AT: constant(uint256) = 9
ORACLE_SIGNED_END: constant(uint256) = 47
SURFACE_SIGNED_END: constant(uint256) = 99
SIGNATURE_BYTES: constant(uint256) = 65
SIGNER_MASK_END: constant(uint256) = 2**constants.ORACLE_SIGNERS_MAX

# What a reading may say; the bounds of a surface are those of risk/SPEC.md section 2.
VOLATILITY_MAX_PPM: constant(uint256) = 20_000_000
INTEGRAL_END: constant(uint256) = 2**112
RATE_MAX_Q38: constant(int256) = 2**38
SVI_A_END_Q38: constant(int256) = 2**46
SVI_B_END_Q38: constant(int256) = 2**42
SVI_RHO_END_Q38: constant(int256) = 2**38
SVI_SHIFT_END_Q38: constant(int256) = 2**46

# What one minute lets a price move is what it was guarded for.
GUARD_SECONDS: constant(uint256) = 60

# Checks of SPEC.md section 6, by their number within a kind
ORACLE_UNDERLYING_MUST_BE_LISTED: constant(uint256) = 2
ORACLE_TIME_MUST_ADVANCE: constant(uint256) = 3
ORACLE_MUST_NOT_BE_STALE: constant(uint256) = 4
ORACLE_MUST_NOT_BE_AHEAD: constant(uint256) = 5
ORACLE_SIGNERS_MUST_SUFFICE: constant(uint256) = 6
ORACLE_SIGNATURES_MUST_VERIFY: constant(uint256) = 7
ORACLE_UNDERLYING_MUST_NOT_BE_A_BASKET: constant(uint256) = 8
ORACLE_MUST_NOT_JUMP: constant(uint256) = 9
ORACLE_CHECKS: constant(uint256) = 10

SURFACE_UNDERLYING_MUST_BE_LISTED: constant(uint256) = 2
SURFACE_TIME_MUST_ADVANCE: constant(uint256) = 3
SURFACE_MUST_NOT_BE_STALE: constant(uint256) = 4
SURFACE_MUST_NOT_BE_AHEAD: constant(uint256) = 5
SURFACE_EXPIRY_MUST_BE_NEAR: constant(uint256) = 6
SURFACE_MUST_KEEP_WINDOW: constant(uint256) = 7
SURFACE_SIGNERS_MUST_SUFFICE: constant(uint256) = 8
SURFACE_SIGNATURES_MUST_VERIFY: constant(uint256) = 9
SURFACE_CHECKS: constant(uint256) = 10


# Checks


@internal
@pure
def _does_oracle_hold(
    domain: bytes32, op: Bytes[constants.OP_BYTES_MAX], reading: Reading, check: uint256, leaves: Leaves
) -> bool:
    """
    @notice Whether a check from 2 on holds; its leaves are there.
    """
    if check == ORACLE_UNDERLYING_MUST_BE_LISTED:
        return reading.underlying < leaves.state.underlying_count
    if check == ORACLE_TIME_MUST_ADVANCE:
        return reading.time > leaves.underlying.oracle_time
    if check == ORACLE_MUST_NOT_BE_STALE:
        return reading.time + leaves.params.oracle_age_max >= leaves.state.time
    if check == ORACLE_MUST_NOT_BE_AHEAD:
        return reading.time <= leaves.state.time + leaves.params.oracle_skew_max
    if check == ORACLE_SIGNERS_MUST_SUFFICE:
        return self._do_signers_suffice(reading.signer_mask, leaves.params)
    if check == ORACLE_SIGNATURES_MUST_VERIFY:
        return self._are_readings_signed(domain, op, ORACLE_SIGNED_END, reading.signer_mask, leaves)
    if check == ORACLE_UNDERLYING_MUST_NOT_BE_A_BASKET:
        return leaves.underlying.basket_count == 0
    # ORACLE_MUST_NOT_JUMP
    old: underlyings.Underlying = leaves.underlying
    if old.oracle_time == 0:
        return True
    minutes: uint256 = (max(reading.time, old.oracle_time) - old.oracle_time) // GUARD_SECONDS
    guard_ppm: uint256 = leaves.params.guard_ppm * (1 + minutes)
    return self._is_move_within(old.spot, reading.prices.spot, guard_ppm) and self._is_move_within(
        old.mark, reading.prices.mark, guard_ppm
    )


@internal
@pure
def _does_surface_hold(
    domain: bytes32, op: Bytes[constants.OP_BYTES_MAX], reading: Reading, check: uint256, leaves: Leaves
) -> bool:
    """
    @notice Whether a check from 2 on holds; its leaves are there.
    """
    if check == SURFACE_UNDERLYING_MUST_BE_LISTED:
        return reading.underlying < leaves.state.underlying_count
    if check == SURFACE_TIME_MUST_ADVANCE:
        return reading.time > leaves.surface.time
    if check == SURFACE_MUST_NOT_BE_STALE:
        # Both ends of the settlement window may come late, else nothing would ever settle.
        is_end: bool = reading.time == reading.expiry or reading.time == self._get_window_start(reading.expiry)
        return is_end or reading.time + leaves.params.oracle_age_max >= leaves.state.time
    if check == SURFACE_MUST_NOT_BE_AHEAD:
        return reading.time <= leaves.state.time + leaves.params.oracle_skew_max
    if check == SURFACE_EXPIRY_MUST_BE_NEAR:
        return reading.expiry <= leaves.state.time + constants.EXPIRY_HORIZON
    if check == SURFACE_MUST_KEEP_WINDOW:
        return self._does_window_hold(reading, leaves.surface)
    if check == SURFACE_SIGNERS_MUST_SUFFICE:
        return self._do_signers_suffice(reading.signer_mask, leaves.params)
    # SURFACE_SIGNATURES_MUST_VERIFY
    return self._are_readings_signed(domain, op, SURFACE_SIGNED_END, reading.signer_mask, leaves)


@internal
@pure
def _does_window_hold(reading: Reading, before: expiries.Expiry) -> bool:
    """
    @notice Whether the settlement window is entered by its first second, and its integral is one of prices.
    """
    start: uint256 = self._get_window_start(reading.expiry)
    if reading.time <= start:
        return True
    if before.time < start or reading.surface.integral < before.start_integral:
        return False
    seconds: uint256 = reading.time - start
    accrued: uint256 = reading.surface.integral - before.start_integral
    return (
        seconds <= accrued
        and accrued <= (constants.PRICE_MAX - 1) * seconds
        and reading.surface.forward >= accrued // constants.SETTLEMENT_WINDOW
    )


@internal
@pure
def _get_window_start(expiry: uint256) -> uint256:
    """
    @notice The first second of the settlement window; an expiry is later in its day than a window is long.
    """
    return expiry - constants.SETTLEMENT_WINDOW


@internal
@pure
def _is_move_within(before: uint256, after: uint256, bound_ppm: uint256) -> bool:
    """
    @notice Whether a price has moved by at most so many parts per million of what it was.
    """
    distance: uint256 = max(before, after) - min(before, after)
    return distance * constants.PPM <= before * bound_ppm


@internal
@pure
def _do_signers_suffice(signer_mask: uint256, params: parameters.Params) -> bool:
    """
    @notice Known signers, and as many as the threshold.
    """
    return (
        signer_mask >> params.oracle_count == 0 and self._count_signers(signer_mask) >= params.oracle_threshold
    )


@internal
@pure
def _are_readings_signed(
    domain: bytes32,
    op: Bytes[constants.OP_BYTES_MAX],
    signed_end: uint256,
    signer_mask: uint256,
    leaves: Leaves,
) -> bool:
    """
    @notice Whether each signature recovers to the signer whose bit it stands for, lowest bit first.
    """
    digest: bytes32 = signatures._hash_digest(domain, op, SIGNED_AT, signed_end - SIGNED_AT)
    at: uint256 = signed_end + 1
    for signer: uint256 in range(constants.ORACLE_SIGNERS_MAX):
        if (signer_mask >> signer) & 1 == 0:
            continue
        if signer >= leaves.params.oracle_count:
            return False
        recovered: address = signatures._recover_signer(
            digest, fields._uint(op, at, 32), fields._uint(op, at + 32, 32), fields._uint(op, at + 64, 1)
        )
        # The zero address stands for "no signer", and is never one.
        if recovered == empty(address) or recovered != parameters._get_oracle_signer(leaves.params_leaf, signer):
            return False
        at += SIGNATURE_BYTES
    return True


@internal
@pure
def _count_signers(signer_mask: uint256) -> uint256:
    """
    @notice Bits that are set among those of ORACLE_SIGNERS_MAX signers.
    """
    count: uint256 = 0
    for signer: uint256 in range(constants.ORACLE_SIGNERS_MAX):
        count += (signer_mask >> signer) & 1
    return count


# Effects


@internal
@pure
def _take_surface(before: expiries.Expiry, reading: Reading) -> expiries.Expiry:
    """
    @notice The expiry with the reading's surface, and what its ends of the settlement window decide; no integral falls.
    """
    after: expiries.Expiry = reading.surface
    after.start_integral = before.start_integral
    after.settlement = before.settlement
    if reading.time == self._get_window_start(reading.expiry):
        after.start_integral = after.integral
    elif reading.time == reading.expiry:
        mean: uint256 = (after.integral - after.start_integral) // constants.SETTLEMENT_WINDOW
        after.settlement = min(mean, constants.PRICE_MAX - 1)
    return after


@internal
@pure
def _take_reading(
    before: underlyings.Underlying, reading: Reading, time: uint256, params: parameters.Params
) -> underlyings.Underlying:
    """
    @notice The underlying with the reading's prices; one that moves too far at once halts it.
    """
    after: underlyings.Underlying = before
    if before.oracle_time > 0 and not self._is_move_within(before.spot, reading.prices.spot, params.halt_ppm):
        after.halted_until = time + params.halt_seconds
    after.oracle_time = reading.time
    after.spot = reading.prices.spot
    after.mark = reading.prices.mark
    after.spot_confidence = reading.prices.spot_confidence
    after.mark_confidence = reading.prices.mark_confidence
    after.volatility = reading.prices.volatility
    return after


# Bytes


@internal
@pure
def _decode_oracle(op: Bytes[constants.OP_BYTES_MAX]) -> Reading:
    """
    @notice `kind u8 || position u64 || [underlying u16, time u64, spot u64, mark u64, spot_confidence u32,
            mark_confidence u32, volatility u32] || signer_mask u8 || signatures`.
    """
    reading: Reading = empty(Reading)
    if len(op) <= ORACLE_SIGNED_END:
        return reading
    reading.position = fields._uint(op, 1, 8)
    reading.underlying = fields._uint(op, 9, 2)
    reading.time = fields._uint(op, 11, 8)
    reading.prices.spot = fields._uint(op, 19, 8)
    reading.prices.mark = fields._uint(op, 27, 8)
    reading.prices.spot_confidence = fields._uint(op, 35, 4)
    reading.prices.mark_confidence = fields._uint(op, 39, 4)
    reading.prices.volatility = fields._uint(op, 43, 4)
    reading.signer_mask = fields._uint(op, ORACLE_SIGNED_END, 1)
    reading.decodes = (
        self._is_mask_sound(op, ORACLE_SIGNED_END, reading.signer_mask)
        and reading.underlying < constants.UNDERLYINGS_MAX
        and self._is_price(reading.prices.spot)
        and self._is_price(reading.prices.mark)
        and reading.prices.spot_confidence <= constants.PPM
        and reading.prices.mark_confidence <= constants.PPM
        and 1 <= reading.prices.volatility
        and reading.prices.volatility <= VOLATILITY_MAX_PPM
    )
    return reading


@internal
@pure
def _decode_surface(op: Bytes[constants.OP_BYTES_MAX]) -> Reading:
    """
    @notice `kind u8 || position u64 || [underlying u16, expiry u32, time u64, integral u128, forward u64, rate i64, a
            i64, b i64, rho i64, m i64, sigma i64, confidence u32] || signer_mask u8 || signatures`.
    """
    reading: Reading = empty(Reading)
    if len(op) <= SURFACE_SIGNED_END:
        return reading
    reading.position = fields._uint(op, 1, 8)
    reading.underlying = fields._uint(op, 9, 2)
    reading.expiry = fields._uint(op, 11, 4)
    reading.time = fields._uint(op, 15, 8)
    surface: expiries.Expiry = expiries.Expiry(
        time=reading.time,
        forward=fields._uint(op, 39, 8),
        rate=fields._int(op, 47, 8),
        a=fields._int(op, 55, 8),
        b=fields._int(op, 63, 8),
        rho=fields._int(op, 71, 8),
        m=fields._int(op, 79, 8),
        sigma=fields._int(op, 87, 8),
        confidence=fields._uint(op, 95, 4),
        start_integral=0,
        integral=fields._uint(op, 23, 16),
        settlement=0,
    )
    reading.surface = surface
    reading.signer_mask = fields._uint(op, SURFACE_SIGNED_END, 1)
    reading.decodes = (
        self._is_mask_sound(op, SURFACE_SIGNED_END, reading.signer_mask)
        and reading.underlying < constants.UNDERLYINGS_MAX
        and instruments._is_expiry(reading.expiry)
        and reading.time <= reading.expiry
        and surface.integral < INTEGRAL_END
        and self._is_price(surface.forward)
        and abs(surface.rate) <= RATE_MAX_Q38
        and abs(surface.a) < SVI_A_END_Q38
        and 0 <= surface.b
        and surface.b < SVI_B_END_Q38
        and abs(surface.rho) < SVI_RHO_END_Q38
        and abs(surface.m) < SVI_SHIFT_END_Q38
        and 0 < surface.sigma
        and surface.sigma < SVI_SHIFT_END_Q38
        and surface.confidence <= constants.PPM
    )
    return reading


@internal
@pure
def _is_mask_sound(op: Bytes[constants.OP_BYTES_MAX], mask_at: uint256, signer_mask: uint256) -> bool:
    """
    @notice Whether somebody has signed, and as many signatures follow as the mask names.
    """
    return (
        1 <= signer_mask
        and signer_mask < SIGNER_MASK_END
        and len(op) == mask_at + 1 + SIGNATURE_BYTES * self._count_signers(signer_mask)
    )


@internal
@pure
def _is_price(price: uint256) -> bool:
    return 1 <= price and price < constants.PRICE_MAX
