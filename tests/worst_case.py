"""The dearest real step of every kind, on every ground: what a proof may cost at most.

A valid op of tests/dearest_state.py is bent until one check fails first: at the edges of tests/parity/every_edge.py, or
as is said here where those bend a header so that no rollup would take it, empty a leaf that should be full, or make one
check in hundreds fail first. The rollup takes all these batches; what they claim is another matter.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from fraud_proofs.challenger import Proof
from fraud_proofs.grounds import EFFECT, MALFORMED, Ground, check_ground
from fraud_proofs.witness import Witness
from risk.margin import BASIS_ACTIVE
from risk.parameters import Scenario, VolShock
from state.batches import BatchData, Header
from state.codes import Code, Kind
from state.constants import CASH_MAX, EXPIRY_HORIZON, EXPIRY_STEP, NEVER, OP_BYTES_MAX, UNDERLYINGS_MAX
from state.ledger import Exhibit
from state.process_fill import BUYER, SELLER, Side
from state.process_inbox import MessageType
from state.process_take import claim_take, read_price
from state.transition import Invalid
from state.tree import LeafKey, account_key
from state.valuation import compute_account_margin, read_quotes
from tests.contracts.scene import Scene
from tests.dearest_state import (
    ACTIVE,
    BASKET,
    COMPONENTS,
    DAYS,
    EXHIBIT,
    POSITION,
    TIME,
    TRADED,
    USER,
    A,
    B,
    Stage,
    build_dearest_rules,
    draw_rich,
    enclose_dearest,
    get_expiry,
    judge,
    lay_out,
)
from tests.parity.case import overlay
from tests.parity.edges import Edge, bend_signers
from tests.parity.every_edge import EDGES

# The bends


def bend_globals(**changes: int | bytes) -> Edge:
    """Bend the globals alone: where the header may not be."""
    return lambda scene, chance: scene.bend_globals(**changes)


def overrun(scene: Scene, chance: random.Random) -> None:
    """As long an op as may be, of the same kind in name only."""
    scene.op = scene.op[:1] + draw_rich(chance, OP_BYTES_MAX - 1)


def overrun_unknown(scene: Scene, chance: random.Random) -> None:
    """As long an op as may be, of no kind."""
    scene.op = b"\xff" + draw_rich(chance, OP_BYTES_MAX - 1)


def bend_next_position(scene: Scene, chance: random.Random) -> None:
    """The position is taken."""
    scene.bend_globals(next_position=POSITION + 1)


def forge_signature(scene: Scene, chance: random.Random) -> None:
    """R of another signature by the same key, any S: two good points and a wrong equation are the most to judge."""
    other = USER.sign(chance.randbytes(32)).signature[:32]
    s = chance.getrandbits(252).to_bytes(32, "little")
    scene.bend_op(signature=other + s)


def pass_header(scene: Scene, chance: random.Random) -> None:
    """The message after the last that the header claims."""
    index = scene.context.header.inbox_cursor
    scene.bend_op(index=index)
    scene.bend_globals(inbox_cursor=index)


def take_other(message_type: MessageType) -> Edge:
    """A message that is for another op."""

    def bend(scene: Scene, chance: random.Random) -> None:
        inbox = map(scene.context.get_message, range(scene.context.header.inbox_cursor))
        index = [message[0] for message in inbox].index(message_type)
        scene.bend_op(index=index)
        scene.bend_globals(inbox_cursor=index)

    return bend


def turn_around(scene: Scene, chance: random.Random) -> None:
    """The op says of an account that it is short of margin where it is not, or leaves it out."""
    scene.bend_op(active=None if scene.decoded.active is not None else ACTIVE)


def impoverish(scene: Scene, chance: random.Random) -> None:
    """Owns what it sends away, and then nothing that would cover its positions."""
    op, params, now = scene.decoded, scene.ledger.get_params(), scene.ledger.get_globals().time
    account = scene.account(op.account)
    quotes = read_quotes(scene.ledger, account, params)
    bare = replace(account, cash=0, collateral=())
    worth = compute_account_margin(bare, quotes, now, params).quote_equity
    scene.bend_account(op.account, cash=(op.amount if op.asset == 0 else 0) - worth)


def overspend(scene: Scene, chance: random.Random) -> None:
    """Not enough of it."""
    op = scene.decoded
    if op.asset == 0:
        scene.bend_account(op.account, cash=-(1 << 111))
    else:
        *others, (asset, _) = scene.account(op.account).collateral
        scene.bend_account(op.account, collateral=(*others, (asset, op.amount - 1)))


def ruin(account: int) -> Edge:
    """Far under its margin."""
    return lambda scene, chance: scene.bend_account(account, cash=-(1 << 111))


def reduce_nothing(side: Side) -> Edge:
    """Two of the legs close nothing."""
    return lambda scene, chance: scene.bend_order(side.slot(scene.decoded), flags=2 | (side == SELLER))


def overfill(side: Side) -> Edge:
    """What the fee takes has no room."""
    return lambda scene, chance: scene.bend_account(side.slot(scene.decoded).account, cash=-CASH_MAX)


def remove_account(account: int) -> Edge:
    """It is not there."""
    return lambda scene, chance: scene.write(account_key(account), b"")


def bend_account(account: int, **changes: object) -> Edge:
    """Bend one account."""
    return lambda scene, chance: scene.bend_account(account, **changes)


def bend_underlying(underlying: int, **changes: object) -> Edge:
    """Bend one underlying."""
    return lambda scene, chance: scene.bend_underlying(underlying, **changes)


def claim_more(name: str) -> Edge:
    """A claim that is off by one."""
    return lambda scene, chance: scene.bend_op(**{name: getattr(scene.decoded, name) + 1})


def outlive(scene: Scene, chance: random.Random) -> None:
    """The last leg expires now."""
    scene.bend_globals(time=get_expiry(len(DAYS) - 1))


def bound_interest(scene: Scene, chance: random.Random) -> None:
    """The market bears none of it."""
    underlyings = list(scene.ledger.get_params().underlyings)
    underlyings[TRADED] = underlyings[TRADED]._replace(open_interest_max=1)
    scene.bend_params(underlyings=tuple(underlyings))


def forge_reading(scene: Scene, chance: random.Random) -> None:
    """The last signature, after four good ones, is somebody else's."""
    *others, last = scene.decoded.signatures
    scene.bend_op(signatures=(*others, replace(last, v=55 - last.v)))


def enter_window_late(scene: Scene, chance: random.Random) -> None:
    """A reading in the settlement window, whose first second was never read."""
    surface = scene.decoded
    scene.bend_globals(time=surface.expiry)
    scene.bend_op(time=surface.expiry - 1)


def read_far(scene: Scene, chance: random.Random) -> None:
    """Of an expiry a day beyond the horizon."""
    scene.bend_op(expiry=scene.decoded.expiry + EXPIRY_HORIZON + EXPIRY_STEP)


def settle_nothing(scene: Scene, chance: random.Random) -> None:
    """Everything has expired, and nothing has settled."""
    for instrument, _ in scene.account(A).positions:
        scene.bend_expiry(instrument.underlying, instrument.expiry, settlement=0)


def need_little(scene: Scene, chance: random.Random) -> None:
    """The target is short by hardly anything, and the claims are true."""
    missing = claim_take(scene.ledger, scene.decoded).maintenance
    scene.bend_account(A, cash=scene.account(A).cash - missing - 1)
    scene.op = claim_take(scene.ledger, scene.decoded).encode()


def give_no_discount(scene: Scene, chance: random.Random) -> None:
    """The fund is empty, and so is the target."""
    scene.bend_books(fund=0)
    scene.bend_op(discount_min=1)


def overfill_bidder(scene: Scene, chance: random.Random) -> None:
    """What it pays has no room, or what it is paid."""
    take = scene.decoded
    is_paid = take.value < read_price(scene.ledger, take).discount
    scene.bend_account(B, cash=CASH_MAX if is_paid else -CASH_MAX)


def rank_another(scene: Scene, chance: random.Random) -> None:
    """Somebody has the same position and has lost everything."""
    other = replace(scene.account(B), owner=draw_rich(chance, 20), cash=-(1 << 111))
    scene.write(account_key(EXHIBIT), other.encode())


def expire(scene: Scene, chance: random.Random) -> None:
    """Its last second has passed."""
    scene.bend_op(terms=replace(scene.decoded.terms, valid_until=TIME - 1))


def leave_band(scene: Scene, chance: random.Random) -> None:
    """The band is narrow."""
    scene.bend_params(band_ppm=1)


def kill_key(scene: Scene, chance: random.Random) -> None:
    """It may do nothing any more."""
    op = scene.decoded
    *others, last = scene.account(op.account).keys
    scene.bend_account(op.account, keys=(*others, last._replace(scope=0)))


OWN_BENDS: dict[Code, Edge] = {
    **{code: overrun for code in Code if code % 100 == 0},
    **{code: bend_next_position for code in Code if code.name.endswith("_POSITION_MUST_INCREASE")},
    **{code: forge_signature for code in Code if code.name.endswith("_SIGNATURE_MUST_VERIFY")},
    **{code: forge_reading for code in Code if code.name.endswith("_SIGNATURES_MUST_VERIFY")},
    **{code: overspend for code in Code if code.name.endswith("_BALANCE_MUST_COVER")},
    Code.KIND_MUST_BE_KNOWN: overrun_unknown,
    Code.OPEN_BATCH_MUST_BE_NEXT: bend_globals(batch=0x1111_1111_1111_1111),
    Code.OPEN_GENERATION_MUST_NOT_FALL: bend_globals(generation=0x11111111),
    Code.OPEN_TIME_MUST_MATCH: bend_globals(time=TIME - 1),
    Code.OPEN_POSITION_MUST_MATCH: bend_globals(generation=1, next_position=0x1111_1111_1111_1111),
    Code.CLOSE_CURSOR_MUST_MATCH: bend_globals(inbox_cursor=0x1111_1111_1111_1111),
    Code.CLOSE_INBOX_HASH_MUST_MATCH: bend_globals(inbox_hash=b"\x11" * 32),
    Code.CLOSE_TIME_MUST_MATCH: bend_globals(time=TIME - 1),
    Code.CLOSE_POSITION_MUST_MATCH: bend_globals(next_position=0x1111_1111_1111_1111),
    Code.TICK_TIME_MUST_ADVANCE: bend_globals(time=TIME),
    Code.TICK_TIME_MUST_NOT_PASS_HEADER: lambda scene, chance: scene.bend_op(time=NEVER),
    **{code: bend_globals(inbox_cursor=0x1111_1111_1111_1111) for code in Code if code.name.endswith("_BE_CURSOR")},
    **{code: pass_header for code in Code if code.name.endswith("_INDEX_MUST_NOT_PASS_HEADER")},
    **{code: bend_globals(time=TIME) for code in Code if code.name.endswith("_TIME_MUST_REACH_MESSAGE")},
    Code.L1_MARGIN_MUST_MATCH: turn_around,
    Code.L1_MESSAGE_MUST_BE_PLAIN: take_other(MessageType.SURFACE),
    Code.BID_MESSAGE_MUST_BE_A_TAKE: take_other(MessageType.PARAMS),
    Code.BID_CLAIMS_MUST_MATCH: claim_more("equity"),
    Code.BID_OUTCOME_MUST_MATCH: ruin(B),
    Code.RELAY_MESSAGE_MUST_BE_A_READING: take_other(MessageType.PARAMS),
    Code.ORACLE_UNDERLYING_MUST_NOT_BE_A_BASKET: bend_underlying(UNDERLYINGS_MAX - 1, basket=((TRADED, 1),)),
    Code.ORACLE_MUST_NOT_JUMP: lambda scene, chance: scene.bend_params(guard_ppm=0),
    Code.ORDER_MUST_NOT_BE_EXPIRED: expire,
    Code.ORDER_INSTRUMENT_MUST_BE_LISTED: bend_globals(underlying_count=TRADED),
    Code.FILL_PRICE_MUST_BE_IN_BAND: leave_band,
    Code.FILL_BUYER_MUST_REDUCE: reduce_nothing(BUYER),
    Code.FILL_SELLER_MUST_REDUCE: reduce_nothing(SELLER),
    Code.FILL_BUYER_MUST_FIT: overfill(BUYER),
    Code.FILL_SELLER_MUST_FIT: overfill(SELLER),
    Code.FILL_BUYER_MARGIN_MUST_HOLD: ruin(A),
    Code.FILL_SELLER_MARGIN_MUST_HOLD: ruin(B),
    Code.FILL_OPEN_INTEREST_MUST_FIT: bound_interest,
    Code.FILL_INSTRUMENTS_MUST_BE_LIVE: outlive,
    Code.TRANSFER_MARGIN_MUST_HOLD: impoverish,
    Code.WITHDRAW_MARGIN_MUST_HOLD: impoverish,
    Code.SURFACE_UNDERLYING_MUST_BE_LISTED: bend_globals(underlying_count=1),
    Code.SURFACE_TIME_MUST_ADVANCE: lambda scene, chance: scene.bend_op(time=TIME - 10),
    Code.SURFACE_MUST_NOT_BE_STALE: bend_globals(time=2 * TIME),
    Code.SURFACE_MUST_NOT_BE_AHEAD: bend_globals(time=TIME // 2),
    Code.SURFACE_EXPIRY_MUST_BE_NEAR: read_far,
    Code.SURFACE_MUST_KEEP_WINDOW: enter_window_late,
    Code.SURFACE_SIGNERS_MUST_SUFFICE: bend_signers,
    Code.INDEX_MUST_BE_A_BASKET: lambda scene, chance: scene.bend_op(underlying=TRADED),
    Code.INDEX_COMPONENTS_MUST_BE_READ: bend_underlying(COMPONENTS[-1], oracle_time=0),
    Code.INDEX_TIME_MUST_ADVANCE: bend_underlying(BASKET, oracle_time=TIME),
    Code.SETTLE_ACCOUNT_MUST_EXIST: remove_account(A),
    Code.SETTLE_MUST_FIND_SETTLED: settle_nothing,
    Code.LIQUIDATE_ACCOUNT_MUST_EXIST: remove_account(A),
    Code.LIQUIDATE_MARGIN_MUST_MATCH: claim_more("equity"),
    Code.LIQUIDATE_MUST_CHANGE: bend_account(A, liquidation_from=TIME),
    Code.INTEREST_ACCOUNT_MUST_EXIST: remove_account(A),
    Code.INTEREST_QUOTE_EQUITY_MUST_MATCH: claim_more("quote_equity"),
    Code.INTEREST_MUST_CHANGE: bend_account(A, interest_from=TIME),
    Code.TAKE_ACCOUNT_MUST_EXIST: remove_account(B),
    Code.TAKE_TARGET_MUST_BE_OPEN: bend_account(A, liquidation_from=NEVER),
    Code.TAKE_MUST_NOT_BE_EXPIRED: lambda scene, chance: scene.bend_op(valid_until=TIME - 1),
    Code.TAKE_SEQUENCE_MUST_RISE: bend_account(B, sequence=NEVER),
    Code.TAKE_MARGIN_MUST_MATCH: claim_more("equity"),
    Code.TAKE_SLICE_MUST_BE_NEEDED: need_little,
    Code.TAKE_DISCOUNT_MUST_SUFFICE: give_no_discount,
    Code.TAKE_BIDDER_MUST_FIT: overfill_bidder,
    Code.TAKE_BIDDER_MARGIN_MUST_HOLD: ruin(B),
    Code.TAKE_KEY_MUST_BE_LIVE: kill_key,
    Code.DELEVERAGE_ACCOUNTS_MUST_EXIST: remove_account(B),
    Code.DELEVERAGE_MUST_BE_DUE: bend_account(A, liquidation_from=TIME),
    Code.DELEVERAGE_MARGIN_MUST_MATCH: claim_more("equity"),
    Code.DELEVERAGE_MARK_MUST_MATCH: claim_more("mark"),
    Code.DELEVERAGE_NOTIONAL_MUST_MATCH: claim_more("notional"),
    Code.DELEVERAGE_QUANTITY_MUST_FIT: lambda scene, chance: scene.bend_op(quantity=1 << 40),
    Code.DELEVERAGE_RANK_MUST_BE_FIRST: rank_another,
}


def may_be_posted(scene: Scene, before: Header) -> bool:
    """Whether the rollup would take the bent header: it looks at everything but the log hash and the oracle time."""
    header = scene.context.header
    return replace(header, oracle_time=before.oracle_time, step_count=before.step_count) == before


# The rows


@dataclass(frozen=True, slots=True)
class Row:
    """A dearest step: what was posted, what convicts it, and what the in-process EVM asks for the conviction."""

    kind: str
    ground: Ground
    batch: BatchData
    proof: bytes
    gas: int
    calldata_bytes: int
    scene: Scene
    reads: tuple[LeafKey, ...]

    @property
    def name(self) -> str:
        """As the table has it."""
        return f"{self.kind} {self.ground.kind.name}"


def bind_gas(gas_used: int, calldata_bytes: int) -> int:
    """What a proof costs where every byte of calldata costs at least 64."""
    return max(gas_used, 21_000 + 64 * calldata_bytes)


CENTRAL = build_dearest_rules().scenarios.index(Scenario(0, VolShock.UP, is_scaled=True))
DEAREST_SCENARIOS = Exhibit(bytes([CENTRAL] * 8), bytes([BASIS_ACTIVE] * 8))
"""Three valuations of each option at each date: one that no move of spot makes cheap, and two of the basis."""

TRIES, DRAWS_MAX = 3, 300
"""So many real steps are made of each valid one, in so many draws, for each check; the dearest stays."""


def draw_bent(stage: Stage, code: Code, scenes: list[Scene], chance: random.Random) -> Iterator[Scene]:
    """Scenes in which this check is the first that fails, under headers that the rollup takes."""
    bend: Callable[[Scene, random.Random], None] = OWN_BENDS[code] if code in OWN_BENDS else EDGES[code]
    for valid in scenes:
        found = 0
        for _ in range(DRAWS_MAX):
            scene = Scene(valid.context, valid.leaves, valid.op)
            bend(scene, chance)
            lay_out(scene)
            if may_be_posted(scene, valid.context.header) and judge(scene) == Invalid(code):
                found += 1
                yield scene
            if found == TRIES:
                break


def weigh(stage: Stage, scene: Scene, ground: Ground, chance: random.Random) -> Row:
    """The scene as a row, under the scenarios that cost most where these convict too. Fails the test when the ground
    does not convict."""
    with overlay(stage.state, scene):
        case = enclose_dearest(stage.state, scene, chance)
        honest = case.build_witness(ground)
    witnesses = [honest] if honest.scenarios is None else [honest, replace(honest, scenarios=DEAREST_SCENARIOS)]
    proofs = [case.encode(ground, witness) for witness in witnesses]
    outcomes = [stage.tribunal.prove(case.batch.batch_hash, proof) for proof in proofs]
    assert outcomes[0].reason is None, f"{ground} of {scene.op.hex()}: {outcomes[0].reason}"
    convicting = [pair for pair in zip(outcomes, proofs, strict=True) if pair[0].reason is None]
    outcome, proof = max(convicting, key=lambda pair: pair[0].gas_used)
    kind = Kind(scene.op[0]).name.lower() if scene.op[0] in list(Kind) else "unknown kind"
    calldata_bytes = len(outcome.calldata)
    gas = bind_gas(outcome.gas_used, calldata_bytes)
    return Row(kind, ground, case.batch, proof, gas, calldata_bytes, scene, tuple(leaf.key for leaf in honest.leaves))


def weigh_malformed(stage: Stage, chance: random.Random) -> Row:
    """The longest frame, of the shortest steps, that breaks off at its very end."""
    scene = stage.set_scene(b"\x11")
    case = enclose_dearest(stage.state, scene, chance)
    frames = list(case.batch.frames)
    frame = frames[case.frame_number]
    frames[case.frame_number] = frame[:36] + (int.from_bytes(frame[36:38]) + 1).to_bytes(2) + frame[38:]
    frames[-1] = frames[-1][:32] + (int.from_bytes(frames[-1][32:36]) + 1).to_bytes(4) + frames[-1][36:]
    scene.bend_header(step_count=scene.context.header.step_count + 1)
    batch = BatchData(scene.context.header.encode(), tuple(frames))
    proof = Proof(batch, case.frame_number, 0, MALFORMED, Witness(())).encode()
    outcome = stage.tribunal.prove(batch.batch_hash, proof)
    assert outcome.reason is None, outcome.reason
    gas = bind_gas(outcome.gas_used, len(outcome.calldata))
    return Row("frame", MALFORMED, batch, proof, gas, len(outcome.calldata), scene, ())


def list_codes(kind: int) -> list[Code]:
    """Of a kind's checks; 0 stands for no kind."""
    return [code for code in Code if code // 100 == kind]


def find_rows(stage: Stage, chance: random.Random) -> list[Row]:
    """Every check and every effect at its dearest."""
    valid = stage.list_valid()
    rows = [weigh_malformed(stage, chance)]
    for kind, scenes in ((0, valid[Kind.TICK]), *valid.items()):
        for code in list_codes(kind):
            weighed = [weigh(stage, one, check_ground(code), chance) for one in draw_bent(stage, code, scenes, chance)]
            assert weighed, f"no real step fails {code.name} first"
            rows.append(max(weighed, key=lambda row: row.gas))
        if kind:
            effects = [weigh(stage, Scene(one.context, one.leaves, one.op), EFFECT, chance) for one in scenes]
            rows.append(max(effects, key=lambda row: row.gas))
    return rows
