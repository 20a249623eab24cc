"""Endpoints that lie, lag, stop, limit or forget, before one L1: what a quorum says is the truth, or nothing is."""

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from node.chain_follower import ChainFollower
from node.endpoint_quorum import compute_majority
from node.errors import CallReverted, HistoryPruned, L1Behind, L1Disputed, L1Refused, L1Unavailable
from node.event_reader import EventReader
from node.l1 import L1, Call
from node.logs import Log
from node.rollup import Rollup
from tests.node.flaky_proxy import Answer, Proxy, Refusal, Silence, SilenceAfter, lag, lie, limit, prune, run_proxy
from tests.node.town import Town, open_town

ETHER_UNITS = 10**8


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """Some deposits, and finality well behind them."""
    with open_town(tmp_path_factory.mktemp("quorum"), epoch_slots=4) as running:
        with running.open_sender("depositor") as sender:
            for number in range(1, 9):
                running.deposit_ether(sender, number * ETHER_UNITS)
        running.anvil.request("anvil_mine", 12)
        yield running


class Crowd:
    """Some proxies, an L1 of them, and what it says in its log."""

    def __init__(self, town: Town, proxies: Sequence[Proxy], quorum: int) -> None:
        self.proxies = proxies
        self.said = io.StringIO()
        self.l1 = L1([proxy.url for proxy in proxies], quorum=quorum, log=Log("l1", stream=self.said))
        self.rollup = Rollup(self.l1, town.rollup.address)


@contextmanager
def gather(town: Town, count: int, quorum: int) -> Iterator[Crowd]:
    with ExitStack() as stack:
        proxies = [stack.enter_context(run_proxy(town.anvil.url)) for _ in range(count)]
        yield Crowd(town, proxies, quorum)


def raise_finality(block: dict[str, Any]) -> dict[str, Any]:
    """A block that stands later than it does."""
    return block | {"number": hex(int(block["number"], 16) + 3)}


def lie_of_finality(proxy: Proxy) -> None:
    """The head is final, it says."""

    def answer(request: dict[str, Any]) -> Answer | None:
        if request["params"][0] != "finalized":
            return None
        return Answer(proxy.ask("eth_getBlockByNumber", "latest", False))

    proxy.rules["eth_getBlockByNumber"] = answer


def hide_a_message(logs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return logs[:-1]


def forge_a_message(logs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [*logs[:-1], logs[-1] | {"data": logs[-1]["data"][:-2] + "77"}] if logs else []


FAULTS: dict[str, Callable[[Proxy], None]] = {
    "calls the head final": lie_of_finality,
    "hides a message": lambda proxy: lie(proxy, "eth_getLogs", hide_a_message),
    "forges a message": lambda proxy: lie(proxy, "eth_getLogs", forge_a_message),
    "forges states": lambda proxy: lie(proxy, "eth_call", lambda found: "0x" + "11" * 32),
    "forges heads": lambda proxy: lie(proxy, "eth_getBlockByNumber", raise_finality),
    "lags by one": lambda proxy: lag(proxy, 1),
    "lags by ten": lambda proxy: lag(proxy, 10),
    "is silent": lambda proxy: proxy.rules.update({"": lambda request: Silence()}),
    "has pruned and says so": lambda proxy: prune(proxy, 10**6, is_told=True),
    "has pruned silently": lambda proxy: prune(proxy, 10**6, is_told=False),
    "takes small ranges": lambda proxy: limit(proxy, blocks=3),
    "gives few results": lambda proxy: limit(proxy, logs=2),
}


@pytest.mark.parametrize("place", [0, 2])
@pytest.mark.parametrize("fault", FAULTS)
def test_two_of_three_are_the_truth(town: Town, fault: str, place: int) -> None:
    """Whatever the third does, wherever it stands in the list: the same facts, and who contradicts is named."""
    expected = EventReader(town.rollup).read()
    with gather(town, 3, 2) as crowd:
        FAULTS[fault](crowd.proxies[place])
        reading = EventReader(crowd.rollup).read()
        count = crowd.rollup.view("inbox_count")

        assert (reading.events, reading.head, reading.finalized) == (
            expected.events,
            expected.head,
            expected.finalized,
        )
        assert count == town.rollup.view("inbox_count")
        assert crowd.l1.counters.disputed == 0
        if crowd.l1.counters.outvoted:
            (name,) = crowd.l1.counters.outvoted
            assert name == crowd.proxies[place].url
            assert "error l1 endpoint outvoted" in crowd.said.getvalue()
        if place == 0 and fault in ("hides a message", "forges a message", "forges states"):
            assert crowd.l1.counters.outvoted, "asked first, so found out"


@pytest.mark.parametrize("fault", ["hides a message", "forges a message", "has pruned silently"])
def test_without_a_quorum_nothing_is_done(town: Town, fault: str) -> None:
    """One against one: an alarm, no event is taken, and when the liar is gone all is as if nothing had been."""
    with gather(town, 2, 2) as crowd:
        follower = ChainFollower(crowd.rollup)
        FAULTS[fault](crowd.proxies[1])
        for _ in range(2):
            with pytest.raises(L1Disputed, match="contradict each other, and 2 must agree"):
                follower.advance()
            assert follower.replica.messages == []
        assert crowd.l1.counters.disputed == 2
        assert "error l1 L1 disputed" in crowd.said.getvalue()
        crowd.proxies[1].rules.clear()

        follower.advance()
        assert len(follower.replica.messages) == 8


def test_disputed_states_are_not_read(town: Town) -> None:
    """Views, dry runs and estimates alike: whether a call succeeds is a fact too."""
    with gather(town, 2, 2) as crowd:
        lie(crowd.proxies[0], "eth_call", lambda found: "0x" + "11" * 32)
        with pytest.raises(L1Disputed, match="inbox_count"):
            crowd.rollup.view("inbox_count")
        crowd.proxies[0].rules.clear()
        crowd.proxies[0].rules["eth_estimateGas"] = lambda request: Answer("0x5208")
        with pytest.raises(L1Disputed, match="take_slot"):
            crowd.l1.estimate_gas(town.rollup.take_slot(), town.get_key("poor").address)
        crowd.proxies[0].rules.clear()
        with pytest.raises(CallReverted, match="rollup: bond"):
            crowd.l1.estimate_gas(town.rollup.take_slot(), town.get_key("poor").address)


def test_nobody_alone_makes_a_block_final(town: Town) -> None:
    """The finalized height is one that a quorum has reached, however the others lag or run ahead."""
    true = town.l1.get_block("finalized").number
    with gather(town, 3, 2) as crowd:
        lie_of_finality(crowd.proxies[0])
        lag(crowd.proxies[1], 10)
        assert crowd.l1.get_block("finalized").number == true
        lie_of_finality(crowd.proxies[2])
        assert crowd.l1.get_block("finalized").number > true, "two liars are a quorum"
        assert "endpoint lags" in crowd.said.getvalue()


def test_too_few_answer(town: Town) -> None:
    """Two are needed and one answers: unavailable, which time may cure, and no dispute."""
    with gather(town, 3, 2) as crowd:
        for proxy in crowd.proxies[1:]:
            proxy.rules[""] = lambda request: Silence()
        with pytest.raises(L1Unavailable, match="1 of the 2 L1 endpoints that are needed"):
            crowd.l1.get_balance(bytes(20))
        assert crowd.l1.counters.disputed == 0
        assert sum(crowd.l1.counters.silent.values()) >= 2


def test_a_dead_endpoint_is_not_waited_for_again_and_again(town: Town) -> None:
    """It is asked last, and not for its height, so that its timeouts do not slow every look."""
    with gather(town, 3, 2) as crowd:
        crowd.proxies[0].rules[""] = lambda request: Silence()
        for _ in range(5):
            crowd.l1.get_block()
        assert len(crowd.proxies[0].seen) == 1


def test_pruned_history_is_named(town: Town) -> None:
    """With no endpoint that keeps it, the error says what is missing and what to add; a range is not halved for it."""
    with gather(town, 1, 1) as crowd:
        prune(crowd.proxies[0], 10**6, is_told=True)
        with pytest.raises(HistoryPruned, match=r"logs of blocks 0 to \d+: .* has pruned it .* add an endpoint that"):
            crowd.l1.get_logs(town.rollup.address, 0, town.l1.get_block().number)
        assert crowd.proxies[0].seen.count("eth_getLogs") == 1
        assert crowd.l1.find_birth(town.rollup.address) <= town.deployment.first_block


def test_a_limited_endpoint_is_asked_in_pieces(town: Town) -> None:
    """By blocks or by results, alone or as part of a quorum: the logs come whole; what no piece gives is an error."""
    last = town.l1.get_block().number
    expected = town.l1.get_logs(town.rollup.address, 0, last)
    for count in (1, 2):
        with gather(town, count, count) as crowd:
            limit(crowd.proxies[0], blocks=2, logs=1)
            assert crowd.l1.get_logs(town.rollup.address, 0, last) == expected
            limit(crowd.proxies[0], logs=0)
            with pytest.raises(L1Refused, match="more than 0 results"):
                crowd.l1.get_logs(town.rollup.address, 0, last)


def test_a_lagging_fallback_is_no_reorg(town: Town) -> None:
    """The first endpoint falls silent and the next is behind: nothing is taken back, and the rest is read later."""
    with gather(town, 2, 1) as crowd:
        reader = EventReader(crowd.rollup)
        reader.read()
        crowd.proxies[0].rules[""] = lambda request: Silence()
        lag(crowd.proxies[1], 5)
        with pytest.raises(L1Behind, match="was read already"):
            reader.read()
        crowd.proxies[1].rules.clear()
        reading = reader.read()

    assert reading.events == ()
    assert not reading.is_reorg


def test_a_broadcast_goes_to_all(town: Town) -> None:
    """One that refuses or is silent holds back nothing; a nonce is free again only when each of them refused."""
    with gather(town, 3, 2) as crowd:
        crowd.proxies[0].rules["eth_sendRawTransaction"] = lambda request: Refusal("txpool is full")
        crowd.proxies[1].rules["eth_sendRawTransaction"] = lambda request: Silence()
        with town.open_sender("alice", crowd.l1) as alice:
            town.deposit_ether(alice, ETHER_UNITS)
        crowd.proxies[2].rules["eth_sendRawTransaction"] = lambda request: Refusal("txpool is full")
        with town.open_sender("bob", crowd.l1) as bob:
            nonce = bob.begin(Call(bytes(20), b"", 1, "pay"))
            assert set(bob._journal.entries) == {nonce}, "who was silent may have passed it on"
            crowd.proxies[1].rules["eth_sendRawTransaction"] = lambda request: SilenceAfter()
            bob.poll(nonce)
            assert town.l1.get_nonce(bob.address) == 1


def test_a_majority_is_the_rule() -> None:
    """Any two majorities share an endpoint."""
    for count in range(1, 10):
        assert 2 * compute_majority(count) > count >= compute_majority(count)
