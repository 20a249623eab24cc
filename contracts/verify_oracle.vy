# pragma version 0.4.3
"""
@title Verifier of oracle, surface and index
@notice Judges one ground against one step: whether a numbered check of its op fails in the state before it (CHECK), or
        whether the root after it, if the op were valid, is another than the claimed one (EFFECT). The numbers, the
        rules and the order of reads are those of state/SPEC.md sections 6 and 7.
@dev Answers true for fraud and false for what is not shown; reverts for a bad witness alone, whatever the op's bytes.
     What a reading is and must keep is in readings.vy.
     Mirrors state/process_market.py, state/process_surface.py and state/process_index.py.
"""
import constants
import context as contexts
import expiries
import fields
import globals
import instruments
import operations
import params as parameters
import readings
import underlyings
import valuation
import witness as witnesses

INDEX_BYTES: constant(uint256) = 11

# Checks of SPEC.md section 6, by their number within a kind
MUST_DECODE: constant(uint256) = 0
POSITION_MUST_INCREASE: constant(uint256) = 1

INDEX_MUST_BE_A_BASKET: constant(uint256) = 2
INDEX_COMPONENTS_MUST_BE_READ: constant(uint256) = 3
INDEX_TIME_MUST_ADVANCE: constant(uint256) = 4
INDEX_CHECKS: constant(uint256) = 5

# Reads of SPEC.md section 6, a row a kind and a column a check. Every one is a part of the same order G, P, U, E; the
# components of a basket follow where they are asked for.
G: constant(uint256) = 1
P: constant(uint256) = 2
U: constant(uint256) = 4
E: constant(uint256) = 8
ORACLE_READS: constant(uint256[readings.ORACLE_CHECKS]) = [0, G, G, U, G | P, G | P, G | P, G | P, U, G | P | U]
SURFACE_READS: constant(uint256[readings.SURFACE_CHECKS]) = [0, G, G, E, G | P, G | P, G, E, G | P, G | P]
INDEX_READS: constant(uint256[INDEX_CHECKS]) = [0, G, U, U, U]


@external
@view
def evaluate(
    context: contexts.Context,
    op: Bytes[constants.OP_BYTES_MAX],
    ground: uint256,
    check: uint256,
    witness: Bytes[constants.WITNESS_BYTES_MAX],
) -> bool:
    """
    @notice Whether the ground convicts the step.
    @param op The disputed op; its first byte is oracle, surface or index
    @param check The number of the check within its kind; ignored for EFFECT
    """
    kind: uint256 = operations._get_kind(op)
    header: contexts.Header = contexts._decode_header(context.header)
    reading: readings.Reading = self._decode(kind, op)
    if not (reading.decodes and contexts._may_stand(kind, context.step, header)):
        return ground == constants.CHECK and check == MUST_DECODE
    if ground == constants.EFFECT:
        if reading.position == constants.NEVER:
            return False
        if kind == constants.SURFACE:
            return self._is_surface_effect_wrong(context, reading, witness)
        return self._is_price_effect_wrong(context, kind, reading, witness)
    if ground != constants.CHECK or check == MUST_DECODE or check >= self._count_checks(kind):
        return False
    leaves: readings.Leaves = self._read_leaves(witness, context.pre_root, self._get_reads(kind, check), reading)
    if kind == constants.INDEX and check >= INDEX_COMPONENTS_MUST_BE_READ and not leaves.is_missing:
        return not self._do_components_hold(context.pre_root, check, leaves, witness)
    witnesses._finish(witness, leaves.end)
    if leaves.is_missing:
        return True
    if check == POSITION_MUST_INCREASE:
        return not contexts._is_position_next(leaves.state, header, reading.position)
    if kind == constants.ORACLE:
        return not readings._does_oracle_hold(context.domain, op, reading, check, leaves)
    if kind == constants.SURFACE:
        return not readings._does_surface_hold(context.domain, op, reading, check, leaves)
    return leaves.underlying.basket_count == 0  # INDEX_MUST_BE_A_BASKET


@internal
@pure
def _count_checks(kind: uint256) -> uint256:
    if kind == constants.ORACLE:
        return readings.ORACLE_CHECKS
    return readings.SURFACE_CHECKS if kind == constants.SURFACE else INDEX_CHECKS


@internal
@pure
def _get_reads(kind: uint256, check: uint256) -> uint256:
    if kind == constants.ORACLE:
        return ORACLE_READS[check]
    return SURFACE_READS[check] if kind == constants.SURFACE else INDEX_READS[check]


@internal
@pure
def _read_leaves(
    witness: Bytes[constants.WITNESS_BYTES_MAX], root: bytes32, reads: uint256, reading: readings.Reading
) -> readings.Leaves:
    """
    @notice The leaves that `reads` names, under `root`. An underlying has to exist; an expiry begins with its first
            surface.
    """
    leaves: readings.Leaves = empty(readings.Leaves)
    leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    if reads & G != 0:
        leaf, leaves.end = witnesses._read(witness, 0, root, constants.GLOBALS, 0)
        leaves.state = globals._decode_globals(leaf)
    if reads & P != 0:
        leaves.params_leaf, leaves.end = witnesses._read(
            witness, leaves.end, root, constants.PARAMS, leaves.state.params_version
        )
        leaves.params = parameters._decode_params(leaves.params_leaf)
    if reads & U != 0:
        leaf, leaves.end = witnesses._read(witness, leaves.end, root, constants.UNDERLYINGS, reading.underlying)
        leaves.is_missing = len(leaf) == 0
        if not leaves.is_missing:
            leaves.underlying = underlyings._decode_underlying(leaf)
    if reads & E != 0:
        index: uint256 = instruments._get_expiry_index(reading.underlying, reading.expiry)
        leaf, leaves.end = witnesses._read(witness, leaves.end, root, constants.EXPIRIES, index)
        leaves.surface = expiries._decode_expiry(leaf)
    return leaves


# Checks


@internal
@pure
def _do_components_hold(
    root: bytes32, check: uint256, leaves: readings.Leaves, witness: Bytes[constants.WITNESS_BYTES_MAX]
) -> bool:
    """
    @notice Whether all components have been read, or the oldest of them is newer than the basket.
    """
    leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    end: uint256 = leaves.end
    oldest: uint256 = constants.NEVER
    component: uint256 = 0
    weight_ppm: uint256 = 0
    for i: uint256 in range(leaves.underlying.basket_count, bound=constants.BASKET_MAX):
        component, weight_ppm = underlyings._get_component(leaves.underlying, i)
        leaf, end = witnesses._read(witness, end, root, constants.UNDERLYINGS, component)
        if len(leaf) == 0:
            witnesses._finish(witness, end)
            return False
        oldest = min(oldest, underlyings._decode_underlying(leaf).oracle_time)
    witnesses._finish(witness, end)
    if check == INDEX_COMPONENTS_MUST_BE_READ:
        return oldest > 0
    # INDEX_TIME_MUST_ADVANCE
    return leaves.underlying.basket_count > 0 and oldest > leaves.underlying.oracle_time


# Effects


@internal
@pure
def _is_surface_effect_wrong(
    context: contexts.Context, reading: readings.Reading, witness: Bytes[constants.WITNESS_BYTES_MAX]
) -> bool:
    """
    @notice Reads G, E; stores the surface, at the window's first second where its integral began, and at its last what
            everything settles at.
    """
    leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    surface_at: uint256 = 0
    end: uint256 = 0
    leaf, surface_at = witnesses._peek(witness, 0)
    state: globals.Globals = globals._decode_globals(leaf)
    leaf, end = witnesses._peek(witness, surface_at)
    witnesses._finish(witness, end)
    before: expiries.Expiry = expiries._decode_expiry(leaf)
    # EFFECTS
    if reading.time == reading.expiry and reading.surface.integral < before.start_integral:
        return False
    state.next_position = reading.position + 1
    after: expiries.Expiry = readings._take_surface(before, reading)
    # The root after them, and every leaf authenticated on the way
    leaf = globals._encode_globals(state)
    root: bytes32 = witnesses._write(witness, 0, context.pre_root, constants.GLOBALS, 0, leaf)
    leaf = expiries._encode_expiry(after)
    index: uint256 = instruments._get_expiry_index(reading.underlying, reading.expiry)
    root = witnesses._write(witness, surface_at, root, constants.EXPIRIES, index, leaf)
    return root != context.post_root


@internal
@pure
def _is_price_effect_wrong(
    context: contexts.Context, kind: uint256, reading: readings.Reading, witness: Bytes[constants.WITNESS_BYTES_MAX]
) -> bool:
    """
    @notice Reads G, P, U, and of an index the components; stores prices, and with them what funding was owed until now.
    """
    globals_leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    params_leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    underlying_leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    params_at: uint256 = 0
    underlying_at: uint256 = 0
    components_at: uint256 = 0
    globals_leaf, params_at = witnesses._peek(witness, 0)
    params_leaf, underlying_at = witnesses._peek(witness, params_at)
    underlying_leaf, components_at = witnesses._peek(witness, underlying_at)
    if len(underlying_leaf) == 0:
        return False
    state: globals.Globals = globals._decode_globals(globals_leaf)
    params: parameters.Params = parameters._decode_params(params_leaf)
    before: underlyings.Underlying = underlyings._decode_underlying(underlying_leaf)
    after: underlyings.Underlying = before
    component_count: uint256 = 0
    if kind == constants.INDEX:
        component_count = before.basket_count
        is_whole: bool = False
        after, is_whole = self._weigh(before, witness, components_at)
        if not is_whole:
            return False
    else:
        witnesses._finish(witness, components_at)
        after = readings._take_reading(before, reading, state.time, params)
    # EFFECTS
    state.next_position = reading.position + 1
    after = valuation._roll_funding(before, after, state.time, params)
    # The root after them, and every leaf authenticated on the way
    globals_leaf = globals._encode_globals(state)
    underlying_leaf = underlyings._encode_underlying(after)
    root: bytes32 = witnesses._write(witness, 0, context.pre_root, constants.GLOBALS, 0, globals_leaf)
    root = witnesses._write(witness, params_at, root, constants.PARAMS, state.params_version, params_leaf)
    root = witnesses._write(
        witness, underlying_at, root, constants.UNDERLYINGS, reading.underlying, underlying_leaf
    )
    component: uint256 = 0
    weight_ppm: uint256 = 0
    for i: uint256 in range(component_count, bound=constants.BASKET_MAX):
        component, weight_ppm = underlyings._get_component(before, i)
        globals_leaf, components_at = witnesses._read(
            witness, components_at, root, constants.UNDERLYINGS, component
        )
    return root != context.post_root


@internal
@pure
def _weigh(
    before: underlyings.Underlying, witness: Bytes[constants.WITNESS_BYTES_MAX], at: uint256
) -> (underlyings.Underlying, bool):
    """
    @notice The basket as priced by its components, which are NOT authenticated here: as uncertain, as wild and as
            halted as the worst of them; and whether there are any, and all are there.
    """
    after: underlyings.Underlying = before
    after.oracle_time = constants.NEVER
    after.spot = 0
    after.mark = 0
    after.spot_confidence = max_value(uint256)
    after.mark_confidence = max_value(uint256)
    after.volatility = 0
    leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    end: uint256 = at
    number: uint256 = 0
    weight_ppm: uint256 = 0
    for i: uint256 in range(before.basket_count, bound=constants.BASKET_MAX):
        leaf, end = witnesses._peek(witness, end)
        if len(leaf) == 0:
            return after, False
        component: underlyings.Underlying = underlyings._decode_underlying(leaf)
        number, weight_ppm = underlyings._get_component(before, i)
        after.spot += weight_ppm * component.spot // constants.PPM
        after.mark += weight_ppm * component.mark // constants.PPM
        after.spot_confidence = min(after.spot_confidence, component.spot_confidence)
        after.mark_confidence = min(after.mark_confidence, component.mark_confidence)
        after.volatility = max(after.volatility, component.volatility)
        after.halted_until = max(after.halted_until, component.halted_until)
        after.oracle_time = min(after.oracle_time, component.oracle_time)
    witnesses._finish(witness, end)
    after.spot = max(1, min(after.spot, constants.PRICE_MAX - 1))
    after.mark = max(1, min(after.mark, constants.PRICE_MAX - 1))
    return after, before.basket_count > 0


# The bytes of an op


@internal
@pure
def _decode(kind: uint256, op: Bytes[constants.OP_BYTES_MAX]) -> readings.Reading:
    """
    @notice The op, if the bytes are one.
    """
    if kind == constants.SURFACE:
        return readings._decode_surface(op)
    if kind == constants.ORACLE:
        return readings._decode_oracle(op)
    reading: readings.Reading = empty(readings.Reading)
    if kind == constants.INDEX and len(op) == INDEX_BYTES:
        reading.position = fields._uint(op, 1, 8)
        reading.underlying = fields._uint(op, 9, 2)
        reading.decodes = reading.underlying < constants.UNDERLYINGS_MAX
    return reading


