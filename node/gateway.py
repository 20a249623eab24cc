"""The gateway: framed msgpack over TCP, for machines. It only parses, limits and answers; its methods are given to it.

One reader and one writer task a connection, and none a request: whole buffers are cut at once, what is submitted is
answered by a callback when its group is done, and everything that waits goes out in one send. While many answers wait
to be sent nothing more is read, streams pause, and a peer that does not read for long loses its connection; nobody else
notices.
"""

import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import NoReturn

import trio

from node.framing import FrameError, FrameReader, encode_frame
from node.quick_stream import QuickStream
from state.codec import CodecError, Value, decode

Answer = Value
Method = Callable[[list[Value]], Awaitable[Answer]]
Reply = Callable[["Answer | MethodError"], None]
Send = Callable[[Value], Awaitable[None]]
Stream = Callable[[Send, list[Value]], Awaitable[Answer]]
"""A method with many answers: each `send` is one, and waits while the peer does not read; what it returns is the last.
"""


class MethodError(Exception):
    """A numbered refusal, sent to whoever asked."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


@dataclass(frozen=True, slots=True)
class Submission:
    """A method that answers later: `begin(source, arguments, reply)` calls `reply` once, or raises MethodError at once.

    `source` stands for the connection. What `is_urgent` is let in beyond the connection's limit, up to its head-room.
    """

    begin: Callable[[object, list[Value], Reply], None]
    is_urgent: Callable[[list[Value]], bool] = lambda arguments: False


MALFORMED = 9100
METHOD_UNKNOWN = 9101
ARGUMENT_WRONG = 9102
TOO_MANY_IN_FLIGHT = 9103
CONNECTION_CLOSED = 9104
ANSWER_TOO_LONG = 9105

# Of what one connection may have waiting to be sent, the part that its streams leave to its other answers.
STREAM_ROOM_DIVISOR = 4
CLOSE_SECONDS_MAX = 1.0
CLOSED_BY_PEER = "closed by the peer"


@dataclass(frozen=True, slots=True)
class GatewayLimits:
    """What one connection, and all of them, may ask of the node."""

    connections_max: int = 10_000
    in_flight_max: int = 1024
    in_flight_urgent_max: int = 256
    answers_bytes_max: int = 1 << 20
    idle_seconds_max: float = 600.0
    send_seconds_max: float = 10.0


@dataclass(slots=True)
class GatewayCounters:
    """What the metrics page tells of the gateway."""

    connections: int = 0
    requests: int = 0
    refused: int = 0
    closed: dict[str, int] = field(default_factory=dict)


class Gateway:
    """Serves methods by name until cancelled."""

    def __init__(
        self,
        methods: Mapping[str, Method],
        limits: GatewayLimits | None = None,
        *,
        submissions: Mapping[str, Submission] | None = None,
        streams: Mapping[str, Stream] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """With `tls`, a server-side context, nothing is spoken in the clear."""
        self._methods = methods
        self._submissions = submissions or {}
        self._streams = streams or {}
        self._limits = limits or GatewayLimits()
        self._tls = tls
        self._connections: dict[_Connection, None] = {}
        self.counters = GatewayCounters()

    async def serve(
        self,
        host: str,
        port: int,
        task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Listen; starts with the port that it got."""
        listeners = await trio.open_tcp_listeners(port, host=host)
        bound: int = listeners[0].socket.getsockname()[1]
        task_status.started(bound)
        await trio.serve_listeners(self._handle_socket, listeners)

    async def _handle_socket(self, stream: trio.SocketStream) -> None:
        quick = QuickStream(stream, self._limits.send_seconds_max)
        await self.handle(quick if self._tls is None else trio.SSLStream(quick, self._tls, server_side=True))

    async def handle(self, stream: trio.abc.Stream) -> None:
        """One connection, from its first byte to its last."""
        if self.counters.connections >= self._limits.connections_max:
            await stream.aclose()
            self._count_close("too many connections")
            return
        self.counters.connections += 1
        connection = _Connection(self, stream)
        self._connections[connection] = None
        try:
            await connection.run()
        finally:
            del self._connections[connection]
            self.counters.connections -= 1
            # A peer that never answers a TLS farewell holds nobody: when cancelled, closing is forceful.
            with trio.move_on_after(CLOSE_SECONDS_MAX):
                await stream.aclose()

    async def drain(self) -> None:
        """Wait until every answer given so far is with its connection's socket."""
        for connection in list(self._connections):
            await connection.drain()

    def _count_close(self, reason: str) -> None:
        self.counters.closed[reason] = self.counters.closed.get(reason, 0) + 1


class _Connection:
    def __init__(self, gateway: Gateway, stream: trio.abc.Stream) -> None:
        self._gateway = gateway
        self._limits = gateway._limits
        self._counters = gateway.counters
        self._count_close = gateway._count_close
        self._stream = stream
        self._answers = bytearray()
        self._has_answers = trio.Event()
        self._is_drained = trio.Event()
        self._is_closed = False
        self._in_flight = 0
        self._heard_at = trio.current_time()

    async def run(self) -> None:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._write, nursery.cancel_scope)
                reason = await self._read(nursery)
                self._count_close(reason)
                if reason != CLOSED_BY_PEER:
                    self._answer([0, CONNECTION_CLOSED, reason])
                    with trio.move_on_after(CLOSE_SECONDS_MAX):
                        await self._wait_until_drained(0)
                nursery.cancel_scope.cancel()
        finally:
            # What is still in flight may answer later; nobody is there to hear it.
            self._is_closed = True
            self._is_drained.set()

    async def drain(self) -> None:
        await self._wait_until_drained(0)

    async def _read(self, nursery: trio.Nursery) -> str:
        reader = FrameReader()
        while True:
            # Looked at when it has passed: to move it at each look would cost as much as a request's parsing.
            with trio.CancelScope(deadline=self._heard_at + self._limits.idle_seconds_max):
                return await self._read_on(nursery, reader)
            if self._in_flight:
                # Whoever waits for an answer, or for the next of a stream, is not idle.
                self._heard_at = trio.current_time()
            elif trio.current_time() >= self._heard_at + self._limits.idle_seconds_max:
                return "idle for too long"

    async def _read_on(self, nursery: trio.Nursery, reader: FrameReader) -> str:
        while True:
            await self._wait_until_drained(self._limits.answers_bytes_max)
            try:
                data = await self._stream.receive_some(1 << 16)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return CLOSED_BY_PEER
            self._heard_at = trio.current_time()
            if not data:
                return CLOSED_BY_PEER
            try:
                bodies = reader.feed(bytes(data))
            except FrameError as error:
                return str(error)
            for body in bodies:
                self._counters.requests += 1
                self._dispatch(nursery, body)

    def _dispatch(self, nursery: trio.Nursery, body: bytes) -> None:
        try:
            request = decode(body)
        except CodecError as error:
            self._answer([0, MALFORMED, str(error)])
            return
        if not isinstance(request, list) or len(request) < 2 or not isinstance(request[0], int):
            self._answer([0, MALFORMED, "a request is [id, method, arguments...]"])
            return
        number, name, arguments = request[0], request[1], request[2:]
        submission = self._gateway._submissions.get(name) if isinstance(name, str) else None
        if submission is not None:
            self._begin(number, submission, arguments)
            return
        method = self._gateway._methods.get(name) if isinstance(name, str) else None
        stream = self._gateway._streams.get(name) if isinstance(name, str) else None
        if stream is not None:
            method = partial(stream, partial(self._send_part, number))
        if method is None:
            known = ", ".join(sorted([*self._gateway._methods, *self._gateway._submissions, *self._gateway._streams]))
            self._answer([number, METHOD_UNKNOWN, f"method: unknown; this node has {known}"])
        elif self._take_place(number, 0):
            nursery.start_soon(self._call, number, method, arguments)

    def _begin(self, number: int, submission: Submission, arguments: list[Value]) -> None:
        if not self._take_place(number, self._limits.in_flight_urgent_max if submission.is_urgent(arguments) else 0):
            return
        try:
            submission.begin(self, arguments, partial(self._finish, number))
        except MethodError as error:
            self._finish(number, error)

    def _take_place(self, number: int, head_room: int) -> bool:
        if self._in_flight >= self._limits.in_flight_max + head_room:
            self._answer([number, TOO_MANY_IN_FLIGHT, "too many requests in flight on this connection"])
            return False
        self._in_flight += 1
        return True

    async def _call(self, number: int, method: Method, arguments: list[Value]) -> None:
        try:
            answer: Answer | MethodError = await method(arguments)
        except MethodError as error:
            answer = error
        self._finish(number, answer)

    async def _send_part(self, number: int, part: Value) -> None:
        self._answer([number, 0, part])
        await self._wait_until_drained(self._limits.answers_bytes_max // STREAM_ROOM_DIVISOR)

    def _finish(self, number: int, answer: Answer | MethodError) -> None:
        self._in_flight -= 1
        if isinstance(answer, MethodError):
            self._counters.refused += 1
            self._answer([number, answer.code, answer.text])
        else:
            self._answer([number, 0, answer])

    def _answer(self, answer: list[Value]) -> None:
        if self._is_closed:
            return
        try:
            frame = encode_frame(answer)
        except FrameError as error:
            # One question with too long an answer must not end the node for everybody.
            frame = encode_frame([answer[0], ANSWER_TOO_LONG, str(error)])
        self._answers += frame
        if not self._has_answers.is_set():
            self._has_answers.set()

    async def _wait_until_drained(self, size: int) -> None:
        while len(self._answers) > size and not self._is_closed:
            if self._is_drained.is_set():
                self._is_drained = trio.Event()
            await self._is_drained.wait()

    async def _write(self, scope: trio.CancelScope) -> None:
        """Until the peer is gone, or reads nothing for too long."""
        try:
            await self._write_on()
        except trio.TooSlowError:
            self._count_close("the peer does not read")
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        scope.cancel()

    async def _write_on(self) -> NoReturn:
        """Everything that waits goes out in one send."""
        while True:
            await self._has_answers.wait()
            self._has_answers = trio.Event()
            data = bytes(self._answers)
            await self._stream.send_all(data)
            del self._answers[: len(data)]
            self._is_drained.set()


def take_int(arguments: list[Value], index: int, name: str, bound: int = 1 << 64) -> int:
    """An integer argument in [0, bound). Raises MethodError that names it."""
    value = arguments[index] if index < len(arguments) else None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < bound:
        raise MethodError(ARGUMENT_WRONG, f"{name}: an integer from 0 to {bound - 1} is needed as argument {index + 1}")
    return value


def take_bytes(arguments: list[Value], index: int, name: str, length: int | None = None) -> bytes:
    """A bytes argument. Raises MethodError that names it."""
    value = arguments[index] if index < len(arguments) else None
    if not isinstance(value, bytes) or (length is not None and len(value) != length):
        size = "bytes" if length is None else f"{length} bytes"
        raise MethodError(ARGUMENT_WRONG, f"{name}: {size} are needed as argument {index + 1}")
    return value
