"""People on the development L1: each owns ether, dollars and keys, and an account of the rollup by a deposit."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from node.amounts import ETHER
from node.deploy import mint
from node.keys import Ed25519Key, Secp256k1Key, create_key
from node.l1 import Call
from node.rollup import Rollup
from node.transactions import Sender, require_mined
from node.wallet import Wallet
from state.constants import NEVER
from state.leaves import SCOPE_TRADE, SCOPE_TRANSFER, SCOPE_WITHDRAW, SessionKey

ALL_SCOPES = SCOPE_TRADE | SCOPE_TRANSFER | SCOPE_WITHDRAW


@dataclass(slots=True)
class Person:
    """Somebody with a wallet and a session key; `account` once the rollup has opened one."""

    name: str
    wallet: Wallet
    session: Ed25519Key
    session_file: Path
    account: int = 0

    def open_account(self, dollars: int) -> None:
        """Deposit quote units on L1; the account appears when the sequencer takes the message. Blocks."""
        self.wallet.deposit(0, dollars)

    def register_key(self) -> None:
        """Let the session key do everything for the account, for ever. Blocks."""
        self.wallet.register_key(self.account, SessionKey(self.session.public_key, ALL_SCOPES, NEVER))


def draw_key(file: Path) -> Secp256k1Key:
    """A new L1 key in a file."""
    key = create_key(file, Secp256k1Key)
    assert isinstance(key, Secp256k1Key)
    return key


def create_person(name: str, folder: Path, rollup: Rollup) -> Person:
    """Draw both keys into the folder."""
    sender = Sender(rollup.l1, draw_key(folder / f"{name}.json"), folder / f"{name}.nonces")
    session_file = folder / f"{name}-session.json"
    session = create_key(session_file, Ed25519Key)
    assert isinstance(session, Ed25519Key)
    return Person(name, Wallet(rollup, sender), session, session_file)


def send_all(sender: Sender, calls: Sequence[Call]) -> None:
    """Send one behind the other, and only then wait for all: so they share a block. Raises L1Error."""
    for nonce in [sender.begin(call) for call in calls]:
        while (outcome := sender.poll(nonce)) is None:
            time.sleep(0.1)
        require_mined(outcome)


def endow(bank: Sender, addresses: Sequence[bytes]) -> None:
    """Give everybody ether."""
    send_all(bank, [Call(address, b"", 100 * ETHER, "endow") for address in addresses])


def mint_dollars(deployer: Sender, token: bytes, addresses: Sequence[bytes], base_units: int) -> None:
    """Give everybody development dollars."""
    send_all(deployer, [mint(token, address, base_units) for address in addresses])
