"""From the gateway to the engine: requests wait here while their signatures are verified elsewhere, many at a time.

Nothing here decides whether a request is good: that is the engine's, which finds the verdict on a signature ready. What
is refused here is only too much at a time.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import trio

from node.account_limits import AccountLimits
from node.fair_queue import FairQueue
from node.gateway import MethodError, Reply, Submission, take_bytes
from node.sequencer_core import SequencerCore
from node.signature_process import SignatureProcess
from sequencer.refusals import Refusal, Refused
from sequencer.requests import Request, decode_request
from sequencer.verdicts import SignedMessage
from state.codec import Value
from state.codes import Kind

SCREENED_AT_ONCE_MAX = 128
# A group is being verified, another waits behind it, the answer to a third is on its way: nobody idles while there is
# work.
SCREENINGS_MAX = 3
# Beyond the limits for everything else, as a divisor of them.
CANCEL_ROOM_DIVISOR = 4


@dataclass(slots=True)
class Waiting:
    """A request and who is to hear of its outcome. `request` stays None when the bytes are none."""

    data: bytes
    reply: Reply
    request: Request | None = None
    is_refused: bool = False

    def refuse(self, refused: Refused) -> None:
        """Tell why it was not taken."""
        self.is_refused = True
        self.reply(MethodError(refused.code, refused.text))


class Ingress:
    """One queue in, fair to its sources, and one out, in the order in which requests left the first."""

    def __init__(
        self, core: SequencerCore, waiting_max: int, account_requests_max: int, wake: Callable[[], None]
    ) -> None:
        """`wake` is called when `take` has something to give."""
        self._core = core
        self._waiting_max = waiting_max
        self._limits = AccountLimits(account_requests_max)
        self._wake = wake
        self._arrived: FairQueue[Waiting] = FairQueue()
        self._has_arrived = trio.Event()
        self._screened: deque[Waiting] = deque()
        self._in_screening: deque[list[Waiting]] = deque()
        self._end: Refused | None = None
        self._places = trio.Semaphore(SCREENINGS_MAX)

    @property
    def submission(self) -> Submission:
        """The gateway's method `submit`: [request bytes] -> [receipt, lots filled at once]."""
        return Submission(self._begin, _is_cancel)

    def _begin(self, source: object, arguments: list[Value], reply: Reply) -> None:
        data = take_bytes(arguments, 0, "request")
        if self._end is not None:
            raise MethodError(self._end.code, self._end.text)
        count = len(self._arrived) + sum(map(len, self._in_screening)) + len(self._screened)
        if count >= self._waiting_max and not (
            _is_cancel(arguments) and count < self._waiting_max + self._waiting_max // CANCEL_ROOM_DIVISOR
        ):
            raise MethodError(Refusal.BACKLOG_FULL, "too many requests wait; send fewer at a time")
        self._arrived.put(source, Waiting(data, reply))
        self._has_arrived.set()

    # Screening

    async def send_away(self, verifier: SignatureProcess) -> None:
        """Send what arrives to be verified, until cancelled. Raises WorkerEnded."""
        while True:
            await self._has_arrived.wait()
            await take_place(self._places)
            group = self._arrived.take(SCREENED_AT_ONCE_MAX)
            if not self._arrived:
                self._has_arrived = trio.Event()
            self._in_screening.append(group)
            # What has no signature is only kept in line.
            signed: list[tuple[Waiting, SignedMessage]] = []
            for waiting in group:
                waiting.request = decode_request(waiting.data)
                message = self._core.engine.get_signed(waiting.request) if waiting.request else None
                if message is not None:
                    signed.append((waiting, message))
            verifier.verify([message for _, message in signed], partial(self._take_back, group, signed))

    def _take_back(
        self, group: list[Waiting], signed: list[tuple[Waiting, SignedMessage]], verdicts: list[bool]
    ) -> None:
        """Line up for the engine what is verified."""
        self._places.release()
        self._in_screening.popleft()
        self._core.verdicts.note((message for _, message in signed), verdicts)
        self._refuse_too_busy(signed, verdicts)
        self._screened += [waiting for waiting in group if not waiting.is_refused]
        self._wake()

    def _refuse_too_busy(self, signed: list[tuple[Waiting, SignedMessage]], verdicts: list[bool]) -> None:
        """Only what an account has signed counts against it, or anybody could silence it."""
        second = self._core.engine.globals.time
        for (waiting, _), is_valid in zip(signed, verdicts, strict=True):
            assert waiting.request is not None
            account: int = waiting.request.op.account  # type: ignore[union-attr]
            is_cancel = waiting.request.op.kind is Kind.CANCEL
            if is_valid and not waiting.is_refused and not self._limits.admit(account, is_cancel, second):
                waiting.refuse(Refused(Refusal.ACCOUNT_TOO_BUSY))

    # The engine's side

    @property
    def is_ready(self) -> bool:
        """Whether `take` would give anything."""
        return bool(self._screened)

    def take(self, count_max: int) -> list[Waiting]:
        """What is next for the engine."""
        return [self._screened.popleft() for _ in range(min(count_max, len(self._screened)))]

    def put_back(self, group: list[Waiting]) -> None:
        """What the engine had no room for: it stays first in line."""
        self._screened.extendleft(reversed(group))

    def refuse_all(self, refused: Refused) -> None:
        """Everything that waits, also for its verdict."""
        away = [waiting for group in self._in_screening for waiting in group]
        for waiting in [*self._screened, *away, *self._arrived.take(len(self._arrived))]:
            waiting.refuse(refused)
        self._screened.clear()

    def close(self, refused: Refused) -> None:
        """The same, and whatever still comes."""
        self._end = refused
        self.refuse_all(refused)


async def take_place(places: trio.Semaphore) -> None:
    """Wait for a place, and give way only where that must be: the next stage waits for this one."""
    try:
        places.acquire_nowait()
    except trio.WouldBlock:
        await places.acquire()


def _is_cancel(arguments: list[Value]) -> bool:
    """Told by the first byte, before anything is verified: it only lends room in a queue."""
    data = arguments[0] if arguments else None
    return isinstance(data, bytes) and data[:1] == bytes([Kind.CANCEL])
