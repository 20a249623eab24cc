"""The gateway under pressure: limits with head-room, TLS, and peers that mean ill, of whom others notice nothing."""

import ssl
import statistics
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import trio
import trio.testing

from node.client import Client, GatewayUnreachable, open_client
from node.framing import FrameReader, encode_frame
from node.gateway import (
    ARGUMENT_WRONG,
    TOO_MANY_IN_FLIGHT,
    Gateway,
    GatewayLimits,
    MethodError,
    Reply,
    Send,
    Submission,
    take_bytes,
    take_int,
)
from state.codec import Value, decode
from tests.node.test_gateway import METHODS, connect


class Desk:
    """Keeps what is submitted until it is told to answer."""

    def __init__(self) -> None:
        self.waiting: list[tuple[bytes, Reply]] = []

    @property
    def submission(self) -> Submission:
        return Submission(self.begin, lambda arguments: arguments == [b"urgent"])

    def begin(self, source: object, arguments: list[Value], reply: Reply) -> None:
        data = take_bytes(arguments, 0, "data")
        if data == b"bad":
            raise MethodError(9000, "no request")
        self.waiting.append((data, reply))

    def answer_all(self) -> None:
        """In the reverse order: the id says which is whose."""
        for data, reply in reversed(self.waiting):
            reply(data if data != b"late" else MethodError(9005, "nothing to cancel"))
        self.waiting.clear()


async def read_answers(stream: trio.abc.ReceiveStream, count: int) -> dict[int, list[Value]]:
    """So many answers by id."""
    reader = FrameReader()
    answers: dict[int, list[Value]] = {}
    while len(answers) < count:
        for body in reader.feed(bytes(await stream.receive_some())):
            answer = decode(body)
            assert isinstance(answer, list)
            answers[int(answer[0])] = answer  # type: ignore[arg-type]
    return answers


async def read_all(stream: trio.abc.ReceiveStream, count: int) -> list[list[Value]]:
    """The next answers, in order."""
    reader = FrameReader()
    answers: list[list[Value]] = []
    while len(answers) < count:
        for body in reader.feed(bytes(await stream.receive_some())):
            answer = decode(body)
            assert isinstance(answer, list)
            answers.append(answer)
    return answers


async def test_submissions_are_answered_when_their_group_is_done(autojump_clock: trio.testing.MockClock) -> None:
    """A whole buffer of them, each by its id, good or refused, and one that is refused at once."""
    desk = Desk()
    async with connect(Gateway(METHODS, submissions={"submit": desk.submission})) as stream:
        frames = [encode_frame([number, "submit", data]) for number, data in enumerate((b"a", b"late", b"bad"), 1)]
        await stream.send_all(b"".join(frames))
        assert await read_answers(stream, 1) == {3: [3, 9000, "no request"]}
        desk.answer_all()
        assert await read_answers(stream, 2) == {1: [1, 0, b"a"], 2: [2, 9005, "nothing to cancel"]}


async def test_what_is_urgent_has_room_when_all_else_is_full(autojump_clock: trio.testing.MockClock) -> None:
    """A connection that has filled its limit with orders can still send its cancels, up to the head-room."""
    desk, limits = Desk(), GatewayLimits(in_flight_max=2, in_flight_urgent_max=1)
    async with connect(Gateway(METHODS, limits, submissions={"submit": desk.submission})) as stream:
        sent = (b"a", b"b", b"c", b"urgent", b"urgent")
        await stream.send_all(b"".join(encode_frame([n, "submit", data]) for n, data in enumerate(sent, 1)))
        refused = await read_answers(stream, 2)
        assert {number: answer[1] for number, answer in refused.items()} == {
            3: TOO_MANY_IN_FLIGHT,
            5: TOO_MANY_IN_FLIGHT,
        }
        desk.answer_all()
        assert sorted(await read_answers(stream, 3)) == [1, 2, 4]


async def test_an_answer_to_whom_has_gone_is_dropped(autojump_clock: trio.testing.MockClock) -> None:
    """The group goes on, and the gateway counts nobody twice."""
    desk = Desk()
    gateway = Gateway(METHODS, submissions={"submit": desk.submission})
    async with connect(gateway) as stream:
        await stream.send_all(encode_frame([1, "submit", b"a"]))
        await trio.testing.wait_all_tasks_blocked()
    desk.answer_all()
    await gateway.drain()
    assert gateway.counters.connections == 0


# Streams


async def count_up(send: Send, arguments: list[Value]) -> Value:
    """Numbers from 1, each with much ballast, as far as is asked; then a word."""
    end = take_int(arguments, 0, "end")
    for number in range(1, end + 1):
        await send([number, bytes(1000)])
    return "done"


async def test_a_stream_answers_until_it_ends(autojump_clock: trio.testing.MockClock) -> None:
    """Many answers under one id, other calls between them, and an end; silence while it runs is not idleness."""
    opened = trio.Event()

    async def wait_long(send: Send, arguments: list[Value]) -> Value:
        await send("begun")
        await opened.wait()
        return "ended"

    gateway = Gateway(METHODS, GatewayLimits(idle_seconds_max=1), streams={"count": count_up, "wait_long": wait_long})
    async with connect(gateway) as stream:
        await stream.send_all(encode_frame([7, "count", 2]))
        numbers = [[7, 0, [1, bytes(1000)]], [7, 0, [2, bytes(1000)]]]
        assert await read_all(stream, 3) == [*numbers, [7, 0, "done"]]
        await stream.send_all(encode_frame([8, "wait_long"]))
        assert await read_all(stream, 1) == [[8, 0, "begun"]]
        await trio.sleep(5)
        await stream.send_all(encode_frame([9, "add", 1, 1]))
        assert await read_all(stream, 1) == [[9, 0, 2]]
        opened.set()
        assert await read_all(stream, 1) == [[8, 0, "ended"]]
        await stream.send_all(encode_frame([10, "count", "x"]))
        assert (await read_all(stream, 1))[0][:2] == [10, ARGUMENT_WRONG]


async def test_a_stream_pauses_while_its_peer_does_not_read() -> None:
    """It is asked for no more than the connection may hold; who reads on gets the rest, whole and in order."""
    sent: list[int] = []

    async def count(send: Send, arguments: list[Value]) -> Value:
        for number in range(1000):
            sent.append(number)
            await send([number, bytes(1000)])
        return "done"

    limits, is_reading = GatewayLimits(answers_bytes_max=40_000), trio.Event()
    ours, theirs = trio.testing.memory_stream_pair()
    assert theirs.send_stream.send_all_hook is not None
    deliver = theirs.send_stream.send_all_hook

    async def deliver_when_read() -> None:
        await is_reading.wait()
        await deliver()

    theirs.send_stream.send_all_hook = deliver_when_read
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Gateway(METHODS, limits, streams={"count": count}).handle, theirs)
        await ours.send_all(encode_frame([1, "count"]))
        await trio.testing.wait_all_tasks_blocked()
        assert len(sent) * 1000 < limits.answers_bytes_max
        is_reading.set()
        *parts, last = await read_all(ours, 1001)
        assert (parts, last) == ([[1, 0, [number, bytes(1000)]] for number in range(1000)], [1, 0, "done"])
        await ours.aclose()
        nursery.cancel_scope.cancel()


# TLS


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """(server's, client's), of a certificate made for the occasion."""
    folder: Path = tmp_path_factory.mktemp("tls")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"]
    named = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key)]
    subprocess.run([*made, *named, "-out", str(certificate)], check=True, capture_output=True)
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(certificate, key)
    return server, ssl.create_default_context(cafile=str(certificate))


@asynccontextmanager
async def serve(gateway: Gateway) -> AsyncIterator[int]:
    """A gateway on a port."""
    async with trio.open_nursery() as nursery:
        yield await nursery.start(gateway.serve, "127.0.0.1", 0)
        nursery.cancel_scope.cancel()


async def test_with_tls_nothing_is_spoken_in_the_clear(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    """A client that trusts the certificate is served; one that speaks plainly, or trusts another, is not."""
    server, client = contexts
    async with serve(Gateway(METHODS, tls=server)) as port:
        async with open_client("127.0.0.1", port, client) as trusting:
            assert await trusting.call("add", 2, 3) == 5
        async with open_client("127.0.0.1", port) as plain:
            with pytest.raises(GatewayUnreachable):
                await plain.call("add", 2, 3)
        with pytest.raises(GatewayUnreachable, match="certificate"):
            async with open_client("127.0.0.1", port, ssl.create_default_context()):
                pass


# Peers that mean ill


async def leave_half_a_frame(port: int) -> None:
    """Begin, and say nothing more."""
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(b"\x00\x00\x00\xff\x93")
        await trio.sleep_forever()


async def drip(port: int) -> None:
    """One byte a second."""
    frame = encode_frame([1, "add", 1, 1])
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        while True:
            for byte in frame:
                await stream.send_all(bytes([byte]))
                await trio.sleep(1)


async def never_read(port: int) -> None:
    """Ask for as much as goes in, and take nothing."""
    frame = encode_frame([1, "echo", bytes(60_000)])
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        with suppress(trio.BrokenResourceError):
            while True:
                await stream.send_all(frame)
        await trio.sleep_forever()


async def measure_median(client: Client, count: int = 400) -> float:
    """Seconds for an honest call."""
    took = []
    for _ in range(count):
        began = trio.current_time()
        await client.call("add", 1, 1)
        took.append(trio.current_time() - began)
    return statistics.median(took)


@pytest.mark.slow
@pytest.mark.parametrize("attack", [leave_half_a_frame, drip, never_read])
async def test_of_peers_that_mean_ill_the_others_notice_nothing(attack: Callable[[int], Awaitable[None]]) -> None:
    """Two hundred of them at once do not double the median of an honest client: paired runs, the best pair of four."""
    ratios = []
    for _ in range(4):
        async with serve(Gateway(METHODS)) as port, open_client("127.0.0.1", port) as client:
            calm = await measure_median(client)
            async with trio.open_nursery() as attackers:
                for _ in range(200):
                    attackers.start_soon(attack, port)
                await trio.testing.wait_all_tasks_blocked(0.1)
                ratios.append(await measure_median(client) / calm)
                attackers.cancel_scope.cancel()
    assert min(ratios) < 2, ratios
