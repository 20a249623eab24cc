"""Edges of what comes in and what ends: surfaces, baskets, settlements, liquidations, takes and deleveragings."""

import random
from dataclasses import replace

from state.codes import Code
from state.constants import (
    BASKET_MAX,
    EXPIRY_HORIZON,
    EXPIRY_SECOND_OF_DAY,
    EXPIRY_STEP,
    INTEREST_PERIOD,
    NEVER,
    PPM,
    PRICE_MAX,
    QUANTITY_MAX,
    SETTLEMENT_WINDOW,
)
from state.leaves import SCOPE_TRADE, Account, Expiry, future
from state.process_deleverage import compute_value
from state.process_fill import BUYER, SELLER, count_long_change
from state.process_take import read_price
from state.slices import SLICE_ROOM_PPM, cut_slice
from state.tree import account_key, expiry_key, underlying_key
from tests.contracts.scene import Scene, draw_active
from tests.parity.edges import (
    Edge,
    bend_bytes,
    bend_existence,
    bend_key,
    bend_listing,
    bend_position,
    bend_reading_skew,
    bend_readings,
    bend_sequence,
    bend_signature,
    bend_signers,
    hold,
    pick_beside,
    strain,
)


def bend_basket(scene: Scene, chance: random.Random) -> None:
    """Made of others, or not."""
    underlying = scene.decoded.underlying
    basket = chance.choice(((), ((0, PPM),), ((0, 1), (1, 2), (2, 3), (3, 4))[:BASKET_MAX]))
    if chance.random() < 0.1:
        scene.write(underlying_key(underlying), b"")
    else:
        scene.bend_underlying(underlying, basket=basket)


def bend_guard(scene: Scene, chance: random.Random) -> None:
    """About as far as a reading may be from the last one, after less than a minute or more, or without a last one."""
    oracle, last = scene.decoded, scene.underlying(scene.decoded.underlying)
    elapsed = chance.choice((-5, 0, 1, 59, 60, 61, 600))
    scene.bend_underlying(oracle.underlying, oracle_time=chance.choice((0, *[max(0, oracle.time - elapsed)] * 5)))
    times = 1 + max(0, elapsed) // 60
    old, new = chance.choice(((last.spot, oracle.spot), (last.mark, oracle.mark)))
    guard_ppm = abs(new - old) * PPM // (max(old, 1) * times)
    scene.bend_params(guard_ppm=pick_beside(chance, guard_ppm, 0xFFFFFFFF))


# Fills of what expires


def bend_open_interest(scene: Scene, chance: random.Random) -> None:
    """About as many lots as may be held long."""
    fill, params = scene.decoded, scene.ledger.get_params()
    buy = scene.order(BUYER.slot(fill))
    traded = buy.legs[0][0].underlying
    change = sum(
        count_long_change(scene.account(side.slot(fill).account), buy, side.sign * fill.quantity)
        for side in (BUYER, SELLER)
    )
    most = pick_beside(chance, scene.underlying(traded).open_interest + change)
    terms = list(params.underlyings)
    terms[traded] = terms[traded]._replace(open_interest_max=most)
    scene.bend_params(underlyings=tuple(terms))


def bend_life_of_instrument(scene: Scene, chance: random.Random) -> None:
    """About the second of an expiry."""
    slot = BUYER.slot(scene.decoded)
    underlying, now = scene.order(slot).legs[0][0].underlying, scene.ledger.get_globals().time
    expiry = now // EXPIRY_STEP * EXPIRY_STEP + EXPIRY_SECOND_OF_DAY
    scene.bend_order(slot, legs=((future(underlying, expiry), 1),))
    scene.bend_globals(time=pick_beside(chance, expiry))


# surface


def bend_expiry_leaf(scene: Scene, **changes: int) -> None:
    """Change fields of the op's expiry, which may not be there yet."""
    surface = scene.decoded
    leaf = scene.ledger.get_expiry(surface.underlying, surface.expiry) or Expiry()
    scene.write(expiry_key(surface.underlying, surface.expiry), replace(leaf, **changes).encode())


def bend_surface_time(scene: Scene, chance: random.Random) -> None:
    """Later than the last reading, or the first."""
    surface = scene.decoded
    if chance.random() < 0.2:
        scene.write(expiry_key(surface.underlying, surface.expiry), b"")
    else:
        bend_expiry_leaf(scene, time=pick_beside(chance, surface.time))


def bend_surface_age(scene: Scene, chance: random.Random) -> None:
    """As old as it may be; at either end of the window as old as it likes."""
    surface = scene.decoded
    if chance.random() < 0.3:
        scene.bend_op(time=pick_beside(chance, chance.choice((surface.expiry - SETTLEMENT_WINDOW, surface.expiry - 1))))
    oldest = scene.decoded.time + scene.ledger.get_params().oracle_age_max
    scene.bend_globals(time=pick_beside(chance, oldest))


def bend_horizon(scene: Scene, chance: random.Random) -> None:
    """As far ahead as anything may expire."""
    scene.bend_globals(time=pick_beside(chance, scene.decoded.expiry - EXPIRY_HORIZON))


def bend_window(scene: Scene, chance: random.Random) -> None:
    """Within the window: entered by its first second or not, an average of prices at an end of theirs, a forward about
    what is known."""
    surface = scene.decoded
    start = surface.expiry - SETTLEMENT_WINDOW
    seconds, start_integral = chance.choice((0, 1, 2, 1799, 1800)), chance.choice((0, 7, 1 << 70))
    bend_expiry_leaf(scene, time=pick_beside(chance, start), start_integral=start_integral)
    price = chance.choice((1, 10**7, PRICE_MAX - 1))
    accrued = pick_beside(chance, seconds * price, 1 << 80)
    known = accrued // SETTLEMENT_WINDOW
    forward = max(1, min(PRICE_MAX - 1, pick_beside(chance, known)))
    integral = start_integral + accrued if chance.random() < 0.9 else max(0, start_integral - 1)
    scene.bend_op(time=start + seconds, integral=integral, forward=forward)


# index


def bend_components(scene: Scene, chance: random.Random) -> None:
    """One component that was never read, or is not there."""
    basket = scene.underlying(scene.decoded.underlying).basket
    component, _ = chance.choice(basket)
    if chance.random() < 0.2:
        scene.write(underlying_key(component), b"")
    else:
        scene.bend_underlying(component, oracle_time=chance.choice((0, 1)))


def bend_basket_time(scene: Scene, chance: random.Random) -> None:
    """About as old as the oldest component; one without any is older than nothing."""
    index = scene.decoded.underlying
    if chance.random() < 0.1:
        scene.bend_underlying(index, basket=())
        return
    oldest = min(scene.underlying(component).oracle_time for component, _ in scene.underlying(index).basket)
    scene.bend_underlying(index, oracle_time=pick_beside(chance, oldest))


# settle


def bend_settlement(scene: Scene, chance: random.Random) -> None:
    """Prices that are there or not, of what expires about now; or nobody holds anything."""
    settle = scene.decoded
    dated = [instrument for instrument, _ in scene.account(settle.account).positions if instrument.expiry]
    for instrument in dated:
        leaf = scene.ledger.require_expiry(instrument.underlying, instrument.expiry)
        key = expiry_key(instrument.underlying, instrument.expiry)
        scene.write(key, replace(leaf, settlement=chance.choice((0, 0, 1, leaf.settlement))).encode())
    if dated and chance.random() < 0.3:
        scene.bend_globals(time=pick_beside(chance, chance.choice(dated).expiry))
    if chance.random() < 0.1:
        scene.bend_account(settle.account, positions=())


# liquidate


def bend_claims(*names: str) -> Edge:
    """What the op claims is so or beside it, or by other scenarios, or what it is about has changed."""

    def bend(scene: Scene, chance: random.Random) -> None:
        op = scene.decoded
        named = [name for name in ("active", "target_active", "rest_active") if hasattr(op, name)]
        if named and chance.random() < 0.2:
            scene.bend_op(**{chance.choice(named): draw_active(chance)})
            return
        if chance.random() < 0.6:
            name = chance.choice(names)
            scene.bend_op(**{name: max(0 if name == "relief" else -NEVER, getattr(op, name) + chance.choice((-1, 1)))})
            return
        index = next(getattr(op, name) for name in ("target", "bankrupt", "account") if hasattr(op, name))
        positions = scene.account(index).positions
        if positions:
            strain(scene, chance, positions[0][0].underlying)

    return bend


def bend_change(scene: Scene, chance: random.Random) -> None:
    """Bad or not, by maintenance or by quote equity; up for auction or not; or nothing but a debt."""
    op, debt_max = scene.decoded, scene.ledger.get_params().quote_debt_max
    scene.bend_op(maintenance=chance.choice((-1, 0, 1)), quote_equity=-debt_max + chance.choice((-1, 0, 1)))
    scene.bend_account(op.account, liquidation_from=chance.choice((0, 1)))
    if chance.random() < 0.3:
        scene.bend_account(op.account, positions=(), collateral=(), cash=chance.choice((-1, 0)))


# interest


def bend_interest(scene: Scene, chance: random.Random) -> None:
    """About to owe or not; a clock that has run for about a period, or does not; no rate, or an auction."""
    op, time = scene.decoded, scene.ledger.get_globals().time
    begun = max(1, time - INTEREST_PERIOD + chance.choice((-1, 0, 1)))
    scene.bend_op(quote_equity=chance.choice((-1, 0, 1)))
    scene.bend_account(op.account, interest_from=chance.choice((0, begun)), liquidation_from=chance.choice((0, 0, 1)))
    scene.bend_params(debt_rate_ppm=chance.choice((0, 1, 100_000)))


# take


def bend_clock(scene: Scene, chance: random.Random) -> None:
    """An auction that begins about now, by liquidation or by a forced close, or none; of oneself, or of nobody."""
    take, now = scene.decoded, scene.ledger.get_globals().time
    match chance.randrange(8):
        case 0:
            scene.bend_op(target=take.account)
        case 1:
            scene.write(account_key(take.target), b"")
        case 2 | 3 | 4:
            asked = pick_beside(chance, now)
            scene.bend_account(take.target, liquidation_from=0, close_from=chance.choice((0, asked, asked)))
        case _:
            scene.bend_account(take.target, liquidation_from=chance.choice((0, pick_beside(chance, now))))


def bend_bid_expiry(scene: Scene, chance: random.Random) -> None:
    """About its last second."""
    scene.bend_globals(time=pick_beside(chance, scene.decoded.valid_until))


def bend_slice(scene: Scene, chance: random.Random) -> None:
    """About as much as may be taken at once; anything where nothing is left, or in a forced close."""
    missing_ppm = chance.randrange(500_000)
    requirement = chance.choice((1, 999, 10**12))
    maintenance = -(requirement * missing_ppm // PPM)
    most = 2 * (-maintenance * PPM // requirement) + SLICE_ROOM_PPM
    slice_ppm = max(1, min(PPM, pick_beside(chance, most)))
    equity = chance.choice((requirement + maintenance, requirement + maintenance, 0))
    scene.bend_op(equity=equity, maintenance=maintenance if equity else -1, slice_ppm=slice_ppm)
    scene.bend_account(scene.decoded.target, liquidation_from=chance.choice((0, 1, 1, 1)))


def bend_discount(scene: Scene, chance: random.Random) -> None:
    """About the discount that there is, early or late, with a fund or without."""
    take, params, now = scene.decoded, scene.ledger.get_params(), scene.ledger.get_globals().time
    elapsed = chance.randrange(3 * params.auction_seconds)
    scene.bend_account(take.target, liquidation_from=max(1, now - elapsed))
    scene.bend_books(fund=chance.choice((-5, 0, 10**6, 10**15)))
    scene.bend_op(equity=chance.choice((take.equity, 0, -5, 10**9)))
    scene.bend_op(discount_min=pick_beside(chance, read_price(scene.ledger, scene.decoded).discount))


def bend_bidder(scene: Scene, chance: random.Random) -> None:
    """About as large a position as may be, or as many."""
    take = scene.decoded
    parts = cut_slice(scene.account(take.target), take.slice_ppm).positions
    if not parts or chance.random() < 0.2:
        scene.bend_account(take.account, cash=chance.choice((1, -1)) * (1 << 112))
        return
    instrument, lots = chance.choice(parts)
    sign = 1 if lots > 0 else -1
    hold(scene, take.account, instrument, sign * pick_beside(chance, QUANTITY_MAX - abs(lots)))


def bend_bidder_margin(scene: Scene, chance: random.Random) -> None:
    """Little money, or prices that cover nothing."""
    take = scene.decoded
    if chance.random() < 0.5:
        scene.bend_account(take.account, cash=chance.choice((0, 10**9, 10**15)))
        return
    positions = scene.account(take.target).positions
    if positions:
        strain(scene, chance, positions[0][0].underlying)


# deleverage


def bend_pair(scene: Scene, chance: random.Random) -> None:
    """One of both is gone, or they are one."""
    op = scene.decoded
    match chance.randrange(4):
        case 0:
            scene.bend_op(counterparty=op.bankrupt)
        case 1:
            scene.write(account_key(op.bankrupt), b"")
        case 2:
            scene.write(account_key(op.counterparty), b"")
        case _:
            pass


def bend_due(scene: Scene, chance: random.Random) -> None:
    """About the end of the auction."""
    op, params, now = scene.decoded, scene.ledger.get_params(), scene.ledger.get_globals().time
    begun = pick_beside(chance, max(0, now - 2 * params.auction_seconds))
    scene.bend_account(op.bankrupt, liquidation_from=chance.choice((0, begun, begun)))


def bend_claimed_mark(scene: Scene, chance: random.Random) -> None:
    """The mark or beside it; or there is none."""
    op = scene.decoded
    if chance.random() < 0.1:
        scene.write(underlying_key(op.instrument.underlying), b"")
    else:
        scene.bend_op(mark=pick_beside(chance, op.mark, PRICE_MAX - 1))


def bend_claimed_notional(scene: Scene, chance: random.Random) -> None:
    """The notional or beside it; or a mark is missing."""
    op = scene.decoded
    if chance.random() < 0.1:
        scene.write(underlying_key(op.instrument.underlying), b"")
    else:
        scene.bend_op(notional=pick_beside(chance, op.notional, 1 << 120))


def bend_closing(scene: Scene, chance: random.Random) -> None:
    """About as much as one of them holds, on the other's side or on the same."""
    op = scene.decoded
    held = scene.account(op.bankrupt).get_position(op.instrument)
    sign = (1 if held > 0 else -1) * chance.choice((1, 1, 1, -1))
    index, side = chance.choice(((op.bankrupt, sign), (op.counterparty, -sign)))
    hold(scene, index, op.instrument, side * pick_beside(chance, op.quantity))


def bend_rank(scene: Scene, chance: random.Random) -> None:
    """A third one on the same side, a little more or less leveraged, or with nothing at all."""
    op, ledger = scene.decoded, scene.ledger
    counterparty: Account = scene.account(op.counterparty)
    held = counterparty.get_position(op.instrument)
    value = compute_value(ledger, op, ledger.require_underlying(op.instrument.underlying))
    wealth = counterparty.cash + held * value
    others = [index for index, _ in ledger.peek_accounts() if index not in (op.counterparty, op.bankrupt)]
    other = chance.choice(others)
    times = chance.choice((1, 2, 3))
    hold(scene, other, op.instrument, max(-QUANTITY_MAX, min(QUANTITY_MAX, held * times)))
    lots = scene.account(other).get_position(op.instrument)
    wanted = chance.choice((times * wealth, times * wealth, 0, 1)) + chance.choice((-1, 0, 1))
    scene.bend_account(other, cash=wanted - lots * value)


ENDING_EDGES: dict[Code, Edge] = {
    Code.ORACLE_UNDERLYING_MUST_NOT_BE_A_BASKET: bend_basket,
    Code.ORACLE_MUST_NOT_JUMP: bend_guard,
    Code.FILL_OPEN_INTEREST_MUST_FIT: bend_open_interest,
    Code.FILL_INSTRUMENTS_MUST_BE_LIVE: bend_life_of_instrument,
    Code.SURFACE_UNDERLYING_MUST_BE_LISTED: bend_listing,
    Code.SURFACE_TIME_MUST_ADVANCE: bend_surface_time,
    Code.SURFACE_MUST_NOT_BE_STALE: bend_surface_age,
    Code.SURFACE_MUST_NOT_BE_AHEAD: bend_reading_skew,
    Code.SURFACE_EXPIRY_MUST_BE_NEAR: bend_horizon,
    Code.SURFACE_MUST_KEEP_WINDOW: bend_window,
    Code.SURFACE_SIGNERS_MUST_SUFFICE: bend_signers,
    Code.SURFACE_SIGNATURES_MUST_VERIFY: bend_readings,
    Code.INDEX_MUST_BE_A_BASKET: bend_basket,
    Code.INDEX_COMPONENTS_MUST_BE_READ: bend_components,
    Code.INDEX_TIME_MUST_ADVANCE: bend_basket_time,
    Code.SETTLE_ACCOUNT_MUST_EXIST: bend_existence,
    Code.SETTLE_MUST_FIND_SETTLED: bend_settlement,
    Code.LIQUIDATE_ACCOUNT_MUST_EXIST: bend_existence,
    Code.LIQUIDATE_MARGIN_MUST_MATCH: bend_claims("equity", "maintenance", "quote_equity"),
    Code.LIQUIDATE_MUST_CHANGE: bend_change,
    Code.INTEREST_ACCOUNT_MUST_EXIST: bend_existence,
    Code.INTEREST_QUOTE_EQUITY_MUST_MATCH: bend_claims("quote_equity"),
    Code.INTEREST_MUST_CHANGE: bend_interest,
    Code.TAKE_ACCOUNT_MUST_EXIST: bend_existence,
    Code.TAKE_TARGET_MUST_BE_OPEN: bend_clock,
    Code.TAKE_MUST_NOT_BE_EXPIRED: bend_bid_expiry,
    Code.TAKE_SEQUENCE_MUST_RISE: bend_sequence,
    Code.TAKE_MARGIN_MUST_MATCH: bend_claims("equity", "maintenance", "value", "relief"),
    Code.TAKE_SLICE_MUST_BE_NEEDED: bend_slice,
    Code.TAKE_DISCOUNT_MUST_SUFFICE: bend_discount,
    Code.TAKE_BIDDER_MUST_FIT: bend_bidder,
    Code.TAKE_BIDDER_MARGIN_MUST_HOLD: bend_bidder_margin,
    Code.TAKE_KEY_MUST_BE_LIVE: bend_key(SCOPE_TRADE),
    Code.TAKE_SIGNATURE_MUST_VERIFY: bend_signature,
    Code.DELEVERAGE_ACCOUNTS_MUST_EXIST: bend_pair,
    Code.DELEVERAGE_MUST_BE_DUE: bend_due,
    Code.DELEVERAGE_MARGIN_MUST_MATCH: bend_claims("equity", "maintenance"),
    Code.DELEVERAGE_MARK_MUST_MATCH: bend_claimed_mark,
    Code.DELEVERAGE_NOTIONAL_MUST_MATCH: bend_claimed_notional,
    Code.DELEVERAGE_QUANTITY_MUST_FIT: bend_closing,
    Code.DELEVERAGE_RANK_MUST_BE_FIRST: bend_rank,
    **{code: bend_bytes for code in Code if code >= 1100 and code % 100 == 0},
    **{code: bend_position for code in Code if code >= 1100 and code % 100 == 1},
}
