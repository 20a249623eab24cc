"""The keeper posts what is due, stops where a batch is full, and what it posted replays from the log like anything."""

from dataclasses import replace

import pytest

from devnet.crash_exchange import CrashExchange
from devnet.crash_market import read_shipped
from devnet.crash_replay import Replay, Scene
from sequencer.engine import Engine
from sequencer.keeper import Keeper
from sequencer.oplog import LogRecord, RecordKind
from sequencer.sweep import AccountSweep, BookSweep
from state.codes import Kind
from state.constants import NEVER
from state.ledger import Ledger
from state.operations import Interest, Liquidate, decode_operation
from state.tree import account_key
from tests.conservation import assert_conserved
from tests.sequencer.market import Sequencing

FALL_MINUTE = 1_890


class Recorded:
    """A replay of falling prices whose log is kept."""

    def __init__(self) -> None:
        self.records: list[LogRecord] = []
        scene = Scene(read_shipped(), FALL_MINUTE, 30, people=150)
        self.replay = Replay(scene, BookSweep(), lambda exchange: exchange.sealed.clear())
        engine = self.replay.exchange.engine
        append = engine._append

        def keep(record: LogRecord) -> None:
            self.records.append(record)
            append(record)

        engine._append = keep  # type: ignore[method-assign]
        self.replay.run(lambda minute, outcome: None)

    @property
    def exchange(self) -> CrashExchange:
        """What the replay played on."""
        return self.replay.exchange


@pytest.fixture(scope="module")
def recorded() -> Recorded:
    """One for all."""
    return Recorded()


def test_what_was_kept_replays_from_the_log(recorded: Recorded) -> None:
    """Another engine does the same records again, auctions and bids among them, and comes to the same leaves."""
    exchange = recorded.exchange
    kinds = {record.body[0] for record in recorded.records if record.kind is RecordKind.POSTED}
    assert kinds >= {Kind.LIQUIDATE, Kind.TAKE}
    again = Engine(exchange.genesis.build_leaves(), exchange.domain, unposted_bytes_max=NEVER)
    again.open_batch(1)
    expected = iter(recorded.records)
    for record in expected:
        for follower in again.replay(record, exchange.messages.__getitem__)[1:]:
            assert next(expected) == follower
    assert again.log_hash == exchange.engine.log_hash
    skipped = {key for key, data in again.leaves.items() if exchange.engine.leaves[key] != data}
    assert len(skipped) <= 1, "all but the globals, which count batches"
    assert_conserved(again.leaves)


def test_an_account_is_named_once_when_it_falls_short(recorded: Recorded) -> None:
    """An auction that runs is not begun again, and the orders of whoever is in one are dead."""
    ops = [decode_operation(record.body) for record in recorded.records if record.kind is RecordKind.POSTED]
    begun: dict[int, bool] = {}
    for op in ops:
        if isinstance(op, Liquidate):
            is_beginning = op.maintenance < 0
            assert begun.get(op.account, False) is not is_beginning
            begun[op.account] = is_beginning
    for slot, known in recorded.exchange.engine.slots.items():
        if begun.get(slot.account):
            assert known.order is None


def test_a_full_batch_is_left_alone(recorded: Recorded) -> None:
    """Where a batch has no room left nothing is posted, and the keeper asks to be called again."""
    exchange = recorded.exchange
    keeper = Keeper(exchange.engine, AccountSweep(), bytes_max=0)
    held = next(index for index, account in keeper._held.items() if account.positions)
    keeper._sweep = Always(held)
    assert keeper.keep() == []
    assert keeper.is_due([])


def test_a_debt_is_charged_for_by_the_hour() -> None:
    """The clock begins at the first look, an hour is due at its end and no second earlier, and the fund has it."""
    sequencing = Sequencing()
    engine, index = sequencing.engine, sequencing.world.person("alice").account
    held, fund = Ledger(engine.leaves).require_account(index), Ledger(engine.leaves).require_asset(0).fund
    owing = replace(held, cash=-(10**9), collateral=((1, 10**12),), positions=())
    engine.leaves[account_key(index)] = owing.encode()
    keeper = Keeper(engine, AccountSweep(), bytes_max=NEVER)
    begun = engine.globals.time
    assert [decode_operation(record.body) for record in keeper.keep()] == [
        Interest(engine.next_position - 1, index, -(10**9))
    ]
    for seconds, charged in ((1, 0), (3_599, 0), (3_600, 1), (3_601, 1), (7_200, 2)):
        engine.tick(begun + seconds)
        keeper.keep()
        paid = owing.cash - Ledger(engine.leaves).require_account(index).cash
        assert paid == 11_416 * charged
        assert Ledger(engine.leaves).require_asset(0).fund == fund + paid


class Always:
    """A sweep that always finds the same account."""

    def __init__(self, account: int) -> None:
        self._account = account

    def find_changed(self, ledger: object, accounts: object) -> list[int]:
        """As sequencer.keeper.Sweep."""
        return [self._account]

    def find_debtors(self, ledger: object, accounts: object) -> list[int]:
        """As sequencer.keeper.Sweep."""
        return [self._account]
