"""A copy of a feed goes on where it ends, through restarts and generations, and takes nothing but the next records."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from node.client import GatewayAddress
from node.feed_copy import FeedCopy
from node.gateway import Gateway, Method, Send
from node.logs import Log
from sequencer.log_check import Alarm, AlarmCode
from state.codec import Value
from state.store import Store
from tests.node.test_feed import Writer
from tests.node.test_vertical import until

DOMAIN = bytes(range(32))


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    writer = Writer(tmp_path / "source")
    yield writer
    writer.store.close()


@asynccontextmanager
async def copy_from(folder: Path, port: int) -> AsyncIterator[FeedCopy]:
    """A running copy in a folder."""
    with Store(folder) as store:
        copy = FeedCopy(store, DOMAIN, GatewayAddress("127.0.0.1", port), Log("follower"), lambda: None)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(copy.run, 0.01)
            yield copy
            nursery.cancel_scope.cancel()


def has_all(copy: FeedCopy, writer: Writer) -> bool:
    """Whether the copy is the source's log of now, record for record."""
    place = (writer.feed.generation, writer.feed.end)
    if (copy.generation, copy.end) != place:
        return False
    return list(copy.read_from(0)) == list(writer.log.read_from(writer.generation, 0))


async def test_a_copy_goes_on_where_it_ended(writer: Writer, tmp_path: Path) -> None:
    """While the source writes, after a restart, and into the next generation; a copy of the copy too."""
    writer.write(1000)
    async with writer.serve() as port:
        async with copy_from(tmp_path / "one", port) as copy:
            await until(lambda: has_all(copy, writer))
            writer.write(10)
            await until(lambda: has_all(copy, writer))
        writer.write(10)
        async with copy_from(tmp_path / "one", port) as copy:
            assert copy.end == 1010
            await until(lambda: has_all(copy, writer))
            gateway = Gateway(copy.feed.methods, streams=copy.feed.streams)
            async with trio.open_nursery() as nursery:
                second = await nursery.start(gateway.serve, "127.0.0.1", 0)
                async with copy_from(tmp_path / "two", second) as other:
                    await until(lambda: has_all(other, writer))
                    writer.write(3)
                    writer.generation = 2
                    writer.write(7)
                    await until(lambda: has_all(copy, writer) and has_all(other, writer))
                    assert (copy.alarm, other.alarm) == (None, None)
                nursery.cancel_scope.cancel()


async def test_what_is_over_and_not_to_be_had_is_left_behind(writer: Writer, tmp_path: Path) -> None:
    """The source began later than the copy, and never had the copy's generation."""
    writer.write(5)
    async with writer.serve() as port, copy_from(tmp_path / "copy", port) as copy:
        await until(lambda: has_all(copy, writer))
    late = Writer(tmp_path / "late")
    late.generation = 3
    late.write(4)
    async with late.serve() as port, copy_from(tmp_path / "copy", port) as copy:
        await until(lambda: has_all(copy, late))
        assert copy.alarm is None
    late.store.close()


async def test_positions_that_are_gone_raise_an_alarm(writer: Writer, tmp_path: Path) -> None:
    """Another source serves less of the same generation."""
    writer.write(5)
    async with writer.serve() as port, copy_from(tmp_path / "copy", port) as copy:
        await until(lambda: has_all(copy, writer))
    short = Writer(tmp_path / "short")
    short.write(4)
    async with short.serve() as port, copy_from(tmp_path / "copy", port) as copy:
        await until(lambda: copy.alarm is not None)
        assert (copy.alarm, copy.end) == (Alarm(AlarmCode.GAP, 1, 5), 5)
    short.store.close()


RECORD = b"\0\7"


@pytest.mark.parametrize(
    "part",
    [
        [1, 1, [RECORD]],
        [2, 0, [RECORD]],
        [1, 0, []],
        [1, 0, [RECORD, b"\2\7"]],
        [1, 0, [b"\1\7" + (1).to_bytes(8)]],
        [1, 0],
        "part",
        1,
        1 << 32,
    ],
    ids=["ahead", "of another", "empty", "no record", "misplaced", "short", "text", "again", "beyond all"],
)
async def test_nothing_but_the_next_records_is_taken(tmp_path: Path, part: Value) -> None:
    """Whatever else a source gives is an alarm, and leaves no trace in the copy."""

    async def get_head(arguments: list[Value]) -> Value:
        return [1, 1]

    async def subscribe(send: Send, arguments: list[Value]) -> Value:
        await send(part)
        return None

    methods: dict[str, Method] = {"feed_head": get_head}
    async with trio.open_nursery() as nursery:
        port = await nursery.start(Gateway(methods, streams={"subscribe": subscribe}).serve, "127.0.0.1", 0)
        async with copy_from(tmp_path, port) as copy:
            await until(lambda: copy.alarm is not None)
            assert copy.alarm == Alarm(AlarmCode.GAP, 1, 0)
            assert list(copy.read_from(0)) == []
        nursery.cancel_scope.cancel()


async def test_a_source_without_a_log_is_waited_for(writer: Writer, tmp_path: Path) -> None:
    """It has not begun; it is asked again and again, and copied when it has."""
    writer.feed.begin(0)
    asked: list[Value] = []

    async def get_head(arguments: list[Value]) -> Value:
        asked.append(await writer.feed.methods["feed_head"](arguments))
        return asked[-1]

    gateway = Gateway({"feed_head": get_head}, streams=writer.feed.streams)
    async with trio.open_nursery() as nursery:
        port = await nursery.start(gateway.serve, "127.0.0.1", 0)
        async with copy_from(tmp_path / "copy", port) as copy:
            await until(lambda: len(asked) >= 3)
            assert (asked[-1], copy.generation, copy.alarm) == ([0, 0], 0, None)
            writer.write(3)
            await until(lambda: has_all(copy, writer))
        nursery.cancel_scope.cancel()
