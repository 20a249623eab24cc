"""Why the sequencer does not take a request: the protocol's codes, and its own from 9000 on.

A refused request leaves no trace: it has no position and never reaches the chain.
"""

from dataclasses import dataclass
from enum import IntEnum

from state.codes import Code


class Refusal(IntEnum):
    """The sequencer's own reasons."""

    REQUEST_MALFORMED = 9000
    COUNTER_MUST_RISE = 9001
    POST_ONLY_WOULD_TAKE = 9002
    BACKLOG_FULL = 9003
    NOT_SEQUENCING = 9004
    NOTHING_TO_CANCEL = 9005
    ACCOUNT_TOO_BUSY = 9006
    LOG_NOT_WRITTEN = 9007


EXPLANATIONS: dict[int, str] = {
    Refusal.REQUEST_MALFORMED: "the bytes are no well-formed request: kind, signed fields, key index, signature",
    Refusal.COUNTER_MUST_RISE: "counter: this slot has seen the same or a higher one; sign a higher counter",
    Refusal.POST_ONLY_WOULD_TAKE: "price: a post-only order would trade at once; move its limit",
    Refusal.BACKLOG_FULL: "the L1 is behind: too many bytes wait to be posted; cancels still pass, try again later",
    Refusal.NOT_SEQUENCING: "this node does not hold the sequencer's slot now; try again when status says so",
    Refusal.NOTHING_TO_CANCEL: "counter: nothing lives in this slot at or below it",
    Refusal.ACCOUNT_TOO_BUSY: "account: it has sent too many requests this second; cancels have room of their own",
    Refusal.LOG_NOT_WRITTEN: "the log could not be written: no receipt; see when the node runs again whether it stands",
}


@dataclass(frozen=True, slots=True)
class Refused:
    """A numbered reason."""

    code: Code | Refusal

    @property
    def text(self) -> str:
        """One line for whoever sent the request: it names the rule, whose words are in state/SPEC.md."""
        if isinstance(self.code, Code):
            return self.code.name.lower().replace("_", " ")
        return EXPLANATIONS[self.code]
