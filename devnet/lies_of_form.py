"""Lies about the form of a batch: its roots, its header, its frames; those that L1 refuses among them.

A teller takes a fresh forgery and answers the bytes to post.
"""

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256

from devnet.forgery import Forgery, LieImpossible, Teller
from state.batches import FRAME_BYTES_MIN, BatchData, Header, decode_frame, decode_header
from state.codes import Kind
from state.constants import BATCH_BYTES_MAX, FRAME_BYTES_MAX
from state.process_inbox import hash_accumulator

# Roots


def tell_honestly(forgery: Forgery) -> None:
    """The honest batch, whole."""
    forgery.repeat(forgery.honest_ops)
    forgery.close()


def tell_wrong_root(choose: Callable[[int], int], get_root: Callable[[bytes], bytes]) -> Teller:
    """The honest batch, but for the root of the step that `choose` picks among so many."""

    def tell(forgery: Forgery) -> bytes:
        tell_honestly(forgery)
        index = choose(len(forgery.steps))
        step = forgery.steps[index]
        forgery.steps[index] = step._replace(post_root=get_root(step.post_root))
        return forgery.build().encode()

    return tell


def flip_last_bit(root: bytes) -> bytes:
    """The nearest other root."""
    return root[:-1] + bytes([root[-1] ^ 1])


def scramble(root: bytes) -> bytes:
    """A root that nobody knows a state for."""
    return sha256(b"noise" + root).digest()


# Headers


def tell_unread_message(forgery: Forgery) -> bytes:
    """The cursor passes a message that no step takes."""
    forgery.repeat(forgery.honest_ops)
    now, messages = forgery.globals, forgery.kit.messages
    if now.inbox_cursor == len(messages):
        raise LieImpossible("every L1 message is read")
    inbox_hash = hash_accumulator(now.inbox_hash, messages[now.inbox_cursor])
    forgery.close(inbox_cursor=now.inbox_cursor + 1, inbox_hash=inbox_hash)
    return forgery.build().encode()


def tell_time_not_reached(forgery: Forgery) -> bytes:
    """The last tick and all behind it are left out, and the header claims its time nevertheless."""
    ticks = [number for number, posted in enumerate(forgery.honest_ops) if posted.op[0] == Kind.TICK]
    if not ticks:
        raise LieImpossible("no tick in this batch")
    forgery.repeat(forgery.honest_ops[: ticks[-1]])
    forgery.close(time=forgery.kit.sealed.header.time)
    return forgery.build().encode()


def tell_position_passed(forgery: Forgery) -> bytes:
    """The log is said to end before the last op's position."""
    forgery.repeat(forgery.honest_ops)
    transfer = forgery.sign_transfer(1)
    forgery.play(transfer)
    forgery.close(position_to=transfer.position)
    return forgery.build().encode()


def tell_other_prices_age(forgery: Forgery) -> bytes:
    """The header makes the oldest price look younger than it is."""
    forgery.repeat(forgery.honest_ops)
    forgery.close(oracle_time=forgery.globals.time + 1)
    return forgery.build().encode()


def tell_other_log(forgery: Forgery) -> bytes:
    """The header commits to another log than the root does."""
    tell_honestly(forgery)
    forgery.header = replace(forgery.header, log_hash=sha256(b"another log").digest())
    return forgery.build().encode()


# Frames


def tell_bent_frame(bend: Callable[[bytes], bytes]) -> Teller:
    """The honest batch with its last frame bent; its last root stays in its place, where the contract looks."""

    def tell(forgery: Forgery) -> bytes:
        tell_honestly(forgery)
        header, frames = forgery.build()
        return BatchData(header, (*frames[:-1], bend(frames[-1]))).encode()

    return tell


def append_trailing_bytes(frame: bytes) -> bytes:
    """A second last root, so that the contract finds one, and the parser 32 bytes too many."""
    return frame + frame[-32:]


def truncate(frame: bytes) -> bytes:
    """The last op is gone, its length and its root are there."""
    if len(frame) == FRAME_BYTES_MIN:
        raise LieImpossible("the last frame is as short as L1 takes one")
    return frame[:-33] + frame[-32:]


def overrun(frame: bytes) -> bytes:
    """The last op is said to be longer than the frame."""
    return frame[:-35] + (1000).to_bytes(2) + frame[-33:]


def tell_step_that_is_not_there(forgery: Forgery) -> bytes:
    """Header and last frame count a step more than there is."""
    tell_honestly(forgery)
    batch = forgery.build()
    header, last = decode_header(batch.header), batch.frames[-1]
    last = last[:36] + (int.from_bytes(last[36:38]) + 1).to_bytes(2) + last[38:]
    header = replace(header, step_count=header.step_count + 1)
    return BatchData(header.encode(), (*batch.frames[:-1], last)).encode()


def tell_own_pre_root(forgery: Forgery) -> bytes:
    """The second frame begins at a root of its own, and the first one's last step claims it: the chain looks whole."""
    tell_honestly(forgery)
    first = decode_frame(forgery.build_in_two().frames[0])
    assert first is not None
    last = len(first.steps) - 1
    forgery.steps[last] = forgery.steps[last]._replace(post_root=scramble(forgery.pre_root))
    return forgery.build_in_two().encode()


# What the contract refuses


def tell_bent_header(bend: Callable[[Header], Header]) -> Teller:
    """The honest batch under a bent header."""

    def tell(forgery: Forgery) -> bytes:
        tell_honestly(forgery)
        header, frames = forgery.build()
        return BatchData(bend(decode_header(header)).encode(), frames).encode()

    return tell


def tell_broken_chain(forgery: Forgery) -> bytes:
    """The second frame begins where the first one did not end."""
    tell_honestly(forgery)
    header, frames = forgery.build_in_two()
    frame = decode_frame(frames[1])
    assert frame is not None
    bent = replace(frame, pre_root=scramble(frame.pre_root)).encode()
    return BatchData(header, (frames[0], bent, *frames[2:])).encode()


def tell_oversize_frame(forgery: Forgery) -> bytes:
    """One frame of more bytes than a proof may carry."""
    forgery.repeat(forgery.honest_ops)
    while sum(34 + len(step.op) for step in forgery.steps) <= FRAME_BYTES_MAX:
        forgery.play(forgery.sign_transfer(1))
    forgery.close()
    return forgery.build(frame_bytes=BATCH_BYTES_MAX).encode()


def tell_oversize_batch(forgery: Forgery) -> bytes:
    """More bytes than a batch may have, by repeating its last frame."""
    tell_honestly(forgery)
    header, frames = forgery.build()
    batch = BatchData(header, frames).encode()
    frame = len(frames[-1]).to_bytes(4) + frames[-1]
    return batch + frame * (BATCH_BYTES_MAX // len(frame) + 1)


def tell_nothing_read(forgery: Forgery) -> bytes:
    """The honest batch up to the first L1 message, which it leaves unread."""
    ops = forgery.honest_ops
    taken = [number for number, posted in enumerate(ops) if posted.op[0] == Kind.L1]
    if not taken:
        raise LieImpossible("the honest batch takes no message")
    forgery.repeat(ops[: taken[0]])
    forgery.close()
    return forgery.build().encode()


def tell_everything(forgery: Forgery) -> bytes:
    """The honest batch itself: only the way in which it is submitted is wrong."""
    tell_honestly(forgery)
    return forgery.build().encode()
