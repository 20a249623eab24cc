"""node/SPEC.md says what a gateway answers: its tables are held to what roles register."""

import re
from hashlib import sha256
from pathlib import Path

from node import feed, gateway
from node.client import GatewayAddress
from node.follower_role import Follower, FollowerSettings
from node.framing import FRAME_BYTES_MAX
from node.gateway import GatewayLimits
from node.logs import Log
from node.reads import ANSWERED_MAX
from node.sequencer_role import Sequencer, SequencerSettings
from sequencer.log_check import EXPLANATIONS, AlarmCode
from sequencer.refusals import Refusal
from state.store import Store
from tests.node.test_sequencer_core import Desk
from tests.node.town import open_town

SPEC = (Path(__file__).resolve().parents[2] / "node" / "SPEC.md").read_text()


def read_table(heading: str) -> list[list[str]]:
    """The rows of the first table below a heading."""
    below = SPEC.partition(f"\n{heading}\n")[2]
    table = re.search(r"(?:^\|.*\n)+", below, re.MULTILINE)
    assert table, heading
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[0].splitlines()[2:]]


def test_methods_are_what_roles_register(tmp_path: Path) -> None:
    """Every name, with whoever answers it; none more."""
    with open_town(tmp_path) as town, Store(tmp_path / "one") as one, Store(tmp_path / "two") as two:
        settings = FollowerSettings(feed=GatewayAddress("127.0.0.1", 1))
        follower = Follower(town.rollup, settings, Log("follower"), one)
        sender, secret = town.open_sender("operator"), town.get_key("operator").secret
        sequencer = Sequencer(town.rollup, sender, two, secret, SequencerSettings(), Log("sequencer"))
        names = {
            "follower": {*follower.gateway._methods, *follower.gateway._streams},
            "sequencer": {*sequencer.build_methods(), *sequencer.feed.streams, "submit"},
        }
    rows = read_table("## 2. Methods")
    assert len({name for name, *_ in rows}) == len(rows)
    for role in ("follower", "sequencer"):
        assert {name for name, who, *_ in rows if who in (role, "both")} == names[role]


def test_bounds_are_the_codes() -> None:
    """Numbers in the text."""
    assert f"at most {FRAME_BYTES_MAX:,} bytes" in SPEC
    assert SPEC.count(f"at most {ANSWERED_MAX:,} |") == 2
    assert GatewayLimits().send_seconds_max == 10
    assert "cut after ten seconds" in SPEC


def test_codes_are_what_is_sent() -> None:
    """Refusals, the gateway's own, the feed's, and alarms."""
    sent = {code.value: code.name for code in (*Refusal, *AlarmCode)}
    for module in (gateway, feed):
        sent |= {value: name for name, value in vars(module).items() if isinstance(value, int) and 9000 <= value < 9400}
    assert {int(row[0]): row[1] for row in read_table("## 5. Codes")} == sent
    assert set(EXPLANATIONS) == set(AlarmCode)


def test_a_reader_computes_the_hash_as_it_is_written(tmp_path: Path) -> None:
    """From the records' bytes and the formula alone, to the sequencer's own hash."""
    desk = Desk(tmp_path)
    for _ in range(5):
        desk.keep(desk.core.take(desk.ask()).records)
    log_hash = bytes(32)
    for position, data in desk.store.read_log(2, 0):
        assert data[0] in (0, 1)
        log_hash = sha256(log_hash + position.to_bytes(8) + sha256(data).digest()).digest()
    assert log_hash == desk.core.engine.log_hash
    desk.store.close()
