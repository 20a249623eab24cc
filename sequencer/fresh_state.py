"""The state at the head of the log: what the last posted batch left, and on top of it the log's ops behind that batch.

A reader of the feed comes to it without matching anything, since the log holds every op that will be posted. The ops
are judged as they will be when they are posted, signatures included; which batch each will stand in, the log does not
say, so here one open batch holds them all, and only the globals leaf shows it. An empty leaf may have no bytes here
instead of no entry.
"""

from collections import ChainMap
from collections.abc import Callable, Iterable, Mapping

from sequencer.oplog import LogRecord, RecordKind
from state.codes import Code
from state.context import StepContext, Verifier, draft_header
from state.ledger import Ledger
from state.operations import Open
from state.signatures import is_ed25519_valid
from state.transition import Invalid, apply_operation, apply_step
from state.tree import LeafKey


class FreshState:
    """One generation's ops on top of `posted`. That may go on to a later batch, as long as it holds the same ops and
    no more of them than were taken here; after any other change begin anew.

    Raises ValueError when what is posted is of a later generation.
    """

    def __init__(
        self,
        posted: Mapping[LeafKey, bytes],
        domain: bytes,
        get_message: Callable[[int], bytes],
        generation: int,
        verify: Verifier = is_ed25519_valid,
    ) -> None:
        state = Ledger(posted).get_globals()
        if state.generation > generation:
            raise ValueError(f"generation {state.generation} is posted; {generation} is over")
        self.position = state.next_position if state.generation == generation else 0
        header = draft_header(
            index=state.batch + 1,
            parent=bytes(32),
            generation=generation,
            pre_root=bytes(32),
            time_from=state.time,
            position_from=self.position,
        )
        ledger = Ledger(posted)
        context = StepContext(header, 0, domain, get_message, verify)
        opened = apply_operation(ledger, context, Open())
        assert not isinstance(opened, Invalid), f"an open batch on what is posted: {opened}"
        self._context = context.at(1)
        self._written: dict[LeafKey, bytes] = dict(ledger.writes)
        self.leaves: Mapping[LeafKey, bytes] = ChainMap(self._written, posted)  # type: ignore[arg-type]

    def take(self, records: Iterable[LogRecord]) -> Code | None:
        """Take the records from `position` on, in order; the code of the first op that may not stand, which is not
        taken, nor is what follows.

        Raises what `get_message` raises when an op names a message that L1 has not told yet; ask again when it has.
        """
        for record in records:
            assert record.position == self.position
            if record.kind is RecordKind.POSTED:
                ledger = Ledger(self.leaves)
                result = apply_step(ledger, self._context, record.body)
                if isinstance(result, Invalid):
                    return result.code
                self._written.update(ledger.writes)
            self.position += 1
        return None
