"""What a sequencer leaves out comes through L1: after patience, once, and no more when it is there."""

import io
import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from node.anvil import PROJECT
from node.chain_follower import ChainFollower
from node.cli import main
from node.keys import Secp256k1Key, load_ethereum_key
from node.logs import Log
from node.oracle_relay import Feed, Patience, ReadingRelay, is_price_owed
from node.oracle_role import OracleSettings
from node.oracle_source import Price, Sources
from node.oracle_surfaces import SurfaceDesk
from state.constants import EXPIRY_SECOND_OF_DAY, EXPIRY_STEP
from state.ledger import Ledger
from tests.node.clerk import Clerk
from tests.node.test_cli import NOBODY, mine_fast
from tests.node.town import Town, build_launch, open_town
from tests.world import ORACLE_KEYS, open_market

BTC, ETH, SURFACE = Feed(0), Feed(1), Feed(0, 1_700_121_600)
PRICE = 17_000_000
SETTINGS = OracleSettings(heartbeat=5, deviation_ppm=2_000)
KEYS = [Secp256k1Key(key.secret) for key in ORACLE_KEYS]
QUOTES = [[PRICE * part // 100, 600_000 + 4_000 * abs(part - 100)] for part in (70, 85, 95, 100, 105, 115, 130)]


def test_a_feed_is_overdue_when_its_wait_is_over() -> None:
    """Each waits for itself, from the first look at which it is owed; and after a relay as long again."""
    patience = Patience(60)
    assert patience.list_overdue({BTC: 90, SURFACE: 0}, 100) == []
    assert patience.list_overdue({BTC: 90, SURFACE: 0, ETH: 0}, 159) == []
    assert patience.list_overdue({BTC: 90, SURFACE: 0, ETH: 0}, 160) == [BTC, SURFACE]
    patience.note_sent(BTC, 160)
    assert patience.list_overdue({BTC: 90, SURFACE: 0, ETH: 0}, 219) == [SURFACE, ETH]
    assert patience.list_overdue({BTC: 90}, 220) == [BTC]


@pytest.mark.parametrize("owed", [{}, {BTC: 100}, {BTC: 110}])
def test_what_comes_late_is_not_left_out(owed: dict[Feed, int]) -> None:
    """A reading of the wait's first second or later, or of none owed any more, begins the wait anew."""
    patience = Patience(60)
    patience.list_overdue({BTC: 90}, 100)
    patience.list_overdue(owed, 150)
    waits_from = 150 if owed else 160
    assert patience.list_overdue(owed or {BTC: 90}, 160) == []
    assert patience.list_overdue({BTC: 90}, waits_from + 59) == []
    assert patience.list_overdue({BTC: 90}, waits_from + 60) == [BTC]


def test_a_price_is_owed_by_heartbeat_and_deviation() -> None:
    """Of spot or mark; never twice in one second, and never of a basket, which nobody signs."""
    listed = Ledger(open_market().state.leaves).require_underlying(0)
    last = replace(listed, oracle_time=100, spot=1_000_000, mark=1_000_000)
    same, near, far = (Price("BTC", 1_000_000, 1_000_000 + moved) for moved in (0, 1_999, 2_000))
    assert not is_price_owed(last, near, SETTINGS, 104)
    assert is_price_owed(last, far, SETTINGS, 101)
    assert is_price_owed(last, same, SETTINGS, 105)
    assert not is_price_owed(last, far, SETTINGS, 100)
    assert not is_price_owed(replace(last, basket=((0, 100_000),)), far, SETTINGS, 1_000)


def test_a_silent_sequencer_must_take_readings_from_l1(town: Town, clerk: Clerk) -> None:
    """Price and surface are relayed once after patience, the sequencer takes them, and nothing is owed any more."""
    now = town.l1.get_block().time
    expiry = (now // EXPIRY_STEP + 3) * EXPIRY_STEP + EXPIRY_SECOND_OF_DAY
    sources, said = Sources(), io.StringIO()
    sources.take(json.dumps({"symbol": "BTC", "spot": PRICE // 2}))
    sources.take(json.dumps({"symbol": "BTC", "expiry": expiry, "forward": PRICE, "quotes": QUOTES}))
    surfaces = SurfaceDesk(sources, SETTINGS.heartbeat, SETTINGS.deviation_ppm)
    surfaces.advance(now, {"BTC": 0}, sources.list_prices(), {})
    relay = ReadingRelay(
        town.rollup,
        town.open_sender("relay"),
        KEYS,
        sources,
        surfaces,
        SETTINGS,
        Patience(50),
        Log("oracle", stream=said),
    )

    def look_after(seconds: int) -> int:
        """Messages that a look has sent."""
        town.pass_time(seconds)
        before = town.rollup.view("inbox_count")
        trio.run(relay.look)
        return int(town.rollup.view("inbox_count")) - before

    assert [look_after(seconds) for seconds in (1, 40)] == [0, 0]
    sources.take(json.dumps({"symbol": "BTC", "spot": PRICE}))
    assert look_after(10) == 2
    assert look_after(10) == 0
    clerk.take_messages()
    clerk.post()

    follower = ChainFollower(town.rollup)
    follower.advance()
    ledger = Ledger(follower.replica.state.leaves)
    assert ledger.require_underlying(0).spot == PRICE, "the newest, not the one that was owed first"
    assert ledger.require_expiry(0, expiry).forward == PRICE
    assert look_after(1) == 0
    assert said.getvalue().count("relayed through L1") == 2


def test_too_few_keys_relay_nothing(town: Town) -> None:
    """The log says how many are missing, and nobody pays for what must fail."""
    sources, said = Sources(), io.StringIO()
    sources.take(json.dumps({"symbol": "BTC", "spot": PRICE}))
    surfaces, log = SurfaceDesk(sources, SETTINGS.heartbeat, SETTINGS.deviation_ppm), Log("oracle", stream=said)
    sender = town.open_sender("relay")
    relay = ReadingRelay(town.rollup, sender, KEYS[:1], sources, surfaces, SETTINGS, Patience(0.5), log)
    trio.run(relay.look)
    assert not said.getvalue()
    town.pass_time(1)
    trio.run(relay.look)

    assert "a reading needs 2 signatures, and these keys give 1: give more with --key" in said.getvalue()
    assert town.rollup.view("inbox_count") == 0


def test_the_command_relays_where_nobody_sequences(tmp_path: Path) -> None:
    """No gateway answers, no batch was ever posted: the price is in the inbox all the same, and a signal ends it."""
    folder, launch = tmp_path / "exchange", build_launch()
    assert main(["init", str(folder), "--l1", NOBODY]) == 0
    signers = tuple(load_ethereum_key(folder / "keys" / f"oracle-{number}.json").address for number in (1, 2, 3))
    genesis = replace(launch.genesis, params=replace(launch.genesis.params, oracle_signers=signers))
    with open_town(tmp_path, replace(launch, genesis=genesis)) as town:
        town.get_key("relay")
        where = ["--config", str(folder), "--l1", town.anvil.url, "--rollup", town.deployment.rollup]
        command = [sys.executable, "-m", "node.cli", "oracle", *where, "--gateway", "127.0.0.1:1"]
        command += ["--through-l1-after", "1", "--l1-key", str(tmp_path / "relay.json")]
        process = subprocess.Popen(
            command, cwd=PROJECT, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1
        )
        assert process.stdin is not None
        assert process.stderr is not None
        with mine_fast(town.anvil):
            print(json.dumps({"symbol": "BTC", "spot": PRICE}), file=process.stdin)
            told = next((line for line in process.stderr if "relayed" in line or line.startswith("keel:")), "")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)

        assert "relayed through L1 underlying=0 expiry=0" in told
        assert process.returncode == 128 + signal.SIGTERM
        assert town.rollup.view("inbox_count") >= 1


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--through-l1-after", "soon"], "'soon' will not do; write a number of seconds above 0"),
        (["--through-l1-after", "0"], "'0' will not do"),
        (["--through-l1-after", "nan"], "'nan' will not do"),
    ],
)
def test_patience_is_a_number_of_seconds(capsys: pytest.CaptureFixture[str], options: list[str], sentence: str) -> None:
    """Anything else is refused with the usage."""
    with pytest.raises(SystemExit) as exited:
        main(["oracle", *options])
    assert exited.value.code == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize("options", [["--through-l1-after", "600"], ["--l1-key", "relay.json"]])
def test_patience_and_purse_come_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    """Who relays needs somebody who pays, and says so before anything is asked of an L1."""
    assert main(["init", str(tmp_path / "exchange"), "--l1", NOBODY]) == 0
    assert main(["oracle", "--config", str(tmp_path / "exchange"), *options]) == 1
    assert "--l1-key FILE pays for it: give both, or neither" in capsys.readouterr().err
