"""contracts/README.md says what is so: its parity table names functions and tests that exist."""

import ast
import re

from node.contracts import PROJECT, SOURCES

PARITY_ROW = re.compile(r"^\| `(\S+\.py)` `(\w+)` \| `(\w+\.vy)` `(\w+)` \| `(\S+\.py)` \|$", re.MULTILINE)


def list_python_functions(path: str) -> set[str]:
    """Names of functions and methods in a file of the project."""
    tree = ast.parse((PROJECT / path).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def list_vyper_functions(name: str) -> set[str]:
    return set(re.findall(r"^def (\w+)\(", (SOURCES / name).read_text(), re.MULTILINE))


def test_parity_table_names_what_exists() -> None:
    """Every row gives a Python function, a Vyper function and a test file, all of which are there."""
    text = (SOURCES / "README.md").read_text().partition("## Parity")[2].partition("\n## ")[0]
    rows = PARITY_ROW.findall(text)
    assert len(rows) == text.count("\n| `"), "a row of another form"
    for python, function, vyper, twin, test in rows:
        assert function in list_python_functions(python), f"{python} {function}"
        assert twin in list_vyper_functions(vyper), f"{vyper} {twin}"
        assert (PROJECT / test).is_file(), test


def test_nothing_deployed_can_change() -> None:
    """No contract runs foreign code as its own, makes other contracts, or destroys itself."""
    for path in SOURCES.glob("*.vy"):
        assert not re.search(r"is_delegate_call|selfdestruct|create_\w+\(", path.read_text()), path.name
