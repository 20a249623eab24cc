"""The dearest real step of every kind, on every ground: what a proof may cost at most.

A valid op of tests/dearest_state.py is bent until one check fails first: at the edges of tests/parity/edges.py, or as
is said here where those bend a header so that no rollup would take it. The rollup takes all these batches; what they
claim is another matter.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from fraud_proofs.challenger import Proof
from fraud_proofs.grounds import EFFECT, MALFORMED, Ground, check_ground
from fraud_proofs.witness import Witness
from state.batches import BatchData, Header
from state.codes import Code, Kind
from state.constants import EXPIRY_HORIZON, NEVER, OP_BYTES_MAX
from state.leaves import perpetual
from state.process_fill import BUYER, SELLER, Side
from state.process_take import claim_take
from state.transition import Invalid
from state.tree import LeafKey
from state.valuation import compute_account_margin, read_quotes
from tests.contracts.scene import Scene
from tests.dearest_state import EXPIRIES, HELD, POSITION, TIME, USER, Stage, draw_rich, enclose_dearest, judge, lay_out
from tests.parity.case import overlay
from tests.parity.edges import Edge, hold
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


def impoverish(scene: Scene, chance: random.Random) -> None:
    """Owns what it sends away, and then nothing that would cover its positions."""
    op, params, now = scene.decoded, scene.ledger.get_params(), scene.ledger.get_globals().time
    account = scene.account(op.account)
    quotes = read_quotes(scene.ledger, account, params)
    bare = replace(account, cash=0, collateral=())
    worth = compute_account_margin(bare, quotes, now, params).quote_equity
    scene.bend_account(op.account, cash=op.amount - worth)


def overspend(scene: Scene, chance: random.Random) -> None:
    """Not enough of it."""
    op = scene.decoded
    if op.asset == 0:
        scene.bend_account(op.account, cash=-(1 << 111))
    else:
        *others, (asset, _) = scene.account(op.account).collateral
        scene.bend_account(op.account, collateral=(*others, (asset, op.amount - 1)))


def ruin(side: Side) -> Edge:
    """A side far under its margin closes half of its position, and the fee eats more than that frees."""

    def bend(scene: Scene, chance: random.Random) -> None:
        fill = scene.decoded
        account = side.slot(fill).account
        scene.bend_account(account, cash=-(1 << 111))
        hold(scene, account, perpetual(HELD[-1]), -side.sign * 2 * fill.quantity)

    return bend


def expire(scene: Scene, chance: random.Random) -> None:
    """Its last second has passed."""
    scene.bend_op(terms=replace(scene.decoded.terms, valid_until=TIME - 1))


def leave_band(scene: Scene, chance: random.Random) -> None:
    """The mark moves away, and the band is narrow."""
    scene.bend_params(band_ppm=1)
    scene.bend_underlying(HELD[-1], mark=scene.decoded.price * 2)


def crowd(scene: Scene, chance: random.Random) -> None:
    """Nobody holds what is traded, and no lot of it may be held."""
    fill, params = scene.decoded, scene.ledger.get_params()
    for account in (fill.buyer, fill.seller):
        kept = [position for position in scene.account(account).positions if position[0].underlying != HELD[-1]]
        scene.bend_account(account, positions=tuple(kept))
    scene.bend_params(underlyings=tuple(terms._replace(open_interest_max=0) for terms in params.underlyings))


def hurry(scene: Scene, chance: random.Random) -> None:
    """A second too far ahead of what was never read."""
    surface = scene.decoded
    now = surface.expiry - EXPIRY_HORIZON - 1
    scene.bend_expiry(surface.underlying, surface.expiry, time=0)
    scene.bend_op(time=now)
    scene.bend_globals(time=now)


def leap(scene: Scene, chance: random.Random) -> None:
    """The window's first second was not read."""
    last = scene.decoded.expiry - 1
    scene.bend_op(time=last)
    scene.bend_globals(time=last)


def grab(scene: Scene, chance: random.Random) -> None:
    """The target is short by one unit, and half of it is asked for."""
    take, params, now = scene.decoded, scene.ledger.get_params(), scene.ledger.get_globals().time
    target = scene.account(take.target)
    short = compute_account_margin(target, read_quotes(scene.ledger, target, params), now, params).maintenance
    scene.bend_account(take.target, cash=target.cash - short - 1)
    scene.op = claim_take(scene.ledger, take).encode()


OWN_BENDS: dict[Code, Edge] = {
    **{code: overrun for code in Code if code % 100 == 0},
    **{code: bend_next_position for code in Code if code.name.endswith("_POSITION_MUST_INCREASE")},
    **{code: forge_signature for code in Code if code.name.endswith("_SIGNATURE_MUST_VERIFY")},
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
    Code.L1_INDEX_MUST_BE_CURSOR: bend_globals(inbox_cursor=0x1111_1111_1111_1111),
    Code.L1_INDEX_MUST_NOT_PASS_HEADER: pass_header,
    Code.ORDER_MUST_NOT_BE_EXPIRED: expire,
    Code.FILL_PRICE_MUST_BE_IN_BAND: leave_band,
    Code.FILL_BUYER_MARGIN_MUST_HOLD: ruin(BUYER),
    Code.FILL_SELLER_MARGIN_MUST_HOLD: ruin(SELLER),
    Code.FILL_OPEN_INTEREST_MUST_FIT: crowd,
    Code.FILL_INSTRUMENTS_MUST_BE_LIVE: bend_globals(time=EXPIRIES[0]),
    Code.SURFACE_EXPIRY_MUST_BE_NEAR: hurry,
    Code.SURFACE_MUST_KEEP_WINDOW: leap,
    Code.LIQUIDATE_MUST_CHANGE: lambda scene, chance: scene.bend_account(scene.decoded.account, liquidation_from=1),
    Code.TAKE_MUST_NOT_BE_EXPIRED: lambda scene, chance: scene.bend_op(valid_until=TIME - 1),
    Code.TAKE_SLICE_MUST_BE_NEEDED: grab,
    Code.TRANSFER_MARGIN_MUST_HOLD: impoverish,
    Code.WITHDRAW_MARGIN_MUST_HOLD: impoverish,
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


TRIES, DRAWS_MAX = 6, 100
"""So many real steps are made of each valid one, in so many draws, for each check; the dearest stays."""


def draw_bent(stage: Stage, code: Code, scenes: list[Scene], chance: random.Random) -> Iterator[Scene]:
    """Scenes in which this check is the first that fails, under headers that the rollup takes."""
    bend: Callable[[Scene, random.Random], None] = OWN_BENDS.get(code, EDGES[code])
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
    """The scene as a row. Fails the test when the ground does not convict."""
    with overlay(stage.state, scene):
        case = enclose_dearest(stage.state, scene, chance)
        witness = case.build_witness(ground)
    proof = case.encode(ground, witness)
    outcome = stage.tribunal.prove(case.batch.batch_hash, proof)
    assert outcome.reason is None, f"{ground} of {scene.op.hex()}: {outcome.reason}"
    kind = Kind(scene.op[0]).name.lower() if scene.op[0] in list(Kind) else "unknown kind"
    calldata_bytes = len(outcome.calldata)
    gas = bind_gas(outcome.gas_used, calldata_bytes)
    return Row(kind, ground, case.batch, proof, gas, calldata_bytes, scene, tuple(leaf.key for leaf in witness.leaves))


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
