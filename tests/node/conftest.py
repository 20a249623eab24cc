"""What several tests of the node begin with: a town of their own, and a clerk in it whom they can ask for things."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from node.wallet import Wallet
from state.constants import NEVER
from state.leaves import SessionKey
from tests.node.clerk import SESSION, Clerk
from tests.node.town import ETHER_ASSET, Town, open_town


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    """For one test, which may bend its chain; files whose tests only read share one of their own."""
    with open_town(tmp_path) as running:
        yield running


@pytest.fixture
def clerk(town: Town, tmp_path: Path) -> Iterator[Clerk]:
    """A sequencer with one posted batch, and account 1, that SESSION signs for."""
    with Clerk(town, tmp_path / "clerk") as clerk:
        wallet = Wallet(town.rollup, town.open_sender("alice"))
        wallet.deposit(ETHER_ASSET, 10**9)
        wallet.register_key(1, SessionKey(SESSION.public_key, 7, NEVER))
        clerk.take_messages()
        clerk.post()
        yield clerk
