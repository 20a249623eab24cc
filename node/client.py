"""A client of the gateway: many requests in flight on one connection, each answered by its id."""

import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple

import trio

from node.framing import FrameError, FrameReader, encode_frame
from node.gateway import MethodError
from state.codec import CodecError, Value, decode


class GatewayAddress(NamedTuple):
    """What `open_client` takes; without `tls`, a client-side context, it is spoken to in the clear."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None


class GatewayUnreachable(Exception):
    """Nobody answers at the gateway's address, or the connection broke."""


class Client:
    """Use `open_client`. Not to be shared between nurseries."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self._lock = trio.Lock()
        self._waiting: dict[int, trio.MemorySendChannel[list[Value]]] = {}
        self._streams: dict[int, trio.MemorySendChannel[list[Value]]] = {}
        self._number = 0
        self._broken: str | None = None

    async def call(self, method: str, *arguments: Value) -> Value:
        """The result of a method. Raises MethodError with the server's code, or GatewayUnreachable."""
        if self._broken is not None:
            raise GatewayUnreachable(self._broken)
        self._number += 1
        number = self._number
        send, receive = trio.open_memory_channel[list[Value]](1)
        self._waiting[number] = send
        try:
            await self._ask(number, method, arguments)
            return await self._take_answer(receive)
        finally:
            self._waiting.pop(number, None)

    async def stream(self, method: str, *arguments: Value) -> AsyncGenerator[Value, None]:
        """Answer after answer of a method that has many, until the caller wants no more.

        While the caller does not take them nothing else is read from the connection: give a stream one of its own.
        Raises what `call` raises.
        """
        if self._broken is not None:
            raise GatewayUnreachable(self._broken)
        self._number += 1
        number = self._number
        send, receive = trio.open_memory_channel[list[Value]](0)
        self._streams[number] = send
        try:
            await self._ask(number, method, arguments)
            while True:
                yield await self._take_answer(receive)
        finally:
            del self._streams[number]
            receive.close()

    async def _ask(self, number: int, method: str, arguments: tuple[Value, ...]) -> None:
        try:
            async with self._lock:
                await self._stream.send_all(encode_frame([number, method, *arguments]))
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise GatewayUnreachable(self._broken or "the gateway closed the connection") from error

    async def _take_answer(self, receive: trio.MemoryReceiveChannel[list[Value]]) -> Value:
        try:
            _, code, result = await receive.receive()
        except trio.EndOfChannel as error:
            raise GatewayUnreachable(self._broken or "the gateway closed the connection") from error
        if code != 0:
            assert isinstance(code, int)
            raise MethodError(code, str(result))
        return result

    async def listen(self) -> None:
        """Deliver answers until the connection ends. Runs in the background of `open_client`."""
        reader = FrameReader()
        try:
            while data := await self._stream.receive_some(1 << 16):
                for body in reader.feed(bytes(data)):
                    await self._deliver(decode(body))
            self._broken = self._broken or "the gateway closed the connection"
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self._broken = "the connection to the gateway broke"
        except (FrameError, CodecError) as error:
            self._broken = f"what answers there speaks another protocol: {error}"
        for channel in [*self._waiting.values(), *self._streams.values()]:
            channel.close()

    async def _deliver(self, answer: Value) -> None:
        """To whoever waits for it; nobody does for what was cancelled. Raises FrameError for what is no answer."""
        match answer:
            case [0, int(), text]:
                self._broken = str(text)
            case [int(number), int(), _]:
                if number in self._waiting:
                    self._waiting[number].send_nowait(answer)
                elif number in self._streams:
                    with suppress(trio.BrokenResourceError):
                        await self._streams[number].send(answer)
            case _:
                raise FrameError("an answer is [id, code, result]")


@asynccontextmanager
async def open_client(host: str, port: int, tls: ssl.SSLContext | None = None) -> AsyncIterator[Client]:
    """Connect to a gateway, by TLS when a client-side context is given. Raises GatewayUnreachable."""
    try:
        stream = await _connect(host, port, tls)
    except (OSError, trio.BrokenResourceError) as error:
        cause = error.__cause__ if isinstance(error, trio.BrokenResourceError) else error
        raise GatewayUnreachable(f"no gateway answers at {host}:{port}: {cause}") from error
    async with stream, trio.open_nursery() as nursery:
        client = Client(stream)
        nursery.start_soon(client.listen)
        try:
            yield client
        finally:
            nursery.cancel_scope.cancel()


async def _connect(host: str, port: int, tls: ssl.SSLContext | None) -> trio.abc.Stream:
    plain = await trio.open_tcp_stream(host, port)
    if tls is None:
        return plain
    secured = trio.SSLStream(plain, tls, server_hostname=host)
    try:
        await secured.do_handshake()
    except BaseException:
        await trio.aclose_forcefully(secured)
        raise
    return secured
