"""An honest log audits clean; of a sequencer that prefers one order to another the first such position is found."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from sequencer.matching import Book, RestingOrder
from sequencer.matching_audit import Departure, MatchingAudit
from sequencer.oplog import LogRecord, RecordKind, decode_record
from sequencer.refusals import Refused
from sequencer.requests import decode_request
from state.codes import Code, Kind
from state.operations import Fill, Operation, OrderOp, decode_operation
from tests.node.test_sequencer_core import PRICE, Desk

Best = Callable[[Book, bool], RestingOrder | None]


@pytest.fixture
def desk(tmp_path: Path, seed: int) -> Iterator[Desk]:
    """A sequencer at the start of a generation, its market open."""
    desk = Desk(tmp_path, seed)
    yield desk
    desk.store.close()


def read_log(desk: Desk) -> list[LogRecord]:
    """All that it has made durable in its generation."""
    return [decode_record(position, data) for position, data in desk.store.read_log(2, 0)]


def open_audit(desk: Desk) -> MatchingAudit:
    """Of the desk's generation, from the state before it."""
    return MatchingAudit(dict(desk.leaves), desk.market.world.domain, 2, desk.market.world.messages.__getitem__)


def audit(desk: Desk, log: list[LogRecord]) -> Departure | None:
    """The first departure of a whole log."""
    auditor = open_audit(desk)
    return next((found for record in log if (found := auditor.take(record)) is not None), None)


def take(desk: Desk, *requests: bytes) -> None:
    """Ask for things in one group."""
    desk.keep(desk.core.take(requests).records)


def test_an_honest_log_audits_clean(desk: Desk, seed: int) -> None:
    """Through restarts, seals and time; the audit ends with the log's own hash, and has seen its trades."""
    dice = random.Random(seed)
    for _ in range(80):
        take(desk, *desk.ask())
        if dice.random() < 0.2:
            desk.core.seal()
        if dice.random() < 0.2:
            desk.keep(desk.core.engine.tick(desk.core.engine.globals.time + 1))
        if dice.random() < 0.1:
            desk.crash()
    log, auditor = read_log(desk), open_audit(desk)

    assert [auditor.take(record) for record in log] == [None] * len(log)

    assert (auditor.position, auditor.log_hash) == (desk.core.engine.next_position, desk.core.engine.log_hash)
    assert auditor.fills == sum(record.body[0] == Kind.FILL for record in log if record.kind is RecordKind.POSTED) > 0


# Sequencers that prefer somebody


@dataclass(frozen=True)
class Preference:
    """What rests (name, price, both buying 10), how the patched book chooses, and who must have traded first."""

    rests: list[tuple[str, int]]
    choose: Callable[[list[RestingOrder]], RestingOrder | None]
    due: str


PREFERENCES = {
    "an order is skipped": Preference(
        [("alice", PRICE), ("carol", PRICE - 1000)], lambda rest: rest[1] if len(rest) > 1 else None, "alice"
    ),
    "two at one price are swapped": Preference([("carol", PRICE), ("alice", PRICE)], lambda rest: rest[-1], "carol"),
    "the worst price is filled first": Preference(
        [("alice", PRICE - 2000), ("carol", PRICE)], lambda rest: min(rest, key=lambda one: one.terms.price), "carol"
    ),
}


@pytest.mark.parametrize("name", PREFERENCES)
def test_a_preference_is_found_at_its_position(desk: Desk, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The log is honest up to the taker's order; behind it the wrong order is registered where another was due."""
    preference = PREFERENCES[name]
    for who, price in preference.rests:
        take(desk, desk.market.order(who, 10, price, slot=9))
    patch_book(monkeypatch, preference.choose)
    (sold,) = desk.core.take([desk.market.order("bob", -4, PRICE - 3000, slot=9)]).outcomes
    desk.keep(sold.records)  # type: ignore[union-attr]
    monkeypatch.undo()

    found = audit(desk, read_log(desk))

    assert found is not None
    assert found.position == sold.position + 1  # type: ignore[union-attr]
    wrong, due = decode_operation(found.done.body), decode_posted(found.due)
    assert isinstance(wrong, OrderOp)
    assert isinstance(due, OrderOp)
    people = {desk.market.world.person(who).account: who for who in ("alice", "carol")}
    assert people[due.terms.account] == preference.due != people[wrong.terms.account]
    assert f"position {found.position}: done was an order, posted, of account {wrong.terms.account}" in str(found)


def patch_book(monkeypatch: pytest.MonkeyPatch, choose: Callable[[list[RestingOrder]], RestingOrder | None]) -> None:
    """Books whose first order, among those of the market, is another than price and time say."""
    honest: Best = Book.get_best_against

    def get_best_against(book: Book, is_sell: bool) -> RestingOrder | None:
        rest = []
        while (best := honest(book, is_sell)) is not None:
            rest.append(best)
            book.remove(best)
        for order in rest:
            book.add(order)
        return choose(rest) if rest else None

    monkeypatch.setattr(Book, "get_best_against", get_best_against)


def decode_posted(due: LogRecord | Refused | None) -> Operation | None:
    assert isinstance(due, LogRecord)
    return decode_operation(due.body)


def test_a_trade_that_is_left_out_is_found(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing crosses for the patched sequencer: whatever stands next in its log stands where a trade was due."""
    take(desk, desk.market.order("alice", 10, PRICE))
    monkeypatch.setattr(Book, "get_best_against", lambda book, is_sell: None)
    take(desk, desk.market.order("bob", -4, PRICE))
    monkeypatch.undo()
    position = desk.core.engine.next_position
    assert audit(desk, read_log(desk)) is None, "what is due may still come"

    take(desk, desk.market.cancel("carol", slot=4))

    found = audit(desk, read_log(desk))
    assert found is not None
    assert (found.position, found.done.body[0]) == (position, Kind.CANCEL)
    assert isinstance(decode_posted(found.due), OrderOp)


# Logs that nobody's engine would write


def test_a_fill_at_another_price_is_found(desk: Desk) -> None:
    """The price is the resting order's, and a quantity all that both have."""
    take(desk, desk.market.order("alice", 10, PRICE))
    take(desk, desk.market.order("bob", -4, PRICE - 5000))
    log = read_log(desk)
    op = decode_operation(log[-1].body)
    assert isinstance(op, Fill)
    for other in (replace(op, price=PRICE - 5000), replace(op, quantity=3)):
        bent = log[-1]._replace(body=other.encode())
        found = audit(desk, [*log[:-1], bent])
        assert found == Departure(2, bent.position, bent, log[-1])
        assert f"due was a fill of 4 lots at {PRICE} between account" in str(found)


def test_what_nobody_asked_for_is_found(desk: Desk) -> None:
    """A fill from nowhere, an order that its owner never signed, a position given twice, time that goes back."""
    take(desk, desk.market.order("alice", 10, PRICE))
    log = read_log(desk)
    end = len(log)
    fill = LogRecord(end, RecordKind.POSTED, Fill(end, 1, 0, 2, 0, PRICE, 1).encode())
    found = audit(desk, [*log, fill])
    assert found == Departure(2, end, fill, None)
    assert str(found).endswith("due was nothing that nobody asked for")

    unsigned = bytearray(desk.market.order("alice", 10, PRICE))
    unsigned[-1] ^= 1
    assert decode_request(bytes(unsigned)) is not None
    record = LogRecord(end, RecordKind.ACCEPTED, bytes(unsigned))
    found = audit(desk, [*log, record])
    assert found is not None
    assert found.due == Refused(Code.ORDER_SIGNATURE_MUST_VERIFY)

    assert audit(desk, [*log, log[-1]]) == Departure(2, end, log[-1], None)
    tick = next(record for record in log if record.body[0] == Kind.TICK)
    again = LogRecord(end, RecordKind.POSTED, tick.body[:1] + end.to_bytes(8) + tick.body[9:])
    assert audit(desk, [*log, again]) == Departure(2, end, again, None)
