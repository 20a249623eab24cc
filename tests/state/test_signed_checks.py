"""state/signed_checks.py: an account that exists, and a live key of it that signed."""

import pytest

from state.constants import NEVER
from state.leaves import SCOPE_TRADE, SCOPE_TRANSFER, SCOPE_WITHDRAW, SessionKey
from state.ledger import Ledger
from state.signed_checks import get_key, is_key_live
from tests.world import open_market


@pytest.mark.parametrize("scope", range(8))
def test_scopes_are_bits(scope: int) -> None:
    """A key may do what its scope's bits say, all of it and nothing else."""
    world = open_market()
    world.rewrite_account("alice", keys=(SessionKey(bytes(32), scope, NEVER),))
    op, ledger = world.sign_cancel("alice"), Ledger(world.state.leaves)
    for bit in (SCOPE_TRADE, SCOPE_TRANSFER, SCOPE_WITHDRAW):
        assert is_key_live(bit)(ledger, world.here, op) == bool(scope & bit)
    beyond = world.sign_cancel("alice", key_index=1)
    assert is_key_live(SCOPE_TRADE)(ledger, world.here, beyond) is False
    assert get_key(ledger, beyond) is None
