"""Each transaction is sent exactly once and brought to a known end, whatever crashes, waits or competes."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import trio

from node.amounts import GWEI
from node.errors import CallReverted, FeeTooHigh, JournalError, L1Refused, NotMined, Underfunded
from node.keys import Secp256k1Key, create_key
from node.l1 import L1, Call, TransactionFields, encode_call, sign_transaction
from node.transactions import (
    Mined,
    Outcome,
    Replaced,
    Reverted,
    Sender,
    format_outcome,
    require_mined,
)
from tests.node.flaky_proxy import Answer, Proxy, Refusal, Silence, SilenceAfter, run_proxy
from tests.node.town import DOLLAR, TERMS, Town, open_town

SHOP = bytes([9]) * 20


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with open_town(tmp_path_factory.mktemp("transactions")) as running:
        yield running


@pytest.fixture
def proxy(town: Town) -> Iterator[Proxy]:
    with run_proxy(town.anvil.url) as running:
        yield running


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """Everybody here acts in one test only."""
    return str(request.node.name)


@contextmanager
def hand_mined(town: Town) -> Iterator[None]:
    """No block comes but by evm_mine."""
    town.anvil.request("evm_setAutomine", False)
    try:
        yield
    finally:
        town.anvil.request("evm_setAutomine", True)
        town.anvil.request("evm_mine")


def pay(wei: int = 1) -> Call:
    return Call(SHOP, b"", wei, "pay")


def poll_until(sender: Sender, nonce: int) -> Outcome:
    for _ in range(200):
        outcome = sender.poll(nonce)
        if outcome is not None:
            return outcome
    raise AssertionError("no end in sight")


def test_a_transaction_is_mined_and_struck_out(town: Town, name: str) -> None:
    """The outcome says where and for how much gas; it stays in the journal until the next one finds it final."""
    sender, before = town.open_sender(name), town.l1.get_balance(SHOP)

    outcome = sender.send(pay(7))

    assert isinstance(outcome, Mined)
    assert outcome.gas_used == 21_000
    assert outcome.contract is None
    assert town.l1.get_balance(SHOP) == before + 7
    assert "mined in block" in format_outcome(outcome)
    assert sender._journal.entries[0].ended_block == outcome.block
    town.anvil.request("anvil_mine", 3)
    sender.send(pay(8))
    assert set(sender._journal.entries) == {1}


def test_a_call_that_would_fail_is_never_sent(town: Town, name: str) -> None:
    """The contract's reason comes from the estimate; no nonce is used and no ether spent."""
    sender = town.open_sender(name)
    with pytest.raises(CallReverted, match="rollup: bond"):
        sender.send(town.rollup.take_slot())

    assert town.l1.get_nonce(sender.address) == 0
    assert require_mined(sender.send(pay())).block > 0


def test_a_transaction_that_fails_in_its_block_says_why(town: Town, name: str) -> None:
    """Two spend the same tokens; both look fine when sent, the second is reverted with the token's reason."""
    sender = town.open_sender(name)
    town.give_dollars(name, 100)
    spend = [encode_call("transfer", ("address", "uint256"), (bytes([n]) * 20, 100)) for n in (1, 2)]
    with hand_mined(town):
        nonces = [sender.begin(Call(town.dollar, data, label="transfer")) for data in spend]
        town.anvil.request("evm_mine")
        first, second = (poll_until(sender, nonce) for nonce in nonces)

    assert isinstance(first, Mined)
    assert isinstance(second, Reverted)
    assert "token: balance" in format_outcome(second) or "out of gas" in format_outcome(second)
    with pytest.raises(CallReverted):
        require_mined(second)


def test_a_restart_takes_up_what_was_on_its_way(town: Town, name: str) -> None:
    """The same call after a crash is the same transaction; another call gets the next nonce."""
    before = town.l1.get_balance(SHOP)
    with hand_mined(town):
        crashed = town.open_sender(name)
        nonce = crashed.begin(pay(3))
        crashed.close()
        sender = town.open_sender(name)
        assert sender.begin(pay(3)) == nonce
        assert sender.begin(pay(3)) == nonce + 1, "taken up once, then it is a new one"
        assert sender.begin(pay(4)) == nonce + 2
        town.anvil.request("evm_mine")
        for each in range(nonce, nonce + 3):
            assert isinstance(poll_until(sender, each), Mined)

    assert town.l1.get_balance(SHOP) == before + 3 + 3 + 4


def test_a_restart_settles_what_was_mined_meanwhile(town: Town, name: str) -> None:
    """What ended while nobody looked is reported, not sent again."""
    crashed = town.open_sender(name)
    crashed.begin(pay())
    crashed.close()
    sender = town.open_sender(name)

    (outcome,) = sender.settle()

    assert isinstance(outcome, Mined)
    assert sender.settle() == []
    assert town.l1.get_nonce(sender.address) == 1


@pytest.mark.parametrize("failure", [Silence, SilenceAfter])
def test_a_lost_broadcast_is_made_good(town: Town, proxy: Proxy, failure: type) -> None:
    """Whether the endpoint fell silent before or after it passed the transaction on: it is mined once."""
    name = f"lost {failure.__name__}"
    sender, before = town.open_sender(name, L1([proxy.url])), town.l1.get_balance(SHOP)
    proxy.rules["eth_sendRawTransaction"] = lambda request: failure()
    nonce = sender.begin(pay(5))
    del proxy.rules["eth_sendRawTransaction"]

    assert isinstance(poll_until(sender, nonce), Mined)
    assert town.l1.get_balance(SHOP) == before + 5


def test_a_refused_broadcast_frees_its_nonce(town: Town, proxy: Proxy, name: str) -> None:
    """Nothing was sent, so the next transaction has the same nonce and no gap before it."""
    sender = town.open_sender(name, L1([proxy.url]))
    proxy.rules["eth_sendRawTransaction"] = lambda request: Refusal("txpool is full")
    with pytest.raises(L1Refused, match="txpool is full"):
        sender.begin(pay())
    proxy.rules.clear()

    assert sender.begin(pay()) == 0


def test_one_that_waits_is_offered_again_dearer(town: Town, name: str) -> None:
    """When the base fee has left it behind, its fees rise by an eighth or more, until a block takes it."""
    sender = town.open_sender(name, bump_after_blocks=2)
    with hand_mined(town):
        nonce = sender.begin(pay())
        offers = [sender._journal.entries[nonce].fields]
        outcome = None
        for _ in range(12):
            base_fee = 2 * offers[-1].max_fee if len(offers) < 3 else GWEI
            town.anvil.request("anvil_setNextBlockBaseFeePerGas", hex(base_fee))
            town.anvil.request("evm_mine")
            outcome = sender.poll(nonce)
            if outcome is not None:
                break
            if sender._journal.entries[nonce].fields != offers[-1]:
                offers.append(sender._journal.entries[nonce].fields)

    assert isinstance(outcome, Mined)
    assert len(offers) == 3
    for old, new in pairwise(offers):
        assert 8 * new.max_fee >= 9 * old.max_fee
        assert 8 * new.priority_fee >= 9 * old.priority_fee


def test_fees_stay_below_the_operators_cap(town: Town, name: str) -> None:
    """A dear L1 is refused at the start, and an offer is not raised beyond the cap."""
    sender = town.open_sender(name, fee_cap=20 * GWEI)
    with hand_mined(town):
        town.anvil.request("anvil_setNextBlockBaseFeePerGas", hex(100 * GWEI))
        town.anvil.request("evm_mine")
        with pytest.raises(FeeTooHigh, match=r"asks 10\d\.\d gwei a gas, and at most 20\.0 is allowed"):
            sender.begin(pay())
        town.anvil.request("anvil_setNextBlockBaseFeePerGas", hex(GWEI))
        town.anvil.request("evm_mine")
    assert isinstance(sender.send(pay()), Mined)


def test_another_transaction_of_the_key_replaces_it(town: Town, name: str) -> None:
    """Somebody used the nonce elsewhere: the outcome says so, and is an error where that matters."""
    sender = town.open_sender(name)
    with hand_mined(town):
        nonce = sender.begin(pay())
        fields = sender._journal.entries[nonce].fields
        dearer = TransactionFields(
            fields.chain_id, nonce, SHOP, b"", 2, 30_000, 3 * fields.max_fee, 3 * fields.priority_fee
        )
        town.l1.broadcast(sign_transaction(town.get_key(name).secret, dearer))
        town.anvil.request("evm_mine")
        outcome = poll_until(sender, nonce)

    assert outcome == Replaced(nonce)
    with pytest.raises(NotMined, match="in use elsewhere"):
        require_mined(outcome)


def test_a_lagging_endpoint_replaces_nothing(town: Town, proxy: Proxy, name: str) -> None:
    """One endpoint counts the nonce, another has not seen the block: that is no proof that somebody else took it."""
    sender = town.open_sender(name, L1([proxy.url]))
    nonce = sender.begin(pay())
    hidden = hex(town.l1.get_block().number)

    def lag(request: dict[str, Any]) -> Refusal | None:
        return Refusal("unknown block") if request["params"][0] == hidden else None

    proxy.rules["eth_getTransactionReceipt"] = lambda request: Answer(None)
    proxy.rules["eth_getBlockByNumber"] = lag
    assert sender.poll(nonce) is None
    proxy.rules.clear()

    assert isinstance(sender.poll(nonce), Mined)


def test_an_empty_purse_is_named(town: Town, tmp_path: Path) -> None:
    """The error gives the address, what it has and what it needs."""
    key = create_key(tmp_path / "pauper.json", Secp256k1Key)
    assert isinstance(key, Secp256k1Key)
    with (
        Sender(town.l1, key, tmp_path / "pauper.nonces") as sender,
        pytest.raises(Underfunded, match=r"has 0\.000000 ether and needs 0\.\d+: send it some"),
    ):
        sender.send(pay(0))


def test_waiting_ends_with_the_callers_patience(town: Town, name: str) -> None:
    """The transaction keeps its nonce: the same call again waits on."""
    sender = town.open_sender(name)
    with hand_mined(town), pytest.raises(NotMined, match="run the same again"):
        sender.send(pay(), timeout_seconds=0.05)
    sender.close()
    again = town.open_sender(name)

    assert isinstance(again.send(pay()), Mined)
    assert town.l1.get_nonce(again.address) == 1


async def test_sending_beside_other_tasks_survives_a_silent_endpoint(town: Town, proxy: Proxy, name: str) -> None:
    """While no endpoint answers, or one refuses for a moment, it goes on asking."""
    sender = town.open_sender(name, L1([proxy.url]))
    troubles: list[Silence | Refusal] = [Silence(), Refusal("header not found")] * 3
    proxy.rules["eth_getTransactionReceipt"] = lambda request: troubles.pop() if troubles else None

    assert isinstance(await sender.send_async(pay()), Mined)
    assert troubles == []


async def test_calls_in_line_may_all_be_in_one_block(town: Town, name: str) -> None:
    """The second builds on the first, so it fails when it is tried out; sent behind it, it is mined with it."""
    sender, rollup = town.open_sender(name), town.rollup
    town.give_dollars(name, 100_000_000)
    approve = rollup.approve(town.dollar, 100_000_000)
    deposit = rollup.deposit(DOLLAR, 50_000_000, 0, TERMS.message_fee, rollup.get_asset(DOLLAR))
    with pytest.raises(CallReverted):
        sender.begin(deposit)

    with hand_mined(town):
        async with trio.open_nursery() as nursery:

            async def mine_when_both_wait() -> None:
                while town.anvil.request("txpool_status")["pending"] != "0x2":
                    await trio.lowlevel.checkpoint()
                town.anvil.request("evm_mine")

            nursery.start_soon(mine_when_both_wait)
            outcomes = await sender.send_in_line_async([approve, deposit], 500_000)

    assert [type(outcome) for outcome in outcomes] == [Mined, Mined]
    assert len({require_mined(outcome).block for outcome in outcomes}) == 1


async def test_of_a_line_the_first_is_tried_out_and_the_rest_fail_alone(town: Town, name: str) -> None:
    """A first that would fail sends nothing; a later one that fails takes nothing back of those before it."""
    sender, rollup = town.open_sender(name), town.rollup
    too_much = rollup.deposit(DOLLAR, 50_000_000, 0, TERMS.message_fee, rollup.get_asset(DOLLAR))

    with pytest.raises(CallReverted):
        await sender.send_in_line_async([too_much, pay()], 500_000)
    assert town.l1.get_nonce(sender.address) == 0
    outcomes = await sender.send_in_line_async([pay(), too_much, pay(2)], 500_000)

    assert [type(outcome) for outcome in outcomes] == [Mined, Reverted, Mined]
    assert town.l1.get_nonce(sender.address) == 3


def test_who_gives_up_waiting_leaves_it_to_the_next(town: Town, name: str) -> None:
    """Within one process too: the same call waits on for the same transaction."""
    sender = town.open_sender(name)
    with hand_mined(town):
        for _ in range(2):
            with pytest.raises(NotMined):
                sender.send(pay(), timeout_seconds=0.02)
    assert isinstance(sender.send(pay()), Mined)
    assert town.l1.get_nonce(sender.address) == 1


def test_a_fee_above_the_cap_is_waited_out(town: Town, name: str) -> None:
    """A transaction on its way is not given up because it cannot be offered dearer now."""
    sender = town.open_sender(name, fee_cap=20 * GWEI, bump_after_blocks=1)
    with hand_mined(town):
        nonce = sender.begin(pay())
        town.anvil.request("anvil_setNextBlockBaseFeePerGas", hex(100 * GWEI))
        town.anvil.request("evm_mine")
        assert sender.poll(nonce) is None
        town.anvil.request("anvil_setNextBlockBaseFeePerGas", hex(GWEI))
        town.anvil.request("evm_mine")
    assert isinstance(poll_until(sender, nonce), Mined)


def test_a_journal_has_one_owner(town: Town, name: str, tmp_path: Path) -> None:
    """A second process with the same key is refused, and so is a journal that is damaged or of another chain."""
    sender = town.open_sender(name)
    with pytest.raises(JournalError, match="another process sends with this key"):
        town.open_sender(name)
    sender.send(pay())
    sender.close()
    journal, key = town.folder / f"{name}.nonces", town.get_key(name)
    healthy = journal.read_text()
    for text, complaint in [
        (healthy.replace('"hashes"', '"ashes"'), "damaged"),
        (healthy.replace("}", "", 1), "damaged"),
        ("[]\n", "damaged"),
        ("", "damaged"),
        (healthy.replace('"chain": "', '"chain": "00'), "of another key or chain"),
    ]:
        journal.write_text(text)
        with pytest.raises(JournalError, match=complaint):
            Sender(town.l1, key, journal)
    journal.write_text(healthy)
    with Sender(town.l1, key, journal):
        pass
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(JournalError, match="cannot keep the nonce journal"):
        Sender(town.l1, key, blocked / "journal")
