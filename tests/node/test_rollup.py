"""The typed rollup is the compiled one; anything else at the address is told apart from it."""

from collections.abc import Iterator
from typing import Any

import pytest
from eth_utils.abi import get_abi_input_types, get_abi_output_types

from node.contracts import compile_contract
from node.errors import L1Inconsistent, WrongContract
from node.governance import GOVERNOR_ABI
from node.l1 import L1
from node.rollup import ABI, TOKEN_ABI, Rollup
from node.wind_down import WIND_DOWN_ABI
from sequencer.derivation import L1Cursor
from state.l1_events import GenesisSet
from tests.node.flaky_proxy import Answer, run_proxy
from tests.node.town import TERMS, Town, open_town


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with open_town(tmp_path_factory.mktemp("rollup")) as running:
        yield running


def test_abi_is_that_of_the_contracts() -> None:
    """Every function that a node calls has the types of the compiled contract."""
    for contract, table in (
        ("rollup", ABI),
        ("token", TOKEN_ABI),
        ("wind_down", WIND_DOWN_ABI),
        ("governor", GOVERNOR_ABI),
    ):
        compiled: dict[str, Any] = {e["name"]: e for e in compile_contract(contract).abi if e["type"] == "function"}
        for name, signature in table.items():
            assert list(signature.inputs) == get_abi_input_types(compiled[name]), name
            if signature.outputs:
                assert list(signature.outputs) == get_abi_output_types(compiled[name]), name


def test_views_answer(town: Town) -> None:
    """Terms, assets, batches and roles, read from the chain."""
    rollup = town.rollup
    genesis = rollup.get_batch(0)

    rollup.check_identity()
    assert rollup.get_terms() == TERMS
    assert rollup.get_asset(1).unit == 10**9
    assert genesis is not None
    assert genesis.hash == town.launch.at(genesis.time).genesis.batch_hash
    assert rollup.get_batch(1) is None
    assert rollup.get_slot_holder() is None
    assert rollup.view("bond_of", bytes(20)) == 0


def test_nothing_at_the_address_is_named(town: Town) -> None:
    """No code: the error says where it looked."""
    with pytest.raises(WrongContract, match=r"no contract at 0x0505.* on chain 31337"):
        Rollup(town.l1, bytes([5]) * 20).check_identity()


def test_another_contract_is_no_rollup(town: Town) -> None:
    """The judge and a token have code, but no DOMAIN."""
    for address in (town.rollup.view("JUDGE"), town.dollar):
        with pytest.raises(WrongContract, match="is not a Keel rollup: it has no DOMAIN"):
            Rollup(town.l1, address).check_identity()


def test_a_rollup_of_another_version_is_refused(town: Town) -> None:
    """Whatever answers DOMAIN must answer the domain of this protocol, chain and address."""
    with run_proxy(town.anvil.url) as proxy:
        proxy.rules["eth_call"] = lambda request: Answer("0x" + "ab" * 32)
        with pytest.raises(WrongContract, match="not a Keel rollup of this version: its domain is abab"):
            Rollup(L1([proxy.url]), town.rollup.address).check_identity()


def test_logs_that_cannot_be_are_inconsistent(town: Town) -> None:
    """An endpoint that hides the genesis is found out."""
    birth, head = town.l1.find_birth(town.rollup.address), town.l1.get_block().number
    _, events = town.rollup.read_events(L1Cursor(), birth, head)
    assert isinstance(events[0], GenesisSet)
    sender = town.open_sender("alice")
    town.deposit_ether(sender, 10**8)

    with pytest.raises(L1Inconsistent, match="genesis must be first"):
        town.rollup.read_events(L1Cursor(), head + 1, town.l1.get_block().number)
