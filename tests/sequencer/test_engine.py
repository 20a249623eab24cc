"""The engine: what it admits, how it trades, and that replaying its log gives the same head."""

import random

from risk.parameter_sets import PARAMETER_SETS
from sequencer.oplog import LogRecord, RecordKind
from sequencer.refusals import Refusal
from sequencer.requests import build_request
from state.codes import Code, Kind
from state.leaves import call
from state.ledger import Ledger, Slot
from state.operations import NO_ACTIVE, Fill, decode_operation
from state.valuation import measure_account
from tests.sequencer.market import Sequencing
from tests.world import WEEK, open_mixed_market

PRICE = 17_000_000


def test_an_order_that_meets_nobody_is_accepted_but_not_posted() -> None:
    """Quotes that come and go cost no L1 byte."""
    market = Sequencing()
    posted = market.engine.pending_count

    accepted = market.take(market.order("alice", 10, PRICE))

    assert [record.kind for record in accepted.records] == [RecordKind.ACCEPTED]
    assert market.engine.pending_count == posted


def test_two_orders_that_cross_are_registered_and_filled() -> None:
    """The maker's price holds, and both positions change."""
    market = Sequencing()
    market.take(market.order("alice", 10, PRICE))

    accepted = market.take(market.order("bob", -4, PRICE - 1000))

    kinds = [decode_operation(record.body).kind for record in accepted.records[1:]]  # type: ignore[union-attr]
    assert kinds == [Kind.ORDER, Kind.ORDER, Kind.FILL]
    assert accepted.filled == 4
    assert market.position_of("alice") == 4
    assert market.position_of("bob") == -4
    market.seal()


def test_price_comes_before_time_and_time_before_the_rest() -> None:
    """The best price trades first, and at one price who came first."""
    market = Sequencing()
    market.take(market.order("alice", 5, PRICE))
    market.take(market.order("carol", 5, PRICE))
    market.take(market.order("carol", 5, PRICE + 1000, slot=1))

    market.take(market.order("bob", -7, PRICE))

    assert market.position_of("carol") == 5
    assert market.position_of("alice") == 2


def test_a_higher_counter_in_the_same_slot_replaces() -> None:
    """There is one live order a slot."""
    market = Sequencing()
    market.take(market.order("alice", 10, PRICE))
    market.take(market.order("alice", 3, PRICE))

    market.take(market.order("bob", -10, PRICE))

    assert market.position_of("alice") == 3


def test_a_cancel_of_a_resting_order_is_not_posted_and_of_a_registered_one_is() -> None:
    """Only what the chain holds must be cancelled on the chain."""
    market = Sequencing()
    market.take(market.order("alice", 10, PRICE))
    resting = market.take(market.cancel("alice"))
    market.take(market.order("alice", 10, PRICE))
    market.take(market.order("bob", -1, PRICE))
    registered = market.take(market.cancel("alice"))

    assert [record.kind for record in resting.records] == [RecordKind.ACCEPTED]
    assert [record.kind for record in registered.records] == [RecordKind.POSTED]
    market.take(market.order("bob", -5, PRICE, slot=1))
    assert market.position_of("alice") == 1
    market.seal()


def test_a_cancelled_counter_never_comes_back() -> None:
    """A cancel above what lives forbids every order signed below it."""
    market = Sequencing()
    market.take(market.cancel("alice", counter=7))

    assert market.refuse(market.order("alice", 10, PRICE, counter=7)) == Refusal.COUNTER_MUST_RISE
    assert market.refuse(market.cancel("alice", counter=7)) == Refusal.NOTHING_TO_CANCEL
    market.take(market.order("alice", 10, PRICE, counter=8))


def test_nobody_trades_with_himself() -> None:
    """One's own resting order leaves the book when one would meet it."""
    market = Sequencing()
    market.take(market.order("alice", 10, PRICE))

    accepted = market.take(market.order("alice", -10, PRICE, slot=1))

    assert accepted.filled == 0
    assert market.position_of("alice") == 0


def test_a_post_only_order_that_would_take_is_refused() -> None:
    """It has asked never to take."""
    market = Sequencing()
    market.take(market.order("alice", 10, PRICE))

    assert market.refuse(market.order("bob", -1, PRICE, flags=5)) == Refusal.POST_ONLY_WOULD_TAKE


def test_a_maker_without_margin_leaves_the_book_and_the_taker_trades_on() -> None:
    """Whoever a check speaks against is dropped, and nobody else."""
    market = Sequencing()
    market.take(build_request(market.world.sign_transfer("alice", "bob", 999_999_000_000)))
    market.take(market.order("alice", 10, PRICE + 10))
    market.take(market.order("carol", 5, PRICE))

    accepted = market.take(market.order("bob", -5, PRICE))

    assert accepted.filled == 5
    assert market.position_of("carol") == 5
    assert market.position_of("alice") == 0
    market.seal()


def test_orders_that_name_each_other_trade_in_private() -> None:
    """A named order meets nobody else, however good its price."""
    market = Sequencing()
    alice, bob = market.world.person("alice").account, market.world.person("bob").account
    market.take(market.order("alice", 10, PRICE + 5000, counterparty=bob))

    assert market.take(market.order("carol", -10, PRICE)).filled == 0
    assert market.take(market.order("bob", -10, PRICE, counterparty=alice)).filled == 10
    market.seal()


def test_bad_requests_are_refused_with_their_number() -> None:
    """Each refusal names its rule and leaves no trace."""
    market = Sequencing()
    before = (market.engine.next_position, market.engine.log_hash)

    assert market.refuse(b"") == Refusal.REQUEST_MALFORMED
    assert market.refuse(b"\x08" * 29) == Refusal.REQUEST_MALFORMED
    assert market.refuse(market.order("alice", 1, PRICE)[:-1]) == Refusal.REQUEST_MALFORMED
    assert market.refuse(market.order("alice", 1, PRICE, generation=1)) == Code.ORDER_GENERATION_MUST_MATCH
    assert market.refuse(market.order("alice", 1, PRICE, valid_until=0)) == Code.ORDER_MUST_NOT_BE_EXPIRED
    assert market.refuse(market.order("nobody", 1, PRICE)) == Refusal.REQUEST_MALFORMED
    assert market.refuse(market.order("alice", 1, PRICE, account=999)) == Code.ORDER_ACCOUNT_MUST_EXIST
    forged = bytearray(market.order("alice", 1, PRICE))
    forged[-1] ^= 1
    assert market.refuse(bytes(forged)) == Code.ORDER_SIGNATURE_MUST_VERIFY
    assert (market.engine.next_position, market.engine.log_hash) == before


def test_a_full_backlog_refuses_orders_but_never_cancels() -> None:
    """What frees people stays possible when the L1 is behind."""
    market = Sequencing(unposted_bytes_max=400)
    market.take(market.order("alice", 10, PRICE))
    market.take(market.order("bob", -1, PRICE))

    assert market.refuse(market.order("carol", 10, PRICE)) == Refusal.BACKLOG_FULL
    market.take(market.cancel("alice"))


def test_what_is_posted_makes_room_for_orders_again() -> None:
    """The budget counts what was sealed and what waits in the open batch; prices come in whatever it says."""
    market = Sequencing(unposted_bytes_max=400)
    market.take(market.order("alice", 10, PRICE))
    market.take(market.order("bob", -1, PRICE))
    _, batch = market.seal()
    assert market.engine.unposted_bytes > 400

    assert market.refuse(market.order("carol", 10, PRICE)) == Refusal.BACKLOG_FULL
    market.now += 1
    market.engine.tick(market.now)
    market.take(build_request(market.world.sign_reading(0, PRICE, PRICE, market.now)))
    market.engine.mark_posted(len(batch.encode()))

    assert market.engine.unposted_bytes == 0
    market.take(market.order("carol", 10, PRICE))


def play(market: Sequencing, rng: random.Random, count: int) -> list[LogRecord]:
    """Random orders, cancels, transfers, withdrawals and ticks; the whole log."""
    log: list[LogRecord] = []
    names = ("alice", "bob", "carol")
    for _ in range(count):
        name, slot = rng.choice(names), rng.randrange(4)
        roll = rng.random()
        if roll < 0.6:
            size = rng.choice((-1, 1)) * rng.randrange(1, 2_000)
            price = PRICE + rng.randrange(-20, 21) * 1000
            request = market.order(name, size, price, slot, flags=(1 if size < 0 else 0) | rng.choice((0, 0, 0, 2, 4)))
        elif roll < 0.8:
            request = market.cancel(name, slot)
        elif roll < 0.9:
            request = build_request(market.world.sign_transfer(name, rng.choice(names), rng.randrange(1, 10**9)))
        elif roll < 0.95:
            request = build_request(market.world.sign_withdraw(name, rng.randrange(1, 10**9)))
        else:
            market.now += 1
            log += market.engine.tick(market.now)
            continue
        outcome = market.engine.submit(request)
        log += getattr(outcome, "records", ())
    return log


CALL = call(0, WEEK, 18_000_000)


def open_option_market(debt: int) -> Sequencing:
    """Alice is short a thousand calls of Bob's, under rules of many scenarios, and has lost so much cash since."""
    world = open_mixed_market(rules=PARAMETER_SETS["keel"], keep_steps=False)
    world.trade("bob", "alice", CALL, 1_000, 600_000)
    world.rewrite_account("alice", cash=world.account_of("alice").cash - debt)
    return Sequencing(world=world)


def is_short(market: Sequencing, name: str) -> bool:
    """Whether somebody lacks initial margin."""
    margin, _ = measure_account(Ledger(market.engine.leaves), market.world.person(name).account)
    return margin.initial < 0


def trade_calls(market: Sequencing, buyer: str, seller: str, lots: int) -> list[LogRecord]:
    """The log of two people who trade calls."""
    bought = market.take(market.order(buyer, lots, 600_000, underlying=CALL))
    return [*bought.records, *market.take(market.order(seller, -lots, 600_000, underlying=CALL)).records]


def read_fill(log: list[LogRecord]) -> Fill:
    """The trade at its end."""
    fill = decode_operation(log[-1].body)
    assert isinstance(fill, Fill)
    return fill


def test_a_short_account_buys_back_what_it_owes() -> None:
    """Its fill names the scenarios in which it was worst off; the challenger agrees with it, and whoever replays the
    log posts the same."""
    market, second = open_option_market(debt=10**12), open_option_market(debt=10**12)
    assert is_short(market, "alice")

    log = trade_calls(market, "alice", "carol", 400)

    assert market.position_of("alice") == -600
    assert read_fill(log).buyer_active != NO_ACTIVE
    assert len(log[-1].body) == 53
    replayed: list[LogRecord] = []
    while len(replayed) < len(log):
        replayed += second.engine.replay(log[len(replayed)], second.world.messages.__getitem__)
    assert replayed == log
    assert second.engine.leaves == market.engine.leaves
    market.seal()


def test_a_short_account_may_not_owe_more() -> None:
    """No names help an account that lacks margin and sells more: the order that would meet nobody else is dropped."""
    market = open_option_market(debt=10**12)
    market.take(market.order("carol", 10, 600_000, underlying=CALL))

    outcome = market.engine.submit(market.order("alice", -10, 600_000, underlying=CALL))

    assert getattr(outcome, "filled", 0) == 0
    assert market.position_of("alice") == -1_000


def test_a_fill_between_margined_accounts_names_nothing() -> None:
    """Nobody's scenarios are asked for, and their bytes are saved."""
    market = open_option_market(debt=0)
    assert not is_short(market, "alice")

    log = trade_calls(market, "alice", "carol", 400)

    assert (read_fill(log).buyer_active, read_fill(log).seller_active) == (NO_ACTIVE, NO_ACTIVE)
    assert len(log[-1].body) == 37


def test_replaying_the_log_gives_the_same_head(seed: int) -> None:
    """Recovery is replay: the same state, the same log, the same resting orders."""
    first, second = Sequencing(seed), Sequencing(seed)
    log = play(first, random.Random(seed), 400)

    at = 0
    while at < len(log):
        records = second.engine.replay(log[at], first.world.messages.__getitem__)
        assert list(records) == log[at : at + len(records)]
        at += len(records)

    assert second.engine.leaves == first.engine.leaves
    assert second.engine.log_hash == first.engine.log_hash
    assert {s: k.counter for s, k in second.engine.slots.items() if k.order} == {
        s: k.counter for s, k in first.engine.slots.items() if k.order
    }
    first.seal()


def test_every_random_batch_is_honest(seed: int) -> None:
    """Whatever people ask, the posted steps convince the challenger; positions sum to zero."""
    market = Sequencing(seed)
    for batch in range(3):
        play(market, random.Random(seed + batch), 150)
        market.seal()
    accounts = [Ledger(market.engine.leaves).require_account(p.account) for p in market.world.people.values()]
    held = sum(quantity for account in accounts for _, quantity in account.positions)
    assert held == 0
    assert Ledger(market.engine.leaves).get_order(Slot(1, 999)) is None
