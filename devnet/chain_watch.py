"""What the devnet itself sees of the chain: the rollup's events as they come, re-executed like anybody would."""

from collections.abc import Callable

import trio

from node.chain_follower import ChainFollower
from node.errors import L1Error
from node.l1 import in_thread
from node.rollup import Rollup
from state.l1_events import BatchPosted, RolledBack
from state.ledger import Ledger

POLL_SECONDS = 0.4


class ChainWatch:
    """Follows until cancelled; others wait for what they want to see."""

    def __init__(self, rollup: Rollup) -> None:
        self.rollup = rollup
        self._follower = ChainFollower(rollup)
        self._news = trio.Condition()
        self.rollbacks: list[RolledBack] = []
        self.valid: list[BatchPosted] = []
        self.steps = 0
        self.posted_bytes = 0
        self.slot_holder: bytes | None = None
        self.block = 0

    @property
    def tip(self) -> int:
        """The last batch that is there and true."""
        return self._follower.replica.tip

    @property
    def final(self) -> int:
        """The last final batch."""
        return self._follower.replica.final

    def list_prices(self) -> list[tuple[str, int]]:
        """Symbol and mark, in quote units a lot, of every market that has a price."""
        ledger = Ledger(self._follower.replica.state.leaves)
        if not self._follower.replica.roots:
            return []
        listed = [ledger.require_underlying(index) for index in range(ledger.get_globals().underlying_count)]
        return [(one.symbol.rstrip(b"\0").decode(), one.mark) for one in listed if one.mark > 0]

    async def run(self) -> None:
        """Follow."""
        while True:
            try:
                progress = await self._follower.advance_async()
                self.slot_holder = await in_thread(self.rollup.get_slot_holder)
            except L1Error:
                await trio.sleep(POLL_SECONDS)
                continue
            self.block = progress.reading.head.number
            self.rollbacks += [event for event in progress.events if isinstance(event, RolledBack)]
            for event, verdict in progress.verdicts:
                if verdict.is_valid:
                    self.valid.append(event)
                    self.steps += len(verdict.receipts)
                    self.posted_bytes += len(event.data)
            async with self._news:
                self._news.notify_all()
            await trio.sleep(POLL_SECONDS)

    async def wait_until(self, is_so: Callable[[], bool]) -> None:
        """Wait for something that only news from the chain can change."""
        async with self._news:
            while not is_so():
                await self._news.wait()
