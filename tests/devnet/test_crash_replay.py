"""Three hours around the low of 22 December 2017: nothing departs, everybody short of margin is liquidated at once."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from devnet import crash_exchange
from devnet.crash_follower import CrashFollower
from devnet.crash_market import CrashDataError, CrashMarket, read_closes, read_shipped
from devnet.crash_replay import Replay, Scene
from sequencer.sweep import BookSweep
from state.leaves import Account
from state.ledger import Ledger
from tests.conservation import assert_conserved
from tests.crash.bytecode import Bytecode
from tests.parity.tribunal import Tribunal

LOW_MINUTE = 2_302
"""Bitcoin at 10,744 dollars."""

FALL_MINUTE = 1_890


@pytest.mark.slow
def test_three_hours_around_the_low() -> None:
    """Follower and bytecode agree with the sequencer on every root; liquidations come with the price that calls."""
    watchers: list[CrashFollower] = []
    tribunal = Tribunal()
    scene = Scene(read_shipped(), LOW_MINUTE - 150, 180, people=120, seed=7)
    replay = Replay(scene, BookSweep(), lambda exchange: watchers[0].follow(exchange.sealed), tribunal.address)
    exchange = replay.exchange
    bytecode = Bytecode(tribunal, exchange.messages, 0.01, random.Random(7))
    watchers.append(CrashFollower(exchange.genesis, exchange.domain, exchange.messages, bytecode.examine))
    outcome = replay.run(lambda minute, so_far: None)
    follower = watchers[0]
    print(outcome.to_json(), follower.steps, bytecode.executed)
    assert follower.divergent_roots == 0
    assert bytecode.steps >= follower.steps // 100
    assert outcome.liquidated
    assert max(outcome.updates) == 0
    assert bytecode.executed["liquidate"] >= len(outcome.liquidated)
    assert_conserved(exchange.engine.leaves)


def test_a_late_liquidation_is_later() -> None:
    """Behind a congested L1 the same account is put up for auction the stated number of updates later."""
    lags = []
    for delay in (0, 5):
        scene = Scene(read_shipped(), FALL_MINUTE, 40, people=150, delay_minutes=delay)
        outcome = Replay(scene, BookSweep(), lambda exchange: exchange.sealed.clear()).run(lambda minute, so_far: None)
        lags.append(outcome.updates)
    assert lags[0]
    assert set(lags[0]) == {0}
    assert all(lag >= 5 for lag in lags[1])


@dataclass
class CountingSweep(BookSweep):
    """How often it was asked."""

    looks: int = 0

    def find_changed(self, ledger: Ledger, accounts: Mapping[int, Account]) -> list[int]:
        self.looks += 1
        return super().find_changed(ledger, accounts)


def test_a_breach_is_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where batches are so small that the keeper has to look several times after a price, the figures stay."""
    outcomes, looks = [], []
    for size in (crash_exchange.BATCH_BYTES, 400):
        monkeypatch.setattr(crash_exchange, "BATCH_BYTES", size)
        scene = Scene(read_shipped(), FALL_MINUTE, 30, people=100)
        sweep = CountingSweep()
        replay = Replay(scene, sweep, lambda exchange: exchange.sealed.clear())
        outcomes.append(replay.run(lambda minute, so_far: None))
        looks.append(sweep.looks)
    assert outcomes[0].updates
    assert outcomes[0].updates == outcomes[1].updates
    assert looks[0] < looks[1]


def test_a_file_of_the_same_format_is_read(tmp_path: Path) -> None:
    """Minutes that are missing repeat the last close; all symbols begin and end together."""
    rows = ["timestamp_ms,symbol,open,high,low,close,volume"]
    rows += [f"{60_000 * minute},AAAUSD,1,1,1,{100 + minute},1" for minute in range(100) if minute % 7]
    rows += [f"{60_000 * minute},BBBUSD,1,1,1,{200 - minute},1" for minute in range(5, 90)]
    path = tmp_path / "crash.csv"
    path.write_text("\n".join(rows) + "\n")
    first, second = read_closes(path)
    assert (first.symbol, second.symbol) == ("AAAUSD", "BBBUSD")
    assert first.start == second.start == 300
    assert len(first.prices) == len(second.prices) == 85
    assert first.prices[7 - 5] == 106
    assert CrashMarket(second, 1_000.0).compute_drop(60) > 0


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("60000,AAAUSD,1,1,1,none,1", "line 2: timestamp_ms and close must be numbers"),
        ("soon,AAAUSD,1,1,1,1,1", "line 2: timestamp_ms and close must be numbers"),
        ("60000,AAAUSD,1,1,1,-1,1", "line 2: symbol or close"),
        ("60000,AAAUSD,1,1,1,1,1", "share less than an hour"),
    ],
)
def test_another_file_is_refused_by_line(tmp_path: Path, line: str, complaint: str) -> None:
    """What is no market's data says where."""
    path = tmp_path / "crash.csv"
    path.write_text(f"timestamp_ms,symbol,open,high,low,close,volume\n{line}\n")
    with pytest.raises(CrashDataError, match=complaint):
        read_closes(path)
