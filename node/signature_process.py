"""The near end of node/signature_worker.py: groups of signatures go out, and their answers come back in order."""

import socket
import sys
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
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
    """Use `run_signature_process`. Groups may be sent before earlier ones are answered."""

    def __init__(self, stream: trio.SocketStream, pid: int) -> None:
        self._stream = stream
        self.pid = pid
        self._turn = trio.Lock()
        self._waiting: deque[trio.MemorySendChannel[bytes]] = deque()

    async def begin_verify(self, messages: Sequence[SignedMessage]) -> "Verification":
        """Send a group away; its verdicts are waited for elsewhere. Raises WorkerEnded."""
        # As SignedMessage.encode puts them: a message is the three parts of its encoding.
        return Verification(await self._ask(VERIFY + b"".join(chain.from_iterable(messages))))

    async def sign(self, digests: Sequence[bytes]) -> list[bytes]:
        """A receipt's signature over each digest, `r || s || v`. Raises WorkerEnded."""
        answer = await _receive(await self._ask(SIGN + b"".join(digests)))
        return [answer[at : at + SIGNATURE_BYTES] for at in range(0, len(answer), SIGNATURE_BYTES)]

    async def _ask(self, body: bytes) -> trio.MemoryReceiveChannel[bytes]:
        send, receive = trio.open_memory_channel[bytes](1)
        try:
            async with self._turn:
                self._waiting.append(send)
                await self.tell(body)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise WorkerEnded(ENDED) from error
        return receive

    async def tell(self, body: bytes) -> None:
        """Send a body; its answer, if it has one, goes to whoever asked first."""
        await self._stream.send_all(encode_message(body))

    async def listen(self) -> None:
        """Hand out answers in the order of the questions, until the process ends."""
        buffer = bytearray()
        with suppress(trio.BrokenResourceError):
            while data := await self._stream.receive_some(1 << 16):
                buffer += data
                while len(buffer) >= LENGTH_BYTES:
                    end = LENGTH_BYTES + int.from_bytes(buffer[:LENGTH_BYTES])
                    if len(buffer) < end:
                        break
                    self._waiting.popleft().send_nowait(bytes(buffer[LENGTH_BYTES:end]))
                    del buffer[:end]
        for channel in self._waiting:
            channel.close()


@dataclass(frozen=True, slots=True)
class Verification:
    """A group of signatures on its way."""

    answer: trio.MemoryReceiveChannel[bytes]

    async def wait(self) -> list[bool]:
        """The verdicts, in order. Raises WorkerEnded."""
        return [verdict == 1 for verdict in await _receive(self.answer)]


async def _receive(answer: trio.MemoryReceiveChannel[bytes]) -> bytes:
    try:
        return await answer.receive()
    except trio.EndOfChannel as error:
        raise WorkerEnded(ENDED) from error


async def run_signature_process(
    secret: bytes, task_status: trio.TaskStatus[SignatureProcess] = trio.TASK_STATUS_IGNORED
) -> None:
    """A worker that signs with this key, until cancelled; it ends with this process, however that ends.

        verifier = await nursery.start(run_signature_process, secret)

    Raises WorkerEnded when it ends by itself.
    """
    ours, theirs = socket.socketpair()
    stream = trio.SocketStream(trio.socket.from_stdlib_socket(ours))
    with theirs:
        command = [sys.executable, "-m", "node.signature_worker", str(theirs.fileno())]
        child = await trio.lowlevel.open_process(command, cwd=PROJECT, pass_fds=[theirs.fileno()])
    try:
        process = SignatureProcess(stream, child.pid)
        await process.tell(secret)
        task_status.started(process)
        await process.listen()
        raise WorkerEnded(ENDED)
    finally:
        with trio.CancelScope(shield=True):
            await trio.aclose_forcefully(stream)
            await child.wait()
