"""state/process_inbox.py: what people ask of the rollup through Ethereum."""

import hashlib
from typing import cast

import pytest

from state.codes import Code, Kind, MessageCode
from state.constants import NEVER
from state.context import MessageUnknown
from state.leaves import Account, Asset, SessionKey, Withdrawal, decode_withdrawal
from state.ledger import Ledger
from state.operations import L1
from state.process_inbox import MessageType, apply_l1, encode_amount, encode_key, hash_accumulator
from state.tree import GLOBALS_KEY, Collection, leaf_key
from tests.stories import MESSAGE_STORIES, Story, list_stories, set_scene
from tests.world import World, open_market

NEWCOMER = b"a newcomer's address"


@pytest.mark.parametrize("story", list_stories(Kind.L1), ids=lambda story: story.name)
def test_refusals(story: Story) -> None:
    """The story's op is refused with just its code, and the op beside it is not."""
    refused, accepted = story.tell()
    assert refused.outcome is story.code
    assert accepted.outcome is MessageCode.DONE


@pytest.mark.parametrize("story", MESSAGE_STORIES, ids=lambda story: story.name)
def test_messages_without_effect(story: Story) -> None:
    """The story's message must be taken, has just its code for having no effect, and the one beside it has one."""
    refused, accepted = story.tell()
    assert refused.outcome is story.code
    assert accepted.outcome is MessageCode.DONE


def get_withdrawals(world: World) -> list[Withdrawal | None]:
    """The outbox."""
    count = world.globals.outbox_count
    return [decode_withdrawal(world.state.leaves[leaf_key(Collection.OUTBOX, index)]) for index in range(count)]


def test_every_message_moves_cursor_and_hash() -> None:
    """Whatever becomes of it, a taken message is counted and its hash chained on."""
    world = World()
    accumulator = bytes(32)
    for number, payload in enumerate((encode_amount(0, 10_000_000), encode_amount(9, 1), encode_amount(0, 1))):
        world.send(MessageType.DEPOSIT, NEWCOMER, 0, payload)
        accumulator = hashlib.sha256(accumulator + hashlib.sha256(world.messages[-1]).digest()).digest()
        assert (world.globals.inbox_cursor, world.globals.inbox_hash) == (number + 1, accumulator)
    chained = bytes(32)
    for message in world.messages:
        chained = hash_accumulator(chained, message)
    assert chained == accumulator


def test_a_first_deposit_makes_an_account() -> None:
    """Account numbers begin at 1 and are given in order; the sender owns it, and no key may sign for it yet."""
    world = World()
    for number in (1, 2):
        receipt = world.send(MessageType.DEPOSIT, NEWCOMER, 0, encode_amount(0, 10_000_000)).receipt
        assert receipt.account == number
    assert world.globals.account_count == 3
    assert Ledger(world.state.leaves).require_account(2) == Account(NEWCOMER, cash=10_000_000)
    assert Ledger(world.state.leaves).require_asset(0) == Asset(custody=20_000_000)


def test_anybody_may_deposit_for_an_account() -> None:
    """Bob pays into Alice's account, in dollars and in ether."""
    world = open_market()
    alice = world.person("alice").account
    for asset, amount in ((0, 7), (1, 8)):
        world.send(MessageType.DEPOSIT, world.person("bob").address, alice, encode_amount(asset, amount))
    assert world.account_of("alice").cash == 1_000_000_000_007
    assert world.account_of("alice").collateral == ((1, 8),)


@pytest.mark.parametrize(
    "code",
    [
        MessageCode.DEPOSIT_ACCOUNT_UNKNOWN,
        MessageCode.DEPOSIT_BELOW_MINIMUM,
        MessageCode.DEPOSIT_ACCOUNTS_FULL,
        MessageCode.DEPOSIT_CUSTODY_FULL,
        MessageCode.DEPOSIT_BAD_DEBT,
        MessageCode.DEPOSIT_CASH_FULL,
    ],
)
def test_a_deposit_that_fails_goes_back(code: MessageCode) -> None:
    """The sender may claim it on L1 again; no account and no custody ever saw it."""
    refused, _ = next(story for story in MESSAGE_STORIES if story.code is code).tell()
    ledger, context, op = set_scene(refused)
    message = context.get_message(cast(L1, op).index)
    number = ledger.get_globals().outbox_count
    receipt = apply_l1(ledger, context, op)
    asset, amount = int.from_bytes(message[33:35]), int.from_bytes(message[35:])
    assert (receipt.message_code, receipt.withdrawal) == (code, number)
    outbox = leaf_key(Collection.OUTBOX, number)
    assert decode_withdrawal(ledger.get(outbox)) == Withdrawal(message[1:21], asset, amount, 0)
    assert ledger.writes.keys() == {GLOBALS_KEY, outbox}


def test_session_keys_come_and_go() -> None:
    """A new key is appended, a known one is replaced in its place, one that expires at 0 is gone."""
    world = open_market()
    first = world.account_of("alice").keys[0]
    second, third = (SessionKey(letter * 32, 1, NEVER) for letter in (b"k", b"l"))
    alice = world.person("alice")
    for key in (second, third, second._replace(scope=3), first._replace(expiry=0)):
        world.send(MessageType.REGISTER_KEY, alice.address, alice.account, encode_key(key))
    assert world.account_of("alice").keys == (second._replace(scope=3), third)
    assert world.refuse(world.sign_order("alice", 0, 1, 1, key_index=0)) is Code.ORDER_SIGNATURE_MUST_VERIFY


def test_a_forced_withdrawal_needs_no_sequencer_and_no_key() -> None:
    """The owner's L1 address suffices; sequence and orders are as they were."""
    world = open_market()
    alice = world.person("alice")
    receipt = world.send(
        MessageType.FORCE_WITHDRAW, alice.address, alice.account, encode_amount(0, 1_000_000_000_000)
    ).receipt
    assert receipt.withdrawal == 0
    assert get_withdrawals(world) == [Withdrawal(alice.address, 0, 1_000_000_000_000, alice.account)]
    assert (world.account_of("alice").cash, world.account_of("alice").sequence) == (0, 0)


def test_cancel_all_raises_the_epoch() -> None:
    """The epoch counts modulo 2^32, so that it can always be raised."""
    world = open_market()
    alice = world.person("alice")
    for expected in (1, 2):
        world.send(MessageType.CANCEL_ALL, alice.address, alice.account, b"")
        assert world.account_of("alice").epoch == expected
    world.rewrite_account("alice", epoch=(1 << 32) - 1)
    world.send(MessageType.CANCEL_ALL, alice.address, alice.account, b"")
    assert world.account_of("alice").epoch == 0


def test_a_message_that_is_not_known_is_no_verdict() -> None:
    """Who has not seen the L1 so far cannot say whether the op is valid, and says so."""
    world = open_market()
    with pytest.raises(MessageUnknown):
        world.judge(L1(world.position, len(world.messages)))
    later = world.attempt(L1(world.position, len(world.messages) + 1))
    assert later.outcome is Code.L1_INDEX_MUST_BE_CURSOR
