"""The L1 edge: endpoints that fail, lie about their chain or refuse; calls that revert; logs in pieces."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import trio

from node.errors import CallReverted, L1Refused, L1Unavailable, WrongChain
from node.l1 import L1, Call, TransactionFields, decode_values, encode_call, in_thread, sign_transaction
from tests.node.flaky_proxy import Answer, Garbage, Proxy, Refusal, Silence, run_proxy
from tests.node.town import Town, open_town

NOBODY = "http://127.0.0.1:1"  # nothing ever listens there


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with open_town(tmp_path_factory.mktemp("l1")) as running:
        yield running


@pytest.fixture
def proxy(town: Town) -> Iterator[Proxy]:
    with run_proxy(town.anvil.url) as running:
        yield running


def test_blocks_have_numbers_and_finality_follows(town: Town) -> None:
    """The finalized block is at or below the head, and asking by number gives the same block."""
    head, finalized = town.l1.get_block(), town.l1.get_block("finalized")

    assert 0 < finalized.number <= head.number
    assert town.l1.get_block(head.number) == head


def test_a_dead_endpoint_is_passed_over(town: Town) -> None:
    """The next one answers, and is asked first from then on."""
    l1 = L1([NOBODY, town.anvil.url])

    assert l1.get_chain_id() == town.l1.get_chain_id()
    assert l1.get_block().number == town.l1.get_block().number


def test_no_endpoint_at_all_is_unavailable() -> None:
    """The error names every endpoint that was tried."""
    with pytest.raises(L1Unavailable, match=r"127\.0\.0\.1:1 .*Is the L1 running"):
        L1([NOBODY]).get_block()
    with pytest.raises(L1Unavailable, match="there are none"):
        L1([]).get_block()


@pytest.mark.parametrize("failure", [Silence, Garbage, lambda: Answer({"number": "0x7"}), lambda: Answer([1, 2])])
def test_an_endpoint_that_fails_later_is_left(town: Town, proxy: Proxy, failure: Callable) -> None:
    """It may fall silent or talk nonsense at any time; alone it is unavailable, beside another it is not missed."""
    pair, alone = L1([proxy.url, town.anvil.url]), L1([proxy.url])
    assert pair.get_block() == alone.get_block()
    proxy.rules[""] = lambda request: failure()

    assert pair.get_block() == town.l1.get_block()
    with pytest.raises(L1Unavailable):
        alone.get_block()


def test_an_endpoint_of_another_chain_is_an_error(town: Town, proxy: Proxy) -> None:
    """It is never a fallback: neither against the configured chain nor against the first endpoint's."""
    with pytest.raises(WrongChain, match=f"serves chain {town.l1.get_chain_id()}, not 5"):
        L1([town.anvil.url], chain_id=5).get_block()
    proxy.rules["eth_chainId"] = lambda request: Answer("0x5")
    l1 = L1([town.anvil.url, proxy.url])
    l1.get_block()
    l1._endpoints[0].web3.provider.endpoint_uri = NOBODY  # type: ignore[attr-defined]
    with pytest.raises(WrongChain, match="serves chain 5"):
        l1.get_block()


def test_every_endpoint_can_be_asked_beforehand(town: Town, proxy: Proxy) -> None:
    """A fallback of another chain is better found on the first day than when it is needed; a silent one may recover."""
    L1([town.anvil.url, NOBODY]).check_endpoints()
    proxy.rules["eth_chainId"] = lambda request: Answer("0x5")
    with pytest.raises(WrongChain, match="serves chain 5"):
        L1([town.anvil.url, proxy.url]).check_endpoints()


def test_what_one_refuses_another_may_answer(town: Town, proxy: Proxy) -> None:
    """Providers differ in what they offer; when all refuse, the first refusal is told."""
    proxy.rules["eth_getBlockByNumber"] = lambda request: Refusal("not today")
    assert L1([proxy.url, town.anvil.url]).get_block() == town.l1.get_block()
    with pytest.raises(L1Refused, match="refuses: not today"):
        L1([proxy.url, NOBODY]).get_block()


def test_the_key_in_a_providers_url_is_not_told(town: Town) -> None:
    """Errors and alarms name the host alone."""
    with pytest.raises(L1Unavailable) as raised:
        L1([f"{NOBODY}/v3/secret-of-the-operator"]).get_block()
    assert "127.0.0.1:1" in str(raised.value)
    assert "secret" not in str(raised.value)


def test_a_revert_has_the_contracts_reason(town: Town) -> None:
    """A dry run and an estimate give the contract's own word."""
    call, sender = town.rollup.take_slot(), town.get_key("poor").address
    for ask in (town.l1.call, town.l1.estimate_gas):
        with pytest.raises(CallReverted, match="take_slot: the contract refuses: rollup: bond") as raised:
            ask(call, sender)
        assert raised.value.reason == "rollup: bond"


def test_a_revert_without_a_reason_says_so(town: Town) -> None:
    """A contract may refuse without a word."""
    with pytest.raises(CallReverted, match="gives no reason"):
        town.l1.call(Call(town.rollup.address, b"\1\2\3\4", label="nonsense"))


def test_birth_is_the_block_of_deployment(town: Town, proxy: Proxy) -> None:
    """Found by halving; an endpoint without old state gives an earlier block, never a later one."""
    address = town.rollup.address
    birth = town.l1.find_birth(address)
    assert town.l1.get_code(address, birth)
    assert not town.l1.get_code(address, birth - 1)

    def forget(request: dict[str, Any]) -> Refusal | None:
        return Refusal("missing trie node") if int(request["params"][1], 16) < birth else None

    proxy.rules["eth_getCode"] = forget
    assert L1([proxy.url]).find_birth(address) <= birth


@pytest.mark.parametrize("refusal", [Refusal("block range too wide"), Silence()])
def test_logs_come_whole_from_an_endpoint_of_small_ranges(town: Town, proxy: Proxy, refusal: Refusal | Silence) -> None:
    """A range that is refused, or too wide to be answered in time, is halved until it is not."""
    sender = town.open_sender("depositor")
    for _ in range(5):
        town.deposit_ether(sender, 10**7)
    sender.close()
    last = town.l1.get_block().number

    def limit(request: dict[str, Any]) -> Refusal | Silence | None:
        wanted = request["params"][0]
        span = int(wanted["toBlock"], 16) - int(wanted["fromBlock"], 16) + 1
        return refusal if span > 3 else None

    proxy.rules["eth_getLogs"] = limit
    found = L1([proxy.url]).get_logs(town.rollup.address, 0, last)

    assert found == town.l1.get_logs(town.rollup.address, 0, last)
    assert len(found) >= 6
    assert proxy.seen.count("eth_getLogs") > last // 3


def test_an_endpoint_that_gives_no_logs_at_all_is_an_error(proxy: Proxy, town: Town) -> None:
    """Halving ends."""
    proxy.rules["eth_getLogs"] = lambda request: Refusal("no logs here")
    with pytest.raises(L1Refused, match="no logs here"):
        L1([proxy.url]).get_logs(town.rollup.address, 0, 9)


def test_signing_is_deterministic() -> None:
    """The same fields give the same bytes, so a journal need not keep them."""
    fields = TransactionFields(1, 7, bytes(20), b"data", 5, 21_000, 10, 1)

    one, other = sign_transaction(bytes([7]) * 32, fields), sign_transaction(bytes([7]) * 32, fields)

    assert one == other
    assert one.raw[0] == 2


def test_values_round_trip_with_addresses_as_bytes() -> None:
    """Addresses are bytes going in and coming out, within a tuple too."""
    data = encode_call("f", ("address", "(address,uint256)"), (bytes([1]) * 20, (bytes([2]) * 20, 3)))[4:]

    assert decode_values(("address", "(address,uint256)"), data) == (bytes([1]) * 20, (bytes([2]) * 20, 3))
    with pytest.raises(ValueError, match="not uint256"):
        decode_values(("uint256",), b"")


async def test_a_slow_endpoint_holds_up_nobody(town: Town, proxy: Proxy) -> None:
    """Other tasks go on while one waits for the L1, and a cancelled wait lets go at once."""
    is_reached, may_answer = threading.Event(), threading.Event()

    def stall(request: dict[str, Any]) -> None:
        is_reached.set()
        may_answer.wait(20)

    proxy.rules["eth_getBlockByNumber"] = stall
    slow = L1([proxy.url])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(in_thread, slow.get_block)
        await trio.to_thread.run_sync(is_reached.wait)
        assert (await in_thread(town.l1.get_block)).number > 0
        nursery.cancel_scope.cancel()
    assert not may_answer.is_set()
    may_answer.set()
