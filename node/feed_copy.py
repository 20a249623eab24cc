"""A copy of another node's feed: its log, record by record, on a disk of one's own, and fed onward from there.

It goes on where the copy ends, also after a restart. That the log is the one that was committed to, whoever keeps the
copy checks (node/follower_role.py); the copy only sees to it that there is no gap.
"""

from collections.abc import Callable, Iterator
from contextlib import aclosing
from typing import NoReturn

import trio

from node.client import Client, GatewayAddress, GatewayUnreachable, open_client
from node.errors import NodeError
from node.feed import FEED_BEYOND_END, FEED_NOT_KEPT, Feed
from node.gateway import MethodError
from node.logs import Log
from node.op_log import LevelDbLog
from sequencer.log_check import Alarm, AlarmCode, decode_records
from sequencer.oplog import LogRecord
from state.codec import Value
from state.store import Store

_GENERATION = "feed generation"
_IDENTITY = "feed identity"


class ForeignCopy(NodeError):
    """The folder holds the copy of another rollup's log."""


class FeedBroken(Exception):
    """The feed gives something else than the next records of the log."""


class FeedCopy:
    """One folder's copy. `on_news` is called when there are new records, or another generation."""

    def __init__(
        self, store: Store, domain: bytes, source: GatewayAddress, log: Log, on_news: Callable[[], None]
    ) -> None:
        """Raises ForeignCopy, StoreError."""
        if store.read_meta(_IDENTITY) not in (None, domain):
            raise ForeignCopy(f"{store.folder}: this folder holds the log of another rollup; use another folder")
        self._store = store
        self._source = source
        self._log = log
        self._on_news = on_news
        self._op_log = LevelDbLog(store)
        self._epoch = self._op_log.epoch + 1
        self._op_log.fence(self._epoch)
        store.commit(meta={_IDENTITY: domain})
        self.feed = Feed(self._op_log)
        self.feed.begin(int.from_bytes(store.read_meta(_GENERATION) or b"\0"))
        self.alarm: Alarm | None = None

    @property
    def generation(self) -> int:
        """The one that is being copied; 0 before the first."""
        return self.feed.generation

    @property
    def end(self) -> int:
        """The position behind the last record of the copy."""
        return self.feed.end

    def read_from(self, position: int) -> Iterator[LogRecord]:
        """The copy of this generation from a position on."""
        return self._op_log.read_from(self.generation, position)

    async def run(self, retry_seconds: float) -> None:
        """Copy until cancelled, from wherever the copy ends. Raises StoreError."""
        while True:
            try:
                async with open_client(*self._source) as client:
                    await self._copy(client)
            except* (GatewayUnreachable, MethodError, FeedBroken) as group:
                self._log.warning("feed interrupted", error=str(group.exceptions[0]))
            await trio.sleep(retry_seconds)

    async def _copy(self, client: Client) -> None:
        if self.generation == 0:
            self._begin(await _ask_generation(client))
        while True:
            try:
                await self._copy_generation(client)
            except MethodError as error:
                if error.code not in (FEED_BEYOND_END, FEED_NOT_KEPT):
                    raise
                served = await _ask_generation(client)
                if served > self.generation:
                    # What was left of this one is not to be had here, and it is over.
                    self._begin(served)
                elif error.code == FEED_BEYOND_END:
                    self._break(f"positions that were given once are gone: {error}")
                else:
                    raise

    async def _copy_generation(self, client: Client) -> None:
        """To its end, and begin the one that follows."""
        async with aclosing(client.stream("subscribe", self.generation, self.end)) as parts:
            async for part in parts:
                if isinstance(part, int):
                    self._begin(part)
                    return
                await self._take(part)

    def _begin(self, generation: int) -> None:
        if not self.generation < generation < 1 << 32:
            self._break(f"generation {generation} cannot follow generation {self.generation}")
        self._store.commit(meta={_GENERATION: generation.to_bytes(4)})
        self.alarm = None
        self.feed.begin(generation)
        self._on_news()

    async def _take(self, part: Value) -> None:
        match part:
            case [self.generation, self.end, [_, *_] as data]:
                records = decode_records(self.end, data)
            case _:
                records = None
        if records is None:
            self._break("it gave something else than the next records")
        await trio.to_thread.run_sync(self._op_log.append_group, self._epoch, self.generation, records)
        self.feed.publish(self.generation, records)
        self._on_news()

    def _break(self, text: str) -> NoReturn:
        """Raises FeedBroken, and leaves an alarm."""
        self.alarm = Alarm(AlarmCode.GAP, self.generation, self.end)
        self._on_news()
        raise FeedBroken(text)


async def _ask_generation(client: Client) -> int:
    """The generation that is served there. Raises FeedBroken when there is none yet."""
    match await client.call("feed_head"):
        case [int(generation), int()] if generation > 0:
            return generation
    raise FeedBroken("there is nothing to copy there yet")
