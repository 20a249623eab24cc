"""One answer from several L1 endpoints, of which none is trusted alone.

    quorum = EndpointQuorum(endpoints, needed=2, log=log)
    quorum.agree("block 7", request)              # what two of them say
    quorum.agree_height("head", request)          # a number that two of them have reached

An endpoint that is silent, lags, refuses, or has forgotten what is asked is passed over. One that contradicts the
quorum is outvoted, and that is an alarm; where no answer finds a quorum, there is none: L1Disputed, the louder alarm,
and whoever asked does not act. It is the second time that counts: at the L1's tip honest endpoints may differ for a
moment. With a quorum of one, the first endpoint that answers is believed.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from node.errors import CallReverted, HistoryPruned, L1Behind, L1Disputed, L1Error, L1Refused, L1Unavailable
from node.logs import Log

ROUNDS = 2
REST_SECONDS = 30.0
"""So long an endpoint that was silent is not asked for its height, if enough others are: each wait is a timeout."""

LAG_BLOCKS_MAX = 5
"""Endpoints whose heads are further apart are named in the log."""

T = TypeVar("T")


class Endpoint(Protocol):
    """Whatever answers. `name` is for people and holds no secret."""

    @property
    def name(self) -> str: ...

    def ask(self, what: str, request: Callable[[Any], T]) -> T:
        """Raises CallReverted, which is an answer; L1Refused, L1Unavailable, which are none; WrongChain."""


E = TypeVar("E", bound=Endpoint)


@dataclass(slots=True)
class QuorumCounters:
    """What the metrics page tells of endpoints, each by name. `disputed` counts answers that found no quorum."""

    disputed: int = 0
    outvoted: dict[str, int] = field(default_factory=dict)
    lagging: dict[str, int] = field(default_factory=dict)
    silent: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Ballot(Generic[E]):
    """What endpoints answered to one question, a list for each different answer, and why others did not."""

    answers: list[list[tuple[E, Any]]] = field(default_factory=list)
    troubles: list[L1Error] = field(default_factory=list)


class EndpointQuorum(Generic[E]):
    """Several endpoints, asked in an order in which those that gave trouble come last. Safe from several threads."""

    def __init__(self, endpoints: Sequence[E], needed: int = 1, log: Log | None = None) -> None:
        self.endpoints = tuple(endpoints)
        self.needed = needed
        self.counters = QuorumCounters()
        self._log = log
        self._lock = threading.Lock()
        self._order = list(endpoints)
        self._silent_at: dict[str, float] = {}

    def ask_any(self, what: str, request: Callable[[Any], T]) -> T:
        """What the first endpoint says that answers. Raises L1Error."""
        return self._settle(what, request, _get_itself, 1)

    def agree(self, what: str, request: Callable[[Any], T], view: Callable[[T], object] = lambda answer: answer) -> T:
        """What a quorum says; answers are the same when their views are. Raises L1Error, of its kinds L1Disputed."""
        return self._settle(what, request, view, self.needed)

    def agree_height(self, what: str, request: Callable[[Any], int]) -> int:
        """The highest number that a quorum has reached, of something that only grows. Raises L1Error."""
        if self.needed == 1:
            return self.ask_any(what, request)
        ballot: _Ballot[E] = _Ballot()
        for endpoint in self._list_awake():
            self._ask_one(ballot, endpoint, what, request, _get_itself)
        heights = [(endpoint, answer) for group in ballot.answers for endpoint, answer in group]
        if len(heights) < self.needed:
            raise self._describe_shortage(what, ballot, self.needed)
        highest = max(height for _, height in heights)
        for endpoint, height in heights:
            if highest - height > LAG_BLOCKS_MAX:
                self._note("lagging", endpoint)
                if self._log:
                    self._log.warning("endpoint lags", endpoint=endpoint.name, what=what, at=height, highest=highest)
        return sorted((height for _, height in heights), reverse=True)[self.needed - 1]

    def find(self, what: str, request: Callable[[Any], T | None]) -> T | None:
        """What a quorum has found, and None while fewer have it: that one lags is no dispute. Raises L1Error."""
        ballot: _Ballot[E] = _Ballot()
        for endpoint in self._list():
            group = self._ask_one(ballot, endpoint, what, request, _get_itself)
            if group and group[0][1] is not None and len(group) == self.needed:
                found: T = group[0][1]
                return found
        if not ballot.answers:
            raise self._describe_shortage(what, ballot, self.needed)
        return None

    def tell_all(self, what: str, request: Callable[[Any], object], is_taken: Callable[[L1Refused], bool]) -> None:
        """Tell every endpoint; one is enough. Raises L1Refused when each refused, L1Unavailable when some are silent.

        `is_taken` recognises a refusal that means that it was told before.
        """
        ballot: _Ballot[E] = _Ballot()
        for endpoint in self._list():
            self._ask_one(ballot, endpoint, what, request, lambda answer: True)
        refusals = [error for error in ballot.troubles if isinstance(error, L1Refused)]
        if ballot.answers or any(map(is_taken, refusals)):
            return
        if refusals and len(refusals) == len(ballot.troubles):
            raise refusals[0]
        raise self._describe_shortage(what, _Ballot(troubles=[e for e in ballot.troubles if e not in refusals]), 1)

    # One question

    def _settle(self, what: str, request: Callable[[Any], T], view: Callable[[T], object], needed: int) -> T:
        for _ in range(ROUNDS):
            ballot: _Ballot[E] = _Ballot()
            for endpoint in self._list():
                group = self._ask_one(ballot, endpoint, what, request, view)
                if group and len(group) == needed:
                    self._accuse(ballot, group, what, request, view)
                    return _unwrap(group[0][1])
            if len(ballot.answers) < 2:
                raise self._describe_shortage(what, ballot, needed)
        self.counters.disputed += 1
        sides = "; ".join(" and ".join(endpoint.name for endpoint, _ in group) for group in ballot.answers)
        if self._log:
            self._log.error("L1 disputed", what=what, sides=sides, needed=needed)
        raise L1Disputed(
            f"{what}: L1 endpoints contradict each other, and {needed} must agree ({sides}): nothing is done on the "
            "strength of it; find out who is wrong"
        )

    def _ask_one(
        self, ballot: _Ballot[E], endpoint: E, what: str, request: Callable[[Any], Any], view: Callable[[Any], object]
    ) -> list[tuple[E, Any]]:
        """Put an endpoint's answer to those that are the same; the list of these, empty when it gave none."""
        try:
            answer = endpoint.ask(what, request)
        except CallReverted as reverted:
            answer = reverted
        except (L1Refused, L1Unavailable) as error:
            ballot.troubles.append(error)
            self._note_trouble(endpoint, error)
            return []
        for group in ballot.answers:
            if _is_same(group[0][1], answer, view):
                group.append((endpoint, answer))
                return group
        ballot.answers.append([(endpoint, answer)])
        return ballot.answers[-1]

    def _accuse(
        self,
        ballot: _Ballot[E],
        winners: list[tuple[E, Any]],
        what: str,
        request: Callable[[Any], Any],
        view: Callable[[Any], object],
    ) -> None:
        """Who was outvoted is asked once more; if it says something else than the quorum again, that is an alarm."""
        for endpoint in [endpoint for group in ballot.answers if group is not winners for endpoint, _ in group]:
            again: _Ballot[E] = _Ballot([[winners[0]]])
            if self._ask_one(again, endpoint, what, request, view) is again.answers[0] or len(again.answers) < 2:
                continue
            self._note("outvoted", endpoint)
            if self._log:
                self._log.error("endpoint outvoted", endpoint=endpoint.name, what=what)

    def _describe_shortage(self, what: str, ballot: _Ballot[E], needed: int) -> L1Error:
        """Too few answers, none of which contradicts another: a refusal, which may be of the question, comes first."""
        troubles = ballot.troubles
        refusals = [error for error in troubles if isinstance(error, L1Refused)]
        if refusals:
            return min(refusals, key=lambda error: isinstance(error, HistoryPruned))
        told = "; ".join(map(str, troubles)) or "there are none"
        if troubles and all(isinstance(error, L1Behind) for error in troubles):
            return L1Behind(f"{what}: no L1 endpoint knows it: {told}")
        if needed > 1:
            answered = sum(map(len, ballot.answers))
            return L1Unavailable(f"{what}: {answered} of the {needed} L1 endpoints that are needed answer: {told}")
        return L1Unavailable(f"{what}: no L1 endpoint answers: {told}. Is the L1 running, and is the URL right?")

    # Who is asked first

    def _list(self) -> list[E]:
        with self._lock:
            return list(self._order)

    def _list_awake(self) -> list[E]:
        """Without those that were silent just now, if enough are left."""
        since = time.monotonic() - REST_SECONDS
        awake = [endpoint for endpoint in self._list() if self._silent_at.get(endpoint.name, since) <= since]
        return awake if len(awake) >= self.needed else self._list()

    def _note_trouble(self, endpoint: E, error: L1Error) -> None:
        if isinstance(error, HistoryPruned):
            self._note("refused", endpoint)
        elif isinstance(error, L1Refused):
            # It may refuse what all refuse: that is no reason to ask it last.
            self.counters.refused[endpoint.name] = self.counters.refused.get(endpoint.name, 0) + 1
        elif isinstance(error, L1Behind):
            self._note("lagging", endpoint)
        else:
            self._silent_at[endpoint.name] = time.monotonic()
            self._note("silent", endpoint)

    def _note(self, counter: str, endpoint: E) -> None:
        """Count, and ask it last from now on."""
        with self._lock:
            counts: dict[str, int] = getattr(self.counters, counter)
            counts[endpoint.name] = counts.get(endpoint.name, 0) + 1
            self._order.remove(endpoint)
            self._order.append(endpoint)


def compute_majority(endpoints: int) -> int:
    """More than half: two such quorums share an endpoint."""
    return endpoints // 2 + 1


def _get_itself(answer: T) -> T:
    return answer


def _unwrap(answer: Any) -> Any:
    if isinstance(answer, CallReverted):
        raise answer
    return answer


def _is_same(one: Any, other: Any, view: Callable[[Any], object]) -> bool:
    """Two reverts are the same when their reasons are."""
    if isinstance(one, CallReverted) or isinstance(other, CallReverted):
        return isinstance(one, CallReverted) and isinstance(other, CallReverted) and one.reason == other.reason
    return view(one) == view(other)
