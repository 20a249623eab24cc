"""The lying sequencer: what it understands, whom it knows, and that it lies only as it was told."""

import pytest

from devnet.flips import BadRow
from devnet.forgery import LieImpossible
from devnet.liar import find_accomplice, parse_command
from devnet.lies import Manner
from fraud_proofs.challenger import State
from fraud_proofs.grounds import EFFECT
from node.keys import Ed25519Key
from state.tree import build_tree
from tests.devnet.lying import Operator


def test_a_command_names_a_variety_or_a_byte() -> None:
    """Both forms give a lie; what is neither is an error."""
    lie = parse_command('{"tell": "skipped_message"}')
    assert (lie.name, lie.ground, lie.manner) == ("skipped_message", None, Manner.WHEN_OVERDUE)
    assert parse_command('{"tell": "root_first"}').ground == EFFECT
    assert parse_command('{"flip": {"step": 1, "offset": 2, "xor": 3}}').name == "flip step 1 offset 2 xor 3"

    with pytest.raises(BadRow):
        parse_command('{"flip": {"step": 1, "offset": 2, "xor": 0}}')
    with pytest.raises(KeyError):
        parse_command('{"tell": "the truth"}')


def test_accomplices_are_known_by_their_session_keys() -> None:
    """Whoever has the key has the account; a stranger's key has none."""
    operator = Operator()
    leaves = operator.market.engine.leaves
    state = State(dict(leaves), build_tree(leaves.items()))

    assert [find_accomplice(state, friend.key) for friend in operator.kit.accomplices] == list(operator.kit.accomplices)
    with pytest.raises(LieImpossible):
        find_accomplice(state, Ed25519Key(b"stranger".ljust(32)))
