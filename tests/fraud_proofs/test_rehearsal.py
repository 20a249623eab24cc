"""fraud_proofs/rehearsal.py: the wrong batch that a watchtower shows itself is convicted, and nothing is changed."""

from fraud_proofs.challenger import State
from fraud_proofs.grounds import EFFECT
from fraud_proofs.rehearsal import build_wrong_batch, rehearse
from fraud_proofs.step import is_fraud_shown
from state.batches import decode_frame, decode_header
from state.context import StepContext
from state.tree import build_tree
from tests.workload import random_steps
from tests.world import World, open_mixed_market


def list_states(seed: int) -> list[tuple[World, State]]:
    """The genesis, and a state between two batches after a history."""
    young, old = World(), open_mixed_market(seed)
    for _ in random_steps(old, 100):
        continue
    old.seal()
    found = []
    for world, leaves in ((young, young.genesis.build_leaves()), (old, old.steps[-1].leaves)):
        found.append((world, State(dict(leaves), build_tree(leaves.items()))))
    return found


def test_a_rehearsal_convicts(seed: int) -> None:
    """The tick that claims to have changed nothing falls by its effect, on top of any state."""
    for world, state in list_states(seed):
        batch, proof = rehearse(state, world.parent, world.domain)
        frame = decode_frame(batch.frames[0])
        assert frame is not None
        assert (proof.frame_number, proof.step, proof.ground) == (0, 1, EFFECT)
        header = decode_header(batch.header)
        context = StepContext(header, 1, world.domain)
        roots = frame.steps[0].post_root, frame.steps[1].post_root
        assert is_fraud_shown(context, frame.steps[1].op, proof.ground, proof.witness, *roots)
        assert header.post_root == frame.steps[-1].post_root
        assert header.step_count == len(frame.steps)


def test_a_rehearsal_leaves_the_state_as_it_was(seed: int) -> None:
    """Nothing of it happens: leaves and tree are those before."""
    for world, state in list_states(seed):
        leaves, root = dict(state.leaves), state.tree.root
        build_wrong_batch(state, world.parent, world.domain)
        rehearse(state, world.parent, world.domain)
        assert state.leaves == leaves
        assert state.tree.root == root == build_tree(leaves.items()).root
