"""Compiled contracts: what an artifact says is so on chain, and the cache never serves what has changed."""

from pathlib import Path

import pytest

from node import contracts
from tests.evm import Evm

MODULE = "@internal\n@pure\ndef _double(x: uint256) -> uint256:\n    return x * {factor}\n"
CONTRACT = """
import doubling

SCALE: immutable(uint256)
NAMES: immutable(bytes32[3])


@deploy
def __init__(scale: uint256):
    SCALE = scale
    NAMES = empty(bytes32[3])


@external
@view
def scale_up(x: uint256) -> uint256:
    return doubling._double(x) * SCALE
"""


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of one contract and one module, with a cache of its own."""
    folder = tmp_path / "contracts"
    folder.mkdir()
    (folder / "doubling.vy").write_text(MODULE.format(factor=2))
    (folder / "scaling.vy").write_text(CONTRACT)
    monkeypatch.setattr(contracts, "PROJECT", tmp_path)
    monkeypatch.setattr(contracts, "SOURCES", folder)
    monkeypatch.setattr(contracts, "CACHE", tmp_path / ".cache" / "contracts")
    return folder


def test_imported_module_resolves_and_size_is_that_on_chain(sources: Path) -> None:
    """A contract may import its neighbours; its size counts immutables, as EIP-170 does."""
    artifact = contracts.compile_contract("scaling")
    deployed = Evm().deploy_artifact(artifact, 5)

    assert deployed.read("scale_up", 3).value == 30
    assert artifact.runtime_size == deployed.code_size


def test_second_compilation_is_served_from_the_cache(sources: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unchanged contract is read back whole, and the compiler is not asked."""
    compiled = contracts.compile_contract("scaling")
    monkeypatch.setattr(contracts, "_compile", None)

    assert contracts.compile_contract("scaling") == compiled


@pytest.mark.parametrize("changed", ["scaling", "doubling"])
def test_change_of_any_source_compiles_anew(sources: Path, changed: str) -> None:
    """The cache follows the contract and every module it imports."""
    before = contracts.compile_contract("scaling")
    path = sources / f"{changed}.vy"
    path.write_text(path.read_text().replace("x * 2", "x * 3").replace("* SCALE", "* SCALE + 1"))

    assert contracts.compile_contract("scaling").bytecode != before.bytecode


def test_unknown_contract_names_those_there_are(sources: Path) -> None:
    """A misspelt name is answered with the right ones."""
    with pytest.raises(FileNotFoundError, match="doubling, scaling"):
        contracts.compile_contract("scalling")


def test_optimization_follows_the_table(sources: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A contract named in the table is built as the table says, and cached apart."""
    for_gas = contracts.compile_contract("scaling")
    monkeypatch.setitem(contracts.OPTIMIZATION, "scaling", "none")

    assert contracts.compile_contract("scaling").runtime_size > for_gas.runtime_size


def stands_alone(name: str) -> bool:
    """Not so a module that uses what a contract initializes for it: it compiles inside of that."""
    return "\nuses: " not in (contracts.SOURCES / f"{name}.vy").read_text()


@pytest.mark.parametrize("name", [name for name in contracts.list_contracts() if stands_alone(name)])
def test_every_contract_compiles_and_fits_on_chain(name: str) -> None:
    """Each source in contracts/ compiles without a warning, to no more code than an account may hold."""
    size = contracts.compile_contract(name).runtime_size

    assert size <= contracts.MAX_RUNTIME_SIZE
