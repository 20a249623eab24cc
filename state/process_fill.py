"""fill: two registered orders trade, and both accounts stay margined (SPEC.md sections 6 to 8).

Mirrors contracts/verify_fill.vy, contracts/verify_fill_effect.vy and contracts/fills.vy.
"""

from dataclasses import replace
from typing import NamedTuple, cast

from state.active_scenarios import WORST, Scales
from state.codes import Code
from state.constants import PPM
from state.context import Check, Process, Receipt, StepContext, advance_position, is_position_next
from state.leaves import FLAG_POST_ONLY, FLAG_REDUCE_ONLY, FUTURE, PERPETUAL, Account, Order, Params, Underlying
from state.ledger import Exhibit, Ledger, Slot, SubjectMissing
from state.marks import compute_mark
from state.operations import Fill, Operation
from state.process_market import is_open_for_risk
from state.valuation import (
    add_positions,
    compute_fee_ceil,
    compute_funding_index_floor,
    drop_stale_spots,
    is_fresh,
    is_within_caps,
    read_quotes,
)


class Side(NamedTuple):
    """One side of a fill: sign is +1 for the buyer, -1 for the seller."""

    sign: int

    def slot(self, op: Operation) -> Slot:
        """Where this side's order stands."""
        fill = cast(Fill, op)
        return Slot(fill.buyer, fill.buyer_slot) if self.sign > 0 else Slot(fill.seller, fill.seller_slot)

    def active(self, fill: Fill) -> bytes:
        """The scenarios that the op names for this side."""
        return fill.buyer_active if self.sign > 0 else fill.seller_active


BUYER = Side(1)
SELLER = Side(-1)


class Pair(NamedTuple):
    """The two orders of a trade."""

    buy: Order
    sell: Order


def get_orders(ledger: Ledger, op: Operation) -> Pair:
    """The buyer's order and the seller's. Raises SubjectMissing."""
    known = ledger.shared.get(Pair)
    if known is None:
        known = ledger.shared[Pair] = Pair(ledger.require_order(BUYER.slot(op)), ledger.require_order(SELLER.slot(op)))
    return cast(Pair, known)


def is_buyer_maker(buy: Order, sell: Order) -> bool:
    """The maker is the order that was accepted earlier."""
    return buy.accepted <= sell.accepted


def compute_fee_base(order: Order, price: int, underlying: Underlying) -> int:
    """Quote units a lot that fees are a part of: the price where it is that of the whole thing, else spot."""
    if len(order.legs) == 1 and order.legs[0][0].kind <= FUTURE:
        return max(price, 0)
    return sum(abs(ratio) for _, ratio in order.legs) * underlying.spot


def compute_side_fee(side: Side, quantity: int, base: int, buy: Order, sell: Order, params: Params) -> int:
    """Quote units that this side pays."""
    is_maker = is_buyer_maker(buy, sell) == (side == BUYER)
    rate_ppm = params.maker_fee_ppm if is_maker else params.taker_fee_ppm
    return compute_fee_ceil(quantity, base, rate_ppm, params.l1_fee)


def compute_account_after(
    side: Side, account: Account, fill: Fill, order: Order, funding_index: int, fee: int
) -> Account:
    """Trades book their whole notional in cash, a perpetual's net of the funding index."""
    quantity, price = side.sign * fill.quantity, fill.price
    price -= funding_index * sum(ratio for instrument, ratio in order.legs if instrument.kind == PERPETUAL)
    traded = [(instrument, quantity * ratio) for instrument, ratio in order.legs]
    return add_positions(replace(account, cash=account.cash - quantity * price - fee), traded)


def count_long_change(account: Account, order: Order, quantity: int) -> int:
    """By how many lots an account gets longer, over all legs, by `quantity` signed lots of the order."""
    held = [(account.get_position(instrument), quantity * ratio) for instrument, ratio in order.legs]
    return sum(max(0, lots + change) - max(0, lots) for lots, change in held)


def is_any_account_other(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """Nobody trades with himself."""
    fill = cast(Fill, op)
    return fill.buyer != fill.seller


def is_order_live(side: Side) -> Check:
    """The check that this side's order lives: something remains, and nothing has ended it."""

    def is_live(ledger: Ledger, context: StepContext, op: Operation) -> bool:
        state = ledger.get_globals()
        order = ledger.require_order(side.slot(op))
        account = ledger.require_account(side.slot(op).account)
        return (
            order.remaining > 0
            and order.generation == state.generation
            and order.epoch == account.epoch
            and state.time <= order.valid_until
        )

    return is_live


def are_sides_opposed(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """One buys and one sells the same thing."""
    buy, sell = get_orders(ledger, op)
    return not buy.is_sell and sell.is_sell and buy.legs == sell.legs


def are_counterparties_named(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """An order that names its counterparty trades with nobody else."""
    fill = cast(Fill, op)
    buy, sell = get_orders(ledger, op)
    return buy.counterparty in (0, fill.seller) and sell.counterparty in (0, fill.buyer)


def are_limits_kept(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """Neither side trades beyond its limit."""
    buy, sell = get_orders(ledger, op)
    return sell.price <= cast(Fill, op).price <= buy.price


def is_price_makers(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """The price is the limit of the order accepted earlier."""
    buy, sell = get_orders(ledger, op)
    return cast(Fill, op).price == (buy.price if is_buyer_maker(buy, sell) else sell.price)


def is_quantity_remaining(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """No order trades more than what remains of it."""
    buy, sell = get_orders(ledger, op)
    return cast(Fill, op).quantity <= min(buy.remaining, sell.remaining)


def is_taker_willing(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """A post-only order never takes."""
    buy, sell = get_orders(ledger, op)
    taker = sell if is_buyer_maker(buy, sell) else buy
    return not taker.flags & FLAG_POST_ONLY


def is_price_in_band(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """No trade far from the marks of what is traded, whoever agrees to it."""
    params, time = ledger.get_params(), ledger.get_globals().time
    order = ledger.require_order(BUYER.slot(op))
    underlying = ledger.require_underlying(order.legs[0][0].underlying)
    fair, size = 0, 0
    for instrument, ratio in order.legs:  # in order of instruments, so in order of expiries
        expiry = ledger.require_expiry(instrument.underlying, instrument.expiry) if instrument.expiry else None
        fair += ratio * compute_mark(instrument, underlying, expiry, time)
        size += abs(ratio) * underlying.mark
    return abs(cast(Fill, op).price - fair) * PPM <= size * params.band_ppm


def is_reducing(side: Side) -> Check:
    """The check that a reduce-only order only reduces, in every leg."""

    def does_reduce(ledger: Ledger, context: StepContext, op: Operation) -> bool:
        order = ledger.require_order(side.slot(op))
        account = ledger.require_account(side.slot(op).account)
        if not order.flags & FLAG_REDUCE_ONLY:
            return True
        traded = [(instrument, side.sign * ratio * cast(Fill, op).quantity) for instrument, ratio in order.legs]
        held = [(account.get_position(instrument), quantity) for instrument, quantity in traded]
        return all(lots * quantity < 0 and abs(lots) >= abs(quantity) for lots, quantity in held)

    return does_reduce


def is_fee_allowed(side: Side) -> Check:
    """The check that this side pays no more than it signed for."""

    def is_allowed(ledger: Ledger, context: StepContext, op: Operation) -> bool:
        fill, params = cast(Fill, op), ledger.get_params()
        buy, sell = get_orders(ledger, op)
        base = compute_fee_base(buy, fill.price, ledger.require_underlying(buy.legs[0][0].underlying))
        fee = compute_side_fee(side, fill.quantity, base, buy, sell, params)
        return fee * PPM <= fill.quantity * base * (buy if side == BUYER else sell).max_fee_ppm

    return is_allowed


class Outcome(NamedTuple):
    """One side of a trade, before and after, and what it pays for it."""

    before: Account
    after: Account
    fee: int


def get_outcome(side: Side, ledger: Ledger, op: Operation) -> Outcome:
    """Reads G, P, both orders, the side's account and the underlying, once a step. Raises SubjectMissing."""
    known = ledger.shared.get(side)
    if known is None:
        known = ledger.shared[side] = compute_outcome(side, ledger, op)
    return cast(Outcome, known)


def compute_outcome(side: Side, ledger: Ledger, op: Operation) -> Outcome:
    """What `get_outcome` answers."""
    fill, params = cast(Fill, op), ledger.get_params()
    buy, sell = get_orders(ledger, op)
    before = ledger.require_account(side.slot(op).account)
    underlying = ledger.require_underlying(buy.legs[0][0].underlying)
    index = compute_funding_index_floor(underlying, ledger.get_globals().time, params)
    base = compute_fee_base(buy, fill.price, underlying)
    fee = compute_side_fee(side, fill.quantity, base, buy, sell, params)
    return Outcome(before, compute_account_after(side, before, fill, buy, index, fee), fee)


def is_account_fitting(side: Side) -> Check:
    """The check that this side's account stays within the protocol's caps."""

    def does_fit(ledger: Ledger, context: StepContext, op: Operation) -> bool:
        return is_within_caps(get_outcome(side, ledger, op).after)

    return does_fit


def is_smaller(outcome: Outcome, order: Order) -> bool:
    """Whether every leg shrinks a position of the account, and turns none around."""
    pairs = [(outcome.before.get_position(leg), outcome.after.get_position(leg)) for leg, _ in order.legs]
    return all(abs(kept) < abs(held) and kept * held >= 0 for held, kept in pairs)


def weigh_side(side: Side, ledger: Ledger, op: Operation) -> tuple[Scales, bool]:
    """This side's account before and after the trade, and whether its prices are fresh. Reads G, P, both orders, the
    account, M*(account, legs). Raises SubjectMissing."""
    params, time = ledger.get_params(), ledger.get_globals().time
    buy, _ = get_orders(ledger, op)
    traded = [instrument for instrument, _ in buy.legs]
    quotes = read_quotes(ledger, ledger.require_account(side.slot(op).account), params, traded)
    quotes = drop_stale_spots(quotes, time, params)
    outcome = get_outcome(side, ledger, op)
    scales = Scales(quotes, time, params, outcome.before, outcome.after)
    return scales, is_fresh(outcome.after, quotes, time, params)


def is_margin_held(side: Side) -> Check:
    """The check that this side is margined after the trade, or smaller in each leg and less short of margin than it was
    in the scenarios that the op names."""

    def does_hold(ledger: Ledger, context: StepContext, op: Operation) -> bool:
        scales, is_priced = weigh_side(side, ledger, op)
        buy, _ = get_orders(ledger, op)
        active = side.active(cast(Fill, op))

        def is_held(exhibit: Exhibit) -> bool:
            after = scales.compute_after(exhibit.after).initial
            if is_priced and after >= 0:
                return True
            if not is_smaller(get_outcome(side, ledger, op), buy):
                return False
            return exhibit.before not in (None, active) or after > scales.compute_before(active).initial

        if ledger.exhibited is not None:
            return is_held(ledger.exhibited)
        ledger.list_exhibits = lambda: (Exhibit(active, scales.name_worst_after()),)
        return is_held(WORST)

    return does_hold


def claim_fill(ledger: Ledger, fill: Fill) -> Fill:
    """The same trade, which names the scenarios in which each side was worst off before it. Raises SubjectMissing."""
    buyer, seller = (weigh_side(side, ledger, fill)[0].name_worst_before() for side in (BUYER, SELLER))
    return replace(fill, buyer_active=buyer, seller_active=seller)


def does_open_interest_fit(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """What is held of the underlying stays within what its market can bear, or does not grow."""
    fill, params = cast(Fill, op), ledger.get_params()
    buy = ledger.require_order(BUYER.slot(op))
    buyer, seller = ledger.require_account(fill.buyer), ledger.require_account(fill.seller)
    traded = buy.legs[0][0].underlying
    underlying = ledger.require_underlying(traded)
    change = count_long_change(buyer, buy, fill.quantity) + count_long_change(seller, buy, -fill.quantity)
    return change <= 0 or underlying.open_interest + change <= params.underlyings[traded].open_interest_max


def are_instruments_live(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """Nothing of what is traded has expired."""
    time = ledger.get_globals().time
    order = ledger.require_order(BUYER.slot(op))
    return all(instrument.expiry == 0 or time < instrument.expiry for instrument, _ in order.legs)


def apply_fill(ledger: Ledger, context: StepContext, op: Operation) -> Receipt:
    """Trade: both orders shrink, both accounts change, open interest follows; fees repay bad debt before anybody earns
    them."""
    fill = cast(Fill, op)
    if fill.buyer == fill.seller:
        raise SubjectMissing("another account")  # else one account would be read once and written twice
    ledger.get_params()
    buy, sell = get_orders(ledger, op)
    traded = buy.legs[0][0].underlying
    ledger.require_account(fill.buyer)
    ledger.require_account(fill.seller)
    underlying = ledger.require_underlying(traded)
    books = ledger.require_asset(0)
    sides = [(side, get_outcome(side, ledger, op)) for side in (BUYER, SELLER)]
    # EFFECTS
    advance_position(ledger, op)
    ledger.put_order(BUYER.slot(op), replace(buy, remaining=buy.remaining - fill.quantity))
    ledger.put_order(SELLER.slot(op), replace(sell, remaining=sell.remaining - fill.quantity))
    for side, outcome in sides:
        ledger.put_account(side.slot(op).account, outcome.after)
    long_change = sum(count_long_change(outcome.before, buy, side.sign * fill.quantity) for side, outcome in sides)
    ledger.put_underlying(traded, replace(underlying, open_interest=underlying.open_interest + long_change))
    fees = sum(outcome.fee for _, outcome in sides)
    repaid = min(fees, books.bad_debt)
    ledger.put_asset(0, replace(books, fees=books.fees + fees - repaid, bad_debt=books.bad_debt - repaid))
    # RECEIPT
    return Receipt(account=fill.buyer)


FILL = Process(
    checks=(
        (Code.FILL_POSITION_MUST_INCREASE, is_position_next),
        (Code.FILL_MUST_NOT_BE_CANCEL_ONLY, is_open_for_risk),
        (Code.FILL_ACCOUNTS_MUST_DIFFER, is_any_account_other),
        (Code.FILL_BUY_ORDER_MUST_BE_LIVE, is_order_live(BUYER)),
        (Code.FILL_SELL_ORDER_MUST_BE_LIVE, is_order_live(SELLER)),
        (Code.FILL_SIDES_MUST_OPPOSE, are_sides_opposed),
        (Code.FILL_COUNTERPARTY_MUST_MATCH, are_counterparties_named),
        (Code.FILL_PRICE_MUST_KEEP_LIMITS, are_limits_kept),
        (Code.FILL_PRICE_MUST_BE_MAKERS, is_price_makers),
        (Code.FILL_QUANTITY_MUST_REMAIN, is_quantity_remaining),
        (Code.FILL_TAKER_MUST_NOT_BE_POST_ONLY, is_taker_willing),
        (Code.FILL_PRICE_MUST_BE_IN_BAND, is_price_in_band),
        (Code.FILL_BUYER_MUST_REDUCE, is_reducing(BUYER)),
        (Code.FILL_SELLER_MUST_REDUCE, is_reducing(SELLER)),
        (Code.FILL_BUYER_FEE_MUST_KEEP_LIMIT, is_fee_allowed(BUYER)),
        (Code.FILL_SELLER_FEE_MUST_KEEP_LIMIT, is_fee_allowed(SELLER)),
        (Code.FILL_BUYER_MUST_FIT, is_account_fitting(BUYER)),
        (Code.FILL_SELLER_MUST_FIT, is_account_fitting(SELLER)),
        (Code.FILL_BUYER_MARGIN_MUST_HOLD, is_margin_held(BUYER)),
        (Code.FILL_SELLER_MARGIN_MUST_HOLD, is_margin_held(SELLER)),
        (Code.FILL_OPEN_INTEREST_MUST_FIT, does_open_interest_fit),
        (Code.FILL_INSTRUMENTS_MUST_BE_LIVE, are_instruments_live),
    ),
    apply_effects=apply_fill,
)
