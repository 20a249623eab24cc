"""Stories of transfer and withdraw: what an account's own key may send away."""

from collections.abc import Callable
from dataclasses import replace

from state.codes import Code
from state.constants import CASH_MAX, CUSTODY_MAX
from state.leaves import SCOPE_TRANSFER, SCOPE_WITHDRAW
from state.operations import Transfer, Withdraw
from tests.stories.market import spoil_signature
from tests.stories.telling import Pair, story
from tests.world import World, open_market

CASH = 1_000_000_000_000
ETHER = 40_000_000
SECOND_PRICE = 7_000_000


def send(
    world: World, kind: str, amount: int, asset: int = 0, name: str = "alice", **changes: int
) -> Transfer | Withdraw:
    """A transfer to Bob, or a withdrawal."""
    if kind == "transfer":
        return world.sign_transfer(name, "bob", amount, asset, **changes)
    return world.sign_withdraw(name, amount, asset, **changes)


def tell_both(transfer: Code, withdraw: Code) -> Callable[[Callable[[str], Pair]], Callable[[str], Pair]]:
    """Count a story twice: told of a transfer, and of a withdrawal."""

    def register(tell: Callable[[str], Pair]) -> Callable[[str], Pair]:
        for kind, code in (("transfer", transfer), ("withdraw", withdraw)):
            name = kind

            def told(name: str = name) -> Pair:
                return tell(name)

            told.__name__ = f"{kind}_{tell.__name__}"
            told.__doc__ = tell.__doc__
            story(code)(told)
        return tell

    return register


@tell_both(Code.TRANSFER_MUST_DECODE, Code.WITHDRAW_MUST_DECODE)
def of_nothing(kind: str) -> Pair:
    """An amount of 0 is no op."""
    world = open_market()
    return world.attempt(send(world, kind, 0)), world.attempt(send(world, kind, 1))


@tell_both(Code.TRANSFER_MUST_DECODE, Code.WITHDRAW_MUST_DECODE)
def in_a_rescue(kind: str) -> Pair:
    """A rescue batch holds nothing that somebody could choose."""
    world = open_market()
    honest = world.attempt(send(world, kind, 1))
    return honest.within(flags=1), honest


@tell_both(Code.TRANSFER_POSITION_MUST_INCREASE, Code.WITHDRAW_POSITION_MUST_INCREASE)
def at_a_used_position(kind: str) -> Pair:
    """Two ops never stand at one log position."""
    world = open_market()
    honest = send(world, kind, 1)
    return world.attempt(replace(honest, position=world.position - 1)), world.attempt(honest)


@tell_both(Code.TRANSFER_ACCOUNT_MUST_EXIST, Code.WITHDRAW_ACCOUNT_MUST_EXIST)
def of_nobody(kind: str) -> Pair:
    """The account after the last one."""
    world = open_market()
    stranger = send(world, kind, 1, account=world.globals.account_count)
    return world.attempt(stranger), world.attempt(send(world, kind, 1))


@story(Code.TRANSFER_DESTINATION_MUST_EXIST)
def transfer_to_nobody() -> Pair:
    """The account after the last one."""
    world = open_market()
    world.person("nobody").account = world.globals.account_count
    lost = world.sign_transfer("alice", "nobody", 1)
    return world.attempt(lost), world.attempt(world.sign_transfer("alice", "bob", 1))


@story(Code.TRANSFER_DESTINATION_MUST_EXIST)
def transfer_to_oneself() -> Pair:
    """An account that pays itself would be read once and written twice."""
    world = open_market()
    return world.attempt(world.sign_transfer("alice", "alice", 1)), world.attempt(
        world.sign_transfer("alice", "bob", 1)
    )


@tell_both(Code.TRANSFER_SEQUENCE_MUST_RISE, Code.WITHDRAW_SEQUENCE_MUST_RISE)
def replayed(kind: str) -> Pair:
    """The last used sequence again; gaps are free."""
    world = open_market()
    world.play(world.sign_transfer("alice", "carol", 1, sequence=5))
    return world.attempt(send(world, kind, 1, sequence=5)), world.attempt(send(world, kind, 1, sequence=6))


@tell_both(Code.TRANSFER_BALANCE_MUST_COVER, Code.WITHDRAW_BALANCE_MUST_COVER)
def of_more_cash_than_there_is(kind: str) -> Pair:
    """Without positions what one has is one's cash."""
    world = open_market()
    return world.attempt(send(world, kind, CASH + 1)), world.attempt(send(world, kind, CASH))


@tell_both(Code.TRANSFER_BALANCE_MUST_COVER, Code.WITHDRAW_BALANCE_MUST_COVER)
def of_cash_borrowed_on_ether(kind: str) -> Pair:
    """Collateral covers margin, but is no cash to send: equity would suffice, quote equity does not."""
    world = open_market()
    world.deposit("alice", ETHER, asset=1)
    return world.attempt(send(world, kind, CASH + 1)), world.attempt(send(world, kind, CASH))


@tell_both(Code.TRANSFER_BALANCE_MUST_COVER, Code.WITHDRAW_BALANCE_MUST_COVER)
def of_more_ether_than_there_is(kind: str) -> Pair:
    """One unit more than was deposited."""
    world = open_market()
    world.deposit("alice", ETHER, asset=1)
    return world.attempt(send(world, kind, ETHER + 1, 1)), world.attempt(send(world, kind, ETHER, 1))


@tell_both(Code.TRANSFER_BALANCE_MUST_COVER, Code.WITHDRAW_BALANCE_MUST_COVER)
def of_an_asset_that_is_not_listed(kind: str) -> Pair:
    """Two assets are listed; of a third nobody has anything."""
    world = open_market()
    world.trade("alice", "carol", 0, 1, 17_000_000)
    return world.attempt(send(world, kind, 1, 2)), world.attempt(send(world, kind, 1, 0))


@tell_both(Code.TRANSFER_BALANCE_MUST_COVER, Code.WITHDRAW_BALANCE_MUST_COVER)
def of_a_shorts_proceeds(kind: str) -> Pair:
    """A short's cash holds what it was paid for the lots it owes: quote equity is its deposit less the fee."""
    world = open_market()
    world.trade("carol", "alice", 1, 1_000, SECOND_PRICE)
    fee = 1_000 * SECOND_PRICE // 2_000 + 1_000
    assert world.account_of("alice").cash == CASH + 1_000 * SECOND_PRICE - fee
    margin = 1_000 * SECOND_PRICE // 10
    too_much, enough = send(world, kind, CASH - fee + 1), send(world, kind, CASH - fee - margin)
    return world.attempt(too_much), world.attempt(enough)


@story(Code.TRANSFER_DESTINATION_MUST_FIT)
def transfer_beyond_the_bound_of_cash() -> Pair:
    """Bob is as rich as an account can be, but for one unit."""
    world = open_market()
    world.rewrite_account("bob", cash=CASH_MAX - 1)
    return world.attempt(world.sign_transfer("alice", "bob", 2)), world.attempt(world.sign_transfer("alice", "bob", 1))


@story(Code.TRANSFER_DESTINATION_MUST_FIT)
def transfer_beyond_the_bound_of_collateral() -> Pair:
    """Bob holds all the ether there can be, but for one unit."""
    world = open_market()
    world.deposit("alice", ETHER, asset=1)
    world.rewrite_account("bob", collateral=((1, CUSTODY_MAX - 1),))
    too_much, enough = (world.sign_transfer("alice", "bob", amount, 1) for amount in (2, 1))
    return world.attempt(too_much), world.attempt(enough)


@tell_both(Code.TRANSFER_MARGIN_MUST_HOLD, Code.WITHDRAW_MARGIN_MUST_HOLD)
def of_the_margin_itself(kind: str) -> Pair:
    """What remains must cover the initial margin: one unit more would not."""
    world = open_market()
    world.trade("alice", "carol", 1, 1_000, SECOND_PRICE)
    fee = 1_000 * SECOND_PRICE // 10_000 + 1_000
    free = CASH - fee - 1_000 * SECOND_PRICE // 10
    return world.attempt(send(world, kind, free + 1)), world.attempt(send(world, kind, free))


@tell_both(Code.TRANSFER_MARGIN_MUST_HOLD, Code.WITHDRAW_MARGIN_MUST_HOLD)
def at_a_stale_price(kind: str) -> Pair:
    """The price of what is held is 301 seconds old; 300 are allowed."""
    world = open_market()
    world.trade("alice", "carol", 1, 1_000, SECOND_PRICE)
    world.tick(300)
    young = world.attempt(send(world, kind, 1))
    world.tick(1)
    return world.attempt(send(world, kind, 1)), young


@tell_both(Code.TRANSFER_MARGIN_MUST_HOLD, Code.WITHDRAW_MARGIN_MUST_HOLD)
def of_ether_that_covers_a_debt(kind: str) -> Pair:
    """Cash is below 0, and ether covers it: 28 000 000, less 15 % of haircut and 10 % of shock, are 21 000 000."""
    world = open_market()
    world.deposit("alice", ETHER, asset=1)
    world.rewrite_account("alice", cash=-21_000_000 + 5_250_000)
    lot = ETHER // 4
    return world.attempt(send(world, kind, lot + 1, 1)), world.attempt(send(world, kind, lot, 1))


def sign_with_key(kind: str, scope: int, expiry_after: int, key_index: int = 1) -> tuple[World, Transfer | Withdraw]:
    """Alice signs by her second session key, which she had registered for `scope` and so many seconds."""
    world = open_market()
    deputy = world.person("deputy").key
    world.register_key("alice", scope, world.globals.time + expiry_after, deputy.verify_key.encode())
    world.person("alice").key = deputy
    return world, send(world, kind, 1, key_index=key_index)


@tell_both(Code.TRANSFER_KEY_MUST_BE_LIVE, Code.WITHDRAW_KEY_MUST_BE_LIVE)
def by_a_key_that_does_not_exist(kind: str) -> Pair:
    """The account has two keys."""
    world, missing = sign_with_key(kind, 7, 1, key_index=2)
    other_world, present = sign_with_key(kind, 7, 1)
    return world.attempt(missing), other_world.attempt(present)


@tell_both(Code.TRANSFER_KEY_MUST_BE_LIVE, Code.WITHDRAW_KEY_MUST_BE_LIVE)
def by_a_key_without_the_scope(kind: str) -> Pair:
    """A key for everything else will not do; one for this alone will."""
    scope = SCOPE_TRANSFER if kind == "transfer" else SCOPE_WITHDRAW
    world, wrong = sign_with_key(kind, 7 - scope, 1)
    other_world, right = sign_with_key(kind, scope, 1)
    return world.attempt(wrong), other_world.attempt(right)


@tell_both(Code.TRANSFER_KEY_MUST_BE_LIVE, Code.WITHDRAW_KEY_MUST_BE_LIVE)
def by_a_key_at_its_expiry(kind: str) -> Pair:
    """The expiry is the first second at which the key is dead."""
    world, late = sign_with_key(kind, 7, 0)
    other_world, timely = sign_with_key(kind, 7, 1)
    return world.attempt(late), other_world.attempt(timely)


@tell_both(Code.TRANSFER_SIGNATURE_MUST_VERIFY, Code.WITHDRAW_SIGNATURE_MUST_VERIFY)
def with_a_broken_signature(kind: str) -> Pair:
    """One bit of S is another."""
    world = open_market()
    honest = send(world, kind, 1)
    return world.attempt(replace(honest, signature=spoil_signature(honest.signature))), world.attempt(honest)


@tell_both(Code.TRANSFER_SIGNATURE_MUST_VERIFY, Code.WITHDRAW_SIGNATURE_MUST_VERIFY)
def signed_by_another(kind: str) -> Pair:
    """Carol signs for Alice's account."""
    world = open_market()
    forged = send(world, kind, 1, name="carol", account=world.person("alice").account, sequence=1)
    return world.attempt(forged), world.attempt(send(world, kind, 1))


@story(Code.WITHDRAW_CUSTODY_MUST_COVER)
def withdrawal_of_what_the_loser_cannot_pay() -> Pair:
    """Alice has won more from Bob than he has, and Carol is gone: her equity is more than all that was paid in.

    The fees stay in custody, so what she can withdraw is all of it, and one unit more is not there.
    """
    world = open_market()
    world.trade("alice", "bob", 0, 400_000, 17_000_000)
    world.tick(5)
    world.price(0, 25_000_000)
    world.play(world.sign_withdraw("carol", CASH))
    return world.attempt(world.sign_withdraw("alice", 2 * CASH + 1)), world.attempt(
        world.sign_withdraw("alice", 2 * CASH)
    )
