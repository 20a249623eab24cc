"""node/chain_follower.py: what every role that re-executes the chain stands on."""

import pytest

from node.chain_follower import ChainFollower
from node.l1 import L1
from node.rollup import Rollup
from state import signatures
from state.signatures import WrongLibrary


def test_nobody_follows_with_another_signature_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Watchtower, follower and wallet refuse like the sequencer, before L1 is asked anything."""
    nowhere = Rollup(L1(["http://127.0.0.1:1"]), bytes(20))
    monkeypatch.setattr(signatures, "is_ed25519_valid", lambda *case: True)
    with pytest.raises(WrongLibrary, match="not reduced"):
        ChainFollower(nowhere)
