"""The state at the head of the log: what the last posted batch left, and on top of it the log's ops behind that batch.

A reader of the feed comes to it without matching anything, since the log holds every op that will be posted. The ops
are judged as they will be when they are posted, signatures included; which batch each will stand in, the log does not
say, so here one open batch holds them all, and only the globals leaf shows it.
"""

from collections import ChainMap
from collections.abc import Callable, Iterable, Mapping

from sequencer.oplog import LogRecord, RecordKind
from state.codes import Code
from state.context import StepContext, draft_header
from state.ledger import Ledger
from state.operations import Open
from state.transition import Invalid, apply_operation, apply_step
from state.tree import LeafKey


class FreshState:
    """Leaves over `posted`, a mapping that goes on changing as batches are posted; `rebase` after each change."""

    def __init__(
        self, posted: Mapping[LeafKey, bytes], domain: bytes, get_message: Callable[[int], bytes], generation: int
    ) -> None:
        self._posted = posted
        self._domain = domain
        self._get_message = get_message
        self._generation = generation
        self._written: dict[LeafKey, bytes] = {}
        self.position = 0
        self._context: StepContext | None = None

    @property
    def leaves(self) -> Mapping[LeafKey, bytes]:
        """The state at the head; an empty leaf may have no bytes instead of no entry."""
        return ChainMap(self._written, self._posted)  # type: ignore[arg-type]

    def rebase(self) -> None:
        """Begin anew on what is posted now; `position` says from where on the log's records must be taken again."""
        self._written = {}
        state = Ledger(self._posted).get_globals()
        is_begun = state.generation == self._generation
        self.position = state.next_position if is_begun else 0
        header = draft_header(
            index=state.batch + 1,
            parent=bytes(32),
            generation=self._generation,
            pre_root=bytes(32),
            time_from=state.time,
            position_from=self.position,
        )
        context = StepContext(header, 0, self._domain, self._get_message)
        ledger = Ledger(self._posted)
        opened = apply_operation(ledger, context, Open())
        assert not isinstance(opened, Invalid), f"an open batch on what is posted: {opened}"
        self._written.update(ledger.writes)
        self._context = context.at(1)

    def take(self, records: Iterable[LogRecord]) -> Code | None:
        """Take the records from `position` on, in order; the code of the first op that may not stand, which is not
        taken, nor is what follows.

        Raises MessageUnknown when an op names a message that L1 has not told yet; ask again when it has.
        """
        assert self._context is not None, "rebase comes first"
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
