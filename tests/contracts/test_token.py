"""The development token does what an ERC-20 does and nothing more."""

import pytest

from tests.contracts.rollup_chain import address
from tests.evm import SENDER, Contract, Evm

ALICE, BOB = address("alice"), address("bob")
MAX = 2**256 - 1


@pytest.fixture
def token() -> Contract:
    """A token of which Alice has a hundred."""
    token = Evm().deploy("token", "Dollar", "USD", 6)
    token.send("mint", ALICE, 100)
    return token


def read_balances(token: Contract) -> tuple[int, int, int]:
    """Alice's, Bob's, and the supply."""
    return (
        token.read("balanceOf", ALICE).value,
        token.read("balanceOf", BOB).value,
        token.read("totalSupply").value,
    )


def test_token_says_what_it_is(token: Contract) -> None:
    """Name, symbol and decimals are those of the deployment, the minter is who deployed."""
    assert [token.read(name).value for name in ("name", "symbol", "decimals")] == ["Dollar", "USD", 6]
    assert token.read("MINTER").value == SENDER


def test_only_the_minter_mints(token: Contract) -> None:
    """Nobody else makes money, and the supply cannot overflow."""
    assert token.send("mint", BOB, 1, sender=BOB).reason == "token: minter"
    assert token.send("mint", BOB, MAX).reverted
    assert read_balances(token) == (100, 0, 100)


def test_transfer_moves_what_there_is(token: Contract) -> None:
    """A transfer is logged and moves money, to oneself too; more than there is does not move."""
    outcome = token.send("transfer", BOB, 30, sender=ALICE)
    assert outcome.value is True
    assert outcome.events[0].arguments == {"sender": ALICE, "receiver": BOB, "value": 30}
    assert token.send("transfer", ALICE, 70, sender=ALICE).value is True

    assert token.send("transfer", BOB, 71, sender=ALICE).reason == "token: balance"
    assert read_balances(token) == (70, 30, 100)


def test_allowance_is_used_up(token: Contract) -> None:
    """Who is allowed may move as much as he was allowed, in pieces, and no more."""
    assert token.send("transferFrom", ALICE, BOB, 1, sender=BOB).reason == "token: allowance"
    assert token.send("approve", BOB, 50, sender=ALICE).events[0].arguments["value"] == 50
    assert token.send("transferFrom", ALICE, BOB, 20, sender=BOB).value is True
    assert token.send("transferFrom", ALICE, BOB, 31, sender=BOB).reason == "token: allowance"
    assert token.send("transferFrom", ALICE, BOB, 30, sender=BOB).value is True

    assert read_balances(token) == (50, 50, 100)
    assert token.read("allowance", ALICE, BOB).value == 0
