"""A rescue batch: what anybody bonded may post while nobody sequences, built from the state that L1's data gives.

It holds only ops that need no discretion: open, one tick, the waiting L1 messages, close. Time moves before the
messages, so that each is judged at the time of now and not at that of the last batch, when prices were still young.
"""

from collections.abc import Mapping, Sequence

from sequencer.batcher import Batcher
from sequencer.engine import Engine
from state.batches import FLAG_RESCUE, BatchData
from state.tree import LeafKey, build_tree

RESCUE_MESSAGES_MAX = 1_000
"""Messages that one batch takes, of which L1 is content with 64: at 51 or 59 bytes a step half of what it allows."""

RESCUE_BYTES_MAX = 90_000
"""Of steps, behind which no message is begun: one that is a bid has 141 bytes, and a tick may come before it."""


def build_rescue_batch(
    leaves: Mapping[LeafKey, bytes],
    *,
    parent: bytes,
    domain: bytes,
    generation: int,
    time: int,
    messages: Sequence[bytes],
    messages_max: int = RESCUE_MESSAGES_MAX,
) -> BatchData:
    """The batch on top of `leaves`, the state after batch hash `parent`; `leaves` stay as they are.

    `generation` is the one that L1 asks of the submitter, `time` in seconds what L1 has reached, `messages` those that
    wait, oldest first. Within a generation the log goes on where the last `close` left it.
    """
    engine = Engine(dict(leaves), domain)
    state = engine.globals
    engine.next_position, engine.log_hash = state.next_position, state.log_hash
    engine.open_batch(generation, FLAG_RESCUE)
    engine.tick(time)
    for index, message in enumerate(messages[:messages_max], state.inbox_cursor):
        if engine.pending_bytes >= RESCUE_BYTES_MAX:
            break
        engine.take_message(index, message)
    return Batcher(build_tree(leaves.items()), parent).build(engine.seal())
