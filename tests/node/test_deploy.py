"""A deployment stands as it was meant to, is read back from the chain, and is refused when its terms cannot work."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from node.amounts import ETHER
from node.anvil import Anvil
from node.contracts import MAX_RUNTIME_SIZE, compile_contract
from node.deploy import (
    JUDGE_CONTRACTS,
    check_deployment,
    deploy,
    list_types,
    read_deployment,
    write_deployment,
)
from node.errors import CallReverted, ConfigError, WrongContract
from node.keys import Secp256k1Key, create_key, parse_address
from node.l1 import L1
from node.launch import Launch, check_launch, compute_genesis_root
from node.rollup import ETH, Rollup
from node.transactions import Sender
from tests.node.town import build_launch, give_ether


@pytest.fixture
def sender(anvil: Anvil, tmp_path: Path) -> Sender:
    key = create_key(tmp_path / "founder.json", Secp256k1Key)
    assert isinstance(key, Secp256k1Key)
    give_ether(anvil, key, 100)
    return Sender(L1([anvil.url]), key, tmp_path / "founder.nonces", poll_seconds=0.01)


def test_everything_is_deployed_and_read_back(sender: Sender, tmp_path: Path) -> None:
    """Every contract stands within EIP-170 at the address its users know, and the record round-trips."""
    launch, lines = build_launch(), list[str]()

    deployment = deploy(sender, launch, lines.append)

    assert set(deployment.contracts) == {*JUDGE_CONTRACTS, "token_USD", "rollup"}
    assert len(lines) == len(deployment.contracts)
    for name, contract in deployment.contracts.items():
        assert 0 < contract.code_size <= MAX_RUNTIME_SIZE, name
        assert contract.code_size == compile_contract(name.split("_USD")[0]).runtime_size, name
    rollup = Rollup(sender.l1, deployment.address)
    assert rollup.view("JUDGE") == parse_address(deployment.contracts["judge"].address)
    assert rollup.view("RECEIPTS") == parse_address(deployment.contracts["receipts"].address)
    assert [rollup.get_asset(0).token, rollup.get_asset(1).token] == [parse_address(deployment.tokens[0]), ETH]
    genesis = rollup.get_batch(0)
    assert genesis is not None
    assert deployment.genesis_root == "0x" + genesis.root.hex()
    assert genesis.root == compute_genesis_root(launch.at(genesis.time).genesis)
    write_deployment(deployment, tmp_path / "deployment.json")
    assert read_deployment(tmp_path / "deployment.json") == deployment


def test_constructors_take_what_the_table_says() -> None:
    """Each contract of the table needs exactly those that stand before it."""
    for name in JUDGE_CONTRACTS:
        constructor: Any = next((e for e in compile_contract(name).abi if e["type"] == "constructor"), {"inputs": []})
        assert [entry["type"] for entry in constructor["inputs"]] == list_types(name), name


def test_a_chain_that_holds_something_else_is_noticed(sender: Sender) -> None:
    """Reading back compares genesis, terms and assets, not just that something is there."""
    launch = build_launch()
    deployment = deploy(sender, launch)
    rollup = Rollup(sender.l1, deployment.address)
    genesis = rollup.get_batch(0)
    assert genesis is not None
    launch = launch.at(genesis.time)
    check_deployment(rollup, launch)
    dollar, ether = launch.assets
    for wrong, complaint in [
        (replace(launch, genesis=replace(launch.genesis, time=1)), "another genesis"),
        (replace(launch, terms=launch.terms._replace(message_fee=1)), "other terms"),
        (replace(launch, assets=(dollar, replace(ether, unit=1))), "another asset 1"),
        (replace(launch, assets=(dollar, replace(ether, token=bytes([1]) * 20))), "another asset 1"),
    ]:
        with pytest.raises(WrongContract, match=complaint):
            check_deployment(rollup, wrong)


def test_a_genesis_in_the_future_is_refused_by_the_contract(sender: Sender) -> None:
    """What only the chain can know, the chain refuses, with its reason."""
    launch = build_launch()
    with pytest.raises(CallReverted, match="rollup: genesis time"):
        deploy(sender, replace(launch, genesis=replace(launch.genesis, time=1 << 40)))


def change_params(**changes: Any) -> Callable[[Launch], Launch]:
    def change(launch: Launch) -> Launch:
        genesis = replace(launch.genesis, params=replace(launch.genesis.params, **changes))
        return replace(launch, genesis=genesis)

    return change


def change_terms(**changes: int) -> Callable[[Launch], Launch]:
    return lambda launch: replace(launch, terms=launch.terms._replace(**changes))


def change_asset(number: int, **changes: Any) -> Callable[[Launch], Launch]:
    def change(launch: Launch) -> Launch:
        assets = [replace(a, **changes) if n == number else a for n, a in enumerate(launch.assets)]
        return replace(launch, assets=tuple(assets))

    return change


def change_margin(number: int, **changes: int) -> Callable[[Launch], Launch]:
    def change(launch: Launch) -> Launch:
        terms = launch.genesis.params.assets
        return change_params(assets=(*terms[:number], terms[number]._replace(**changes), *terms[number + 1 :]))(launch)

    return change


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (change_terms(challenge_window=0), "terms.challenge_window must be from 1"),
        (change_terms(inbox_deadline=1 << 32), "terms.inbox_deadline must be from 1"),
        (change_terms(time_lag_max=301), "time_lag_max must not exceed silence_limit"),
        (change_terms(bond=ETHER // 2), "bond must be at least 0.84 ether"),
        (change_params(oracle_threshold=4), "oracle.threshold must be"),
        (change_params(oracle_signers=(bytes(20),) * 2), "number of different signers"),
        (change_params(price_age_max=59), "price_age_max must be at least age_max"),
        (change_params(funding_period=0), "funding.period"),
        (change_params(underlyings=()), "each underlying needs"),
        (change_params(band_ppm=100_000), "fees.band_ppm must be below 99999"),
        (change_params(assets=()), "each with its terms"),
        (change_asset(1, unit=0), "ETH: unit must be"),
        (change_asset(1, deposit_max=1), "ETH: deposit_max must be from create_min"),
        (change_margin(0, maintenance_haircut_ppm=1), "USD: the first asset is the quote dollar"),
        (change_margin(1, underlying=4), "ETH: underlying must be one of the listed"),
        (change_margin(1, maintenance_haircut_ppm=1_000_001), "ETH: both haircuts must be at most"),
    ],
)
def test_terms_that_cannot_work_are_refused(change: Callable[[Launch], Launch], complaint: str) -> None:
    """Before anything is sent, with the inequality that does not hold."""
    check_launch(build_launch())
    with pytest.raises(ConfigError, match=complaint):
        check_launch(change(build_launch()))


def test_every_broken_inequality_is_named_at_once() -> None:
    """One run shows all there is to put right."""
    launch = change_terms(time_lag_max=301, bond=1)(build_launch())
    with pytest.raises(ConfigError, match=r"time_lag_max must not exceed .*; terms.bond must be at least"):
        check_launch(launch)


def test_a_record_that_is_none_is_refused(tmp_path: Path) -> None:
    """Missing, torn or foreign: the error says how to get one."""
    path = tmp_path / "deployment.json"
    with pytest.raises(ConfigError, match="run `keel deploy` first"):
        read_deployment(path)
    for text in ("", "[]", json.dumps({"contracts": {}, "tokens": []})):
        path.write_text(text)
        with pytest.raises(ConfigError, match="is not a deployment record"):
            read_deployment(path)
