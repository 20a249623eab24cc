"""Margins and marks in the EVM are those of state/valuation.py and state/marks.py, to the last unit."""

from dataclasses import replace
from random import Random

import pytest

from fraud_proofs.witness import build_leaves
from node.contracts import MAX_RUNTIME_SIZE, PROJECT, compile_contract
from risk import tables
from risk.parameter_sets import PARAMETER_SETS, make_linear
from state.constants import EXPIRY_SECOND_OF_DAY, EXPIRY_STEP
from state.leaves import PERPETUAL, Instrument, call, decode_underlying, future, perpetual, put
from state.ledger import Ledger
from state.marks import compute_mark
from state.tree import Collection, build_tree, expiry_key, get_collection, get_index, underlying_key
from tests.contracts.margin_scene import (
    EXHIBIT_BYTES,
    Answer,
    Scene,
    build_dearest_scene,
    draw_rules,
    draw_scene,
)
from tests.contracts.scene import draw_exhibit
from tests.evm import Contract, Evm

SETS = [
    name
    for name, parameters in PARAMETER_SETS.items()
    if len(parameters.scenarios) <= 32 and parameters.steps_ms[0] == 0
]


@pytest.fixture(scope="module")
def margin() -> Contract:
    evm = Evm()
    scenarios = evm.deploy("risk_scenarios", list(tables.NORMAL), list(tables.LN))
    underlying = evm.deploy("risk_underlying", scenarios.address, list(tables.LN), list(tables.EXP))
    return evm.deploy("margin", underlying.address)


def compute(margin: Contract, scene: Scene, prefix: bytes = b"") -> Answer:
    before, after, *rest = margin.read("compute", *scene.call(prefix, b"suffix")).value
    return tuple(before), tuple(after), *rest


@pytest.mark.parametrize("name", SETS)
def test_random_accounts(margin: Contract, name: str, seed: int) -> None:
    """Accounts of every shape, before and after any op: under their worst scenarios all numbers, freshness, root and
    end are those of the whole margin."""
    random = Random(f"{seed} {name}")
    for _ in range(25):
        scene = draw_scene(random, draw_rules(random, PARAMETER_SETS[name]))
        assert compute(margin, scene) == scene.answer()


@pytest.mark.parametrize("name", SETS)
def test_random_exhibits(margin: Contract, name: str, seed: int) -> None:
    """Whatever scenarios are exhibited before and after, of the rules or not, all is the reference's under them, and
    neither margin is less than the whole one."""
    random = Random(f"{seed} {name}")
    more = 0
    for _ in range(25):
        scene = draw_scene(random, draw_rules(random, PARAMETER_SETS[name]))
        shown = replace(scene, exhibit=draw_exhibit(random))
        answer = compute(margin, shown)
        assert answer == shown.answer()
        for under, whole in zip(answer[:2], scene.answer()[:2], strict=True):
            assert under[:2] == whole[:2]
            assert under[2] >= whole[2]
            assert under[3] >= whole[3]
            more += under > whole
    assert more > 5


def test_linear_rules(margin: Contract, seed: int) -> None:
    """Rules without vols, dates or charges, which test worlds have, and a witness that begins elsewhere."""
    random = Random(seed)
    for _ in range(10):
        scene = draw_scene(random, make_linear(100_000, 60_000))
        assert compute(margin, scene, b"prefix") == scene.answer(b"prefix")


def test_a_missing_leaf(margin: Contract, seed: int) -> None:
    """Where an underlying or an expiry is not listed, reading stops behind it and says so, whatever is exhibited."""
    random = Random(seed)
    missed = 0
    while missed < 10:
        scene = replace(draw_scene(random, PARAMETER_SETS["keel"]), exhibit=draw_exhibit(random))
        priced = [key for key in scene.leaves if get_collection(key) in (Collection.UNDERLYINGS, Collection.EXPIRIES)]
        leaves = dict(scene.leaves)
        del leaves[random.choice(priced)]
        scene = replace(scene, leaves=leaves)
        expected = scene.answer()
        assert compute(margin, scene) == expected
        missed += expected[-1]


def test_every_leaf_stands_under_one_root(margin: Contract, seed: int) -> None:
    """Whatever byte of M* behind the exhibit is changed, the call reverts or answers with another root, so nobody
    believes it."""
    random = Random(seed)
    tried = 0
    while tried < 60:
        scene = draw_scene(random, PARAMETER_SETS["keel"])
        entries, root, count = scene.list_leaves()
        if count < 3:
            continue
        arguments = list(scene.call())
        place = random.randrange(len(entries))
        forged = bytearray(scene.name_exhibit().encode() + entries)
        forged[EXHIBIT_BYTES + place] ^= 1 << random.randrange(8)
        arguments[0] = bytes(forged)
        outcome = margin.read("compute", *arguments)
        assert outcome.reverted or outcome.value[3] != root
        tried += 1


def draw_marked(random: Random, scene: Scene) -> list[Instrument]:
    """One to four instruments on one underlying of a scene, ascending."""
    underlying = random.choice([get_index(key) for key in scene.leaves if _is_of(key, Collection.UNDERLYINGS)])
    listed = [get_index(key) for key in scene.leaves if _is_of(key, Collection.EXPIRIES)]
    days = [index & 0xFFFF for index in listed if index >> 16 == underlying]
    quote = decode_underlying(scene.leaves[underlying_key(underlying)])
    assert quote is not None
    instruments = [perpetual(underlying)]
    for expiry in (day * EXPIRY_STEP + EXPIRY_SECOND_OF_DAY for day in days):
        strikes = [min(max(int(quote.spot * 2 ** random.gauss(0, 0.5)), 1), (1 << 40) - 1) for _ in range(2)]
        instruments.append(future(underlying, expiry))
        instruments += [kind(underlying, expiry, strike) for kind in (put, call) for strike in strikes]
    return sorted(set(random.sample(instruments, min(len(instruments), random.randrange(1, 5)))))


def _is_of(key: int, collection: Collection) -> bool:
    return get_collection(key) is collection  # type: ignore[arg-type]


def test_marks(margin: Contract, seed: int) -> None:
    """Of perpetuals, futures and options, live, due and settled, where no rules of margin are read."""
    random = Random(seed)
    for _ in range(80):
        scene = draw_scene(random, PARAMETER_SETS["keel"])
        instruments = draw_marked(random, scene)
        ledger = Ledger(scene.leaves)
        quote = ledger.require_underlying(instruments[0].underlying)
        expected = [
            compute_mark(
                instrument,
                quote,
                None
                if instrument.kind == PERPETUAL
                else ledger.require_expiry(instrument.underlying, instrument.expiry),
                scene.time,
            )
            for instrument in instruments
        ]
        tree = build_tree(scene.leaves.items())
        witness = b"".join(leaf.encode() for leaf in build_leaves(tree, ledger.reads, {}))
        numbers = [int.from_bytes(instrument.encode()) for instrument in instruments]
        outcome = margin.read("compute_marks", b"before" + witness + b"behind", 6, scene.time, numbers).value
        marks, underlying_mark, root, end, is_missing = outcome
        assert list(marks) == expected + [0] * (4 - len(expected))
        assert (underlying_mark, root, end, is_missing) == (quote.mark, tree.root, 6 + len(witness), False)


def test_marks_of_what_is_not_listed(margin: Contract, seed: int) -> None:
    """An expiry without a leaf: reading stops behind it."""
    random = Random(seed)
    scene = draw_scene(random, PARAMETER_SETS["keel"])
    unlisted = call(0, 30_000 * EXPIRY_STEP + EXPIRY_SECOND_OF_DAY, 5)
    tree = build_tree(scene.leaves.items())
    keys = (underlying_key(0), expiry_key(0, unlisted.expiry))
    reads = {key: scene.leaves.get(key, b"") for key in keys}
    witness = b"".join(leaf.encode() for leaf in build_leaves(tree, reads, {}))
    number = int.from_bytes(unlisted.encode())
    *_, root, end, is_missing = margin.read("compute_marks", witness, 0, scene.time, [number]).value
    assert (root, end, is_missing) == (tree.root, len(witness), True)


def read_rows(columns: int) -> list[list[str]]:
    """The rows of the tables of risk/SPEC.md section 12 with so many columns, headings aside."""
    section = (PROJECT / "risk" / "SPEC.md").read_text().partition("## 12. On L1")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"]
    return [row for row in rows if len(row) == columns and any(cell.isdigit() for cell in row)]


def test_sizes() -> None:
    """Each contract has as many bytes as published, below EIP-170's limit."""
    rows = read_rows(columns=3)
    assert len(rows) == 4
    for path, _, size in rows:
        assert compile_contract(path.strip("`").removeprefix("contracts/").removesuffix(".vy")).runtime_size == int(
            size
        )
        assert int(size) < MAX_RUNTIME_SIZE


@pytest.mark.parametrize("row", read_rows(columns=5), ids=lambda row: row[0])
def test_gas(margin: Contract, row: list[str], seed: int) -> None:
    """The dearest accounts of so many options cost what is published, to 2 %, and their margins are right."""
    options, expiries, gas, size = (int(cell) for cell in row[:4])
    scene = build_dearest_scene(Random(seed), PARAMETER_SETS["keel"], options, expiries)
    outcome = margin.read("compute", *scene.call())
    print(f"{options} options and 4, {expiries} expiries, before and after: {outcome.execution_gas} gas")
    assert abs(outcome.execution_gas - gas) < gas // 50
    assert EXHIBIT_BYTES + len(scene.list_leaves()[0]) == size
    before, after, *rest = outcome.value
    assert (tuple(before), tuple(after), *rest) == scene.answer()
