"""The sequencer is gone for good: what people asked for through L1 happens all the same."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import trio

from fraud_proofs.grounds import check_ground
from node.anvil import PROJECT, Anvil, run_anvil
from node.chain_follower import ChainFollower
from node.cli import main
from node.deploy import deploy
from node.errors import CallReverted, Underfunded
from node.keys import Ed25519Key, Secp256k1Key, create_key, format_address, load_ethereum_key, parse_address
from node.l1 import L1, Call
from node.logs import Log
from node.rescue_role import CannotRescue, Rescuer, RescueSettings
from node.rollup import Rollup
from node.sequencer_role import Sequencer, SequencerSettings, run_sequencer
from node.transactions import Sender, require_mined
from node.wallet import Wallet
from node.watchtower_role import Watchtower, WatchtowerSettings, run_watchtower
from sequencer.batcher import Batcher, SealRule
from sequencer.engine import Accepted, Engine
from sequencer.requests import build_request
from state.batches import FLAG_RESCUE, BatchData, decode_header
from state.codes import Code
from state.constants import NEVER
from state.leaves import SessionKey
from state.ledger import Ledger
from state.operations import Withdraw, hash_digest
from state.store import Store
from state.tree import build_tree
from tests.node.test_cli import mine_fast, prepare
from tests.node.test_vertical import until
from tests.node.town import ETHER_ASSET, TERMS, Town, build_launch, give_ether, open_town

SESSION = Ed25519Key(bytes([9]) * 32)
SPAM = 150
SPAMMER = "0x" + "5b" * 20


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    """Its slot is held by somebody who never posts a batch."""
    with open_town(tmp_path) as running:
        take_slot_and_vanish(running)
        yield running


def take_slot_and_vanish(town: Town) -> None:
    with town.open_sender("holder") as holder:
        require_mined(holder.send(town.rollup.post_bond(TERMS.bond)))
        require_mined(holder.send(town.rollup.take_slot()))


def wait(anvil: Anvil, seconds: int) -> None:
    """Let L1 time pass, a second more than that, and finality reach what stood at the head."""
    jump(anvil, seconds + 1)
    for _ in range(2):
        anvil.request("evm_mine")


def jump(anvil: Anvil, seconds: int) -> None:
    """One block, so much later than the head, whatever the clock says."""
    head = int(anvil.request("eth_getBlockByNumber", "latest", False)["timestamp"], 16)
    anvil.request("evm_setNextBlockTimestamp", head + seconds)
    anvil.request("evm_mine")


def open_rescuer(town: Town, name: str = "rescuer", **settings: int) -> Rescuer:
    """One that looks when it is told to."""
    sender = town.open_sender(name)
    return Rescuer(town.rollup, town.rollup.get_terms(), sender, RescueSettings(**settings), Log("rescuer"))


def send_spam(town: Town, call: Call, count: int) -> None:
    """The same message again and again in one block, from an account whose key nobody needs."""
    town.anvil.request("anvil_setBalance", SPAMMER, hex(10**20))
    town.anvil.request("anvil_impersonateAccount", SPAMMER)
    transaction = {"from": SPAMMER, "to": town.deployment.rollup, "data": "0x" + call.data.hex()}
    town.anvil.request("evm_setAutomine", False)
    for _ in range(count):
        town.anvil.request("eth_sendTransaction", transaction | {"value": hex(call.value), "gas": hex(300_000)})
    town.anvil.request("evm_mine")
    town.anvil.request("evm_setAutomine", True)
    assert town.rollup.view("inbox_count") == count


def follow(rollup: Rollup) -> ChainFollower:
    """The chain as anybody derives it, every batch of it valid."""
    follower = ChainFollower(rollup)
    assert all(verdict.is_valid for _, verdict in follower.advance().verdicts)
    return follower


# From the command line, with real processes


@dataclass
class Running:
    """A `keel` process and what it says."""

    process: subprocess.Popen[str]

    def wait_for(self, words: str) -> str:
        """The first line from here on with these words in it."""
        assert self.process.stderr is not None
        found = next((line for line in self.process.stderr if words in line), None)
        assert found is not None, f"it ended and never said {words!r}"
        return found


@contextmanager
def run_keel(*arguments: object) -> Iterator[Running]:
    """A role in a process of its own; killed at the latest at the end."""
    command = [sys.executable, "-m", "node.cli", *map(str, arguments)]
    process = subprocess.Popen(command, cwd=PROJECT, stderr=subprocess.PIPE, text=True)
    try:
        yield Running(process)
    finally:
        process.kill()
        process.communicate()


@pytest.mark.slow
def test_a_user_leaves_though_sequencer_and_folder_are_gone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Killed, its folder deleted; a stranger's rescue and a proof of the user's own bring the money back to L1."""
    folder, rescuer, user = tmp_path / "exchange", tmp_path / "rescuer.json", tmp_path / "user.json"
    with run_anvil() as anvil, mine_fast(anvil):
        assert main(["init", str(folder), "--l1", anvil.url]) == 0
        prepare(folder, anvil)
        config = (folder / "keel.toml").read_text()
        (folder / "keel.toml").write_text(config.replace("batch_seconds = 10", "batch_seconds = 1"))
        for path in (rescuer, user):
            assert main(["wallet", "new", str(path)]) == 0
            give_ether(anvil, load_ethereum_key(path), 100)
        assert main(["deploy", "--config", str(folder)]) == 0
        rollup = json.loads((folder / "deployment.json").read_text())["rollup"]
        at = ["--l1", anvil.url, "--rollup", rollup]
        wallet = [*at, "--key", str(user)]

        with run_keel("sequencer", "--config", folder) as sequencer:
            port = sequencer.wait_for("serving").rsplit("port=", 1)[1].strip()
            gateway = ["--gateway", f"127.0.0.1:{port}", "--wait"]
            assert main(["wallet", "deposit", "0.5", "--asset", "1", *wallet, *gateway]) == 0
            contract = Rollup(L1([anvil.url]), parse_address(rollup))
            while (batch := contract.get_batch(contract.view("tip"))) is None or batch.inbox_cursor == 0:
                sequencer.wait_for("posted index=")
            sequencer.process.kill()
        shutil.rmtree(folder)
        assert main(["wallet", "force-withdraw", "0.125", "--asset", "1", "--account", "1", *wallet]) == 0
        assert main(["wallet", "deposit", "0.25", "--asset", "1", "--account", "1", *wallet]) == 0

        with run_keel("sequencer", "--rescue", *at, "--key", rescuer) as rescue:
            rescue.wait_for("is not silent")
            wait(anvil, 86_400)
            assert "overdue=2" in rescue.wait_for("rescuing")
            rescue.wait_for("posted")
            rescue.wait_for("no message is overdue")
            wait(anvil, 604_800)
            rescue.wait_for("final index=")
            rescue.process.send_signal(signal.SIGINT)
            assert rescue.process.wait(20) == 128 + signal.SIGINT

        capsys.readouterr()
        assert main(["wallet", "claim", *wallet]) == 0
        assert "withdrawal 0: 0.125" in capsys.readouterr().out
        replica = follow(Rollup(L1([anvil.url]), parse_address(rollup))).replica
        assert Ledger(replica.state.leaves).require_account(1).get_collateral(ETHER_ASSET) == 625_000_000


# The inbox


async def test_an_inbox_full_of_spam_is_drained(town: Town) -> None:
    """Of 150 overdue messages a batch must take 64; three batches take them all, and nobody finds fault with one."""
    send_spam(town, town.rollup.cancel_all(1, TERMS.message_fee), SPAM)
    wait(town.anvil, TERMS.silence_limit)

    lazy = open_rescuer(town, "lazy", messages_max=63)
    await lazy.start()
    with pytest.raises(CallReverted, match="rollup: overdue"):
        await lazy.look()
    rescuer = open_rescuer(town, messages_max=64)
    await rescuer.start()
    for _ in range(4):
        await rescuer.look()

    cursors = [get_cursor(town, index) for index in range(1, town.rollup.view("tip") + 1)]
    assert cursors == [64, 128, SPAM]
    assert follow(town.rollup).replica.tip == 3
    assert town.rollup.view("generation") == 1
    assert town.rollup.view("is_silent"), "a rescue is not the holder's service"


def get_cursor(town: Town, index: int) -> int:
    batch = town.rollup.get_batch(index)
    assert batch is not None
    return batch.inbox_cursor


async def test_a_rescuer_waits_until_it_may(town: Town, capsys: pytest.CaptureFixture[str]) -> None:
    """It leaves the holder his time and the message its deadline, and takes nothing that L1 could still take back."""
    withdraw_bond = ["sequencer", "--withdraw-bond", "--l1", town.anvil.url, "--rollup", town.deployment.rollup]
    withdraw_bond += ["--key", str(town.folder / "rescuer.json")]
    rescuer = open_rescuer(town)
    await rescuer.start()
    wait(town.anvil, TERMS.silence_limit)
    await rescuer.look()
    assert town.rollup.view("tip") == 0, "there is nothing to rescue"

    town.deposit_ether(town.open_sender("alice"), 10**9)
    await rescuer.look()
    assert town.rollup.view("tip") == 0, "the message is not overdue"

    jump(town.anvil, TERMS.inbox_deadline + 1)
    await rescuer.look()
    assert town.rollup.view("tip") == 0, "the message is not final"

    wait(town.anvil, 0)
    await rescuer.look()
    assert get_cursor(town, 1) == 1
    assert main(withdraw_bond) == 1
    assert "the last batch of this key is not final" in capsys.readouterr().err

    wait(town.anvil, TERMS.challenge_window)
    await rescuer.look()
    assert town.rollup.view("final_index") == 1
    assert main(withdraw_bond) == 0
    assert capsys.readouterr().out == "collected 2 ether\n"


async def test_a_key_that_may_have_given_receipts_does_not_rescue(town: Town) -> None:
    """A rescue knows no receipts and would contradict them; who cannot pay is told so too."""
    holder = open_rescuer(town, "holder")
    await holder.start()
    with pytest.raises(CannotRescue, match=r"this key holds the slot: .* with a key that never sequenced"):
        await holder.look()
    town.anvil.request("anvil_setBalance", format_address(town.get_key("poor").address), hex(10**15))
    with pytest.raises(Underfunded, match=r"holds 0\.001000 ether; the bond and the gas of one batch take"):
        await open_rescuer(town, "poor").start()


# The slot


async def test_the_slot_passes_to_an_honest_newcomer(town: Town, tmp_path: Path) -> None:
    """Silence costs a tenth of the bond, the next bond is double, and the chain goes on in a new generation."""
    alice = Wallet(town.rollup, town.open_sender("alice"))
    alice.deposit(ETHER_ASSET, 10**9)
    wait(town.anvil, TERMS.silence_limit)
    rescuer = open_rescuer(town)
    await rescuer.start()
    await rescuer.look()
    alice.force_withdraw(1, ETHER_ASSET, 10**8)

    async with newcomer(town, tmp_path / "data") as sender:
        await until(lambda: town.rollup.view("tip") >= 2 and get_cursor(town, town.rollup.view("tip")) == 2)

    holder = town.get_key("holder").address
    assert town.rollup.view("bond_of", holder) == TERMS.bond - TERMS.bond // 10
    assert town.rollup.view("bond_of", sender.address) == 2 * TERMS.bond
    assert town.rollup.get_slot_holder() == sender.address
    assert town.rollup.view("generation") == 2
    assert not town.rollup.view("is_silent")
    ledger = Ledger(follow(town.rollup).replica.state.leaves)
    assert ledger.get_globals().outbox_count == 1
    assert ledger.require_account(1).get_collateral(ETHER_ASSET) == 9 * 10**8


@asynccontextmanager
async def newcomer(town: Town, folder: Path) -> AsyncIterator[Sender]:
    """A sequencer on an empty folder, on an L1 whose clock has run ahead, which mines."""
    ahead = town.l1.get_block().time - time.time()
    settings = SequencerSettings(port=0, seal=SealRule(age_max=1), poll_seconds=0.05, tick_seconds=0.1)
    sender, log = town.open_sender("newcomer"), Log("sequencer")

    async def mine() -> None:
        while True:
            await trio.to_thread.run_sync(town.anvil.request, "evm_mine")
            await trio.sleep(0.1)

    with Store(folder) as store:
        sequencer = Sequencer(
            town.rollup,
            sender,
            store,
            town.get_key("newcomer").secret,
            settings,
            log,
            clock=lambda: time.time() + ahead,
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(mine)
            nursery.start_soon(run_sequencer, sequencer, settings, log)
            yield sender
            nursery.cancel_scope.cancel()


# The judge


@pytest.fixture
def court(tmp_path: Path) -> Iterator[Town]:
    """A town whose judge is the real one."""
    with run_anvil() as anvil:
        key = create_key(tmp_path / "founder.json", Secp256k1Key)
        assert isinstance(key, Secp256k1Key)
        give_ether(anvil, key, 1_000)
        l1, launch = L1([anvil.url]), build_launch()
        founder = Sender(l1, key, tmp_path / "founder.nonces", poll_seconds=0.01)
        running = Town(anvil, tmp_path, l1, launch, deploy(founder, launch), founder)
        take_slot_and_vanish(running)
        yield running
        running.close()


@pytest.mark.slow
async def test_discretion_in_a_rescue_batch_is_convicted(court: Town) -> None:
    """A withdrawal, however well signed, may not stand in one: the watchtower passes the honest rescue, not this."""
    alice = Wallet(court.rollup, court.open_sender("alice"))
    alice.deposit(ETHER_ASSET, 10**9)
    alice.register_key(1, SessionKey(SESSION.public_key, 7, NEVER))
    wait(court.anvil, TERMS.silence_limit)
    rescuer = open_rescuer(court)
    await rescuer.start()
    await rescuer.look()
    with court.open_sender("meddler") as meddler:
        require_mined(meddler.send(court.rollup.post_bond(TERMS.bond)))
        require_mined(meddler.send(court.rollup.submit_batch(build_meddling(court).encode())))
    (_, verdict) = ChainFollower(court.rollup).advance().verdicts[-1]
    assert verdict.proof is not None
    assert (verdict.proof.ground, verdict.proof.ground.check) == (check_ground(Code.WITHDRAW_MUST_DECODE), 0)

    towers: list[Watchtower] = []
    async with trio.open_nursery() as nursery:
        sender, settings = court.open_sender("tower"), WatchtowerSettings(0.05)
        nursery.start_soon(
            lambda: run_watchtower(court.rollup, sender, settings, Log("watchtower"), on_start=towers.append)
        )
        await until(lambda: bool(towers) and towers[0].counters.convictions == 1)
        nursery.cancel_scope.cancel()

    assert (towers[0].counters.batches_valid, towers[0].counters.batches_invalid) == (1, 1)
    assert court.rollup.view("tip") == 1
    assert court.rollup.view("bond_of", meddler.address) == 0
    with pytest.raises(CannotRescue, match="batch 2 of this key was convicted"):
        await open_rescuer(court, "meddler").start()


def build_meddling(town: Town) -> BatchData:
    """A batch that is right in every root and says that it is a rescue, with a withdrawal of alice's in it."""
    replica = follow(town.rollup).replica
    engine = Engine(dict(replica.state.leaves), replica.domain)
    engine.open_batch(engine.globals.generation + 1)
    engine.tick(town.l1.get_block().time)
    bare = Withdraw(0, 1, 1, ETHER_ASSET, 10**8, 0, bytes(64))
    signed = replace(bare, signature=SESSION.sign(hash_digest(replica.domain, bare)))
    assert isinstance(engine.submit(build_request(signed)), Accepted)
    tree = build_tree(replica.state.leaves.items())
    batch = Batcher(tree, replica.batch_hashes[replica.tip]).build(engine.seal())
    return BatchData(replace(decode_header(batch.header), flags=FLAG_RESCUE).encode(), batch.frames)
