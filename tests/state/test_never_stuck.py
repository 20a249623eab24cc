"""The chain can always go on: whatever has happened, some op is valid that needs nobody's signature.

Time can pass, the batch can be closed and the next one opened, and every kind of L1 message can be taken, in ordinary
and in rescue batches alike.
"""

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest

from state.batches import FLAG_RESCUE
from state.codes import MessageCode
from state.constants import ACCOUNT_UNDERLYINGS_MAX, ACCOUNTS_MAX, AMOUNT_MAX, KEYS_MAX, NEVER
from state.context import draft_header
from state.genesis import Listing
from state.leaves import Account, SessionKey
from state.ledger import Ledger
from state.operations import Open, Tick
from state.process_inbox import MessageType, encode_amount, encode_key
from state.transition import Valid
from state.tree import GLOBALS_KEY
from state.valuation import compute_account_margin, read_quotes
from tests.conservation import list_accounts
from tests.workload import pick_boundary, random_steps
from tests.world import LISTINGS, Attempt, World, build_params, open_market

STEPS = 200
HISTORIES = 6
FLAGS = (0, FLAG_RESCUE)
BURDENS = {"no tick in this generation", "cancel-only", "stale prices", "negative equity"}
Sent = tuple[int, bytes, int, bytes]
"""Type, sender, account and payload of a message."""


def assert_goes_on(world: World, messages: list[Sent]) -> None:
    """Whoever sequences or rescues has a valid next op here, and can take any of these messages next."""
    time, chance = world.globals.time, world.random
    for flags in FLAGS:
        for later in (time + 1, time + chance.randrange(1, 1 << 40)):
            assert_valid(world.attempt(Tick(world.position, later), flags=flags))
        assert_valid(world.attempt_close(flags=flags))
        assert_valid(attempt_open(world, flags, world.globals.generation + chance.choice((0, 1, 7))))
        for message in messages:
            assert_valid(world.attempt_message(*message).within(flags=flags))


def assert_valid(attempt: Attempt) -> None:
    """The op may stand there."""
    result = attempt.judge()
    assert isinstance(result, Valid), f"stuck: {result.code.name}"


def attempt_open(world: World, flags: int, generation: int) -> Attempt:
    """The open of a batch that follows this state."""
    now = world.globals
    header = draft_header(
        index=now.batch + 1,
        parent=world.parent,
        generation=generation,
        pre_root=world.root,
        time_from=now.time,
        position_from=0 if generation > now.generation else now.next_position,
        flags=flags,
    )
    attempt = world.attempt(Open())
    return replace(attempt, context=replace(attempt.context, header=header, step=0))


def draw_messages(world: World) -> list[Sent]:
    """One of each kind, and of no kind, by an owner or another, about an account that is or is not there."""
    chance, people = world.random, list(world.people.values())
    person = chance.choice(people)
    accounts = (person.account, person.account, chance.choice(people).account, 0, ACCOUNTS_MAX - 1, 1 << 31)
    account = chance.choice(accounts)
    asset = chance.choice((0, 1, 2, 9, 0xFFFF))
    amount = encode_amount(asset, pick_boundary(chance, 0, NEVER))
    key = encode_key(SessionKey(chance.randbytes(32), chance.randrange(256), chance.choice((0, 1, NEVER))))
    payloads = {
        MessageType.DEPOSIT: amount,
        MessageType.REGISTER_KEY: key,
        MessageType.FORCE_WITHDRAW: amount,
        MessageType.CANCEL_ALL: b"",
        0: b"",
        4: b"",
        255: bytes(41),
    }
    return [(kind, person.address, account, payload) for kind, payload in payloads.items()]


def list_burdens(world: World) -> Iterator[str]:
    """What stands in the way here of those who trade, if not of the chain."""
    ledger, now = Ledger(world.state.leaves), world.globals
    params = ledger.get_params()
    if now.cancel_only_until == NEVER:
        yield "no tick in this generation"
    elif now.time < now.cancel_only_until:
        yield "cancel-only"
    for account in list_accounts(world.state.leaves).values():
        quotes = read_quotes(ledger, account, params)
        if account.positions and any(
            quote.oracle_time + params.price_age_max < now.time for quote in quotes.underlyings.values()
        ):
            yield "stale prices"
        if compute_account_margin(account, quotes, now.time, params).equity < 0:
            yield "negative equity"


@pytest.mark.parametrize("history", range(HISTORIES))
def test_every_reachable_state_has_a_next_op(history: int, seed: int) -> None:
    """At every fifth step or so of a random history, and at its end."""
    world, chance = open_market(seed), random.Random(seed)
    for _ in random_steps(world, STEPS):
        if chance.random() < 0.2:
            assert_goes_on(world, draw_messages(world))
    assert_goes_on(world, draw_messages(world))


def test_histories_reach_what_others_could_be_stuck_in(seed: int) -> None:
    """Random histories come upon each burden before long, or they would show little."""
    burdens = Counter[str]()
    for number in range(40):
        world = open_market(seed + number)
        for _ in random_steps(world, STEPS):
            burdens.update(list_burdens(world))
        if burdens.keys() == BURDENS:
            return
    pytest.fail(f"in 40 histories only {sorted(burdens)}")


def burden_alice() -> World:
    """Alice's account is full: as many underlyings and keys as it may have, other collateral too."""
    count = ACCOUNT_UNDERLYINGS_MAX
    more = (Listing(b"SYM%d" % number) for number in range(count - len(LISTINGS)))
    terms = build_params().underlyings
    world = open_market(params=build_params(underlyings=terms * (count // len(terms))), listings=(*LISTINGS, *more))
    for number in range(len(LISTINGS), count):
        world.price(number, 1_000_000)
    for number in range(count):
        world.trade("alice", "bob", number, 40_000, Ledger(world.state.leaves).require_underlying(number).mark)
    world.deposit("alice", 10**9, asset=1)
    for number in range(1, KEYS_MAX):
        world.register_key("alice", public_key=bytes([number]) * 32)
    return world


def list_every_message(account: int, owner: bytes) -> list[Sent]:
    """Each kind from the owner, with amounts that are covered, are not, and cannot be."""
    amounts = [encode_amount(asset, amount) for asset in (0, 1) for amount in (1, 10**9, AMOUNT_MAX, NEVER)]
    kinds = (MessageType.DEPOSIT, MessageType.FORCE_WITHDRAW)
    keys = [encode_key(SessionKey(bytes([number]) * 32, 7, expiry)) for number in (1, 99) for expiry in (0, NEVER)]
    return [
        *((kind, owner, account, amount) for kind in kinds for amount in amounts),
        *((MessageType.REGISTER_KEY, owner, account, key) for key in keys),
        (MessageType.CANCEL_ALL, owner, account, b""),
    ]


def test_a_full_account_in_every_kind_of_trouble(seed: int) -> None:
    """Caps reached, then bankrupt, then stale, then in a generation without a tick: each message can still be taken."""
    world = burden_alice()
    alice = world.person("alice")
    messages = list_every_message(alice.account, alice.address)
    held: Account = world.account_of("alice")
    assert (len(held.positions), len(held.keys), len(held.collateral)) == (ACCOUNT_UNDERLYINGS_MAX, KEYS_MAX, 1)
    assert_goes_on(world, messages)

    world.tick(1)
    for number in range(ACCOUNT_UNDERLYINGS_MAX):
        world.price(number, 1)
    world.send(MessageType.FORCE_WITHDRAW, alice.address, alice.account, encode_amount(1, 10**9))
    assert "negative equity" in list_burdens(world)
    assert_goes_on(world, messages)

    world.tick(100_000)
    assert "stale prices" in list_burdens(world)
    assert_goes_on(world, messages)

    world.seal(generation=2)
    assert "no tick in this generation" in list_burdens(world)
    assert_goes_on(world, messages)


def test_every_account_index_is_taken() -> None:
    """When no account can be opened any more, a deposit for a new one comes back, and the rest goes on."""
    world = open_market()
    world.rewrite(GLOBALS_KEY, replace(world.globals, account_count=ACCOUNTS_MAX).encode())
    deposit = (MessageType.DEPOSIT, world.person("alice").address, 0, encode_amount(0, 10**9))

    assert_goes_on(world, [deposit, *draw_messages(world)])

    assert world.attempt_message(*deposit).outcome is MessageCode.DEPOSIT_ACCOUNTS_FULL
