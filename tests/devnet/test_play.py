"""The whole network, small: real processes on a real L1, two lies, a flipped byte and a refusal, and a record."""

import io
import json
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import trio

from devnet.console import Console
from devnet.drill import list_commands
from devnet.flips import Flip
from devnet.network import build_network
from devnet.play import TRADERS, Play, write_record
from devnet.verify import RECORD, STATE, verify
from node.anvil import open_anvil
from node.l1 import in_thread

NAMES = ("wrong_parent", "wrong_deposit", "fill_under_margin")
FLIP = Flip(step=1, offset=5, xor=1)
"""Within the position of the first op behind `open`."""


@pytest.mark.slow
async def test_lies_are_convicted_and_the_chain_goes_on(tmp_path: Path) -> None:
    """Each by one transaction; traders sign anew after each; what is left behind proves every row of the record."""
    commands = [one for one in list_commands([FLIP]) if one.name in (*NAMES, FLIP.name)]
    async with open_anvil(state_file=tmp_path / STATE, log=tmp_path / "anvil.log") as anvil:
        network = await in_thread(build_network, tmp_path, anvil, TRADERS)
        await in_thread(anvil.request, "evm_setIntervalMining", 1)
        async with AsyncExitStack() as stack, trio.open_nursery() as nursery:
            play = Play(network, Console(io.StringIO()), speed=60, block_seconds=1)
            await play.start(stack, nursery)
            await play.run_drill(commands)
            traded = play.tally.lots_filled
            with trio.fail_after(30):
                await play.watch.wait_until(lambda: play.tally.lots_filled > traded > 0)
            nursery.cancel_scope.cancel()

    assert play.oracle.process.returncode is not None
    record = json.loads((tmp_path / RECORD).read_text())
    assert [row["variety"] for row in record["refused"]] == ["wrong_parent"]
    assert [row["variety"] for row in record["lies"]] == ["wrong_deposit", "fill_under_margin", FLIP.name]
    assert {row["transactions"] for row in record["lies"]} == {1}
    assert verify(tmp_path) == []
    record["lies"][0]["gas"] += 1
    record["lies"][1]["variety"] = "fill_outside_band"
    record["refused"][0]["reason"] = "rollup: bond"
    write_record(tmp_path / RECORD, record)
    wrong = verify(tmp_path)
    assert [sentence.split(":")[0] for sentence in wrong] == ["wrong_deposit", "fill_outside_band", "wrong_parent"]
