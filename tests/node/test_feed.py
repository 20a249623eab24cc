"""The feed: the whole log, from any position, to however many read, at whatever pace each of them has."""

import itertools
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest
import trio
import trio.testing

from node.client import open_client
from node.feed import FEED_BEYOND_END, FEED_FULL, FEED_NOT_BEGUN, FEED_NOT_KEPT, PART_BYTES_MAX, Feed, find_end
from node.framing import FrameReader, encode_frame
from node.gateway import Gateway, GatewayLimits, MethodError
from node.op_log import LevelDbLog
from sequencer.oplog import LogRecord, RecordKind
from state.codec import Value, decode
from state.store import Store
from tests.node.test_vertical import until


class Writer:
    """A log of generation 1 that grows, and its feed."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder)
        self.log = LevelDbLog(self.store)
        self.log.fence(1)
        self.feed = Feed(self.log, readers_max=8)
        self.feed.begin(1)
        self.generation = 1

    def write(self, count: int, size: int = 100) -> None:
        """So many records become durable, in one group."""
        end = self.feed.end if self.feed.generation == self.generation else 0
        records = [LogRecord(at, RecordKind.ACCEPTED, at.to_bytes(8) + bytes(size)) for at in range(end, end + count)]
        self.log.append_group(1, self.generation, records)
        self.feed.publish(self.generation, records)

    @asynccontextmanager
    async def serve(self, limits: GatewayLimits | None = None) -> AsyncIterator[int]:
        """The port of a gateway with the feed on it."""
        gateway = Gateway(self.feed.methods, limits, streams=self.feed.streams)
        async with trio.open_nursery() as nursery:
            yield await nursery.start(gateway.serve, "127.0.0.1", 0)
            nursery.cancel_scope.cancel()


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    writer = Writer(tmp_path)
    yield writer
    writer.store.close()


async def read(port: int, position: int, count: int, generation: int = 1) -> list[int]:
    """The numbers of that many records from a position on, in order of arrival; each must stand where it says."""
    numbers: list[int] = []
    async with (
        open_client("127.0.0.1", port) as client,
        aclosing(client.stream("subscribe", generation, position)) as parts,
    ):
        async for part in parts:
            assert isinstance(part, list)
            of_generation, first, records = part
            assert (of_generation, first) == (generation, position + len(numbers))
            numbers += [int.from_bytes(record[1:9]) for record in records]  # type: ignore[index, union-attr, arg-type]
            if len(numbers) >= count:
                break
    return numbers


async def test_a_reader_gets_the_log_from_any_position(writer: Writer) -> None:
    """What was written long ago, what was written while it read, and the same again for whoever comes back."""
    writer.write(3000)
    writer.feed.begin(1)
    writer.write(50)
    async with writer.serve() as port, trio.open_nursery() as nursery:
        for position in (0, 1, 2999, 3000, 3049, 3050):
            nursery.start_soon(expect, port, position, 3060)
        await trio.testing.wait_all_tasks_blocked(0.05)
        for _ in range(10):
            writer.write(1)
            await trio.testing.wait_all_tasks_blocked()


async def expect(port: int, position: int, end: int) -> None:
    """Read on to the end; nothing may be missing, doubled or out of its place."""
    with trio.fail_after(20):
        found = await read(port, position, end - position)
    assert found == list(range(position, end))


async def test_a_part_fits_a_frame_whatever_its_records_are(writer: Writer) -> None:
    """Of the longest records as of the shortest, from the log as from memory."""
    for size in (1100, 0, 1100):
        writer.write(300, size)
    async with writer.serve() as port:
        for is_read_from_log in (False, True):
            if is_read_from_log:
                writer.feed.begin(1)
            async with open_client("127.0.0.1", port) as client, aclosing(client.stream("subscribe", 1, 0)) as parts:
                seen = 0
                async for part in parts:
                    assert len(encode_frame([1, 0, part])) < PART_BYTES_MAX + 4096
                    seen += len(part[2])  # type: ignore[index, arg-type]
                    if seen == 900:
                        break


async def test_a_reader_that_does_not_read_delays_nobody(writer: Writer) -> None:
    """It is paused, and later cut; the reader beside it has everything, and who was cut resumes where it stopped."""
    limits = GatewayLimits(send_seconds_max=0.5)
    async with writer.serve(limits) as port:
        stuck = await trio.open_tcp_stream("127.0.0.1", port)
        await stuck.send_all(encode_frame([1, "subscribe", 1, 0]))
        for _ in range(40):
            writer.write(500, 1000)
        with trio.fail_after(20):
            assert await read(port, 0, 20_000) == list(range(20_000))
            # Ten and more megabytes do not fit into what the kernel holds: the sender has stood still, and was cut.
            await until(lambda: writer.feed.counters.readers == 0)
            got = await read_what_came(stuck)
        assert 0 < got < 20_000
        with trio.fail_after(20):
            assert await read(port, got, 20_000 - got) == list(range(got, 20_000))


async def read_what_came(stream: trio.SocketStream) -> int:
    """How many records the kernel has kept for a connection that was cut."""
    reader, count = FrameReader(), 0
    try:
        while data := await stream.receive_some():
            for body in reader.feed(bytes(data)):
                answer = decode(body)
                assert isinstance(answer, list)
                if isinstance(answer[2], list):
                    assert answer[2][1] == count
                    count += len(answer[2][2])  # type: ignore[arg-type]
    except trio.BrokenResourceError:
        pass
    await stream.aclose()
    return count


async def test_the_end_of_a_generation_is_told(writer: Writer) -> None:
    """A reader gets all of the old one, then the number of the new; the old one stays readable."""
    writer.write(5)
    async with writer.serve() as port, open_client("127.0.0.1", port) as client:
        assert await client.call("feed_head") == [1, 5]
        async with aclosing(client.stream("subscribe", 1, 3)) as parts:
            assert (await anext(parts))[1] == 3  # type: ignore[index]
            writer.write(2)
            writer.generation = 2
            writer.write(1)
            assert (await anext(parts))[1] == 5  # type: ignore[index]
            assert await anext(parts) == 2
        assert await client.call("feed_head") == [2, 1]
        assert await read(port, 0, 7) == list(range(7))
        assert await read(port, 0, 1, generation=2) == [0]


async def test_a_place_that_is_not_there_is_refused_with_a_number(writer: Writer) -> None:
    """A generation to come, a position beyond the end, one that is no longer kept, one reader too many."""
    writer.write(5)
    async with writer.serve() as port, open_client("127.0.0.1", port) as client:
        for place, code in (((2, 0), FEED_NOT_BEGUN), ((1, 6), FEED_BEYOND_END), ((0, 1), FEED_BEYOND_END)):
            assert await refuse(client.stream("subscribe", *place)) == code
        async with trio.open_nursery() as nursery:
            for _ in range(8):
                nursery.start_soon(read, port, 0, 6)
            await until(lambda: writer.feed.counters.readers == 8)
            assert await refuse(client.stream("subscribe", 1, 0)) == FEED_FULL
            writer.write(1)
        with writer.store._db.write_batch() as batch:  # what a disk would look like whose oldest records were dropped
            for key, _ in itertools.islice(writer.store._db.iterator(prefix=b"log:"), 2):
                batch.delete(key)
        writer.feed.begin(1)
        assert await refuse(client.stream("subscribe", 1, 0)) == FEED_NOT_KEPT
        assert await read(port, 2, 4) == [2, 3, 4, 5]


async def refuse(parts: AsyncGenerator[Value, None]) -> int:
    """The code with which a stream ends at once."""
    with pytest.raises(MethodError) as raised:
        await anext(parts)
    return raised.value.code


def test_the_end_of_a_log_is_found_by_halving(writer: Writer) -> None:
    """For every length."""
    for end in range(40):
        assert (find_end(writer.log, 1), find_end(writer.log, 2)) == (end, 0)
        writer.write(1)
