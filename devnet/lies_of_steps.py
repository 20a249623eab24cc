"""Lies within the steps: signatures, replays, money, readings, fills.

A teller takes a fresh forgery and answers the bytes to post.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from hashlib import sha256

from devnet.forgery import Bend, Forgery, LieImpossible, honest
from state.codes import Code
from state.constants import PPM
from state.leaves import FLAG_REDUCE_ONLY, Withdrawal
from state.ledger import Ledger
from state.operations import L1, NO_ACTIVE, Operation, Transfer, decode_operation
from state.process_inbox import MessageType, decode_message, encode_amount
from state.transition import Invalid
from state.tree import LeafKey

DOLLAR = 1_000_000
"""Quote units."""

# Signatures, replays, money


def tell_forged_signature(forgery: Forgery) -> bytes:
    """Somebody who never signed it pays an accomplice."""
    forgery.repeat(forgery.honest_ops)
    accomplices = [accomplice.account for accomplice in forgery.kit.accomplices]
    for victim in range(1, forgery.globals.account_count):
        account = forgery.ledger.require_account(victim)
        bare = Transfer(forgery.position, victim, account.sequence + 1, accomplices[1], 0, DOLLAR, 0, bytes(64))
        forged = forgery.sign(bare, 1)
        verdict = forgery.judge(forged)
        if victim not in accomplices and verdict == Invalid(Code.TRANSFER_SIGNATURE_MUST_VERIFY):
            return finish_with(forgery, forged)
    raise LieImpossible("nobody has a dollar to lose")


def tell_replayed_transfer(forgery: Forgery) -> bytes:
    """One signature, two payments."""
    forgery.repeat(forgery.honest_ops)
    transfer = forgery.sign_transfer(DOLLAR)
    forgery.play(transfer)
    return finish_with(forgery, replace(transfer, position=forgery.position))


def tell_replayed_order(forgery: Forgery) -> bytes:
    """An order that was registered is registered once more, whole again."""
    forgery.repeat(forgery.honest_ops)
    order = forgery.sign_order(0, 1, forgery.mark)
    forgery.play(order)
    return finish_with(forgery, replace(order, position=forgery.position))


def tell_minted_cash(forgery: Forgery) -> bytes:
    """A transfer arrives, and its sender keeps the money."""
    payer = forgery.kit.accomplices[0].account

    def refund(ledger: Ledger) -> None:
        account = ledger.require_account(payer)
        ledger.put_account(payer, replace(account, cash=account.cash + DOLLAR))

    forgery.repeat(forgery.honest_ops)
    return finish_with(forgery, forgery.sign_transfer(DOLLAR), refund)


def tell_wrong_deposit(forgery: Forgery) -> bytes:
    """A deposit is credited a thousandfold, whether the honest batch takes it or it is still unread."""
    return tell_of_deposit(forgery, lambda op: forgery.lie(op, enrich(forgery, op.index)))


def tell_shortage_of_nobody(forgery: Forgery) -> bytes:
    """Who deposits is called short of margin, for which nobody asked."""
    return tell_of_deposit(forgery, lambda op: forgery.lie(replace(op, active=NO_ACTIVE)))


def tell_of_deposit(forgery: Forgery, lie: Callable[[L1], None]) -> bytes:
    """Tell a lie in the place of the op that takes a deposit, or that would take one which is still unread."""
    ops = forgery.honest_ops
    for number, posted in enumerate(ops):
        op = decode_operation(posted.op)
        if isinstance(op, L1) and is_deposit(forgery, op.index):
            forgery.repeat(ops[:number])
            lie(op)
            forgery.go_on(ops[number + 1 :])
            forgery.close()
            return forgery.build().encode()
    forgery.repeat(ops)
    for index in range(forgery.globals.inbox_cursor, len(forgery.kit.messages)):
        op = L1(forgery.position, index)
        if is_deposit(forgery, index):
            lie(op)
            forgery.close()
            return forgery.build().encode()
        forgery.play(op)
    raise LieImpossible("no deposit since the last batch")


def is_deposit(forgery: Forgery, index: int) -> bool:
    """Whether an L1 message is a deposit of dollars to an account that exists."""
    message = decode_message(forgery.kit.messages[index])
    is_dollars = message.payload[:2] == encode_amount(0, 0)[:2]
    return message.type == MessageType.DEPOSIT and is_dollars and message.account > 0


def enrich(forgery: Forgery, index: int) -> Bend:
    """Credit the deposit of an L1 message another 999 times, custody and all: no invariant breaks."""
    message = decode_message(forgery.kit.messages[index])
    gift = 999 * int.from_bytes(message.payload[2:])

    def credit(ledger: Ledger) -> None:
        account, books = ledger.require_account(message.account), ledger.require_asset(0)
        ledger.put_account(message.account, replace(account, cash=account.cash + gift))
        ledger.put_asset(0, replace(books, custody=books.custody + gift))

    return credit


def tell_unearned_withdrawal(forgery: Forgery) -> bytes:
    """While the batch closes, a withdrawal that nobody asked for slips into the outbox."""
    accomplice = forgery.kit.accomplices[0].account

    def write(ledger: Ledger) -> None:
        state, account = ledger.get_globals(), ledger.require_account(accomplice)
        ledger.put_withdrawal(state.outbox_count, Withdrawal(account.owner, 0, 1000 * DOLLAR, accomplice))
        ledger.put_globals(replace(state, outbox_count=state.outbox_count + 1))

    forgery.repeat(forgery.honest_ops)
    forgery.close(write)
    return forgery.build().encode()


def tell_overdrawn_withdrawal(forgery: Forgery) -> bytes:
    """One withdraws what all have deposited."""
    forgery.repeat(forgery.honest_ops)
    return finish_with(forgery, forgery.sign_withdraw(forgery.ledger.require_asset(0).custody))


# Readings


def tell_unsigned_reading(forgery: Forgery) -> bytes:
    """A reading in the oracle's name, signed by hands that are not the oracle's."""
    forgery.repeat(forgery.honest_ops)
    strangers = tuple(type(key)(sha256(key.secret).digest()) for key in forgery.kit.oracle_keys)
    return finish_with(forgery, forgery.sign_reading(find_oldest(forgery), forgery.globals.time, strangers))


def tell_stale_reading(forgery: Forgery) -> bytes:
    """A true reading, held back until it was too old to be taken."""
    forgery.repeat(forgery.honest_ops)
    underlying, time = find_oldest(forgery), forgery.globals.time - forgery.params.oracle_age_max - 1
    if time <= forgery.get_underlying(underlying).oracle_time:
        raise LieImpossible("every market has had a reading since that could now be stale")
    return finish_with(forgery, forgery.sign_reading(underlying, time))


def tell_reading_ahead(forgery: Forgery) -> bytes:
    """A reading of prices to come."""
    forgery.repeat(forgery.honest_ops)
    time = forgery.globals.time + forgery.params.oracle_skew_max + 1
    return finish_with(forgery, forgery.sign_reading(find_oldest(forgery), time))


def tell_reading_out_of_order(forgery: Forgery) -> bytes:
    """A reading that was true before the last one comes after it."""
    forgery.repeat(forgery.honest_ops)
    underlying = forgery.market.underlying
    return finish_with(forgery, forgery.sign_reading(underlying, forgery.get_underlying(underlying).oracle_time - 1))


def find_oldest(forgery: Forgery) -> int:
    """The underlying whose last reading is the oldest."""
    return min(range(forgery.globals.underlying_count), key=lambda u: (forgery.get_underlying(u).oracle_time, u))


# Fills


def tell_fill_beyond_limit(forgery: Forgery) -> bytes:
    """The buyer pays more than he signed for."""
    forgery.repeat(forgery.honest_ops)
    mark = forgery.mark
    forgery.trade(mark, mark)
    return finish_with(forgery, forgery.fill(mark + 1))


def tell_fill_beyond_remainder(forgery: Forgery) -> bytes:
    """Two lots change hands between orders of one."""
    forgery.repeat(forgery.honest_ops)
    mark = forgery.mark
    forgery.trade(mark, mark)
    return finish_with(forgery, forgery.fill(mark, 2), pretending=forgery.list_orders(remaining=2))


def tell_fill_on_cancelled_slot(forgery: Forgery) -> bytes:
    """The buyer has cancelled, and is filled as if he had not."""
    forgery.repeat(forgery.honest_ops)
    mark = forgery.mark
    forgery.trade(mark, mark)
    before = forgery.list_orders()
    forgery.play(forgery.sign_cancel(0))
    return finish_with(forgery, forgery.fill(mark), pretending=before)


def tell_fill_at_no_limit(forgery: Forgery) -> bytes:
    """Within both limits, but at neither: the operator splits the difference."""
    forgery.repeat(forgery.honest_ops)
    mark = forgery.mark
    forgery.trade(mark + 2, mark)
    return finish_with(forgery, forgery.fill(mark + 1))


def tell_fill_outside_band(forgery: Forgery) -> bytes:
    """Two friends agree on a price far from mark, which moves money from one to the other."""
    forgery.repeat(forgery.honest_ops)
    mark = forgery.mark
    price = mark + mark * forgery.params.band_ppm // PPM + 1
    forgery.trade(price, price)
    return finish_with(forgery, forgery.fill(price))


def tell_reduce_only_fill_that_grows(forgery: Forgery) -> bytes:
    """A reduce-only order buys more than its account is short."""
    forgery.repeat(forgery.honest_ops)
    mark, short = forgery.mark, -forgery.get_account(0).get_position(forgery.market)
    quantity = max(0, short) + 1
    forgery.trade(mark, mark, quantity, FLAG_REDUCE_ONLY)
    return finish_with(forgery, forgery.fill(mark, quantity))


def tell_fill_under_margin(forgery: Forgery) -> bytes:
    """The buyer takes a position that is too large for all that he has."""
    forgery.repeat(forgery.honest_ops)
    # No rules that ship ask for less than a tenth of the notional.
    mark = forgery.mark
    quantity = 20 * abs(forgery.get_account(0).cash) // mark + 1
    forgery.trade(mark, mark, quantity)
    return finish_with(forgery, forgery.fill(mark, quantity))


def tell_wrong_funding(forgery: Forgery) -> bytes:
    """A true reading comes in, and with it funding that nobody owed."""
    forgery.repeat(forgery.honest_ops)
    underlying = find_oldest(forgery)

    def charge(ledger: Ledger) -> None:
        stored = ledger.require_underlying(underlying)
        ledger.put_underlying(underlying, replace(stored, funding_index=stored.funding_index + DOLLAR))

    return finish_with(forgery, forgery.sign_reading(underlying, forgery.globals.time), charge)


def tell_wrong_fees(forgery: Forgery) -> bytes:
    """A friend trades for nothing: his fee is booked nowhere."""
    forgery.repeat(forgery.honest_ops)
    mark, friend = forgery.mark, forgery.kit.accomplices[0].account
    forgery.trade(mark, mark)
    paid = forgery.ledger.require_asset(0).fees

    def refund(ledger: Ledger) -> None:
        books, account = ledger.require_asset(0), ledger.require_account(friend)
        fee = (books.fees - paid) // 2
        ledger.put_account(friend, replace(account, cash=account.cash + fee))
        ledger.put_asset(0, replace(books, fees=books.fees - fee))

    return finish_with(forgery, forgery.fill(mark), refund)


def finish_with(
    forgery: Forgery, op: Operation, bend: Bend = honest, pretending: Mapping[LeafKey, bytes] | None = None
) -> bytes:
    """Tell the lie and close the batch as if nothing were wrong with it."""
    forgery.lie(op, bend, pretending)
    forgery.close()
    return forgery.build().encode()
