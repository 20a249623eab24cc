"""The budget of a proof: the dearest real step of every kind and ground, on a real L1, and nothing dearer beside it."""

import random
import re
from pathlib import Path

import hypothesis
import pytest

from fraud_proofs.challenger import PROOF_GAS_MAX
from fraud_proofs.grounds import GroundKind
from node.contracts import MAX_RUNTIME_SIZE
from state.codes import Code, Kind
from state.constants import BATCH_BYTES_MAX, POSITIONS_MAX
from state.ledger import BoundPassed
from state.transition import Invalid, Valid
from tests.conservation import list_accounts
from tests.contracts.scene import Scene
from tests.dearest_state import Stage, judge, lay_out, open_stage
from tests.parity.every_edge import EDGES
from tests.parity.extremes import stretch_leaves
from tests.workload import mutate
from tests.worst_case import OWN_BENDS, Row, find_rows, may_be_posted, weigh
from tests.worst_receipts import Receipt, convict_all, list_code_sizes, pick_dearest

SPEC = Path(__file__).resolve().parents[2] / "fraud_proofs" / "SPEC.md"
TOLERANCE = 0.02
"""The draws of signatures and bends move gas a little; so does the compiler's mood over a changed line."""

CLIMB = 0.08
"""How far above its row a random change may lead: margins have more numbers than a builder can think of."""

CHANGES = 500
"""Of the hill-climb, over all rows; with `--hypothesis-profile long` so many of each row."""

DRAWS_PER_CHANGE = 40
"""Most random changes make another step, which other checks refuse; so many are drawn for one that counts."""


@pytest.fixture(scope="module")
def stage() -> Stage:
    """The dearest state before the contracts."""
    return open_stage(random.Random(1))


@pytest.fixture(scope="module")
def rows(stage: Stage) -> list[Row]:
    """Every check and every effect at its dearest, always from the same draws."""
    return find_rows(stage, random.Random(1))


@pytest.fixture(scope="module")
def receipts(stage: Stage, rows: list[Row]) -> list[Receipt]:
    """What a real L1 charges for each."""
    return convict_all(stage, rows)


def read_table(title: str) -> list[list[str]]:
    """The rows of the table of fraud_proofs/SPEC.md whose first column has this title."""
    _, _, rest = SPEC.read_text().partition(f"\n| {title} |")
    lines = re.match(r"[^\n]*\n\|[-|]*\|\n((?:\|.*\n?)*)", rest)
    assert lines is not None, f"no table of {title}"
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1].splitlines()]


def is_near(found: int, stated: str) -> bool:
    """Whether a figure is what the text says of it."""
    return abs(found - int(stated)) <= TOLERANCE * int(stated)


@pytest.mark.slow
def test_every_conviction_fits_one_transaction(receipts: list[Receipt]) -> None:
    """Each check of each op, each effect and a frame that does not parse: one receipt each, within gas and bytes."""
    assert {receipt.row.ground.code for receipt in receipts} >= set(Code)
    effects = {receipt.row.kind for receipt in receipts if receipt.row.ground.kind is GroundKind.EFFECT}
    assert effects == {kind.name.lower() for kind in Kind}
    for receipt in receipts:
        assert receipt.gas <= PROOF_GAS_MAX, f"{receipt.row.ground}: {receipt.gas} gas"
        assert receipt.row.calldata_bytes <= BATCH_BYTES_MAX, f"{receipt.row.ground}: {receipt.row.calldata_bytes}"


def test_table_of_budgets_is_what_the_l1_charges(receipts: list[Receipt]) -> None:
    """Each row of the table stands, with its gas and its bytes; `python -m tests.worst_receipts` prints it anew."""
    dearest = pick_dearest(receipts)
    stated = {f"{kind} {ground}": figures for kind, ground, _, *figures in read_table("kind")}
    assert list(stated) == list(dearest)
    for name, (gas, calldata_bytes) in stated.items():
        receipt = dearest[name]
        assert is_near(receipt.gas, gas), f"{name}: {receipt.gas} gas, not {gas}"
        assert is_near(receipt.row.calldata_bytes, calldata_bytes), f"{name}: {receipt.row.calldata_bytes} bytes"


def test_table_of_contracts_is_what_the_compiler_makes() -> None:
    """Each contract is as long as the table says, and shorter than EIP-170 allows."""
    stated = dict(read_table("contract"))
    sizes = list_code_sizes()
    assert list(stated) == list(sizes)
    for name, size in sizes.items():
        assert size <= MAX_RUNTIME_SIZE
        assert is_near(size, stated[name]), f"{name}: {size} bytes, not {stated[name]}"


@pytest.mark.slow
def test_no_random_change_makes_a_conviction_dearer(stage: Stage, rows: list[Row], seed: int) -> None:
    """Other numbers, bytes, bends and signatures in the dearest steps, each on top of the last that made one dearer."""
    chance = random.Random(seed)
    dearest: dict[str, Row] = {}
    for row in rows:
        if row.gas > dearest.setdefault(row.name, row).gas:
            dearest[row.name] = row
    climbing = [row for row in dearest.values() if row.ground.kind is not GroundKind.MALFORMED]
    is_long = hypothesis.settings().max_examples >= 1_000
    per_row = CHANGES if is_long else -(-CHANGES // len(climbing))
    changes = 0
    for row in climbing:
        highest = row
        for _ in range(per_row * DRAWS_PER_CHANGE):
            scene = draw_change(highest, chance)
            if scene is None:
                continue
            changed = weigh(stage, scene, row.ground, chance)
            assert changed.gas <= min(row.gas * (1 + CLIMB), PROOF_GAS_MAX), f"{row.ground}: {changed.gas} gas"
            highest = max(highest, changed, key=lambda one: one.gas)
            changes += 1
            if changes % per_row == 0:
                break
    assert changes >= CHANGES


def draw_change(row: Row, chance: random.Random) -> Scene | None:
    """The row's scene with a random change under which the same ground convicts the step first; None without luck."""
    before = row.scene
    scene = Scene(before.context, before.leaves, before.op)
    match chance.randrange(4):
        case 0:
            stretch_leaves(scene, list(row.reads), chance.choice((0.03, 0.1, 0.5)), chance)
        case 1:
            # The edge of ranks needs others who hold the instrument; in the dearest state nobody else holds any.
            codes = [code for code in Code if code // 100 == scene.op[0] and code != Code.DELEVERAGE_RANK_MUST_BE_FIRST]
            if not codes:
                return None
            EDGES[chance.choice(codes)](scene, chance)
        case 2:
            scene.op = mutate(scene.op, chance) if scene.op[0] in list(Kind) else scene.op[:1] + chance.randbytes(1023)
        case _:
            code = row.ground.code
            if code is not None:
                OWN_BENDS.get(code, EDGES[code])(scene, chance)
    if not scene.op or not may_be_posted(scene, before.context.header):
        return None
    lay_out(scene)
    if any(len(account.positions) > POSITIONS_MAX for account in list_accounts(scene.leaves).values()):
        return None  # more than any state has
    try:
        result = judge(scene)
    except BoundPassed:
        return None  # of numbers that no state has together
    is_same = isinstance(result, Valid) if row.ground.code is None else result == Invalid(row.ground.code)
    return scene if is_same and scene.context.domain == before.context.domain else None
