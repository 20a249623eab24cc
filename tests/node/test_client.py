"""node/client.py: answers find whoever asked, and what is no gateway is told from one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from node.client import GatewayUnreachable, open_client
from node.framing import encode_frame


@asynccontextmanager
async def open_server(answer: bytes) -> AsyncIterator[int]:
    """The port of a server that gives these bytes for whatever it is sent, and then waits."""

    async def serve(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(answer)
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, serve, [listener])
        yield listener.socket.getsockname()[1]
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\0\0\0\1\xc1",  # a byte that begins no value
        b"\0\0\0\5\x93\x01\x00\xcc\x07",  # 7 in two bytes: not the shortest form
        encode_frame(7),
        encode_frame([1, 0]),
        encode_frame([1, "0", 7]),
    ],
    ids=["http", "no value", "long form", "no array", "too short", "no code"],
)
async def test_what_is_no_gateway_is_said_to_be_none(answer: bytes) -> None:
    """Whoever asks is told in a sentence, now and at every later call."""
    async with open_server(answer) as port, open_client("127.0.0.1", port) as client:
        for _ in range(2):
            with trio.fail_after(5), pytest.raises(GatewayUnreachable, match="another protocol"):
                await client.call("status")


async def test_an_answer_that_nobody_waits_for_harms_nobody() -> None:
    """It belongs to a call that was cancelled; the next one is answered."""
    answers = encode_frame([99, 0, "late"]) + encode_frame([1, 0, "due"])
    async with open_server(answers) as port, open_client("127.0.0.1", port) as client:
        assert await client.call("status") == "due"
