"""A process that does nothing but batches: the roots after every step of a sealed batch, its frames, its hash.

Nobody who trades waits for a root, and the engine needs none; but a batch's roots together keep an interpreter busy for
a good part of a second. So they are computed here, in a process that gives way to every other. It holds a tree and
nothing that is not also in the log.

Messages are those of worker_messages.py, bodies canonical msgpack behind a letter. `[parent, key, leaf, ...]` begins
anew on a state and is answered by the state's root. `[[op, key, leaf, ...], ...]` names next steps of the open batch
with the leaves that they write; its answer is empty. `[header, [op, key, leaf, ...], ...]` names the last of them, and
is answered by root and batch. The process ends when its socket does.

    python -m node.batch_worker SOCKET
"""

import os
import signal
import socket
import sys
from collections.abc import Sequence

from node.worker_messages import answer_all
from sequencer.batcher import Batcher
from sequencer.engine import PostedOp, Sealed
from state.batches import decode_header
from state.codec import Value, decode
from state.tree import build_tree

BEGIN, ADVANCE, BUILD = b"L", b"A", b"B"
NICENESS = 5


class Workshop:
    """The tree, and the steps of the open batch so far."""

    def __init__(self) -> None:
        self._batcher = Batcher(build_tree(()), bytes(32))
        self._steps: list[PostedOp] = []

    def answer(self, message: bytes) -> bytes:
        """To any message."""
        work, body = message[:1], _expect_list(decode(message[1:]))
        if work == BEGIN:
            return self._begin(body)
        if work == ADVANCE:
            self._steps += map(_decode_step, body)
            self._batcher.advance(self._steps)
            return b""
        return self._build(body)

    def _begin(self, body: list[Value]) -> bytes:
        parent, *flat = body
        leaves = zip(flat[::2], flat[1::2], strict=True)
        self._batcher, self._steps = Batcher(build_tree(leaves), parent), []  # type: ignore[arg-type]
        return self._batcher.root

    def _build(self, body: list[Value]) -> bytes:
        header, *last = body
        steps, self._steps = (*self._steps, *map(_decode_step, last)), []
        batch = self._batcher.build(Sealed(decode_header(header), steps, {}))  # type: ignore[arg-type]
        return self._batcher.root + batch.encode()


def list_steps(ops: Sequence[PostedOp]) -> list[Value]:
    """As messages name them."""
    return [[posted.op, *(part for item in posted.writes.items() for part in item)] for posted in ops]


def _decode_step(step: Value) -> PostedOp:
    op, *flat = _expect_list(step)
    return PostedOp(op, dict(zip(flat[::2], flat[1::2], strict=True)))  # type: ignore[arg-type]


def _expect_list(value: Value) -> list[Value]:
    assert isinstance(value, list)
    return value


def main(stream: socket.socket) -> None:
    """Serve one socket to its end."""
    answer_all(stream, Workshop().answer)


if __name__ == "__main__":
    # An interrupt from the terminal reaches every process of the group; this one ends after the one that it serves.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(NICENESS)
    main(socket.socket(fileno=int(sys.argv[1])))
