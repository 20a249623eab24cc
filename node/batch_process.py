"""The near end of node/batch_worker.py: a batcher whose tree stands in another process.

Blocking, and for one thread at a time: the one that drives the engine, or the one that writes sealed batches, which
nobody waits for.
"""

import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from node.batch_worker import ADVANCE, BEGIN, BUILD, list_steps
from node.errors import NodeError
from node.worker_messages import encode_message, read_message
from sequencer.engine import PostedOp, Sealed
from state.batches import BatchData, decode_batch
from state.codec import Value, encode
from state.tree import LeafKey, Root

ENDED = "the process that builds batches has ended"
PROJECT = Path(__file__).resolve().parent.parent
ROOT_BYTES = 32
# Of an open batch's steps: some milliseconds of the worker's, so that it needs no long breath when a batch is sealed.
STEPS_TOLD_AT_ONCE = 32


class BatchWorkerEnded(NodeError):
    """The process that builds batches is gone; start again, the log has all that it knew."""


class BatchProcess:
    """Use `run_batch_process`."""

    def __init__(self, stream: socket.socket, pid: int) -> None:
        self._stream = stream
        self._owed = 0
        self.pid = pid

    def open_batcher(self, leaves: Mapping[LeafKey, bytes], parent: bytes) -> "RemoteBatcher":
        """A batcher on a state, behind batch `parent`. The one before it is void. Raises BatchWorkerEnded."""
        self.hear_out()
        flat: list[Value] = [part for item in leaves.items() for part in item]
        self.tell(BEGIN + encode([parent, *flat]))
        return RemoteBatcher(self, parent)

    def tell(self, body: bytes) -> None:
        """Send a body. Raises BatchWorkerEnded."""
        try:
            self._stream.sendall(encode_message(body))
        except OSError as error:
            raise BatchWorkerEnded(ENDED) from error
        self._owed += 1

    def hear(self) -> bytes:
        """The answer to what was told first. Raises BatchWorkerEnded."""
        try:
            answer = read_message(self._stream)
        except OSError as error:
            raise BatchWorkerEnded(ENDED) from error
        if answer is None:
            raise BatchWorkerEnded(ENDED)
        self._owed -= 1
        return answer

    def is_idle(self) -> bool:
        """Whether all that was told is answered. Does not wait. Raises BatchWorkerEnded."""
        while self._owed:
            try:
                self._stream.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
            except BlockingIOError:
                return False
            except OSError as error:
                raise BatchWorkerEnded(ENDED) from error
            self.hear()
        return True

    def hear_out(self) -> bytes:
        """The answer to what was told last, if any is owed. Raises BatchWorkerEnded."""
        answer = b""
        while self._owed:
            answer = self.hear()
        return answer


class RemoteBatcher:
    """As sequencer/batcher.py's. It is not waited for until its root is asked for."""

    def __init__(self, process: BatchProcess, parent: bytes) -> None:
        self._process = process
        self._root: Root | None = None
        self._sent = 0
        self.parent = parent

    @property
    def root(self) -> Root:
        """Of the state behind the last batch. Raises BatchWorkerEnded."""
        if self._root is None:
            self._root = Root(self._process.hear())
        return self._root

    def advance(self, ops: Sequence[PostedOp]) -> None:
        """Have the roots computed of the open batch's ops so far, or later when there is much to do already.

        Raises BatchWorkerEnded.
        """
        if len(ops) >= self._sent + STEPS_TOLD_AT_ONCE and self._root is not None and self._process.is_idle():
            self._process.tell(ADVANCE + encode(list_steps(ops[self._sent :])))
            self._sent = len(ops)

    def build(self, sealed: Sealed) -> BatchData:
        """The batch of sealed ops with their roots, in the order of sealing. Raises BatchWorkerEnded."""
        assert self.root
        self._process.tell(BUILD + encode([sealed.header.encode(), *list_steps(sealed.ops[self._sent :])]))
        self._sent = 0
        answer = self._process.hear_out()
        batch = decode_batch(answer[ROOT_BYTES:])
        assert batch is not None
        self._root, self.parent = Root(answer[:ROOT_BYTES]), batch.batch_hash
        return batch


@contextmanager
def run_batch_process() -> Iterator[BatchProcess]:
    """A worker for the length of a `with` block; it ends with this process, however that ends."""
    ours, theirs = socket.socketpair()
    with theirs:
        command = [sys.executable, "-m", "node.batch_worker", str(theirs.fileno())]
        child = subprocess.Popen(command, cwd=PROJECT, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
    try:
        yield BatchProcess(ours, child.pid)
    finally:
        ours.close()
        child.wait()
