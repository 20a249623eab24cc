"""Stories of oracle, order and cancel: prices come in, signed orders are registered and killed."""

from collections.abc import Callable
from dataclasses import replace

from state.batches import FLAG_RESCUE
from state.codes import Code
from state.operations import Cancel, Oracle, OrderOp, hash_domain
from state.process_inbox import MessageType
from state.signatures import SECP256K1_ORDER
from tests.stories.telling import Pair, story
from tests.world import World, open_market

ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493


def wait_market(seconds: int = 100) -> tuple[World, Oracle]:
    """A market whose prices are some seconds old, and a good new reading of the first."""
    world = open_market()
    world.tick(seconds)
    return world, world.sign_reading(0, 17_100_000, 17_200_000, world.globals.time)


@story(Code.ORACLE_MUST_DECODE)
def reading_without_signers() -> Pair:
    """A mask of nobody, and accordingly no signature."""
    world, reading = wait_market()
    return world.attempt(replace(reading, signer_mask=0, signatures=())), world.attempt(reading)


@story(Code.ORACLE_MUST_DECODE)
def price_of_zero() -> Pair:
    """Prices begin at 1."""
    world, reading = wait_market()
    now = world.globals.time
    return world.attempt(replace(reading, mark=0)), world.attempt(world.sign_reading(0, 1, 1, now))


@story(Code.ORACLE_POSITION_MUST_INCREASE)
def reading_at_a_used_position() -> Pair:
    """Two ops never stand at one log position."""
    world, reading = wait_market()
    return world.attempt(replace(reading, position=world.position - 1)), world.attempt(reading)


@story(Code.ORACLE_UNDERLYING_MUST_BE_LISTED)
def reading_of_the_unlisted() -> Pair:
    """Four underlyings are listed, numbered from 0."""
    world, _ = wait_market()
    now = world.globals.time
    return world.attempt(world.sign_reading(4, 1, 1, now)), world.attempt(world.sign_reading(3, 1, 1, now))


@story(Code.ORACLE_TIME_MUST_ADVANCE)
def reading_not_newer() -> Pair:
    """The same second again is no news."""
    world, _ = wait_market(seconds=30)
    last = world.globals.time - 30
    return world.attempt(world.sign_reading(0, 1, 1, last)), world.attempt(world.sign_reading(0, 1, 1, last + 1))


@story(Code.ORACLE_MUST_NOT_BE_STALE)
def reading_too_old() -> Pair:
    """Sixty seconds is the age that parameters allow."""
    world, _ = wait_market()
    now = world.globals.time
    return world.attempt(world.sign_reading(0, 1, 1, now - 61)), world.attempt(world.sign_reading(0, 1, 1, now - 60))


@story(Code.ORACLE_MUST_NOT_BE_AHEAD)
def reading_from_the_future() -> Pair:
    """Five seconds is the skew that parameters allow."""
    world, _ = wait_market()
    now = world.globals.time
    return world.attempt(world.sign_reading(0, 1, 1, now + 6)), world.attempt(world.sign_reading(0, 1, 1, now + 5))


@story(Code.ORACLE_SIGNERS_MUST_SUFFICE)
def one_signer_alone() -> Pair:
    """Two of three must agree."""
    world, reading = wait_market()
    alone = world.sign_reading(0, reading.spot, reading.mark, reading.time, mask=0b100)
    both = world.sign_reading(0, reading.spot, reading.mark, reading.time, mask=0b110)
    return world.attempt(alone), world.attempt(both)


@story(Code.ORACLE_SIGNERS_MUST_SUFFICE)
def a_fourth_signer() -> Pair:
    """A bit that stands for no signer, beside two good signatures."""
    world, reading = wait_market()
    more = replace(reading, signer_mask=0b1011, signatures=(*reading.signatures, reading.signatures[0]))
    return world.attempt(more), world.attempt(reading)


def spoil_reading(change: Callable[[Oracle], Oracle]) -> Pair:
    """A good reading, and the same with its first signature changed."""
    world, reading = wait_market()
    return world.attempt(change(reading)), world.attempt(reading)


@story(Code.ORACLE_SIGNATURES_MUST_VERIFY)
def signatures_in_each_others_place() -> Pair:
    """Each signature must be of the signer whose bit it stands for."""
    return spoil_reading(lambda reading: replace(reading, signatures=reading.signatures[::-1]))


@story(Code.ORACLE_SIGNATURES_MUST_VERIFY)
def another_mark_than_was_signed() -> Pair:
    """The price was changed after the signers signed."""
    return spoil_reading(lambda reading: replace(reading, mark=reading.mark + 1))


@story(Code.ORACLE_SIGNATURES_MUST_VERIFY)
def malleable_twin_of_a_signature() -> Pair:
    """n - s with the other v recovers to the same signer, and is refused."""

    def twist(reading: Oracle) -> Oracle:
        first, *others = reading.signatures
        s = (SECP256K1_ORDER - int.from_bytes(first.s)).to_bytes(32)
        return replace(reading, signatures=(replace(first, s=s, v=55 - first.v), *others))

    return spoil_reading(twist)


@story(Code.ORACLE_SIGNATURES_MUST_VERIFY)
def recovery_byte_of_another_convention() -> Pair:
    """v is 27 or 28, never 0 or 1."""

    def lower(reading: Oracle) -> Oracle:
        first, *others = reading.signatures
        return replace(reading, signatures=(replace(first, v=first.v - 27), *others))

    return spoil_reading(lower)


@story(Code.ORACLE_SIGNATURES_MUST_VERIFY)
def signature_without_r() -> Pair:
    """r of 0 signs nothing."""

    def clear(reading: Oracle) -> Oracle:
        first, *others = reading.signatures
        return replace(reading, signatures=(replace(first, r=bytes(32)), *others))

    return spoil_reading(clear)


# Orders


@story(Code.ORDER_MUST_DECODE)
def order_of_no_lots() -> Pair:
    """A size of 0 is no order."""
    world = open_market()
    return world.attempt(world.sign_order("alice", 0, 0, 17_000_000)), world.attempt(
        world.sign_order("alice", 0, 1, 17_000_000)
    )


@story(Code.ORDER_MUST_DECODE)
def order_in_a_rescue() -> Pair:
    """A rescue batch holds nothing that somebody could choose."""
    world = open_market()
    honest = world.attempt(world.sign_order("alice", 0, 1, 17_000_000))
    return honest.within(flags=FLAG_RESCUE), honest


@story(Code.ORDER_POSITION_MUST_INCREASE)
def order_at_a_used_position() -> Pair:
    """Two ops never stand at one log position."""
    world = open_market()
    order = world.sign_order("alice", 0, 1, 17_000_000, accepted=0)
    return world.attempt(replace(order, position=world.position - 1)), world.attempt(order)


@story(Code.ORDER_ACCEPTED_MUST_NOT_FOLLOW)
def order_accepted_after_it_was_registered() -> Pair:
    """An order is accepted at or before its place in the log."""
    world = open_market()
    order = world.sign_order("alice", 0, 1, 17_000_000)
    return world.attempt(replace(order, accepted=world.position + 1)), world.attempt(order)


@story(Code.ORDER_ACCOUNT_MUST_EXIST)
def order_of_nobody() -> Pair:
    """The account after the last one."""
    world = open_market()
    stranger = world.sign_order("alice", 0, 1, 17_000_000, account=world.globals.account_count)
    return world.attempt(stranger), world.attempt(world.sign_order("alice", 0, 1, 17_000_000))


@story(Code.ORDER_GENERATION_MUST_MATCH)
def order_of_another_generation() -> Pair:
    """Signed for the generation before a rollback."""
    world = open_market()
    old = world.sign_order("alice", 0, 1, 17_000_000, generation=0)
    return world.attempt(old), world.attempt(world.sign_order("alice", 0, 1, 17_000_000))


@story(Code.ORDER_MUST_NOT_BE_CANCEL_ONLY)
def order_in_the_cancel_only_interval() -> Pair:
    """The tenth second after a generation's first tick is the first for orders."""
    world = World()
    world.deposit("alice", 1_000_000_000)
    world.tick(1)
    world.tick(9)
    early = world.attempt(world.sign_order("alice", 0, 1, 17_000_000))
    world.tick(1)
    return early, world.attempt(world.sign_order("alice", 0, 1, 17_000_000))


@story(Code.ORDER_MUST_NOT_BE_CANCEL_ONLY)
def order_before_any_tick() -> Pair:
    """Without a tick in the generation the interval has not even begun."""
    world = open_market()
    world.seal(generation=2)
    early = world.attempt(world.sign_order("alice", 0, 1, 17_000_000))
    world.tick(1)
    world.tick(10)
    return early, world.attempt(world.sign_order("alice", 0, 1, 17_000_000))


@story(Code.ORDER_EPOCH_MUST_MATCH)
def order_signed_before_cancel_all() -> Pair:
    """A cancel-all kills what was signed and not yet registered, too."""
    world = open_market()
    alice = world.person("alice")
    world.send(MessageType.CANCEL_ALL, alice.address, alice.account, b"")
    old = world.sign_order("alice", 0, 1, 17_000_000, epoch=0)
    return world.attempt(old), world.attempt(world.sign_order("alice", 0, 1, 17_000_000))


@story(Code.ORDER_MUST_NOT_BE_EXPIRED)
def order_a_second_too_late() -> Pair:
    """valid_until is the last second."""
    world = open_market()
    now = world.globals.time
    late = world.sign_order("alice", 0, 1, 17_000_000, valid_until=now - 1)
    return world.attempt(late), world.attempt(world.sign_order("alice", 0, 1, 17_000_000, valid_until=now))


@story(Code.ORDER_INSTRUMENT_MUST_BE_LISTED)
def order_for_the_unlisted() -> Pair:
    """Four underlyings are listed, numbered from 0."""
    world = open_market()
    return world.attempt(world.sign_order("alice", 4, 1, 1)), world.attempt(world.sign_order("alice", 3, 1, 1))


@story(Code.ORDER_COUNTER_MUST_RISE)
def order_replayed() -> Pair:
    """The counter of the slot's order again; one above replaces."""
    world = open_market()
    world.place("alice", 0, 1, 17_000_000)
    replayed = world.sign_order("alice", 0, 1, 17_000_000, counter=1)
    return world.attempt(replayed), world.attempt(world.sign_order("alice", 0, 1, 17_000_000, counter=2))


@story(Code.ORDER_COUNTER_MUST_RISE)
def order_after_a_cancel_in_advance() -> Pair:
    """A cancel up to counter 9 also kills what comes later and is numbered up to 9."""
    world = open_market()
    world.play(world.sign_cancel("alice", counter=9))
    dead = world.sign_order("alice", 0, 1, 17_000_000, counter=9)
    return world.attempt(dead), world.attempt(world.sign_order("alice", 0, 1, 17_000_000, counter=10))


def sign_with_key(kind: str, scope: int, expiry_after: int, key_index: int = 1) -> tuple[World, OrderOp | Cancel]:
    """Alice signs by her second session key, which she had registered for `scope` and so many seconds."""
    world = open_market()
    world.place("alice", 0, 1, 17_000_000)
    world.register_key(
        "alice", scope, world.globals.time + expiry_after, world.person("deputy").key.verify_key.encode()
    )
    world.person("alice").key = world.person("deputy").key
    if kind == "cancel":
        return world, world.sign_cancel("alice", key_index=key_index)
    return world, world.sign_order("alice", 0, 1, 17_000_000, slot=1, key_index=key_index)


def tell_of_keys(kind: str) -> list[Callable[[], Pair]]:
    """The ways in which a trading key may not be live."""

    def key_that_does_not_exist() -> Pair:
        """The account has two keys."""
        world, missing = sign_with_key(kind, scope=1, expiry_after=1, key_index=2)
        return world.attempt(missing), world.attempt(sign_with_key(kind, scope=1, expiry_after=1)[1])

    def key_without_the_scope() -> Pair:
        """A key for transfers and withdrawals may not trade."""
        world, wrong = sign_with_key(kind, scope=6, expiry_after=1)
        right_world, right = sign_with_key(kind, scope=7, expiry_after=1)
        return world.attempt(wrong), right_world.attempt(right)

    def key_at_its_expiry() -> Pair:
        """The expiry is the first second at which the key is dead."""
        world, late = sign_with_key(kind, scope=1, expiry_after=0)
        other_world, timely = sign_with_key(kind, scope=1, expiry_after=1)
        return world.attempt(late), other_world.attempt(timely)

    return [key_that_does_not_exist, key_without_the_scope, key_at_its_expiry]


for told in tell_of_keys("order"):
    story(Code.ORDER_KEY_MUST_BE_LIVE)(told)
for told in tell_of_keys("cancel"):
    story(Code.CANCEL_KEY_MUST_BE_LIVE)(told)


def spoil_signature(signature: bytes) -> bytes:
    """The same with one bit of S flipped."""
    return signature[:40] + bytes([signature[40] ^ 1]) + signature[41:]


def add_order(signature: bytes) -> bytes:
    """The same with S + L: a lax verifier cannot tell."""
    s = int.from_bytes(signature[32:], "little") + ED25519_ORDER
    return signature[:32] + s.to_bytes(32, "little")


@story(Code.ORDER_SIGNATURE_MUST_VERIFY)
def order_with_a_broken_signature() -> Pair:
    """One bit of S is another."""
    world = open_market()
    order = world.sign_order("alice", 0, 1, 17_000_000)
    return world.attempt(replace(order, signature=spoil_signature(order.signature))), world.attempt(order)


@story(Code.ORDER_SIGNATURE_MUST_VERIFY)
def order_with_an_unreduced_signature() -> Pair:
    """S + L instead of S."""
    world = open_market()
    order = world.sign_order("alice", 0, 1, 17_000_000)
    return world.attempt(replace(order, signature=add_order(order.signature))), world.attempt(order)


@story(Code.ORDER_SIGNATURE_MUST_VERIFY)
def order_signed_by_another() -> Pair:
    """Bob signs for Alice's account."""
    world = open_market()
    forged = world.sign_order("bob", 0, 1, 17_000_000, account=world.person("alice").account)
    return world.attempt(forged), world.attempt(world.sign_order("alice", 0, 1, 17_000_000))


@story(Code.ORDER_SIGNATURE_MUST_VERIFY)
def order_signed_for_another_rollup() -> Pair:
    """The same terms under another rollup's domain."""
    world = open_market()
    honest = world.sign_order("alice", 0, 1, 17_000_000)
    domain, world.domain = world.domain, hash_domain(1, bytes(20))
    foreign = world.sign_order("alice", 0, 1, 17_000_000)
    world.domain = domain
    return world.attempt(foreign), world.attempt(honest)


# Cancels


@story(Code.CANCEL_MUST_DECODE)
def cancel_of_counter_zero() -> Pair:
    """Counters begin at 1."""
    world = open_market()
    return world.attempt(world.sign_cancel("alice", counter=0)), world.attempt(world.sign_cancel("alice", counter=1))


@story(Code.CANCEL_POSITION_MUST_INCREASE)
def cancel_at_a_used_position() -> Pair:
    """Two ops never stand at one log position."""
    world = open_market()
    cancel = world.sign_cancel("alice")
    return world.attempt(replace(cancel, position=world.position - 1)), world.attempt(cancel)


@story(Code.CANCEL_ACCOUNT_MUST_EXIST)
def cancel_of_nobody() -> Pair:
    """The account after the last one."""
    world = open_market()
    stranger = world.sign_cancel("alice", account=world.globals.account_count)
    return world.attempt(stranger), world.attempt(world.sign_cancel("alice"))


@story(Code.CANCEL_GENERATION_MUST_MATCH)
def cancel_of_another_generation() -> Pair:
    """Signed for the generation before a rollback."""
    world = open_market()
    return world.attempt(world.sign_cancel("alice", generation=0)), world.attempt(world.sign_cancel("alice"))


@story(Code.CANCEL_COUNTER_MUST_RISE)
def cancel_of_a_replaced_order() -> Pair:
    """A cancel of counter 1 does not reach the order of counter 2."""
    world = open_market()
    world.place("alice", 0, 1, 17_000_000)
    world.place("alice", 0, 1, 17_000_000)
    return world.attempt(world.sign_cancel("alice", counter=1)), world.attempt(world.sign_cancel("alice", counter=2))


@story(Code.CANCEL_COUNTER_MUST_RISE)
def cancel_replayed() -> Pair:
    """What is dead is not cancelled again; a higher counter still may be."""
    world = open_market()
    world.place("alice", 0, 1, 17_000_000)
    world.play(world.sign_cancel("alice", counter=1))
    return world.attempt(world.sign_cancel("alice", counter=1)), world.attempt(world.sign_cancel("alice", counter=2))


@story(Code.CANCEL_COUNTER_MUST_RISE)
def cancel_of_what_is_filled() -> Pair:
    """Of an order that has traded whole nothing is left to cancel."""
    world = open_market()
    world.place("alice", 0, 100, 17_000_000)
    world.place("bob", 0, -100, 17_000_000)
    living = world.attempt(world.sign_cancel("alice", counter=1))
    world.play(world.fill("alice", "bob", 17_000_000, 100))
    return world.attempt(world.sign_cancel("alice", counter=1)), living


@story(Code.CANCEL_SIGNATURE_MUST_VERIFY)
def cancel_signed_by_another() -> Pair:
    """Bob signs for Alice's account."""
    world = open_market()
    forged = world.sign_cancel("bob", account=world.person("alice").account)
    return world.attempt(forged), world.attempt(world.sign_cancel("alice"))


@story(Code.CANCEL_SIGNATURE_MUST_VERIFY)
def cancel_with_a_broken_signature() -> Pair:
    """One bit of S is another."""
    world = open_market()
    cancel = world.sign_cancel("alice")
    return world.attempt(replace(cancel, signature=spoil_signature(cancel.signature))), world.attempt(cancel)
