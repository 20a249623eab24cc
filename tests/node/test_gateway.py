"""The gateway: bad input gets a number or a closed connection with a reason, and nobody else notices."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
import trio
import trio.testing

from node.client import Client, GatewayUnreachable, open_client
from node.framing import FrameReader, encode_frame
from node.gateway import (
    ARGUMENT_WRONG,
    CONNECTION_CLOSED,
    MALFORMED,
    METHOD_UNKNOWN,
    TOO_MANY_IN_FLIGHT,
    Gateway,
    GatewayLimits,
    MethodError,
    take_bytes,
    take_int,
)
from state.codec import Value, decode, encode


async def add(arguments: list[Value]) -> Value:
    """Two integers."""
    return take_int(arguments, 0, "left", 100) + take_int(arguments, 1, "right", 100)


async def refuse(arguments: list[Value]) -> Value:
    """Always with a number."""
    raise MethodError(602, "order accepted must not follow")


async def wait(arguments: list[Value]) -> Value:
    """For ever."""
    await trio.sleep_forever()


async def echo(arguments: list[Value]) -> Value:
    """The bytes that came."""
    return take_bytes(arguments, 0, "data")


METHODS = {"add": add, "refuse": refuse, "wait": wait, "echo": echo}


@asynccontextmanager
async def connect(gateway: Gateway) -> AsyncIterator[trio.StapledStream]:
    """A raw connection in memory."""
    ours, theirs = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(gateway.handle, theirs)
        yield ours
        await ours.aclose()
        nursery.cancel_scope.cancel()


async def receive(stream: trio.abc.ReceiveStream, reader: FrameReader) -> Value:
    """The next answer."""
    while True:
        data = await stream.receive_some()
        assert data, "closed"
        bodies = reader.feed(bytes(data))
        if bodies:
            (body,) = bodies
            return decode(body)


async def ask(stream: trio.abc.Stream, frame: bytes) -> Value:
    """One raw frame, one answer."""
    await stream.send_all(frame)
    return await receive(stream, FrameReader())


async def test_methods_answer_by_id(autojump_clock: trio.testing.MockClock) -> None:
    """Results and refusals carry the id of their request."""
    async with connect(Gateway(METHODS)) as stream:
        assert await ask(stream, encode_frame([7, "add", 2, 3])) == [7, 0, 5]
        assert await ask(stream, encode_frame([8, "refuse"])) == [8, 602, "order accepted must not follow"]


@pytest.mark.parametrize(
    ("body", "code", "word"),
    [
        (b"\xc1", MALFORMED, "msgpack"),
        (b"\xcd\x00\x01", MALFORMED, "canonical"),
        (encode("hello"), MALFORMED, "request"),
        (encode([1]), MALFORMED, "request"),
        (encode(["x", "add"]), MALFORMED, "request"),
        (encode([1, "fly"]), METHOD_UNKNOWN, "add"),
        (encode([1, 2]), METHOD_UNKNOWN, "method"),
        (encode([1, "add", 2]), ARGUMENT_WRONG, "right"),
        (encode([1, "add", -1, 3]), ARGUMENT_WRONG, "left"),
        (encode([1, "add", 100, 3]), ARGUMENT_WRONG, "left"),
        (encode([1, "add", True, 3]), ARGUMENT_WRONG, "left"),
        (encode([1, "echo", "text"]), ARGUMENT_WRONG, "data"),
    ],
)
async def test_bad_requests_get_a_number_and_a_name(
    body: bytes, code: int, word: str, autojump_clock: trio.testing.MockClock
) -> None:
    """The connection goes on after any of them."""
    async with connect(Gateway(METHODS)) as stream:
        answer = await ask(stream, len(body).to_bytes(4) + body)
        assert isinstance(answer, list)
        assert answer[1] == code
        assert word in str(answer[2])
        assert await ask(stream, encode_frame([2, "add", 1, 1])) == [2, 0, 2]


async def test_an_impossible_frame_closes_with_a_reason(autojump_clock: trio.testing.MockClock) -> None:
    """Only the connection that sent it."""
    gateway = Gateway(METHODS)
    async with connect(gateway) as bad, connect(gateway) as good:
        answer = await ask(bad, b"\xff\xff\xff\xff")
        assert isinstance(answer, list)
        assert answer[:2] == [0, CONNECTION_CLOSED]
        assert await bad.receive_some() == b""
        assert await ask(good, encode_frame([1, "add", 1, 1])) == [1, 0, 2]


async def test_half_a_frame_waits_and_an_idle_peer_is_let_go(autojump_clock: trio.testing.MockClock) -> None:
    """A peer that says nothing for long loses its place, with a reason."""
    gateway = Gateway(METHODS, GatewayLimits(idle_seconds_max=5))
    async with connect(gateway) as stream:
        await stream.send_all(b"\x00\x00")
        answer = await receive(stream, FrameReader())
    assert answer == [0, CONNECTION_CLOSED, "idle for too long"]


async def test_a_peer_that_does_not_read_is_let_go() -> None:
    """Its answers are bounded in number and in time."""
    gateway = Gateway(METHODS, GatewayLimits(send_seconds_max=0.2))
    async with trio.open_nursery() as nursery:
        port = await nursery.start(gateway.serve, "127.0.0.1", 0)
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            frame = encode_frame([1, "echo", bytes(60_000)])
            with suppress(trio.BrokenResourceError):
                while True:
                    await stream.send_all(frame)
        nursery.cancel_scope.cancel()
    assert "the peer does not read" in gateway.counters.closed


async def test_too_many_in_flight_are_refused(autojump_clock: trio.testing.MockClock) -> None:
    """What waits is not lost; what comes on top is told."""
    async with connect(Gateway(METHODS, GatewayLimits(in_flight_max=2))) as stream:
        await stream.send_all(encode_frame([1, "wait"]) + encode_frame([2, "wait"]))
        answer = await ask(stream, encode_frame([3, "add", 1, 1]))
        assert isinstance(answer, list)
        assert answer[:2] == [3, TOO_MANY_IN_FLIGHT]


async def test_too_many_connections_are_turned_away(autojump_clock: trio.testing.MockClock) -> None:
    """Those who are in stay in."""
    gateway = Gateway(METHODS, GatewayLimits(connections_max=1))
    async with connect(gateway) as first:
        assert await ask(first, encode_frame([1, "add", 1, 1])) == [1, 0, 2]
        async with connect(gateway) as second:
            assert await second.receive_some() == b""
        assert await ask(first, encode_frame([2, "add", 1, 1])) == [2, 0, 2]


async def test_a_client_keeps_many_requests_in_flight() -> None:
    """Over a real socket, answers find their requests in any order."""
    gateway = Gateway(METHODS)
    async with trio.open_nursery() as nursery:
        port = await nursery.start(gateway.serve, "127.0.0.1", 0)
        async with open_client("127.0.0.1", port) as client:
            sums: dict[int, Value] = {}

            async def call(client: Client, number: int) -> None:
                sums[number] = await client.call("add", number, number)

            async with trio.open_nursery() as callers:
                for number in range(50):
                    callers.start_soon(call, client, number)
            assert sums == {number: 2 * number for number in range(50)}
            with pytest.raises(MethodError, match="must not follow") as refused:
                await client.call("refuse")
            assert refused.value.code == 602
        nursery.cancel_scope.cancel()


async def test_a_client_says_when_nobody_answers() -> None:
    """The error names the address."""
    listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
    port = listener.socket.getsockname()[1]
    await listener.aclose()
    with pytest.raises(GatewayUnreachable, match=str(port)):
        async with open_client("127.0.0.1", port):
            pass
