"""The sequencer is dead, and everybody gets out with nothing but L1."""

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from node import cli
from node.chain_follower import ChainFollower
from node.errors import RollupEnded
from node.exit import Exit, ExitError
from node.keys import Ed25519Key, Secp256k1Key
from node.logs import Log
from node.oracle_role import draft_reading, sign_reading
from node.oracle_source import Price
from node.transactions import require_mined
from node.wallet import Wallet
from node.watchtower_role import Watchtower, WatchtowerSettings, run_watchtower
from sequencer.requests import build_request
from state.constants import NEVER
from state.leaves import SessionKey, perpetual
from state.operations import OrderOp, OrderTerms, hash_digest
from state.wind_down import Ending
from tests.node.clerk import Clerk
from tests.node.town import DOLLAR, ETHER_ASSET, TERMS, Town, open_town
from tests.world import ORACLE_KEYS, SYMBOLS

SESSION = Ed25519Key(bytes([8]) * 32)
MILLION = 1_000_000
PRICE, FALLEN = 17 * MILLION, 12 * MILLION
LOTS = 200
LATE = 77 * MILLION


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    with open_town(tmp_path, is_valued=True) as running:
        yield running


@pytest.fixture
def clerk(town: Town, tmp_path: Path) -> Iterator[Clerk]:
    with Clerk(town, tmp_path / "data") as running:
        yield running


def open_account(town: Town, clerk: Clerk, name: str, asset: int, units: int) -> tuple[Wallet, int]:
    """Somebody with a funded account and a session key."""
    wallet = Wallet(town.rollup, town.open_sender(name))
    if asset == DOLLAR:
        town.give_dollars(name, units)
    wallet.deposit(asset, units)
    clerk.take_messages()
    account = clerk.core.engine.globals.account_count - 1
    wallet.register_key(account, SessionKey(SESSION.public_key, 7, NEVER))
    clerk.take_messages()
    return wallet, account


def sign_price(town: Town, clerk: Clerk, underlying: int, price: int) -> bytes:
    """A reading of state time."""
    signers = [(place, Secp256k1Key(key.secret)) for place, key in enumerate(ORACLE_KEYS)]
    reading = draft_reading(
        underlying, Price(SYMBOLS[underlying].decode(), price, price), clerk.core.engine.globals.time
    )
    return build_request(sign_reading(town.rollup.get_domain(), reading, signers))


def sign_order(town: Town, account: int, size: int) -> bytes:
    """The first order of the first slot."""
    leg = (perpetual(0), 1)
    terms = OrderTerms(account, 0, 1, 1, 0, NEVER - 1, int(size < 0), PRICE, abs(size), 10_000, 0, (leg,))
    bare = OrderOp(0, 0, terms, 0, bytes(64))
    return build_request(replace(bare, signature=SESSION.sign(hash_digest(town.rollup.get_domain(), bare))))


def play(town: Town, clerk: Clerk) -> dict[str, Wallet]:
    """Alice has dollars, Bob ether; she sells him perpetuals and the price falls, so that he owes dollars. A last batch
    is final, another is not when the sequencer dies, and of Carol's deposit only that one knows."""
    alice, seller = open_account(town, clerk, "alice", DOLLAR, 10_000 * MILLION)
    bob, buyer = open_account(town, clerk, "bob", ETHER_ASSET, 2 * 10**9)
    for seconds in (1, 20):
        town.pass_time(seconds)
        clerk.take_messages()
    for underlying in (0, 1):
        clerk.take(sign_price(town, clerk, underlying, PRICE))
    clerk.take(sign_order(town, seller, -LOTS))
    assert clerk.take(sign_order(town, buyer, LOTS)).filled == LOTS
    town.pass_time(61)
    clerk.take_messages()
    clerk.take(sign_price(town, clerk, 0, FALLEN))
    clerk.post()
    clerk.finalise()
    carol = Wallet(town.rollup, town.open_sender("carol"))
    town.give_dollars("carol", LATE)
    carol.deposit(DOLLAR, LATE)
    return {"alice": alice, "bob": bob, "carol": carol}


def run_exit(town: Town, name: str, *options: str) -> int:
    """`keel wallet exit` by somebody."""
    where = ["--l1", town.anvil.url, "--rollup", town.deployment.rollup, "--key", str(town.folder / f"{name}.json")]
    return cli.main(["wallet", "exit", *where, *options])


def test_everybody_leaves_a_dead_rollup(town: Town, clerk: Clerk, capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody sequences, nobody rescues; three people leave by the command alone, and the rule says what stays."""
    people = play(town, clerk)
    for wallet in people.values():
        wallet.sender.close()
    assert run_exit(town, "alice") == 1
    assert "the rollup lives: its last batch came at" in capsys.readouterr().err

    town.pass_time(TERMS.wind_down_limit + 1)
    assert run_exit(town, "carol") == 0
    said = capsys.readouterr().out
    for words in ("the rollup is wound down", "the books are open", "the deposit of message", "1 debtors, all"):
        assert words in said
    assert town.rollup.get_token_balance(town.dollar, people["carol"].address) == LATE
    assert run_exit(town, "bob") == 0  # what his debt has left him of his ether
    assert "collected" in capsys.readouterr().out
    town.pass_time(TERMS.registration_period)
    assert run_exit(town, "alice") == 0
    assert "account 1 of" in capsys.readouterr().out
    assert cli.main(["audit", "--l1", town.anvil.url, "--rollup", town.deployment.rollup]) == 0
    assert "the rollup has ended, and of custody" in capsys.readouterr().out

    leaves = Wallet(town.rollup, town.open_sender("dora")).read_final_state().replica.state.leaves
    twin = Ending(leaves)
    paid = {payment.asset: payment.units for payment in [*twin.register(2), *twin.claim(1)] if payment.asset == DOLLAR}
    assert town.rollup.get_token_balance(town.dollar, people["alice"].address) == paid[DOLLAR]
    for asset, pool in enumerate(twin.pools):
        assert town.rollup.view("custody", asset) == pool.left
    assert town.rollup.get_token_balance(town.dollar, town.rollup.address) == twin.pools[DOLLAR].left


def test_what_is_done_is_passed_over(town: Town, clerk: Clerk, capsys: pytest.CaptureFixture[str]) -> None:
    """A second run does nothing twice, nobody is paid before his time, and a follower says that it is over."""
    play(town, clerk)
    town.pass_time(TERMS.wind_down_limit + 1)
    sender = town.open_sender("dora")
    lines: list[str] = []
    for _ in range(2):
        leaving = Exit(town.rollup, sender, lines.append)
        leaving.end()
        leaving.open()
        assert leaving.register_debtors() == 1
    assert [line.split(",")[0].split(":")[0] for line in lines] == [
        "the rollup is wound down",
        "the books are open",
        "account 2 is registered",
    ]
    with pytest.raises(ExitError, match="come back after it"):
        leaving.claim([1])
    with pytest.raises(RollupEnded, match="keel wallet exit"):
        ChainFollower(town.rollup).advance()
    assert cli.main(["status", "--l1", town.anvil.url, "--rollup", town.deployment.rollup]) == 0
    assert "be paid with `keel wallet exit`" in capsys.readouterr().out
    town.pass_time(TERMS.registration_period)
    for _ in range(2):
        leaving.claim([1])
    assert lines[-1].endswith("(by another)")


@pytest.mark.parametrize("is_watched", [False, True])
def test_a_dead_feed_ends_a_rollup_that_lives(town: Town, clerk: Clerk, *, is_watched: bool) -> None:
    """Batches come, but the price of what people hold does not: as soon as a final batch says so, anybody ends it, and
    a watchtower that is told to."""
    play(town, clerk)
    sender = town.open_sender("dora")
    leaving = Exit(town.rollup, sender, lambda line: None)
    town.pass_time(TERMS.wind_down_limit + 1)
    for _ in range(2):
        clerk.take_messages()
        clerk.post()
        with pytest.raises(ExitError, match="the rollup lives"):
            leaving.end()
        town.pass_time(TERMS.challenge_window // 2 + 1)
    if is_watched:
        require_mined(sender.send(town.rollup.finalise(2)))
        trio.run(Watchtower(town.rollup, sender, WatchtowerSettings(is_ending=True), Log("watchtower")).run)
    else:
        leaving.end()

    assert town.rollup.view("final_index") == town.rollup.view("tip") == 2
    assert leaving.has_ended()


def test_a_watchtower_may_end_it(town: Town, clerk: Clerk) -> None:
    """Told to, it ends what is dead and registers who owes, and has nothing to do any more."""
    play(town, clerk)
    town.pass_time(TERMS.wind_down_limit + 1)
    sender, said = town.open_sender("dora"), io.StringIO()
    trio.run(run_watchtower, town.rollup, sender, WatchtowerSettings(is_ending=True), Log("watchtower", stream=said))

    assert "debtors=1" in said.getvalue()
    lines: list[str] = []
    leaving = Exit(town.rollup, sender, lines.append)
    assert leaving.has_ended()
    assert leaving.register_debtors() == 1
    assert not lines
