"""From the Vyper sources in `contracts/` to what a deployment needs: ABI, creation code, size on chain.

Compilation takes a second or so per contract, so results are kept under `.cache/contracts/`. An entry lists
every source the compiler read, imported modules too, with its digest, and serves only while all of them still
match; it can be stale in no other way, since compiler version and settings are in its file name.
"""

import hashlib
import json
import os
import tempfile
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent
SOURCES = PROJECT / "contracts"
CACHE = PROJECT / ".cache" / "contracts"

EVM_VERSION = "cancun"
"""What every L1 we care for runs, and the newest that the in-process EVM of the tests implements."""

MAX_RUNTIME_SIZE = 24_576
"""Bytes of code an account may hold (EIP-170)."""

OPTIMIZATION: dict[str, str] = {}
"""Contract name -> "codesize" where EIP-170 is near. Everything else is built for least gas."""


@dataclass(frozen=True)
class Artifact:
    """One compiled contract.

    `bytecode` is the creation code, to which ABI-encoded constructor arguments are appended. `runtime_size`
    counts the bytes that end up on chain, immutables included, and is what EIP-170 limits.
    """

    name: str
    abi: list[dict[str, Any]]
    bytecode: bytes
    runtime_size: int


def list_contracts() -> list[str]:
    """Names of all sources in `contracts/`, modules included, sorted."""
    return sorted(path.stem for path in SOURCES.glob("*.vy"))


def compile_contract(name: str) -> Artifact:
    """Compile `contracts/<name>.vy`, or take it from the cache.

    Raises FileNotFoundError for an unknown name, else the compiler's own exceptions, which point at the line.
    """
    source = SOURCES / f"{name}.vy"
    if not source.exists():
        raise FileNotFoundError(f"no contract {name!r}; there are: {', '.join(list_contracts()) or 'none'}")
    entry = CACHE / f"{name}-{version('vyper')}-{EVM_VERSION}-{OPTIMIZATION.get(name, 'gas')}.json"
    artifact = _read_cached(entry)
    if artifact is None:
        artifact, read = _compile(name, source.read_text(), source)
        _write_cached(entry, artifact, read)
    return artifact


def compile_source(source: str, name: str = "unnamed") -> Artifact:
    """Compile Vyper text; it may import the modules in `contracts/`. Not cached."""
    artifact, _ = _compile(name, source, SOURCES / f"{name}.vy")
    return artifact


def _compile(name: str, source: str, path: Path) -> tuple[Artifact, list[Path]]:
    """Return the artifact and every file that was read for it."""
    # Imported here because loading the compiler takes longer than serving every contract from the cache.
    from vyper.compiler import compile_from_file_input
    from vyper.compiler.input_bundle import FileInput, FilesystemInputBundle
    from vyper.compiler.settings import OptimizationLevel, Settings

    optimization = OPTIMIZATION.get(name)
    settings = Settings(
        # None leaves the choice to a pragma in the source, and to least gas where there is none.
        optimize=OptimizationLevel.from_string(optimization) if optimization else None,
        evm_version=EVM_VERSION,
        experimental_codegen=False,
    )
    bundle = FilesystemInputBundle([SOURCES])
    output = compile_from_file_input(
        FileInput(source_id=-1, path=Path(path.name), resolved_path=path, contents=source),
        input_bundle=bundle,
        settings=settings,
        output_formats=["abi", "bytecode", "bytecode_runtime", "layout"],
        no_bytecode_metadata=True,  # the size limit is for code
    )
    runtime_size = len(bytes.fromhex(output["bytecode_runtime"][2:]))
    runtime_size += _count_immutable_bytes(output["layout"].get("code_layout", {}))
    artifact = Artifact(name, output["abi"], bytes.fromhex(output["bytecode"][2:]), runtime_size)
    # The compiler (pinned) has no public list of the files it loaded; it numbers them in this one.
    return artifact, [path, *bundle._source_ids]


def _count_immutable_bytes(code_layout: dict[str, Any]) -> int:
    """Add up a layout of immutables, in which an imported module is a layout of its own."""
    return sum(
        entry["length"] if isinstance(entry.get("length"), int) else _count_immutable_bytes(entry)
        for entry in code_layout.values()
    )


def _read_cached(entry: Path) -> Artifact | None:
    """Return the entry's artifact if every source it was made from is unchanged."""
    try:
        cached = json.loads(entry.read_text())
    except FileNotFoundError:
        return None
    if any(_digest(PROJECT / path) != digest for path, digest in cached["sources"].items()):
        return None
    fields = cached["artifact"]
    return Artifact(**(fields | {"bytecode": bytes.fromhex(fields["bytecode"])}))


def _write_cached(entry: Path, artifact: Artifact, sources: list[Path]) -> None:
    cached = {
        "sources": {path.relative_to(PROJECT).as_posix(): _digest(path) for path in sources},
        "artifact": asdict(artifact) | {"bytecode": artifact.bytecode.hex()},
    }
    entry.parent.mkdir(parents=True, exist_ok=True)
    # Two test runs may compile at once: each writes its own file, and the rename is atomic.
    with tempfile.NamedTemporaryFile("w", dir=entry.parent, delete=False) as file:
        json.dump(cached, file)
    os.replace(file.name, entry)


def _digest(path: Path) -> str | None:
    """SHA-256 of a file, None where there is none (an imported module may have been renamed)."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else None
