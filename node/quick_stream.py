"""A TCP connection that gives way only where it must, for whoever has very many small messages.

Trio's own stream looks before it waits, and lets every other task run behind each call that did not have to wait. Of a
message of some hundred bytes that is most of the work. Here reading waits first, as nearly every read must; writing
that need not wait does not give way, so it is for a task that waits for something else between two writes.
"""

import socket

import trio

CHUNK_BYTES = 1 << 16


class QuickStream(trio.abc.Stream):
    """Over trio's own stream, which it takes over and closes. A peer has so long to take what is sent at once."""

    def __init__(self, stream: trio.SocketStream, send_seconds_max: float) -> None:
        self._stream = stream
        self._send_seconds_max = send_seconds_max
        # A second name for the same file, given up when it is closed.
        self._socket = socket.socket(fileno=stream.socket.fileno())
        self._socket.setblocking(False)

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """What is there, as soon as there is anything; nothing at the end. Raises trio's errors of a stream."""
        while True:
            await trio.lowlevel.wait_readable(self._socket)
            try:
                return self._socket.recv(max_bytes or CHUNK_BYTES)
            except BlockingIOError:
                continue
            except OSError as error:
                raise trio.BrokenResourceError from error

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Returns when the socket has taken all. Raises TooSlowError, and trio's errors of a stream."""
        rest = memoryview(data)
        rest = rest[self._send(rest) :]
        if rest:
            with trio.fail_after(self._send_seconds_max):
                while rest:
                    await trio.lowlevel.wait_writable(self._socket)
                    rest = rest[self._send(rest) :]

    def _send(self, data: memoryview) -> int:
        try:
            return self._socket.send(data)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise trio.BrokenResourceError from error

    async def wait_send_all_might_not_block(self) -> None:
        """Until the socket has room."""
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        """At once; a task that waits here gets ClosedResourceError."""
        self._socket.detach()
        await self._stream.aclose()
