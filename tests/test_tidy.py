"""Every file keeps the rules of tidy.py, and every rule has examples that it must catch: one that catches
nothing would be worthless.
"""

from collections.abc import Callable, Iterator

import pytest

from tests import tidy
from tests.tidy import Source

Rule = Callable[[Source], Iterator[str]]
Relation = Callable[[tuple[Source, ...]], Iterator[str]]

RULES: dict[Rule, list[tuple[str, str]]] = {
    tidy.imports_flow_one_way: [
        ("state/x.py", "import node.l1"),
        ("node/x.py", "from . import l1"),
        ("risk/x.py", "import tests.evm"),
    ],
    tidy.advisory_files_stay_outside: [
        ("risk/x.py", "from risk.generate_tables import main"),
        ("state/x.py", "from risk import generate_tables"),
    ],
    tidy.libraries_stand_where_they_may: [
        ("node/x.py", "import plyvel"),
        ("state/x.py", "import trio"),
        ("tests/x.py", "import requests"),
    ],
    tidy.core_imports_nothing_impure: [
        ("risk/x.py", "import time"),
        ("state/x.py", "from os import environ"),
        ("sequencer/x.py", "from math import sqrt"),
    ],
    tidy.core_is_exact: [
        ("risk/x.py", "a = 0.5"),
        ("risk/x.py", "a /= 2"),
        ("state/x.py", "a = b / c"),
        ("sequencer/x.py", "a = float(b)"),
        ("fraud_proofs/x.py", "import math\na = math.log(b)"),
        ("fraud_proofs/x.py", "a = open(b)"),
    ],
    tidy.core_iterates_no_set: [
        ("risk/x.py", "for a in {1, 2}: pass"),
        ("risk/x.py", "a = set(b).pop()"),
        ("state/x.py", "def f(a: set[int]): return [b for b in a]"),
        ("sequencer/x.py", "a = frozenset(b)\nc = tuple(a - d)"),
        ("fraud_proofs/x.py", "class A:\n    a: set[int]\n\n    def f(self): return list(self.a)"),
    ],
    tidy.functions_fit_a_screen: [
        ("node/x.py", "def f():\n" + "    pass\n" * tidy.MAX_FUNCTION_LINES),
        ("contracts/x.vy", "def f(\n    a: uint256,\n):\n" + "    pass\n\n" * (tidy.MAX_FUNCTION_LINES // 2)),
    ],
    tidy.lines_fit_the_width: [("contracts/x.vy", "#" * (tidy.LINE_LENGTH + 1))],
    tidy.names_say_something: [("node/utils.py", ""), ("tests/helpers/x.py", "")],
    tidy.modules_say_what_they_are: [
        ("node/x.py", "import trio"),
        ("tests/test_x.py", '"""Tests."""\ndef test_x(): pass'),
    ],
    tidy.nothing_is_unfinished: [("README.md", "TO" + "DO: write"), ("contracts/x.vy", "# FIX" + "ME")],
    tidy.nothing_names_a_machine: [("README.md", "cd /" + "home/me"), ("x.lock", "https://pypi.or" + "g/simple")],
    tidy.contracts_hold_no_python: [("contracts/x.py", "")],
}
"""Rule -> files that it must catch: path and text."""

RELATIONS: dict[Relation, list[dict[str, str]]] = {
    tidy.every_test_has_its_module: [{"tests/risk/test_gone.py": "", "risk/here.py": ""}],
    tidy.mirrors_face_each_other: [
        {"risk/x.py": '"""X.\n\nMirrors contracts/gone.vy.\n"""'},
        {
            "risk/x.py": '"""X. Mirrors a and b of\ncontracts/x.vy."""',
            "contracts/x.vy": '"""\n@dev Mirrors risk/y.py.\n"""',
            "risk/y.py": '"""Y. Mirrors contracts/x.vy."""',
        },
    ],
    tidy.contracts_are_listed: [
        {"contracts/README.md": "`x.vy`", "contracts/x.vy": "", "contracts/y.vy": ""},
        {"contracts/README.md": "`x.vy`"},
    ],
}
"""Relation -> sets of files that it must catch."""


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_every_file_keeps(rule: Rule) -> None:
    """Each file keeps each rule; a failure lists file, line and what is allowed."""
    broken = [sentence for source in tidy.read_sources() for sentence in rule(source)]

    assert not broken, "\n" + "\n".join(broken)


@pytest.mark.parametrize("relation", RELATIONS, ids=lambda relation: relation.__name__)
def test_all_files_keep(relation: Relation) -> None:
    """The files stand to each other as they should."""
    broken = list(relation(tidy.read_sources()))

    assert not broken, "\n" + "\n".join(broken)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_rule_catches_its_examples(rule: Rule) -> None:
    """Every rule bites."""
    for path, text in RULES[rule]:
        assert list(rule(Source(path, text))), f"{path} was let through: {text[:80]}"


@pytest.mark.parametrize("relation", RELATIONS, ids=lambda relation: relation.__name__)
def test_relation_catches_its_examples(relation: Relation) -> None:
    """Every relation bites."""
    for files in RELATIONS[relation]:
        assert list(relation(tuple(Source(path, text) for path, text in files.items()))), f"let through: {files}"


def test_tables_name_only_what_exists() -> None:
    """An exception for a file that is gone would wait for the next file of that name."""
    gone = [path for path in [*tidy.ADVISORY, *tidy.BRIDGES, *tidy.EDGES] if not (tidy.PROJECT / path).exists()]

    assert not gone


def test_messages_name_what_is_allowed() -> None:
    """A broken import is told from its message alone."""
    (message,) = tidy.imports_flow_one_way(Source("state/x.py", "import node"))

    assert message == "state/x.py:1 imports node; state may import: risk"
