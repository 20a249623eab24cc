"""Stories of l1: what people ask of the rollup through Ethereum, and why it may have no effect."""

from dataclasses import replace

from state.codes import Code, MessageCode
from state.constants import ACCOUNTS_MAX, AMOUNT_MAX, CASH_MAX, CUSTODY_MAX, KEYS_MAX, NEVER
from state.leaves import Asset, SessionKey, call
from state.ledger import Ledger
from state.operations import L1, NO_ACTIVE
from state.process_inbox import MessageType, encode_amount, encode_close, encode_key
from state.tree import GLOBALS_KEY, Collection, leaf_key
from state.valuation import measure_account
from tests.stories.ending import sink
from tests.stories.telling import Pair, story
from tests.world import WEEK, Attempt, World, open_market, open_mixed_market

CREATE_MIN = 10_000_000
NEWCOMER = b"a newcomer's address"
DOLLARS = leaf_key(Collection.ASSETS, 0)


def ask(world: World, kind: int, payload: bytes = b"", name: str = "alice", account: int | None = None) -> Attempt:
    """The l1 op that takes a message of Alice's about her own account next, or of somebody else about another."""
    person = world.person(name)
    return world.attempt_message(kind, person.address, person.account if account is None else account, payload)


def deposit(world: World, amount: int, asset: int = 0, account: int | None = None) -> Attempt:
    """Alice deposits for herself, or for another account."""
    return ask(world, MessageType.DEPOSIT, encode_amount(asset, amount), account=account)


def create(world: World, amount: int) -> Attempt:
    """Somebody new deposits dollars."""
    return world.attempt_message(MessageType.DEPOSIT, NEWCOMER, 0, encode_amount(0, amount))


@story(Code.L1_MUST_DECODE)
def l1_with_a_trailing_byte() -> Pair:
    """Eighteen bytes are no l1."""
    honest = deposit(open_market(), 1)
    return replace(honest, op=honest.op + b"\0"), honest


@story(Code.L1_POSITION_MUST_INCREASE)
def l1_at_a_used_position() -> Pair:
    """Two ops never stand at one log position."""
    world = open_market()
    honest = deposit(world, 1)
    return replace(honest, op=L1(world.position - 1, len(world.messages)).encode()), honest


@story(Code.L1_INDEX_MUST_BE_CURSOR)
def message_left_out() -> Pair:
    """The message after the next one."""
    world = open_market()
    honest = deposit(world, 1)
    return replace(honest, op=L1(world.position, len(world.messages) + 1).encode()), honest


@story(Code.L1_INDEX_MUST_BE_CURSOR)
def message_taken_twice() -> Pair:
    """The message that was taken last."""
    world = open_market()
    honest = deposit(world, 1)
    return replace(honest, op=L1(world.position, len(world.messages) - 1).encode()), honest


@story(Code.L1_INDEX_MUST_NOT_PASS_HEADER)
def message_beyond_the_header() -> Pair:
    """L1 has checked that the messages up to the header's cursor exist, and no other."""
    world = open_market()
    honest = deposit(world, 1).within(inbox_cursor=len(world.messages) + 1)
    return honest.within(inbox_cursor=len(world.messages)), honest


def say(honest: Attempt, active: bytes | None) -> Attempt:
    """The same message, taken by an op that says otherwise of the account's margin."""
    op = honest.decode()
    assert isinstance(op, L1)
    return replace(honest, op=replace(op, active=active).encode())


def carry() -> World:
    """Alice holds a thousand perpetuals."""
    world = open_market()
    world.trade("alice", "carol", 1, 1_000, 7_000_000)
    return world


def count_free(world: World) -> int:
    """What Alice can withdraw, in quote units: no unit more."""
    margin, _ = measure_account(Ledger(world.state.leaves), world.person("alice").account)
    return margin.initial


def liquidate(world: World, name: str = "alice") -> Attempt:
    """Somebody asks for the liquidation of an account."""
    return ask(world, MessageType.FORCE_LIQUIDATE, name=name)


@story(Code.L1_MARGIN_MUST_MATCH)
def margin_paid_out() -> Pair:
    """One unit more leaves than margin can spare, and the op says nothing of it."""
    world = carry()
    free = count_free(world)
    return say(force(world, free + 1), None), force(world, free)


@story(Code.L1_MARGIN_MUST_MATCH)
def withdrawal_refused_for_margin_that_is_there() -> Pair:
    """The last unit that margin can spare."""
    world = carry()
    honest = force(world, count_free(world))
    return say(honest, NO_ACTIVE), honest


@story(Code.L1_MARGIN_MUST_MATCH)
def withdrawal_refused_by_scenarios_that_ask_for_little() -> Pair:
    """Calls that were sold ask for margin; there is a scenario that shows it, and the op names none."""
    world = open_mixed_market()
    world.trade("bob", "alice", call(0, WEEK, 18_000_000), 1_000, 300_000, max_fee_ppm=100_000)
    free = count_free(world)
    return say(force(world, free + 1), b"\xfe" * len(NO_ACTIVE)), force(world, free)


@story(Code.L1_MARGIN_MUST_MATCH)
def withdrawal_at_a_stale_price_paid() -> Pair:
    """The price of what is held is 301 seconds old; 300 are allowed."""
    world = carry()
    world.tick(300)
    young = force(world, 1)
    world.tick(1)
    return say(force(world, 1), None), young


@story(Code.L1_MARGIN_MUST_MATCH)
def withdrawal_short_of_money_said_to_be_short_of_margin() -> Pair:
    """Whoever does not own what he asks for is not asked for margin."""
    world = carry()
    return say(force(world, 2_000_000_000_000), NO_ACTIVE), force(world, 1)


@story(Code.L1_MARGIN_MUST_MATCH)
def withdrawal_of_bare_cash_said_to_be_short_of_margin() -> Pair:
    """Who holds nothing needs no margin."""
    honest = force(open_market(), 1)
    return say(honest, NO_ACTIVE), honest


@story(Code.L1_MARGIN_MUST_MATCH)
def deposit_said_to_be_short_of_margin() -> Pair:
    """Alice is short of margin, but a deposit does not ask for it."""
    world = sink()
    return say(deposit(world, 1), NO_ACTIVE), liquidate(world)


@story(Code.L1_MARGIN_MUST_MATCH)
def account_shielded_from_liquidation() -> Pair:
    """Alice is short of maintenance margin, and the op says nothing of it."""
    honest = liquidate(sink())
    return say(honest, None), honest


@story(Code.L1_MARGIN_MUST_MATCH)
def account_in_order_liquidated() -> Pair:
    """Bob has won what Alice has lost."""
    world = sink()
    return say(liquidate(world, "bob"), NO_ACTIVE), liquidate(world)


@story(Code.L1_MARGIN_MUST_MATCH)
def account_liquidated_at_a_stale_price() -> Pair:
    """The price is 301 seconds old; 300 are allowed."""
    world = sink()
    world.tick(300)
    young = liquidate(world)
    world.tick(1)
    return say(liquidate(world), NO_ACTIVE), young


@story(Code.L1_MARGIN_MUST_MATCH)
def account_liquidated_twice() -> Pair:
    """Who is for sale is not asked for margin once more."""
    world = sink()
    first, alice = liquidate(world), world.person("alice")
    world.send(MessageType.FORCE_LIQUIDATE, alice.address, alice.account, b"")
    return say(liquidate(world), NO_ACTIVE), first


@story(Code.L1_MARGIN_MUST_MATCH)
def nobody_liquidated() -> Pair:
    """The account after the last one has no margin."""
    world = sink()
    stranger = ask(world, MessageType.FORCE_LIQUIDATE, account=world.globals.account_count)
    return say(stranger, NO_ACTIVE), liquidate(world)


@story(MessageCode.MESSAGE_TYPE_UNKNOWN)
def message_of_no_type() -> Pair:
    """Type 4 is kept free."""
    world = open_market()
    return ask(world, 4), ask(world, MessageType.CANCEL_ALL)


@story(MessageCode.DEPOSIT_ASSET_UNKNOWN)
def deposit_of_the_unlisted() -> Pair:
    """Two assets are listed, numbered from 0."""
    world = open_market()
    return deposit(world, 1, asset=2), deposit(world, 1, asset=1)


@story(MessageCode.DEPOSIT_ACCOUNT_UNKNOWN)
def deposit_for_nobody() -> Pair:
    """The account after the last one."""
    world = open_market()
    return deposit(world, 1, account=world.globals.account_count), deposit(world, 1)


@story(MessageCode.DEPOSIT_ACCOUNT_UNKNOWN)
def deposit_for_an_impossible_account() -> Pair:
    """No account has this number, so no leaf is read."""
    world = open_market()
    return deposit(world, 1, account=ACCOUNTS_MAX), deposit(world, 1)


@story(MessageCode.DEPOSIT_BELOW_MINIMUM)
def first_deposit_too_small() -> Pair:
    """Ten dollars make an account; a cent less does not."""
    world = open_market()
    return create(world, CREATE_MIN - 1), create(world, CREATE_MIN)


@story(MessageCode.DEPOSIT_ACCOUNTS_FULL)
def one_account_too_many() -> Pair:
    """The last possible account is the one below ACCOUNTS_MAX."""
    world = open_market()
    state = world.globals
    world.rewrite(GLOBALS_KEY, replace(state, account_count=ACCOUNTS_MAX).encode())
    full = create(world, CREATE_MIN)
    world.rewrite(GLOBALS_KEY, replace(state, account_count=ACCOUNTS_MAX - 1).encode())
    return full, create(world, CREATE_MIN)


@story(MessageCode.DEPOSIT_CUSTODY_FULL)
def deposit_beyond_the_bound_of_custody() -> Pair:
    """Seven units below the bound there is room for seven."""
    world = open_market()
    world.rewrite(DOLLARS, Asset(custody=CUSTODY_MAX - 7).encode())
    return deposit(world, 8), deposit(world, 7)


@story(MessageCode.DEPOSIT_BAD_DEBT)
def deposit_into_a_hole() -> Pair:
    """Nobody's fresh money pays for what others have lost."""
    world = open_market()
    honest = deposit(world, 1)
    world.rewrite(DOLLARS, Asset(custody=1_000, bad_debt=1).encode())
    return deposit(world, 1), honest


@story(MessageCode.DEPOSIT_CASH_FULL)
def deposit_beyond_the_bound_of_cash() -> Pair:
    """Seven units below the bound there is room for seven."""
    world = open_market()
    world.rewrite_account("alice", cash=CASH_MAX - 7)
    return deposit(world, 8), deposit(world, 7)


@story(MessageCode.SENDER_MUST_OWN)
def cancel_all_of_another() -> Pair:
    """Bob asks for Alice's account."""
    world = open_market()
    alice = world.person("alice").account
    return ask(world, MessageType.CANCEL_ALL, name="bob", account=alice), ask(world, MessageType.CANCEL_ALL)


@story(MessageCode.SENDER_MUST_OWN)
def key_for_an_impossible_account() -> Pair:
    """No account has this number, so no leaf is read."""
    world = open_market()
    key = encode_key(SessionKey(bytes(32), 1, 1))
    impossible = ask(world, MessageType.REGISTER_KEY, key, account=ACCOUNTS_MAX)
    return impossible, ask(world, MessageType.REGISTER_KEY, key)


@story(MessageCode.SENDER_MUST_OWN)
def key_for_account_zero() -> Pair:
    """Account 0 is never one."""
    world = open_market()
    key = encode_key(SessionKey(bytes(32), 1, 1))
    return ask(world, MessageType.REGISTER_KEY, key, account=0), ask(world, MessageType.REGISTER_KEY, key)


@story(MessageCode.SENDER_MUST_OWN)
def forced_withdrawal_of_nobody() -> Pair:
    """The account after the last one."""
    world = open_market()
    payload = encode_amount(0, 1)
    stranger = ask(world, MessageType.FORCE_WITHDRAW, payload, account=world.globals.account_count)
    return stranger, ask(world, MessageType.FORCE_WITHDRAW, payload)


@story(MessageCode.KEYS_FULL)
def ninth_key() -> Pair:
    """Eight keys are the most; the eighth still fits."""
    world = open_market()
    for number in range(1, KEYS_MAX - 1):
        world.register_key("alice", public_key=bytes([number]) * 32)
    another = encode_key(SessionKey(b"k" * 32, 1, NEVER))
    eighth = ask(world, MessageType.REGISTER_KEY, another)
    world.register_key("alice", public_key=bytes([KEYS_MAX]) * 32)
    return ask(world, MessageType.REGISTER_KEY, another), eighth


@story(MessageCode.KEY_UNKNOWN)
def revoked_key_that_is_none() -> Pair:
    """An expiry of 0 revokes; there must be such a key."""
    world = open_market()
    alice, bob = (world.person(name).key.verify_key.encode() for name in ("alice", "bob"))
    revokes = [encode_key(SessionKey(key, 0, 0)) for key in (bob, alice)]
    return ask(world, MessageType.REGISTER_KEY, revokes[0]), ask(world, MessageType.REGISTER_KEY, revokes[1])


def force(world: World, amount: int, asset: int = 0) -> Attempt:
    """Alice withdraws through L1."""
    return ask(world, MessageType.FORCE_WITHDRAW, encode_amount(asset, amount))


@story(MessageCode.FORCED_AMOUNT)
def forced_withdrawal_of_nothing() -> Pair:
    """An amount of 0."""
    world = open_market()
    return force(world, 0), force(world, 1)


@story(MessageCode.FORCED_AMOUNT)
def forced_withdrawal_of_too_large_a_number() -> Pair:
    """One unit above what one op may move; Alice has as much."""
    world = open_market()
    world.rewrite_account("alice", cash=AMOUNT_MAX + 1)
    world.rewrite(DOLLARS, Asset(custody=AMOUNT_MAX + 1).encode())
    return force(world, AMOUNT_MAX + 1), force(world, AMOUNT_MAX)


@story(MessageCode.FORCED_AMOUNT)
def forced_withdrawal_of_the_unlisted() -> Pair:
    """Two assets are listed, numbered from 0."""
    world = open_market()
    world.deposit("alice", 5, asset=1)
    return force(world, 5, asset=2), force(world, 5, asset=1)


@story(MessageCode.FORCED_BALANCE)
def forced_withdrawal_of_more_than_there_is() -> Pair:
    """One unit more than was deposited."""
    world = open_market()
    return force(world, 1_000_000_000_001), force(world, 1_000_000_000_000)


@story(MessageCode.FORCED_BALANCE)
def forced_withdrawal_of_more_ether_than_there_is() -> Pair:
    """One unit more than was deposited."""
    world = open_market()
    world.deposit("alice", 5, asset=1)
    return force(world, 6, asset=1), force(world, 5, asset=1)


@story(MessageCode.FORCED_MARGIN)
def forced_withdrawal_of_the_margin() -> Pair:
    """What remains must cover the initial margin: one unit more would not."""
    world = open_market()
    world.trade("alice", "carol", 1, 1_000, 7_000_000)
    free = 1_000_000_000_000 - 701_000 - 700_000_000
    return force(world, free + 1), force(world, free)


@story(MessageCode.FORCED_MARGIN)
def forced_withdrawal_at_a_stale_price() -> Pair:
    """The price of what is held is 301 seconds old; 300 are allowed."""
    world = open_market()
    world.trade("alice", "carol", 1, 1_000, 7_000_000)
    world.tick(300)
    young = force(world, 1)
    world.tick(1)
    return force(world, 1), young


@story(MessageCode.FORCED_CUSTODY)
def forced_withdrawal_of_what_the_loser_cannot_pay() -> Pair:
    """Alice has won more from Bob than he has, and Carol is gone: one unit more than all that was paid in."""
    world = open_market()
    world.trade("alice", "bob", 0, 400_000, 17_000_000)
    world.tick(5)
    world.price(0, 25_000_000)
    world.play(world.sign_withdraw("carol", 1_000_000_000_000))
    return force(world, 2_000_000_000_001), force(world, 2_000_000_000_000)


@story(MessageCode.CLOSE_NOTHING)
def forced_close_of_nothing() -> Pair:
    """Cash needs no buyer: it can be withdrawn."""
    world = open_market()
    return ask(world, MessageType.FORCE_CLOSE, encode_close(True)), ask(
        world, MessageType.FORCE_CLOSE, encode_close(False)
    )


@story(MessageCode.SENDER_MUST_OWN)
def forced_close_of_another() -> Pair:
    """Bob asks for Alice's account, which holds something."""
    world = open_market()
    world.deposit("alice", 5, asset=1)
    alice, payload = world.person("alice").account, encode_close(True)
    return ask(world, MessageType.FORCE_CLOSE, payload, "bob", alice), ask(world, MessageType.FORCE_CLOSE, payload)


@story(MessageCode.LIQUIDATE_ACCOUNT_UNKNOWN)
def forced_liquidation_of_nobody() -> Pair:
    """The account after the last one."""
    world = sink()
    return ask(world, MessageType.FORCE_LIQUIDATE, account=world.globals.account_count), ask(
        world, MessageType.FORCE_LIQUIDATE
    )


@story(MessageCode.LIQUIDATE_ACCOUNT_UNKNOWN)
def forced_liquidation_of_an_impossible_account() -> Pair:
    """No account has this number, so no leaf is read."""
    world = sink()
    return ask(world, MessageType.FORCE_LIQUIDATE, account=ACCOUNTS_MAX), ask(world, MessageType.FORCE_LIQUIDATE)


@story(MessageCode.LIQUIDATE_NOT_DUE)
def forced_liquidation_of_who_is_in_order() -> Pair:
    """Bob has won what Alice has lost; that of Alice anybody may ask for."""
    world = sink()
    alice = world.person("alice").account
    return ask(world, MessageType.FORCE_LIQUIDATE, name="bob"), ask(
        world, MessageType.FORCE_LIQUIDATE, name="bob", account=alice
    )


@story(MessageCode.LIQUIDATE_NOT_DUE)
def forced_liquidation_at_a_stale_price() -> Pair:
    """The price is 301 seconds old; 300 are allowed."""
    world = sink()
    world.tick(300)
    young = ask(world, MessageType.FORCE_LIQUIDATE)
    world.tick(1)
    return ask(world, MessageType.FORCE_LIQUIDATE), young


@story(MessageCode.LIQUIDATE_NOT_DUE)
def forced_liquidation_twice() -> Pair:
    """An auction begins once."""
    world = sink()
    first = ask(world, MessageType.FORCE_LIQUIDATE)
    alice = world.person("alice")
    world.send(MessageType.FORCE_LIQUIDATE, alice.address, alice.account, b"")
    return ask(world, MessageType.FORCE_LIQUIDATE), first
