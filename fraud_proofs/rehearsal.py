"""A rehearsal: a small wrong batch on top of a state, and the proof that would convict it.

What a watchtower shows itself before it relies on a contract: the judge must convict this, and nothing is sent.
"""

from dataclasses import replace

from fraud_proofs.challenger import Proof, State, examine_batch
from state.batches import BatchData, Step, decode_header, pack_frames
from state.context import StepContext, draft_header
from state.ledger import Ledger
from state.operations import Close, Open, Tick
from state.transition import Valid, apply_step


def build_wrong_batch(state: State, parent: bytes, domain: bytes) -> BatchData:
    """open, tick, close on top of `state`; the tick claims to have changed nothing. `state` is left as it was."""
    now = Ledger(state.leaves).get_globals()
    pre_root = state.tree.root
    header = draft_header(
        index=now.batch + 1,
        parent=parent,
        generation=now.generation,
        pre_root=pre_root,
        time_from=now.time,
        position_from=now.next_position,
    )
    position, time = now.next_position, now.time + 1
    header = replace(
        header,
        step_count=3,
        inbox_cursor=now.inbox_cursor,
        inbox_hash=now.inbox_hash,
        time=time,
        position_to=position + 1,
    )
    opening = Ledger(state.leaves)
    result = apply_step(opening, StepContext(header, 0, domain), Open().encode())
    assert isinstance(result, Valid), f"the rehearsal's own op is invalid: {result}"
    before = {key: state.leaves[key] for key in opening.writes}
    opened = state.commit(opening.writes)
    state.commit(before)
    # Whatever root stands after the tick, it is not this one: the tick moves the time.
    steps = [Step(Open().encode(), opened), Step(Tick(position, time).encode(), opened), Step(Close().encode(), opened)]
    header = replace(header, post_root=opened)
    return BatchData(header.encode(), tuple(frame.encode() for frame in pack_frames(pre_root, steps)))


def rehearse(state: State, parent: bytes, domain: bytes) -> tuple[BatchData, Proof]:
    """The wrong batch and its proof; `state` is left as it was."""
    batch = build_wrong_batch(state, parent, domain)
    found = examine_batch(state, batch, StepContext(decode_header(batch.header), 0, domain))
    assert isinstance(found, Proof), "the honest challenger missed the wrong root"
    return batch, found
