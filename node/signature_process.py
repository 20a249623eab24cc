"""The near end of node/signature_worker.py: groups of signatures go out, and their answers come back in order.

Whoever asks does not wait: the socket holds more than is ever asked for ahead, and the answer is heard by a callback.
"""

import socket
import sys
from collections import deque
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path

import trio

from node.errors import NodeError
from node.signature_worker import SIGN, SIGNATURE_BYTES, VERIFY
from node.worker_messages import LENGTH_BYTES, encode_message
from sequencer.verdicts import SignedMessage

ENDED = "the process that works signatures off has ended"
PROJECT = Path(__file__).resolve().parent.parent


class WorkerEnded(NodeError):
    """A process that works signatures off is gone; without it nothing can be taken."""


class SignatureProcess:
    """Use `run_signature_process`. Groups may be sent before earlier ones are answered, all by one thread."""

    def __init__(self, stream: socket.socket, pid: int) -> None:
        self._stream = stream
        self.pid = pid
        self._waiting: deque[Callable[[bytes], None]] = deque()

    def verify(self, messages: Sequence[SignedMessage], hear: Callable[[list[bool]], None]) -> None:
        """Send a group away; `hear` gets its verdicts, in order. Raises WorkerEnded."""
        # As SignedMessage.encode puts them: a message is the three parts of its encoding.
        body = VERIFY + b"".join(chain.from_iterable(messages))
        self._ask(body, lambda answer: hear([verdict == 1 for verdict in answer]))

    def sign(self, digests: Sequence[bytes], hear: Callable[[list[bytes]], None]) -> None:
        """The same for a receipt's signature over each digest, `r || s || v`. Raises WorkerEnded."""
        self._ask(SIGN + b"".join(digests), lambda answer: hear(_cut(answer)))

    def _ask(self, body: bytes, hear: Callable[[bytes], None]) -> None:
        self._waiting.append(hear)
        self.tell(body)

    def tell(self, body: bytes) -> None:
        """Send a body; its answer, if it has one, goes to whoever asked first. Raises WorkerEnded."""
        try:
            self._stream.sendall(encode_message(body))
        except OSError as error:
            raise WorkerEnded(ENDED) from error

    async def listen(self) -> None:
        """Hand out answers in the order of the questions, until cancelled. Raises WorkerEnded."""
        buffer = bytearray()
        while True:
            await trio.lowlevel.wait_readable(self._stream)
            try:
                data = self._stream.recv(1 << 16)
            except OSError as error:
                raise WorkerEnded(ENDED) from error
            if not data:
                raise WorkerEnded(ENDED)
            buffer += data
            while len(buffer) >= LENGTH_BYTES:
                end = LENGTH_BYTES + int.from_bytes(buffer[:LENGTH_BYTES])
                if len(buffer) < end:
                    break
                answer = bytes(buffer[LENGTH_BYTES:end])
                del buffer[:end]
                self._waiting.popleft()(answer)


def _cut(signatures: bytes) -> list[bytes]:
    return [signatures[at : at + SIGNATURE_BYTES] for at in range(0, len(signatures), SIGNATURE_BYTES)]


async def run_signature_process(
    secret: bytes, task_status: trio.TaskStatus[SignatureProcess] = trio.TASK_STATUS_IGNORED
) -> None:
    """A worker that signs with this key, until cancelled; it ends with this process, however that ends.

        verifier = await nursery.start(run_signature_process, secret)

    Raises WorkerEnded when it ends by itself.
    """
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            command = [sys.executable, "-m", "node.signature_worker", str(theirs.fileno())]
            child = await trio.lowlevel.open_process(command, cwd=PROJECT, pass_fds=[theirs.fileno()])
        try:
            process = SignatureProcess(ours, child.pid)
            process.tell(secret)
            task_status.started(process)
            await process.listen()
        finally:
            # A thread may be within a send; it gets an error then, and no other file's number.
            ours.shutdown(socket.SHUT_RDWR)
            with trio.CancelScope(shield=True):
                await child.wait()
