"""A development L1 with a rollup on it and people who can pay: what tests of the L1 edge need.

    with open_town(tmp_path) as town:
        sender = town.open_sender("alice")
        sender.send(town.rollup.take_slot())

The rollup is the real one, and so are its receipts; no proof is sent here, so nobody sits in the judge's place.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from node.amounts import ETHER
from node.anvil import Anvil, run_anvil
from node.contracts import compile_contract
from node.deploy import JUDGE_CONTRACTS, TABLES, Asked, Deployment, deploy_rollup, list_types, mint
from node.keys import Secp256k1Key, create_key, load_ethereum_key
from node.l1 import L1, Call, encode_values
from node.launch import Launch, LaunchAsset
from node.rollup import ETH, Rollup, Terms
from node.transactions import Mined, Sender, require_mined
from state.genesis import Genesis
from tests.world import LISTINGS, RULES, build_params

TERMS = Terms(
    challenge_window=600,
    silence_limit=300,
    inbox_deadline=100,
    time_lag_max=200,
    bond=2 * ETHER,
    message_fee=10**15,
    wind_down_limit=2_000,
    registration_period=600,
)
DOLLAR, ETHER_ASSET = 0, 1


def build_launch(**terms: int) -> Launch:
    """Two assets, a development dollar and ether (in gwei), with the markets of tests/world.py."""
    assets = (LaunchAsset("USD", None, 1, 10**15), LaunchAsset("ETH", ETH, 10**9, 10**15))
    return Launch(Genesis(build_params(), RULES, LISTINGS, 0), assets, TERMS._replace(**terms))


@dataclass
class Town:
    """An anvil, a deployment, and whoever was asked for by name."""

    anvil: Anvil
    folder: Path
    l1: L1
    launch: Launch
    deployment: Deployment
    founder: Sender
    _senders: list[Sender] = field(default_factory=list)

    @property
    def rollup(self) -> Rollup:
        return Rollup(self.l1, self.deployment.address)

    @property
    def dollar(self) -> bytes:
        """The development token's address."""
        return self.rollup.get_asset(DOLLAR).token

    def get_key(self, name: str) -> Secp256k1Key:
        """A person's key, made and given ether at first mention."""
        path = self.folder / f"{name}.json"
        if path.exists():
            return load_ethereum_key(path)
        key = create_key(path, Secp256k1Key)
        assert isinstance(key, Secp256k1Key)
        give_ether(self.anvil, key, 100)
        return key

    def open_sender(self, name: str, l1: L1 | None = None, **options: int) -> Sender:
        """A sender with a person's key and journal; closed with the town at the latest."""
        journal = self.folder / f"{name}.nonces"
        sender = Sender(l1 or self.l1, self.get_key(name), journal, poll_seconds=0.01, **options)
        self._senders.append(sender)
        return sender

    def give_dollars(self, name: str, units: int) -> None:
        """From nothing: the founder is the minter."""
        require_mined(self.founder.send(mint(self.dollar, self.get_key(name).address, units)))

    def deposit_ether(self, sender: Sender, gwei: int, account: int = 0) -> Mined:
        """Deposit and wait."""
        rollup = self.rollup
        call = rollup.deposit(ETHER_ASSET, gwei, account, TERMS.message_fee, rollup.get_asset(ETHER_ASSET))
        return require_mined(sender.send(call))

    def pass_time(self, seconds: int) -> None:
        """On L1."""
        self.anvil.request("evm_increaseTime", seconds)
        self.anvil.request("evm_mine")

    def close(self) -> None:
        for sender in self._senders:
            sender.close()
        self.founder.close()


@contextmanager
def open_town(
    folder: Path, launch: Launch | None = None, *, is_valued: bool = False, **options: object
) -> Iterator[Town]:
    """Start an L1 of its own and deploy; `options` go to anvil. Whoever is to be paid at the end must be valued."""
    with run_anvil(**options) as anvil:
        l1, key = L1([anvil.url]), create_key(folder / "founder.json", Secp256k1Key)
        assert isinstance(key, Secp256k1Key)
        give_ether(anvil, key, 1_000)
        founder = Sender(l1, key, folder / "founder.nonces", poll_seconds=0.01)
        launch = launch or build_launch()
        judge, receipts = deploy_bystander(founder), deploy_contract(founder, "receipts")
        margin = deploy_margin(founder) if is_valued else judge
        wind_down = deploy_contract(founder, "wind_down", encode_values(("address",), (margin,)))
        asked = Asked(judge, receipts, wind_down)
        town = Town(anvil, folder, l1, launch, deploy_rollup(founder, launch, asked), founder)
        try:
            yield town
        finally:
            town.close()


def deploy_bystander(founder: Sender) -> bytes:
    """A contract in the judge's place that judges nothing: no proof is sent here, and the judge is slow to compile."""
    return deploy_contract(founder, "token", encode_values(("string", "string", "uint8"), ("Bystander", "NONE", 0)))


def deploy_margin(founder: Sender) -> bytes:
    """What values accounts, and before it what it asks."""
    address = b""
    for name in ("risk_scenarios", "risk_underlying", "margin"):
        needs = [address] if JUDGE_CONTRACTS[name] else []
        address = deploy_contract(founder, name, encode_values(list_types(name), (*needs, *TABLES.get(name, ()))))
    return address


def deploy_contract(founder: Sender, name: str, arguments: bytes = b"") -> bytes:
    """Its address."""
    mined = require_mined(founder.send(Call(None, compile_contract(name).bytecode + arguments)))
    assert mined.contract is not None
    return mined.contract


def give_ether(anvil: Anvil, key: Secp256k1Key, ether: int) -> None:
    """Set a balance."""
    anvil.request("anvil_setBalance", "0x" + key.address.hex(), hex(ether * ETHER))
