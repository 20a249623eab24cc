"""Deploying a rollup: every contract in the order in which they need each other, and a record of where they stand.

    deployment = deploy(sender, launch, report=print)
    write_deployment(deployment, Path("deployment.json"))

What is deployed is what `check_launch` has passed, and it is read back from the chain before the record is written.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from node.contracts import compile_contract
from node.errors import ConfigError, WrongContract
from node.keys import format_address, parse_address
from node.l1 import Call, encode_call, encode_values
from node.launch import Launch, check_launch, compute_genesis_root, compute_notice
from node.rollup import TERMS_TYPE, Rollup
from node.transactions import Sender, require_mined
from risk.tables import EXP, LN, NORMAL

JUDGE_CONTRACTS: dict[str, tuple[str, ...]] = {
    "ed25519": (),
    "risk_scenarios": (),
    "risk_underlying": ("risk_scenarios",),
    "margin": ("risk_underlying",),
    "verify_batch": (),
    "verify_inbox": ("margin",),
    "verify_oracle": (),
    "verify_market": ("ed25519",),
    "verify_fill_effect": (),
    "verify_fill": ("verify_fill_effect", "margin"),
    "verify_account": ("ed25519", "margin"),
    "verify_liquidation": ("margin",),
    "verify_take_effect": (),
    "verify_take": ("verify_take_effect", "ed25519", "margin"),
    "verify_deleverage": ("margin",),
    "verify_bid": ("verify_take_effect", "margin"),
    "verify_relay": (),
    "judge": (
        "verify_batch",
        "verify_inbox",
        "verify_oracle",
        "verify_market",
        "verify_fill",
        "verify_account",
        "verify_liquidation",
        "verify_take",
        "verify_deleverage",
        "verify_bid",
        "verify_relay",
    ),
    "receipts": (),
    "wind_down": ("margin",),
}
"""Contract -> the contracts whose addresses its constructor takes; each stands behind those it needs."""

TABLES: dict[str, tuple[tuple[int, ...], ...]] = {
    "risk_scenarios": (NORMAL, LN),
    "risk_underlying": (LN, EXP),
}
"""Contract -> the tables of polynomials that its constructor takes behind the addresses."""

ROLLUP_TYPES = ("bytes", "bytes32", *["address"] * 4, "(address,uint256,uint256)[]", TERMS_TYPE)
GOVERNOR_TYPES = ("address", "uint256")
TOKEN_TYPES = ("string", "string", "uint8")
TOKEN_DECIMALS = 6

Report = Callable[[str], None]


class Asked(NamedTuple):
    """Addresses of the contracts that a rollup asks or obeys."""

    judge: bytes
    receipts: bytes
    wind_down: bytes
    governor: bytes = bytes(20)


@dataclass(frozen=True, slots=True)
class DeployedContract:
    """Where a contract stands and what it took to put it there; `code_size` in bytes."""

    address: str
    gas_used: int
    code_size: int


@dataclass(frozen=True, slots=True)
class Deployment:
    """A rollup on L1. `first_block` is one from which all its logs are seen; `tokens` are by asset."""

    chain_id: int
    rollup: str
    first_block: int
    genesis_root: str
    tokens: tuple[str, ...]
    contracts: dict[str, DeployedContract]

    @property
    def address(self) -> bytes:
        """Of the rollup."""
        return parse_address(self.rollup, "rollup")


def deploy(sender: Sender, launch: Launch, report: Report = lambda line: None) -> Deployment:
    """Deploy everything and read it back. Raises ConfigError before anything is sent, L1Error after."""
    check_launch(launch)
    for name in (*JUDGE_CONTRACTS, "governor", "token", "rollup"):
        compile_contract(name)  # whatever does not compile shows before anything is sent
    contracts = deploy_judge(sender, report)
    asked = Asked(*(parse_address(contracts[name].address) for name in ("judge", "receipts", "wind_down")))
    deployment = deploy_rollup(sender, launch, asked, report)
    return replace(deployment, contracts=contracts | deployment.contracts)


def deploy_rollup(sender: Sender, launch: Launch, asked: Asked, report: Report = lambda line: None) -> Deployment:
    """Deploy the rollup, and the development tokens it asks for, behind the contracts that it asks, which stand."""
    check_launch(launch)
    first_block = sender.l1.get_block()
    launch = launch.at(first_block.time)
    contracts: dict[str, DeployedContract] = {}
    tokens: list[bytes] = []
    for asset in launch.assets:
        token = asset.token
        if token is None:
            arguments = encode_values(TOKEN_TYPES, (asset.name, asset.name[:8], TOKEN_DECIMALS))
            contracts[f"token_{asset.name}"] = _deploy_contract(sender, "token", arguments, report)
            token = parse_address(contracts[f"token_{asset.name}"].address)
        tokens.append(token)
    if launch.governor is not None:
        arguments = encode_values(GOVERNOR_TYPES, (launch.governor, compute_notice(launch.terms)))
        contracts["governor"] = _deploy_contract(sender, "governor", arguments, report)
        asked = asked._replace(governor=parse_address(contracts["governor"].address))
    root = compute_genesis_root(launch.genesis)
    arguments = _encode_rollup_arguments(launch, root, asked, tokens)
    contracts["rollup"] = _deploy_contract(sender, "rollup", arguments, report)
    deployment = Deployment(
        chain_id=sender.l1.get_chain_id(),
        rollup=contracts["rollup"].address,
        first_block=first_block.number,
        genesis_root="0x" + root.hex(),
        tokens=tuple(format_address(token) for token in tokens),
        contracts=contracts,
    )
    check_deployment(Rollup(sender.l1, deployment.address), launch)
    return deployment


def deploy_judge(sender: Sender, report: Report = lambda line: None) -> dict[str, DeployedContract]:
    """The judge, the verifiers behind it, receipts and wind-down, by name. Any number of rollups may share them."""
    contracts: dict[str, DeployedContract] = {}
    for name, needs in JUDGE_CONTRACTS.items():
        addresses = [parse_address(contracts[needed].address) for needed in needs]
        arguments = encode_values(list_types(name), (*addresses, *TABLES.get(name, ())))
        contracts[name] = _deploy_contract(sender, name, arguments, report)
    return contracts


def list_types(name: str) -> list[str]:
    """ABI types that the constructor of a contract behind the judge takes."""
    tables = [f"int256[{len(table)}]" for table in TABLES.get(name, ())]
    return ["address"] * len(JUDGE_CONTRACTS[name]) + tables


def check_deployment(rollup: Rollup, launch: Launch) -> None:
    """Read from the chain what was to be deployed. Raises WrongContract when something differs."""
    rollup.check_identity()
    genesis = rollup.get_batch(0)
    if genesis is None or (genesis.hash, genesis.root) != (
        launch.genesis.batch_hash,
        compute_genesis_root(launch.genesis),
    ):
        raise WrongContract(f"{format_address(rollup.address)} has another genesis than the one that was deployed")
    if rollup.get_terms() != launch.terms:
        raise WrongContract(f"{format_address(rollup.address)} has other terms than those that were deployed")
    if (rollup.get_governor() is None) != (launch.governor is None):
        raise WrongContract(f"{format_address(rollup.address)} has another governor than the one that was deployed")
    for number, asset in enumerate(launch.assets):
        bridged = rollup.get_asset(number)
        is_as_launched = (bridged.unit, bridged.deposit_max) == (asset.unit, asset.deposit_max)
        if not is_as_launched or asset.token not in (None, bridged.token):
            raise WrongContract(f"{format_address(rollup.address)} has another asset {number} than was deployed")


def mint(token: bytes, to: bytes, base_units: int) -> Call:
    """Make development tokens; only their deployer may."""
    return Call(token, encode_call("mint", ("address", "uint256"), (to, base_units)), label="mint")


def _encode_rollup_arguments(launch: Launch, root: bytes, asked: Asked, tokens: list[bytes]) -> bytes:
    assets = [(token, asset.unit, asset.deposit_max) for token, asset in zip(tokens, launch.assets, strict=True)]
    values = (launch.genesis.encode(), root, *asked, assets, tuple(launch.terms))
    return encode_values(ROLLUP_TYPES, values)


def _deploy_contract(sender: Sender, name: str, arguments: bytes, report: Report) -> DeployedContract:
    call = Call(None, compile_contract(name).bytecode + arguments, label=f"deploy {name}")
    mined = require_mined(sender.send(call))
    assert mined.contract is not None
    size = len(sender.l1.get_code(mined.contract))
    deployed = DeployedContract(format_address(mined.contract), mined.gas_used, size)
    report(f"{name:20} {deployed.address} {size:6,} bytes {mined.gas_used:10,} gas")
    return deployed


# The record


def write_deployment(deployment: Deployment, path: Path) -> None:
    """As JSON, for people and for the other roles."""
    try:
        path.write_text(json.dumps(asdict(deployment), indent=2) + "\n")
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error


def read_deployment(path: Path) -> Deployment:
    """What `write_deployment` wrote. Raises ConfigError."""
    try:
        stored: Mapping[str, Any] = json.loads(path.read_text())
        contracts = {name: DeployedContract(**fields) for name, fields in stored["contracts"].items()}
        return Deployment(**(dict(stored) | {"contracts": contracts, "tokens": tuple(stored["tokens"])}))
    except FileNotFoundError as error:
        raise ConfigError(f"no {path}: run `keel deploy` first, or name the rollup with --rollup") from error
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ConfigError(f"{path} is not a deployment record ({error}); run `keel deploy` again") from error
