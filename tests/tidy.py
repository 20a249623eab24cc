"""The rules of the house: what each source file may import, use and be called, read from the files themselves.

A rule goes from a file to sentences, one for each place that breaks it; a relation does so from all files. The
tables at the top say what is allowed, and why where that is not plain. test_tidy.py holds every file to the rules.
"""

import ast
import functools
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
LINE_LENGTH = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["ruff"]["line-length"]
MAX_FUNCTION_LINES = 70

MAY_IMPORT = {
    "risk": [],
    "state": ["risk"],
    "sequencer": ["risk", "state"],
    "fraud_proofs": ["risk", "state"],
    "node": ["risk", "state", "sequencer", "fraud_proofs"],
    "devnet": ["risk", "state", "sequencer", "fraud_proofs", "node"],
    "tests": ["risk", "state", "sequencer", "fraud_proofs", "node", "devnet"],
}
"""Package -> packages it may import, besides itself."""

ADVISORY = {
    "risk/fast.py": "the formulas over arrays, for admission and reports; tests compare it with the exact ones",
    "risk/fast_scenarios.py": "scenarios over arrays; its tests hold it to the reference",
    "risk/decimals.py": "reads JSON and decimals into the kernel's integers, once, at the edge",
    "risk/account_files.py": "reads accounts that people write",
    "risk/explain_plot.py": "draws",
    "risk/quotes.py": "reads quotes and writes decimals for people",
    "risk/pm2.py": "reads a venue's case files",
    "risk/fast_margin.py": "margin of many accounts over arrays; its test holds it to the reference",
    "risk/implied.py": "implied vols and fitted surfaces, for readings; never margin",
    "risk/value_at_risk.py": "simulated and historical tails, for margin calls; never margin",
    "risk/generate_tables.py": "computes the tables that are pinned in risk/SPEC.md; not imported by the core",
}
"""File in a pure package -> why it may use floats, arrays and files: nothing that reaches a root imports it."""

BRIDGES = {
    "risk/fast_account.py": "margin by compiled code; the reference defines it and answers where int64 might not do",
    "sequencer/sweep.py": "who is short of margin, among all accounts; a proposal that the ops' own checks decide",
}
"""File of the core that may import advisory ones, since its tests hold every answer to the last bit -> why."""

EDGES = {
    "state/store.py": "the disk",
}
"""File in a pure package -> the part of the world that it is there to touch."""

WORLD = ["node/*", "devnet/*", "tests/*"]
L1_CLIENTS = ["node/l1.py", "devnet/*", "tests/*"]
NUMERICS = [*ADVISORY, "tests/*"]

LIBRARIES = {
    "plyvel": ["state/store.py"],
    "msgpack": ["state/codec.py", "node/*", "tests/*"],
    "nacl": ["state/signatures.py", *WORLD],
    "coincurve": ["state/signatures.py", *WORLD],
    "eth_hash": ["state/signatures.py", *WORLD],
    "trio": WORLD,
    "prometheus_client": ["node/*", "tests/*"],
    "web3": L1_CLIENTS,
    "eth_account": L1_CLIENTS,
    "eth_abi": L1_CLIENTS,
    "eth_utils": L1_CLIENTS,
    "vyper": ["node/contracts.py", "tests/*"],
    "pyrevm": ["tests/*"],
    "pytest": ["tests/*"],
    "hypothesis": ["tests/*"],
    "xdist": ["tests/workers.py"],
    "llvmlite": NUMERICS,
    "matplotlib": NUMERICS,
    "mpmath": NUMERICS,
    "numba": NUMERICS,
    "numpy": [*NUMERICS, "sequencer/sweep.py"],
    "QuantLib": NUMERICS,
    "scipy": NUMERICS,
    "vollib": NUMERICS,
}
"""Library -> files that may import it."""

PURE_STANDARD_LIBRARY = {
    "abc", "bisect", "collections", "contextlib", "dataclasses", "enum", "functools", "hashlib", "heapq", "itertools",
    "math", "operator", "struct", "types", "typing",
}  # fmt: skip
"""What the pure core may import: nothing with a clock, randomness, an environment or a disk."""

EXACT_MATH = {"ceil", "comb", "factorial", "floor", "gcd", "isqrt", "lcm", "prod"}
"""Of `math` what is exact on integers."""

IMPURE_BUILTINS = {
    "float": "floats round by machine",
    "complex": "floats round by machine",
    "hash": "it differs from run to run",
    "id": "it differs from run to run",
    "open": "the core has no disk",
    "input": "the core has no terminal",
    "print": "the core has no terminal",
    "eval": "it hides what it uses",
    "exec": "it hides what it uses",
    "__import__": "it hides what it uses",
}

ORDERED = {"list", "tuple", "iter", "next", "enumerate", "zip", "map", "filter"}
"""Builtins whose result shows the order of what they are given."""

TESTS_WITHOUT_MODULE = {
    "tests/test_tidy.py": "about every file",
    "tests/test_packaging.py": "about what an installation holds",
    "tests/*/test_spec.py": "about the package's SPEC.md",
    "tests/*/test_invariants.py": "about whole histories of the package",
    "tests/*/test_never_stuck.py": "about whole histories of the package",
    "tests/parity/*": "about Python and contract together",
    "tests/simulation/*": "about the whole system",
    "tests/attacks/*": "about whoever means harm",
    "tests/torture/*": "about kill -9 of any process",
    "tests/node/test_vertical.py": "about all roles together",
    "tests/fraud_proofs/test_worst_case.py": "about the dearest proof of every kind",
}

NAMES_THAT_SAY_NOTHING = {"utils", "util", "helpers", "helper", "common", "misc", "base", "core", "lib", "stuff"}

# Written in pieces, or this file would break its own rules.
UNFINISHED = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK"]) + r")\b")
MACHINE_PATH = re.compile("/" + r"(work|root|home|Users)/")
REGISTRY = re.compile(r"pypi\.or" + r"g|pythonhosted\.or" + r"g|registry\.npmj" + r"s|registry\.yarnp" + "kg")


@dataclass(frozen=True)
class Source:
    """A file: its path from the project root, and its text."""

    path: str
    text: str

    @property
    def package(self) -> str:
        return self.path.split("/")[0]

    @functools.cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.path)

    @property
    def is_python(self) -> bool:
        return self.path.endswith(".py")

    @property
    def is_pure(self) -> bool:
        """Whether this belongs to the core that every node must compute alike."""
        pure_package = self.package in {"risk", "state", "sequencer", "fraud_proofs"}
        return self.is_python and pure_package and self.path not in ADVISORY and self.path not in EDGES

    def at(self, node: ast.AST) -> str:
        return f"{self.path}:{getattr(node, 'lineno', 1)}"


@functools.cache
def read_sources() -> tuple[Source, ...]:
    """Every text file that is in the repository or would be added to it."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True).stdout.splitlines()
    paths = sorted(path for path in listed if (PROJECT / path).is_file())
    return tuple(Source(path, (PROJECT / path).read_bytes().decode(errors="replace")) for path in paths)


def list_imports(source: Source) -> Iterator[tuple[ast.stmt, str]]:
    """Each import statement with the full name of a module it loads."""
    for node in ast.walk(source.tree) if source.is_python else ():
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node, "." * node.level + (node.module or "")


# Imports


def imports_flow_one_way(source: Source) -> Iterator[str]:
    """risk <- state <- {sequencer, fraud_proofs} <- node <- devnet; tests may import all, nobody imports tests."""
    for node, module in list_imports(source) if source.package in MAY_IMPORT else ():
        package = module.split(".")[0]
        if module.startswith("."):
            yield f"{source.at(node)} imports {module}; imports are absolute here"
        elif package in MAY_IMPORT and package != source.package and package not in MAY_IMPORT[source.package]:
            allowed = ", ".join(MAY_IMPORT[source.package]) or "no other package"
            yield f"{source.at(node)} imports {package}; {source.package} may import: {allowed}"


def advisory_files_stay_outside(source: Source) -> Iterator[str]:
    """What may be inexact is imported by nothing that must be exact."""
    advisory = {path.removesuffix(".py").replace("/", ".") for path in ADVISORY}
    for node in ast.walk(source.tree) if source.is_pure and source.path not in BRIDGES else ():
        if isinstance(node, ast.Import):
            imported = {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported = {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
        else:
            continue
        for name in sorted(imported & advisory):
            yield f"{source.at(node)} imports {name}, which is advisory, into the pure core"


def libraries_stand_where_they_may(source: Source) -> Iterator[str]:
    """Each library is imported only where the table says; one that is not in the table, nowhere."""
    for node, module in list_imports(source) if source.package in MAY_IMPORT else ():
        library = module.split(".")[0]
        if not library or library in sys.stdlib_module_names or library in MAY_IMPORT:
            continue
        allowed = LIBRARIES.get(library, [])
        if not any(fnmatch(source.path, pattern) for pattern in allowed):
            yield f"{source.at(node)} imports {library}; that may only: {', '.join(allowed) or 'no file'}"


# The pure core


def core_imports_nothing_impure(source: Source) -> Iterator[str]:
    """The core takes from the standard library only what has no clock, randomness, environment or disk."""
    for node, module in list_imports(source) if source.is_pure else ():
        top = module.split(".")[0]
        if top in sys.stdlib_module_names and top not in PURE_STANDARD_LIBRARY:
            yield f"{source.at(node)} imports {module} into the pure core"
        if isinstance(node, ast.ImportFrom) and module == "math":
            inexact = {alias.name for alias in node.names} - EXACT_MATH
            yield from (f"{source.at(node)} uses math.{name}, which is not exact" for name in sorted(inexact))


def core_is_exact(source: Source) -> Iterator[str]:
    """No float literal, no true division, no builtin that differs between machines or runs."""
    for node in ast.walk(source.tree) if source.is_pure else ():
        match node:
            case ast.Constant(value=float() | complex() as value):
                yield f"{source.at(node)} has the float {value}"
            case ast.BinOp(op=ast.Div()) | ast.AugAssign(op=ast.Div()):
                yield f"{source.at(node)} divides with /; name the rounding and use //"
            case ast.Name(id=name, ctx=ast.Load()) if name in IMPURE_BUILTINS:
                yield f"{source.at(node)} uses {name}: {IMPURE_BUILTINS[name]}"
            case ast.Attribute(value=ast.Name(id="math"), attr=name) if name not in EXACT_MATH:
                yield f"{source.at(node)} uses math.{name}, which is not exact"


def core_iterates_no_set(source: Source) -> Iterator[str]:
    """The order of a set is nobody's promise: go through `sorted`."""
    if not source.is_pure:
        return
    names = set(_list_names_of_sets(source.tree))
    for iterated in _list_iterated(source.tree):
        if _is_set(iterated, names):
            yield f"{source.at(iterated)} depends on the order of a set: {ast.unparse(iterated)}"


def _list_iterated(tree: ast.Module) -> Iterator[ast.expr]:
    """Expressions whose order shows: looped over, unpacked, joined, turned into a sequence, popped from."""
    for node in ast.walk(tree):
        match node:
            case ast.For(iter=iterated) | ast.comprehension(iter=iterated) | ast.Starred(value=iterated):
                yield iterated
            case ast.Call(func=ast.Name(id=name), args=arguments) if name in ORDERED:
                yield from arguments
            case ast.Call(func=ast.Attribute(attr="join"), args=arguments):
                yield from arguments
            case ast.Call(func=ast.Attribute(attr="pop", value=popped), args=[]):
                yield popped


def _list_names_of_sets(tree: ast.Module) -> Iterator[str]:
    """Names of variables, fields and arguments that are declared as sets or assigned one."""
    for node in ast.walk(tree):
        match node:
            case ast.AnnAssign(target=ast.Name(id=name), annotation=kind) | ast.arg(arg=name, annotation=kind):
                if kind and re.match(r"(set|frozenset|Set|AbstractSet|MutableSet)\b", ast.unparse(kind)):
                    yield name
            case ast.Assign(targets=[ast.Name(id=name) | ast.Attribute(attr=name)], value=value):
                if _is_set(value, set()):
                    yield name


def _is_set(node: ast.expr, names: set[str]) -> bool:
    match node:
        case ast.Set() | ast.SetComp() | ast.Call(func=ast.Name(id="set" | "frozenset")):
            return True
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name in names
        case ast.BinOp(left=left, op=ast.BitAnd() | ast.BitOr() | ast.BitXor() | ast.Sub(), right=right):
            return _is_set(left, names) or _is_set(right, names)
        case ast.Call(func=ast.Attribute(value=value, attr="union" | "intersection" | "difference" | "copy")):
            return _is_set(value, names)
    return False


# Form


def functions_fit_a_screen(source: Source) -> Iterator[str]:
    """At most 70 lines, Python and Vyper alike."""
    if source.is_python:
        functions = [n for n in ast.walk(source.tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
        lengths = [(n.name, n.lineno, (n.end_lineno or n.lineno) - n.lineno + 1) for n in functions]
    elif source.path.endswith(".vy"):
        lengths = list(_measure_vyper_functions(source.text))
    else:
        return
    for name, line, length in lengths:
        if length > MAX_FUNCTION_LINES:
            yield f"{source.path}:{line} {name} has {length} lines; a screen has {MAX_FUNCTION_LINES}"


def _measure_vyper_functions(text: str) -> Iterator[tuple[str, int, int]]:
    """Name, first line and length: from `def` to the last line that is indented, or closes the signature."""
    for match in re.finditer(r"^def (\w+)[^\n]*\n(?:(?:[ \t)][^\n]*)?\n)*", text, re.MULTILINE):
        yield match[1], text.count("\n", 0, match.start()) + 1, match[0].rstrip().count("\n") + 1


def lines_fit_the_width(source: Source) -> Iterator[str]:
    """Sources keep to ruff's line length; so do contracts."""
    for number, line in enumerate(source.text.split("\n") if source.path.endswith((".py", ".vy")) else (), start=1):
        if len(line) > LINE_LENGTH:
            yield f"{source.path}:{number} has {len(line)} characters; a line has {LINE_LENGTH}"


def names_say_something(source: Source) -> Iterator[str]:
    """No drawer for what found no place."""
    for part in source.path.split("/"):
        if part.split(".")[0] in NAMES_THAT_SAY_NOTHING:
            yield f"{source.path}: {part} says nothing about what is in it"


def modules_say_what_they_are(source: Source) -> Iterator[str]:
    """Every module opens with a docstring, and every test is a sentence."""
    if not source.is_python:
        return
    if not ast.get_docstring(source.tree):
        yield f"{source.path} has no docstring"
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if node.name.startswith("test_") and not ast.get_docstring(node):
            yield f"{source.at(node)} {node.name} does not say in a sentence what it shows"


def nothing_is_unfinished(source: Source) -> Iterator[str]:
    """What is to be done is done, or is not in the tree."""
    for number, line in enumerate(source.text.split("\n"), start=1):
        if found := UNFINISHED.search(line):
            yield f"{source.path}:{number} has a {found[0]}"


def nothing_names_a_machine(source: Source) -> Iterator[str]:
    """No path of one machine and no host of a package registry: they differ from place to place."""
    for number, line in enumerate(source.text.split("\n"), start=1):
        if found := MACHINE_PATH.search(line) or REGISTRY.search(line):
            yield f"{source.path}:{number} names {found[0]}"


def contracts_hold_no_python(source: Source) -> Iterator[str]:
    """The contracts are Vyper; what is generated for them is generated elsewhere."""
    if source.package == "contracts" and source.is_python:
        yield f"{source.path} is Python among the contracts"


# Relations between files


def every_test_has_its_module(sources: tuple[Source, ...]) -> Iterator[str]:
    """tests/<package>/test_<module>[_<subject>].py tests <package>/<module>, in Python or Vyper."""
    paths = {source.path for source in sources}
    for path in sorted(paths):
        found = re.fullmatch(r"tests/(?:(.+)/)?test_(\w+)\.py", path)
        if found is None or any(fnmatch(path, pattern) for pattern in TESTS_WITHOUT_MODULE):
            continue
        folder, words = found[1] or "tests", found[2].split("_")
        modules = ["_".join(words[:count]) for count in range(len(words), 0, -1)]
        if not any(f"{folder}/{module}{suffix}" in paths for module in modules for suffix in (".py", ".vy")):
            yield f"{path} tests {folder}/{found[2]}, which does not exist"


def list_mirrors(source: Source) -> list[str]:
    """Paths in the clauses "Mirrors ..." of a module's docstring or a contract's header, ended by `.`, `;` or `:`."""
    text = (ast.get_docstring(source.tree) or "") if source.is_python else source.text.partition("\nimport ")[0]
    clauses = re.findall(r"\bMirrors .*?(?:[.;:](?=\s)|\Z)", text, re.DOTALL)
    return [path for clause in clauses for path in re.findall(r"\w+/\w+\.(?:py|vy)\b", clause)]


def mirrors_face_each_other(sources: tuple[Source, ...]) -> Iterator[str]:
    """Where one says it mirrors another, the other exists and says the same."""
    mirrors = {s.path: list_mirrors(s) for s in sources if s.path.endswith((".py", ".vy")) and s.package != "tests"}
    for path, others in sorted(mirrors.items()):
        for other in others:
            if other not in mirrors:
                yield f"{path} mirrors {other}, which does not exist"
            elif path not in mirrors[other]:
                yield f"{path} mirrors {other}, which does not say so"


def contracts_are_listed(sources: tuple[Source, ...]) -> Iterator[str]:
    """contracts/README.md names every contract, and no other."""
    texts = {source.path: source.text for source in sources}
    contracts = {path.removeprefix("contracts/") for path in texts if fnmatch(path, "contracts/*.vy")}
    named = set(re.findall(r"\b\w+\.vy\b", texts.get("contracts/README.md", "")))
    yield from (f"contracts/README.md does not name {name}" for name in sorted(contracts - named))
    yield from (f"contracts/README.md names {name}, which does not exist" for name in sorted(named - contracts))
