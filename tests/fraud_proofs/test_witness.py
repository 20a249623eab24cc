"""fraud_proofs/witness.py: what a ground reads, in bytes, and no more than that."""

import random
from contextlib import suppress

import pytest

from fraud_proofs.ed25519 import Verdict, judge_signature
from fraud_proofs.grounds import EFFECT, MALFORMED, check_ground
from fraud_proofs.step import fold_witness
from fraud_proofs.witness import (
    EXHIBIT_AT,
    HINTS_BYTES,
    SIGNATURE_CODES,
    Witness,
    WitnessLeaf,
    build_witness,
    decode_hints,
)
from state.codes import Code
from state.context import MessageUnknown
from state.ledger import Ledger
from state.operations import OrderOp, hash_digest
from state.signed_checks import get_key
from state.transition import PROCESSES
from state.tree import LeafKey, Path, build_tree, compute_root, hash_leaf
from tests.fraud_proofs.disputes import dispute_honest, dispute_lie
from tests.stories import MESSAGE_STORIES, STORIES, Story, set_scene
from tests.workload import random_steps
from tests.world import open_market, open_mixed_market


def read_entries(data: bytes, keys: list[LeafKey]) -> tuple[list[WitnessLeaf], bytes]:
    """Leaves from their bytes, as the text lays them out; the keys, which are not said, are given. And the rest."""
    leaves = []
    for key in keys:
        end = 2 + int.from_bytes(data[:2])
        leaf, mask, data = data[2:end], int.from_bytes(data[end : end + 8]), data[end + 8 :]
        siblings = tuple(data[at : at + 32] for at in range(0, 32 * mask.bit_count(), 32))
        leaves.append(WitnessLeaf(key, leaf, Path(mask, siblings)))
        data = data[32 * len(siblings) :]
    return leaves, data


def list_named(witness: Witness) -> list[tuple[int, bytes]]:
    """What stands among the leaves, and before how many of them."""
    account = [] if witness.exhibit is None else [(EXHIBIT_AT, witness.exhibit.to_bytes(4))]
    if witness.scenarios is None:
        return account
    assert witness.scenarios.before is not None
    assert witness.scenarios.after is not None
    return [*account, (witness.scenarios_at, witness.scenarios.before + witness.scenarios.after)]


@pytest.mark.parametrize("story", [*STORIES, *MESSAGE_STORIES], ids=lambda story: story.name)
def test_witnesses_are_their_bytes(story: Story) -> None:
    """Message, leaves with an exhibit's number or scenarios among them, and hints stand in the bytes, and nothing
    follows."""
    dispute = dispute_honest(story.tell()[1])
    for ground in dispute.grounds:
        witness = dispute.build(ground)
        data = witness.encode()
        if witness.message is not None:
            size = 2 + len(witness.message)
            assert data[:size] == len(witness.message).to_bytes(2) + witness.message
            data = data[size:]
        for at, named in list_named(witness):
            head, after = read_entries(data, [leaf.key for leaf in witness.leaves[:at]])
            assert after.startswith(named)
            data = b"".join(leaf.encode() for leaf in head) + after.removeprefix(named)
        leaves, rest = read_entries(data, [leaf.key for leaf in witness.leaves])
        assert tuple(leaves) == witness.leaves
        assert rest == witness.hints
        assert (len(rest) == HINTS_BYTES) == (ground.code in SIGNATURE_CODES)


@pytest.mark.parametrize("story", [*STORIES, *MESSAGE_STORIES], ids=lambda story: story.name)
def test_a_witness_holds_what_the_rules_read(story: Story) -> None:
    """Its leaves are the reads of the effects, each once and in their order, as they stand before the step."""
    dispute = dispute_honest(story.tell()[1])
    ledger, context, op = set_scene(dispute.attempt)
    PROCESSES[op.kind].apply_effects(ledger, context, op)
    witness = dispute.build(EFFECT)
    assert [(leaf.key, leaf.data) for leaf in witness.leaves] == list(ledger.reads.items())
    assert fold_witness(dispute.tree.root, witness, ledger.writes) == dispute.post_root


def test_folding_is_sequential(seed: int) -> None:
    """Each path is in the tree after the writes to the leaves before it, so folding leaf by leaf gives every root."""
    world = open_mixed_market(seed)
    for _ in random_steps(world, 80):
        played = world.steps[-1]
        ledger, context, op = set_scene(played.attempt)
        witness = build_witness(played.leaves, build_tree(played.leaves.items()), context, played.op, EFFECT)
        PROCESSES[op.kind].apply_effects(ledger, context, op)
        leaves, root = dict(played.leaves), played.pre_root
        for leaf in witness.leaves:
            assert compute_root(leaf.key, hash_leaf(leaf.key, leaf.data), leaf.path) == root
            leaves[leaf.key] = ledger.writes.get(leaf.key, leaf.data)
            root = compute_root(leaf.key, hash_leaf(leaf.key, leaves[leaf.key]), leaf.path)
            assert build_tree(leaves.items()).root == root
        assert root == played.post_root


def test_building_leaves_the_state_as_it_was(seed: int) -> None:
    """The tree is moved through the writes and back: no ground, of valid ops or invalid ones, leaves a trace."""
    stories = random.Random(seed).sample([*STORIES, *MESSAGE_STORIES], 60)
    for story in stories:
        for attempt in story.tell():
            dispute = dispute_lie(attempt)
            leaves, root = dict(attempt.leaves), dispute.tree.root
            paths = [dispute.tree.prove(key) for key in leaves]
            for ground in dispute.grounds:
                with suppress(MessageUnknown):
                    dispute.build(ground)
            assert attempt.leaves == leaves
            assert dispute.tree.root == root
            assert [dispute.tree.prove(key) for key in leaves] == paths


def test_nothing_is_needed_against_what_is_no_op() -> None:
    """For bytes that do not decode, and for malformed frames, the witness is empty."""
    world = open_market()
    for op in (b"\x03", b"\0", b"\xff" * 40):
        dispute = dispute_lie(world.attempt(op))
        assert dispute.build(check_ground(Code.TICK_MUST_DECODE)) == Witness(())
        assert dispute.build(EFFECT) == Witness(())
    assert dispute_lie(world.attempt(world.sign_cancel("alice"))).build(MALFORMED) == Witness(())
    assert Witness(()).encode() == b""


def test_hints_let_l1_judge_the_signature() -> None:
    """The hints of a witness give the right verdict: of Alice's own signature, and of one that is nobody's."""
    world = open_market()
    order = world.sign_order("alice", 0, 1, 17_000_000)
    ground = check_ground(Code.ORDER_SIGNATURE_MUST_VERIFY)
    forged = OrderOp(order.position, order.accepted, order.terms, 0, order.signature[:32] + bytes(32))
    for op, verdict in ((order, Verdict.VALID), (forged, Verdict.INVALID)):
        witness = dispute_lie(world.attempt(op)).build(ground)
        key = get_key(Ledger(world.state.leaves), op)
        assert key is not None
        digest = hash_digest(world.domain, op)
        kind, hints = decode_hints(witness.hints)
        assert judge_signature(key.public_key, op.signature[:32], op.signature[32:], digest, kind, hints) is verdict


def test_no_hints_for_a_key_that_does_not_exist() -> None:
    """Nothing needs to be shown of the signature of a missing key, or of a missing account's."""
    world = open_market()
    ground = check_ground(Code.ORDER_SIGNATURE_MUST_VERIFY)
    for changes in ({"key_index": 5}, {"account": 77}):
        dispute = dispute_lie(world.attempt(world.sign_order("alice", 0, 1, 17_000_000, **changes)))
        assert dispute.build(ground).hints == b""
        assert dispute.is_shown(ground)
