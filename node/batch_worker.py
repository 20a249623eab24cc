"""A process that does nothing but batches: the roots after every step of a sealed batch, its frames, its hash.

Nobody who trades waits for a root, and the engine needs none; but a batch's roots together keep an interpreter busy for
a good part of a second. So they are computed here, in a process that gives way to every other. It holds a tree and
nothing that is not also in the log.

Messages are those of worker_messages.py, bodies canonical msgpack behind a letter. `[parent, key, leaf, ...]` begins
anew on a state and is answered by the state's root; `[header, [op, key, leaf, ...], ...]` names every step of the next
batch with the leaves that it writes, and is answered by root and batch. The process ends when its socket does.

    python -m node.batch_worker SOCKET
"""

import os
import signal
import socket
import sys

from node.worker_messages import answer_all
from sequencer.batcher import Batcher
from sequencer.engine import PostedOp, Sealed
from state.batches import decode_header
from state.codec import Value, decode, encode
from state.tree import build_tree

BEGIN, BUILD = b"L", b"B"
NICENESS = 5


def begin(body: bytes) -> Batcher:
    """A batcher on the state that a message gives."""
    parent, *flat = _expect_list(decode(body))
    return Batcher(build_tree(zip(flat[::2], flat[1::2], strict=True)), parent)  # type: ignore[arg-type]


def build(batcher: Batcher, body: bytes) -> bytes:
    """`root || batch` of the sealed steps that a message gives."""
    header, *steps = _expect_list(decode(body))
    batch = batcher.build(Sealed(decode_header(header), tuple(map(_decode_step, steps)), {}))  # type: ignore[arg-type]
    return batcher.tree.root + batch.encode()


def encode_sealed(sealed: Sealed) -> bytes:
    """The message that asks for a batch."""
    steps: list[Value] = [
        [posted.op, *(part for item in posted.writes.items() for part in item)] for posted in sealed.ops
    ]
    return encode([sealed.header.encode(), *steps])


def _decode_step(step: Value) -> PostedOp:
    op, *flat = _expect_list(step)
    return PostedOp(op, dict(zip(flat[::2], flat[1::2], strict=True)))  # type: ignore[arg-type]


def _expect_list(value: Value) -> list[Value]:
    assert isinstance(value, list)
    return value


def main(stream: socket.socket) -> None:
    """Serve one socket to its end."""
    batcher = Batcher(build_tree(()), bytes(32))

    def answer(message: bytes) -> bytes:
        nonlocal batcher
        work, body = message[:1], message[1:]
        if work == BUILD:
            return build(batcher, body)
        batcher = begin(body)
        return batcher.root

    answer_all(stream, answer)


if __name__ == "__main__":
    # An interrupt from the terminal reaches every process of the group; this one ends after the one that it serves.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(NICENESS)
    main(socket.socket(fileno=int(sys.argv[1])))
