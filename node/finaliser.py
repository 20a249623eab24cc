"""Making batches final that have waited long enough: anybody may, and whoever posts or rescues does."""

from node.chain_follower import Progress
from node.errors import CallReverted
from node.l1 import in_thread
from node.logs import Log
from node.rollup import Rollup
from node.transactions import Mined, Sender
from state.l1_events import BatchPosted


class Finaliser:
    """Knows from L1's events when each batch was posted; asks L1 only for what it cannot change, and once."""

    def __init__(self, rollup: Rollup, sender: Sender, log: Log) -> None:
        self._rollup = rollup
        self._sender = sender
        self._log = log
        self._window: int | None = None
        self._posted_at: dict[int, int] = {}
        self._acted_in = 0

    def note(self, progress: Progress) -> None:
        """What a look has shown. A batch that a reorg moved is told again."""
        for event in progress.events:
            if isinstance(event, BatchPosted):
                self._posted_at[event.index] = event.posted_at

    async def act(self, final: int, tip: int, progress: Progress) -> None:
        """Make final what is due of the good batches after `final`, as of a look. Raises L1Error."""
        if self._window is None:
            self._window = (await in_thread(self._rollup.get_terms)).challenge_window
        head = progress.reading.head
        due = [index for index in range(final + 1, tip + 1) if self._posted_at[index] + self._window <= head.time]
        if not due or head.number < self._acted_in:
            return
        try:
            outcome = await self._sender.send_async(self._rollup.finalise(due[-1]))
        except CallReverted as error:
            self._log.info("not final yet", index=due[-1], reason=error.reason)
            return
        if isinstance(outcome, Mined):
            # Until a look has come so far, what is final by now still seems due.
            self._acted_in = outcome.block
            self._log.info("final", index=due[-1])
