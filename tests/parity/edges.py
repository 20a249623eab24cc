"""Every check of the ops of trade put to its edge: one step beside it on either side, or its subject gone.

An edge bends a scene in which all checks hold: the leaves before the step, the header, or the op itself. Whether the
check then fails is for the rules to say; drawn often enough, each edge falls on both sides. Signatures are not made
anew, so a signed op that is bent fails its signature too, which stands last but for custody.
"""

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

from risk.parameter_sets import make_linear
from state.batches import FLAG_RESCUE
from state.codes import Code, Kind
from state.constants import (
    ACCOUNT_UNDERLYINGS_MAX,
    ACCOUNTS_MAX,
    AMOUNT_MAX,
    ASSETS_MAX,
    CASH_MAX,
    CUSTODY_MAX,
    EXPIRY_SECOND_OF_DAY,
    FEE_PPM_MAX,
    KEYS_MAX,
    NEVER,
    PPM,
    PRICE_MAX,
    QUANTITY_MAX,
    RULES_OFFSET,
    SLOTS_PER_ACCOUNT,
    UNDERLYINGS_MAX,
)
from state.leaves import (
    FLAG_POST_ONLY,
    FLAG_REDUCE_ONLY,
    FLAG_SELL,
    SCOPE_TRADE,
    SCOPE_TRANSFER,
    SCOPE_WITHDRAW,
    Instrument,
    Order,
    perpetual,
)
from state.operations import OrderOp, Surface
from state.process_fill import BUYER, SELLER, Side, get_orders
from state.rules import encode_rules
from state.signatures import SECP256K1_ORDER
from state.tree import Collection, account_key, expiry_key, leaf_key, order_key, underlying_key
from tests.contracts.scene import Scene, compute_fair_price

Edge = Callable[[Scene, random.Random], None]

ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493
SIGNATURE_BYTES = 64


def pick_beside(chance: random.Random, edge: int, most: int = NEVER) -> int:
    """A number at an edge or one beside it, from 0 to `most`."""
    return max(0, min(most, edge + chance.choice((-1, 0, 1))))


# What all kinds share


def bend_bytes(scene: Scene, chance: random.Random) -> None:
    """A byte too many or too few, a field out of its bounds, or a place where no such op stands."""
    bound = STATIC_BOUNDS.get(Kind(scene.op[0]))
    ways: list[Callable[[], object]] = [
        lambda: setattr(scene, "op", scene.op + b"\0"),
        lambda: setattr(scene, "op", scene.op[: max(1, len(scene.op) - 1)]),
        lambda: setattr(scene, "context", scene.context.at(chance.choice((0, 1, scene.context.header.step_count - 1)))),
        lambda: scene.bend_header(step_count=scene.context.step + chance.randrange(3)),
        lambda: scene.bend_header(flags=scene.context.header.flags ^ FLAG_RESCUE),
    ]
    if bound is not None:
        ways += [lambda: bound(scene, chance)] * 5
    chance.choice(ways)()


def bend_position(scene: Scene, chance: random.Random) -> None:
    """Beside the next position, or beside the end of the log."""
    position = scene.decoded.position
    if chance.random() < 0.5:
        scene.bend_globals(next_position=pick_beside(chance, position))
    else:
        scene.bend_header(position_to=pick_beside(chance, position))


def bend_cancel_only(scene: Scene, chance: random.Random) -> None:
    """The interval ends about now, or has not begun."""
    now = scene.ledger.get_globals().time
    scene.bend_globals(cancel_only_until=chance.choice((pick_beside(chance, now), NEVER)))


def bend_existence(scene: Scene, chance: random.Random) -> None:
    """The op's account is there or gone."""
    if chance.random() < 0.7:
        scene.write(account_key(scene.decoded.account), b"")


def bend_key(scope: int) -> Edge:
    """The key expires about now, may do all but this, or is not there."""

    def bend(scene: Scene, chance: random.Random) -> None:
        op = scene.decoded
        keys = list(scene.account(op.account).keys)
        now = scene.ledger.get_globals().time
        index = min(op.key_index, len(keys) - 1)
        match chance.randrange(5):
            case 0 | 1:
                keys[index] = keys[index]._replace(expiry=pick_beside(chance, now))
            case 2:
                keys[index] = keys[index]._replace(scope=chance.choice((0, scope, 255, 255 ^ scope)))
            case 3:
                keys = keys[: op.key_index]
            case _:
                scene.write(account_key(op.account), b"")
                return
        scene.bend_account(op.account, keys=tuple(keys))

    return bend


def bend_signature(scene: Scene, chance: random.Random) -> None:
    """Another signature, another key, other words, or the same signature written otherwise."""
    op, at = scene.decoded, len(scene.op) - SIGNATURE_BYTES
    keys = list(scene.account(op.account).keys)
    match chance.randrange(8):
        case 0 | 1:
            at += chance.randrange(SIGNATURE_BYTES)
            scene.op = scene.op[:at] + bytes([scene.op[at] ^ 1 << chance.randrange(8)]) + scene.op[at + 1 :]
        case 2:
            s = int.from_bytes(scene.op[-32:], "little") + ED25519_ORDER
            scene.op = scene.op[:-32] + (s % (1 << 256)).to_bytes(32, "little")
        case 3:
            scene.op = scene.op[:at] + chance.choice((bytes(32), b"\1" + bytes(31), chance.randbytes(32))) + bytes(32)
        case 4:
            # Another key, which may be no point at all.
            keys[op.key_index] = keys[op.key_index]._replace(public_key=chance.randbytes(32))
            scene.bend_account(op.account, keys=tuple(keys))
        case 5:
            scene.bend_account(op.account, keys=tuple(keys[: op.key_index]))
        case 6:
            scene.op = scene.op[:1] + chance.randbytes(8) + scene.op[9:]  # the position is nobody's to sign
        case _:
            pass


# open, close, tick, l1


def bend_batch(scene: Scene, chance: random.Random) -> None:
    """Batches are counted without gaps."""
    scene.bend_header(index=pick_beside(chance, scene.context.header.index))


def bend_generation(scene: Scene, chance: random.Random) -> None:
    """Generations never fall."""
    scene.bend_globals(generation=pick_beside(chance, scene.context.header.generation))


def bend_time_from(scene: Scene, chance: random.Random) -> None:
    """The batch begins when the last one ended."""
    scene.bend_header(time_from=pick_beside(chance, scene.context.header.time_from))


def bend_position_from(scene: Scene, chance: random.Random) -> None:
    """The log goes on, or starts anew."""
    header = scene.context.header
    if chance.random() < 0.3:
        scene.bend_globals(generation=max(0, header.generation - chance.randrange(2)))
    scene.bend_header(position_from=chance.choice((0, pick_beside(chance, header.position_from))))


def bend_cursor(scene: Scene, chance: random.Random) -> None:
    """As many messages as were taken."""
    scene.bend_header(inbox_cursor=pick_beside(chance, scene.ledger.get_globals().inbox_cursor))


def bend_inbox_hash(scene: Scene, chance: random.Random) -> None:
    """Those messages and no others."""
    held = scene.ledger.get_globals().inbox_hash
    scene.bend_header(inbox_hash=chance.choice((held, bytes(32), chance.randbytes(32))))


def bend_time(scene: Scene, chance: random.Random) -> None:
    """The time to which the steps moved."""
    scene.bend_header(time=pick_beside(chance, scene.ledger.get_globals().time))


def bend_position_to(scene: Scene, chance: random.Random) -> None:
    """The log does not end before the last op."""
    scene.bend_header(position_to=pick_beside(chance, scene.ledger.get_globals().next_position))


def bend_oracle_time(scene: Scene, chance: random.Random) -> None:
    """The oldest reading on which somebody depends; the state time when nobody does."""
    count = scene.ledger.get_globals().underlying_count
    for index in range(count):
        if chance.random() < 0.5:
            scene.bend_underlying(index, open_interest=chance.choice((0, 0, 1, NEVER)))
    exposed = [scene.underlying(i).oracle_time for i in range(count) if scene.underlying(i).open_interest > 0]
    oldest = min(exposed, default=scene.context.header.time)
    scene.bend_header(oracle_time=chance.choice((oldest, oldest, pick_beside(chance, oldest), NEVER)))


def bend_tick(scene: Scene, chance: random.Random) -> None:
    """Time moves forward."""
    scene.bend_globals(time=pick_beside(chance, scene.decoded.time))


def bend_tick_limit(scene: Scene, chance: random.Random) -> None:
    """Not beyond what L1 has checked."""
    scene.bend_header(time=pick_beside(chance, scene.decoded.time))


def bend_index(scene: Scene, chance: random.Random) -> None:
    """In order."""
    scene.bend_globals(inbox_cursor=pick_beside(chance, scene.decoded.index))


def bend_index_limit(scene: Scene, chance: random.Random) -> None:
    """Not beyond what L1 has checked."""
    scene.bend_header(inbox_cursor=pick_beside(chance, scene.decoded.index))


# oracle


def bend_listing(scene: Scene, chance: random.Random) -> None:
    """The op's underlying is the last that is listed, or just not."""
    op = scene.decoded
    underlying = op.terms.instrument.underlying if isinstance(op, OrderOp) else op.underlying
    scene.bend_globals(underlying_count=pick_beside(chance, underlying + 1))
    dated = [leg.expiry for leg, _ in op.terms.legs if leg.expiry] if isinstance(op, OrderOp) else []
    if dated:
        way = chance.randrange(3)
        scene.bend_globals(underlying_count=underlying + 1)
        if way == 0:
            scene.write(expiry_key(underlying, dated[0]), b"")
        elif way == 1:
            scene.bend_globals(time=pick_beside(chance, dated[-1]))


def bend_reading_time(scene: Scene, chance: random.Random) -> None:
    """Later than the last reading; of one that is not there nothing is later."""
    oracle = scene.decoded
    if chance.random() < 0.1:
        scene.write(underlying_key(oracle.underlying), b"")
    else:
        scene.bend_underlying(oracle.underlying, oracle_time=pick_beside(chance, oracle.time))


def bend_reading_age(scene: Scene, chance: random.Random) -> None:
    """As old as it may be."""
    scene.bend_globals(time=pick_beside(chance, scene.decoded.time + scene.ledger.get_params().oracle_age_max))


def bend_reading_skew(scene: Scene, chance: random.Random) -> None:
    """As far ahead as it may be."""
    scene.bend_globals(time=pick_beside(chance, scene.decoded.time - scene.ledger.get_params().oracle_skew_max))


def bend_signers(scene: Scene, chance: random.Random) -> None:
    """As many as the threshold, and none beyond the list."""
    mask, params = scene.decoded.signer_mask, scene.ledger.get_params()
    if chance.random() < 0.5:
        scene.bend_params(oracle_threshold=pick_beside(chance, mask.bit_count()))
    else:
        count = max(1, pick_beside(chance, mask.bit_length(), 5))
        scene.bend_params(oracle_signers=(*params.oracle_signers, b"\x11" * 20, b"\x12" * 20)[:count])


def bend_readings(scene: Scene, chance: random.Random) -> None:
    """Another signature, the same one mirrored, another order, another signer, or other words."""
    oracle, params = scene.decoded, scene.ledger.get_params()
    signatures = list(oracle.signatures)
    index = chance.randrange(len(signatures))
    one = signatures[index]
    match chance.randrange(8):
        case 0:
            signatures[index] = replace(one, v=chance.choice((0, 1, 27, 28, 29)))
        case 1:
            signatures[index] = replace(one, r=chance.choice((bytes(32), b"\xff" * 32, chance.randbytes(32))))
        case 2:
            # The mirrored signature recovers to the same signer; only the bound on s refuses it.
            mirrored = (SECP256K1_ORDER - int.from_bytes(one.s)).to_bytes(32)
            signatures[index] = replace(one, s=mirrored, v=55 - one.v)
        case 3:
            signatures[index] = replace(one, s=chance.choice((bytes(32), b"\xff" * 32, chance.randbytes(32))))
        case 4:
            signatures.reverse()
        case 5:
            signers = list(params.oracle_signers)
            chance.shuffle(signers)
            scene.bend_params(oracle_signers=tuple(signers))
        case 6:
            said = "forward" if isinstance(oracle, Surface) else "mark"
            scene.bend_op(**{said: getattr(oracle, said) ^ 1 or 2})
            return
        case _:
            scene.bend_params(oracle_signers=params.oracle_signers[: max(1, oracle.signer_mask.bit_length() - 1)])
    scene.bend_op(signatures=tuple(signatures))


# order and cancel


def bend_accepted(scene: Scene, chance: random.Random) -> None:
    """Accepted at its own position, or just after."""
    scene.bend_op(accepted=pick_beside(chance, scene.decoded.position))


def bend_order_generation(scene: Scene, chance: random.Random) -> None:
    """Signed for this generation."""
    op = scene.decoded
    generation = op.terms.generation if isinstance(op, OrderOp) else op.generation
    scene.bend_globals(generation=pick_beside(chance, generation))


def bend_epoch(scene: Scene, chance: random.Random) -> None:
    """Signed in this epoch."""
    terms = scene.decoded.terms
    scene.bend_account(terms.account, epoch=pick_beside(chance, terms.epoch))


def bend_expiry(scene: Scene, chance: random.Random) -> None:
    """About its last second."""
    scene.bend_globals(time=pick_beside(chance, scene.decoded.terms.valid_until))


def bend_counter(scene: Scene, chance: random.Random) -> None:
    """About the counter of the slot, in which something lives or nothing does."""
    op = scene.decoded
    terms = op.terms if isinstance(op, OrderOp) else op
    held = Order(counter=pick_beside(chance, terms.counter), remaining=chance.randrange(2))
    scene.write(order_key(terms.account, terms.slot), held.encode())


# fill


def pick_side(chance: random.Random) -> Side:
    """Either side."""
    return chance.choice((BUYER, SELLER))


def bend_accounts(scene: Scene, chance: random.Random) -> None:
    """One account on both sides, in one slot or in two."""
    fill = scene.decoded
    if chance.random() < 0.7:
        scene.bend_op(seller=fill.buyer, seller_slot=chance.choice((fill.buyer_slot, fill.seller_slot)))


def bend_life(side: Side) -> Edge:
    """Something has ended the order, or nearly."""

    def bend(scene: Scene, chance: random.Random) -> None:
        slot, now = side.slot(scene.decoded), scene.ledger.get_globals()
        epoch = scene.account(slot.account).epoch
        ways: list[Callable[[], object]] = [
            lambda: scene.bend_order(slot, remaining=chance.randrange(2)),
            lambda: scene.bend_order(slot, generation=pick_beside(chance, now.generation)),
            lambda: scene.bend_order(slot, valid_until=pick_beside(chance, now.time)),
            lambda: scene.bend_order(slot, epoch=pick_beside(chance, epoch)),
            lambda: scene.bend_order(slot, legs=()),
            lambda: scene.write(order_key(*slot), b""),
            lambda: scene.write(account_key(slot.account), b""),
        ]
        chance.choice(ways)()

    return bend


def bend_sides(scene: Scene, chance: random.Random) -> None:
    """A buyer who sells, a seller who buys, or two things traded."""
    slot = pick_side(chance).slot(scene.decoded)
    order = scene.order(slot)
    other = Instrument(order.legs[0][0].underlying ^ chance.randrange(2), 0, 0, 0)
    changes = chance.choice(({"flags": order.flags ^ FLAG_SELL}, {"legs": ((other, 1),)}, {"legs": ()}))
    scene.bend_order(slot, **changes)


def bend_counterparty(scene: Scene, chance: random.Random) -> None:
    """The other one is named, or his neighbour."""
    fill, side = scene.decoded, pick_side(chance)
    other = fill.seller if side == BUYER else fill.buyer
    scene.bend_order(side.slot(fill), counterparty=pick_beside(chance, other))


def bend_limits(scene: Scene, chance: random.Random) -> None:
    """About either limit."""
    buy, sell = get_orders(scene.ledger, scene.decoded)
    scene.bend_op(price=max(1, min(PRICE_MAX, pick_beside(chance, chance.choice((buy.price, sell.price))))))


def bend_makers_price(scene: Scene, chance: random.Random) -> None:
    """About the maker's limit, and either may be the maker."""
    fill, side = scene.decoded, pick_side(chance)
    scene.bend_order(side.slot(fill), price=pick_beside(chance, fill.price))
    scene.bend_order(BUYER.slot(fill), accepted=chance.randrange(3))
    scene.bend_order(SELLER.slot(fill), accepted=chance.randrange(3))


def bend_remaining(scene: Scene, chance: random.Random) -> None:
    """About what remains."""
    fill = scene.decoded
    scene.bend_order(pick_side(chance).slot(fill), remaining=pick_beside(chance, fill.quantity))


def bend_post_only(scene: Scene, chance: random.Random) -> None:
    """Either may be post-only and either the taker, also when both were accepted at once."""
    fill = scene.decoded
    for side in (BUYER, SELLER):
        flags = scene.order(side.slot(fill)).flags & ~FLAG_POST_ONLY | chance.choice((0, FLAG_POST_ONLY))
        scene.bend_order(side.slot(fill), accepted=chance.randrange(2), flags=flags)


def bend_band(scene: Scene, chance: random.Random) -> None:
    """About either end of the band, or there is no mark."""
    params, fill = scene.ledger.get_params(), scene.decoded
    traded = scene.order(BUYER.slot(fill)).legs[0][0].underlying
    if chance.random() < 0.1:
        scene.write(underlying_key(traded), b"")
        return
    fair, size = compute_fair_price(scene.ledger, scene.order(BUYER.slot(fill)).legs)
    distance = size * params.band_ppm // PPM * chance.choice((-1, 1)) + chance.choice((-1, 0, 1))
    scene.bend_op(price=max(1 - PRICE_MAX, min(PRICE_MAX - 1, fair + distance)))


def bend_reduction(side: Side) -> Edge:
    """A reduce-only order of about as much as is held against it."""

    def bend(scene: Scene, chance: random.Random) -> None:
        fill = scene.decoded
        slot = side.slot(fill)
        order = scene.order(slot)
        scene.bend_order(slot, flags=order.flags | chance.choice((0, FLAG_REDUCE_ONLY, FLAG_REDUCE_ONLY)))
        for instrument, ratio in order.legs:
            lots = max(0, fill.quantity * abs(ratio) + chance.choice((-1, 0, 0, 0, 1)))
            held = lots * (-side.sign if ratio > 0 else side.sign) * chance.choice((1, 1, 1, 1, -1))
            hold(scene, slot.account, instrument, held)

    return bend


def hold(scene: Scene, account: int, instrument: Instrument, quantity: int) -> None:
    """Give an account a position, or take it away."""
    others = [item for item in scene.account(account).positions if item[0] != instrument]
    positions = sorted([*others, (instrument, quantity)] if quantity else others)
    scene.bend_account(account, positions=tuple(positions))


def bend_fee(side: Side) -> Edge:
    """A signed limit of about the fee; the fixed part of it weighs most in a small trade."""

    def bend(scene: Scene, chance: random.Random) -> None:
        fill, params = scene.decoded, scene.ledger.get_params()
        rate = chance.choice((params.maker_fee_ppm, params.taker_fee_ppm))
        scene.bend_params(l1_fee=chance.choice((0, 0, params.l1_fee, NEVER)))
        scene.bend_order(side.slot(fill), max_fee_ppm=pick_beside(chance, rate, FEE_PPM_MAX))

    return bend


def bend_fit(side: Side) -> Edge:
    """About as much as one position, or all of them, or cash may be."""

    def bend(scene: Scene, chance: random.Random) -> None:
        fill = scene.decoded
        slot = side.slot(fill)
        instrument = scene.order(BUYER.slot(fill)).legs[0][0]
        match chance.randrange(4):
            case 0:
                held = QUANTITY_MAX - fill.quantity
                hold(scene, slot.account, instrument, side.sign * pick_beside(chance, held))
            case 1:
                count = ACCOUNT_UNDERLYINGS_MAX - chance.randrange(2)
                others = [perpetual(50 + i) for i in range(count)]
                scene.bend_account(slot.account, positions=tuple((other, 1) for other in others))
            case 2:
                # The other side may be over too, so that both checks have their turn.
                scene.bend_account(slot.account, cash=chance.choice((-1, 1)) * (CASH_MAX - chance.randrange(2)))
            case _:
                scene.write(underlying_key(instrument.underlying), b"")

    return bend


def bend_fill_margin(side: Side) -> Edge:
    """Much or little margin asked for, old prices, a smaller or a larger position, a missing underlying."""

    def bend(scene: Scene, chance: random.Random) -> None:
        fill = scene.decoded
        slot = side.slot(fill)
        instrument = scene.order(BUYER.slot(fill)).legs[0][0]
        held = side.sign * chance.choice((-2, -1, 0, 1)) * fill.quantity - chance.randrange(2)
        hold(scene, slot.account, instrument, held)
        strain(scene, chance, instrument.underlying)

    return bend


def strain(scene: Scene, chance: random.Random, underlying: int) -> None:
    """Make margin hard to cover, or easy: a large requirement, a price too old by a second, or none at all."""
    params, now = scene.ledger.get_params(), scene.ledger.get_globals().time
    match chance.randrange(4):
        case 0 | 1:
            rules = make_linear(chance.choice((1, 900_000)), 1)
            scene.write(leaf_key(Collection.PARAMS, RULES_OFFSET), encode_rules(rules))
        case 2:
            scene.bend_underlying(underlying, oracle_time=pick_beside(chance, now - params.price_age_max))
        case _:
            if chance.random() < 0.3:
                scene.write(underlying_key(underlying), b"")


# transfer and withdraw


def bend_destination(scene: Scene, chance: random.Random) -> None:
    """There or gone, or the sender himself."""
    transfer = scene.decoded
    match chance.randrange(3):
        case 0:
            scene.write(account_key(transfer.to), b"")
        case 1:
            scene.bend_op(to=transfer.account)
        case _:
            pass


def bend_sequence(scene: Scene, chance: random.Random) -> None:
    """About the last one used."""
    money = scene.decoded
    scene.bend_account(money.account, sequence=pick_beside(chance, money.sequence))


def bend_balance(scene: Scene, chance: random.Random) -> None:
    """About as much as there is, in cash, in collateral, or in what positions are worth."""
    money, now = scene.decoded, scene.ledger.get_globals().time
    account = scene.account(money.account)
    beside = money.amount + chance.choice((-1, 0, 1))
    if money.asset != 0:
        others = [item for item in account.collateral if item[0] != money.asset]
        held = [(money.asset, beside)] if beside > 0 else []
        scene.bend_account(money.account, collateral=tuple(sorted([*others, *held])))
        return
    if chance.random() < 0.5:
        scene.bend_account(money.account, positions=(), cash=beside)
        return
    quote = replace(scene.underlying(0), funding_index=chance.randint(-99, 99), index_time=now, mark=10**6)
    scene.write(underlying_key(0), quote.encode())
    quantity = chance.choice((-3, 2, 10**6))
    worth = quantity * (quote.mark - quote.funding_index)
    scene.bend_account(money.account, positions=((perpetual(0), quantity),), cash=beside - worth)
    if chance.random() < 0.1:
        scene.write(underlying_key(0), b"")


def bend_room(scene: Scene, chance: random.Random) -> None:
    """About as much as the destination can hold, of one asset or of different ones."""
    transfer = scene.decoded
    if transfer.asset == 0:
        scene.bend_account(transfer.to, cash=CASH_MAX - transfer.amount + chance.choice((-1, 0, 1)))
        return
    if chance.random() < 0.5:
        held = CUSTODY_MAX - transfer.amount + chance.choice((-1, 0, 1))
        scene.bend_account(transfer.to, collateral=((transfer.asset, held),))
        return
    count = ASSETS_MAX - 2 + chance.randrange(2)
    others = [(100 + i, 1) for i in range(count)]
    scene.bend_account(transfer.to, collateral=tuple(others))


def bend_margin(scene: Scene, chance: random.Random) -> None:
    """An account with a position, which may be much or little for what it has."""
    money = scene.decoded
    scene.bend_account(money.account, positions=((perpetual(0), chance.choice((-1, 1)) * chance.randint(1, 10**4)),))
    strain(scene, chance, 0)


def bend_custody(scene: Scene, chance: random.Random) -> None:
    """About as much as was paid in and has not left, or an asset of which nothing is known."""
    withdraw = scene.decoded
    key = leaf_key(Collection.ASSETS, withdraw.asset)
    if chance.random() < 0.1:
        scene.write(key, b"")
        return
    bad_debt = chance.choice((0, 0, 1, withdraw.amount // 3))
    custody = max(0, withdraw.amount - bad_debt + chance.choice((-1, 0, 1)))
    books = scene.ledger.require_asset(withdraw.asset)
    scene.write(key, replace(books, custody=custody, bad_debt=bad_debt).encode())


# Bounds that are read off the bytes


def bound(**fields: tuple[int, ...]) -> Edge:
    """One of these fields gets one of these values: those at an end of what is allowed, and those just beyond."""

    def bend(scene: Scene, chance: random.Random) -> None:
        name = chance.choice(list(fields))
        value = chance.choice(fields[name])
        op = scene.decoded
        if isinstance(op, OrderOp) and name in ORDER_TERMS:
            changes: dict[str, Any] = {name: value}
            scene.bend_op(terms=replace(op.terms, **changes))
        else:
            scene.bend_op(**{name: value})

    return bend


def bind_order(scene: Scene, chance: random.Random) -> None:
    """A field of the terms, or of the leg."""
    op = cast(OrderOp, scene.decoded)
    if chance.random() < 0.6:
        bind_order_terms(scene, chance)
        return
    leg: tuple[Any, int] = op.terms.legs[0]
    legs = chance.choice(
        (
            (),
            (leg, leg),
            ((leg[0], -1),),
            ((leg[0], 2),),
            ((leg[0]._replace(expiry=1), 1),),
            ((leg[0]._replace(kind=1), 1),),
            ((leg[0]._replace(strike=1), 1),),
            ((leg[0]._replace(underlying=UNDERLYINGS_MAX), 1),),
            ((leg[0]._replace(underlying=UNDERLYINGS_MAX - 1), 1),),
        )
    )
    scene.bend_op(terms=replace(op.terms, legs=legs))


ACCOUNTS = (0, 1, ACCOUNTS_MAX - 1, ACCOUNTS_MAX, 0xFFFFFFFF)
SLOTS = (0, SLOTS_PER_ACCOUNT - 1, SLOTS_PER_ACCOUNT, 0xFFFF)
PRICES = (0, 1, PRICE_MAX - 1, PRICE_MAX, -1, 1 - PRICE_MAX, -PRICE_MAX, -(1 << 63), (1 << 63) - 1)
ORACLE_PRICES = (0, 1, PRICE_MAX - 1, PRICE_MAX, NEVER)
SVI_ENDS = tuple(
    sign * end + beside for sign in (1, -1) for end in (1 << 38, 1 << 42, 1 << 46) for beside in (-1, 0, 1)
)
QUANTITIES = (0, 1, QUANTITY_MAX, QUANTITY_MAX + 1, NEVER)
AMOUNTS = (0, 1, AMOUNT_MAX, AMOUNT_MAX + 1, NEVER)
ASSETS = (ASSETS_MAX - 1, ASSETS_MAX, 0xFFFF)
KEY_INDICES = (KEYS_MAX - 1, KEYS_MAX, 255)
ORDER_TERMS = ("account", "slot", "counter", "flags", "price", "size", "max_fee_ppm", "counterparty")

bind_order_terms = bound(
    account=ACCOUNTS,
    slot=SLOTS,
    counter=(0, 1),
    flags=(7, 8, 255),
    price=PRICES,
    size=QUANTITIES,
    max_fee_ppm=(FEE_PPM_MAX, FEE_PPM_MAX + 1),
    counterparty=(ACCOUNTS_MAX - 1, ACCOUNTS_MAX),
    key_index=KEY_INDICES,
)

STATIC_BOUNDS: dict[Kind, Edge] = {
    Kind.ORACLE: bound(
        underlying=(UNDERLYINGS_MAX - 1, UNDERLYINGS_MAX, 0xFFFF),
        spot=ORACLE_PRICES,
        mark=ORACLE_PRICES,
        spot_confidence=(0, PPM, PPM + 1),
        mark_confidence=(0, PPM, PPM + 1),
        volatility=(0, 1, 20 * PPM, 20 * PPM + 1),
        signer_mask=(0, 1, 7, 31, 32, 35, 255),
    ),
    Kind.SURFACE: bound(
        underlying=(UNDERLYINGS_MAX - 1, UNDERLYINGS_MAX, 0xFFFF),
        expiry=(EXPIRY_SECOND_OF_DAY, EXPIRY_SECOND_OF_DAY + 1, 0xFFFFFFFF),
        time=(0, NEVER),
        integral=((1 << 112) - 1, 1 << 112),
        forward=ORACLE_PRICES,
        rate=SVI_ENDS,
        a=SVI_ENDS,
        b=(-1, 0, *SVI_ENDS),
        rho=SVI_ENDS,
        m=SVI_ENDS,
        sigma=(0, 1, *SVI_ENDS),
        confidence=(0, PPM, PPM + 1),
        signer_mask=(0, 1, 7, 31, 32, 35, 255),
    ),
    Kind.INDEX: bound(underlying=(UNDERLYINGS_MAX - 1, UNDERLYINGS_MAX, 0xFFFF)),
    Kind.SETTLE: bound(account=ACCOUNTS),
    Kind.LIQUIDATE: bound(account=ACCOUNTS),
    Kind.INTEREST: bound(account=ACCOUNTS),
    Kind.TAKE: bound(account=ACCOUNTS, target=ACCOUNTS, slice_ppm=(0, 1, PPM, PPM + 1), key_index=KEY_INDICES),
    Kind.DELEVERAGE: bound(
        bankrupt=ACCOUNTS, counterparty=ACCOUNTS, quantity=QUANTITIES, mark=(0, PRICE_MAX - 1, PRICE_MAX)
    ),
    Kind.ORDER: bind_order,
    Kind.CANCEL: bound(account=ACCOUNTS, slot=SLOTS, counter=(0, 1), key_index=KEY_INDICES),
    Kind.FILL: bound(
        buyer=ACCOUNTS, seller=ACCOUNTS, buyer_slot=SLOTS, seller_slot=SLOTS, price=PRICES, quantity=QUANTITIES
    ),
    Kind.TRANSFER: bound(account=ACCOUNTS, to=ACCOUNTS, asset=ASSETS, amount=AMOUNTS, key_index=KEY_INDICES),
    Kind.WITHDRAW: bound(account=ACCOUNTS, asset=ASSETS, amount=AMOUNTS, key_index=KEY_INDICES),
}


def bend_kind(scene: Scene, chance: random.Random) -> None:
    """A first byte that is no kind, or is one."""
    scene.op = bytes([chance.choice((0, 20, 21, 127, 255, scene.op[0]))]) + scene.op[1:]


ORDINARY_EDGES: dict[Code, Edge] = {
    Code.KIND_MUST_BE_KNOWN: bend_kind,
    Code.OPEN_MUST_DECODE: bend_bytes,
    Code.OPEN_BATCH_MUST_BE_NEXT: bend_batch,
    Code.OPEN_GENERATION_MUST_NOT_FALL: bend_generation,
    Code.OPEN_TIME_MUST_MATCH: bend_time_from,
    Code.OPEN_POSITION_MUST_MATCH: bend_position_from,
    Code.CLOSE_MUST_DECODE: bend_bytes,
    Code.CLOSE_CURSOR_MUST_MATCH: bend_cursor,
    Code.CLOSE_INBOX_HASH_MUST_MATCH: bend_inbox_hash,
    Code.CLOSE_TIME_MUST_MATCH: bend_time,
    Code.CLOSE_POSITION_MUST_MATCH: bend_position_to,
    Code.CLOSE_ORACLE_TIME_MUST_MATCH: bend_oracle_time,
    Code.TICK_MUST_DECODE: bend_bytes,
    Code.TICK_POSITION_MUST_INCREASE: bend_position,
    Code.TICK_TIME_MUST_ADVANCE: bend_tick,
    Code.TICK_TIME_MUST_NOT_PASS_HEADER: bend_tick_limit,
    Code.L1_MUST_DECODE: bend_bytes,
    Code.L1_POSITION_MUST_INCREASE: bend_position,
    Code.L1_INDEX_MUST_BE_CURSOR: bend_index,
    Code.L1_INDEX_MUST_NOT_PASS_HEADER: bend_index_limit,
    Code.ORACLE_MUST_DECODE: bend_bytes,
    Code.ORACLE_POSITION_MUST_INCREASE: bend_position,
    Code.ORACLE_UNDERLYING_MUST_BE_LISTED: bend_listing,
    Code.ORACLE_TIME_MUST_ADVANCE: bend_reading_time,
    Code.ORACLE_MUST_NOT_BE_STALE: bend_reading_age,
    Code.ORACLE_MUST_NOT_BE_AHEAD: bend_reading_skew,
    Code.ORACLE_SIGNERS_MUST_SUFFICE: bend_signers,
    Code.ORACLE_SIGNATURES_MUST_VERIFY: bend_readings,
    Code.ORDER_MUST_DECODE: bend_bytes,
    Code.ORDER_POSITION_MUST_INCREASE: bend_position,
    Code.ORDER_ACCEPTED_MUST_NOT_FOLLOW: bend_accepted,
    Code.ORDER_ACCOUNT_MUST_EXIST: bend_existence,
    Code.ORDER_GENERATION_MUST_MATCH: bend_order_generation,
    Code.ORDER_MUST_NOT_BE_CANCEL_ONLY: bend_cancel_only,
    Code.ORDER_EPOCH_MUST_MATCH: bend_epoch,
    Code.ORDER_MUST_NOT_BE_EXPIRED: bend_expiry,
    Code.ORDER_INSTRUMENT_MUST_BE_LISTED: bend_listing,
    Code.ORDER_COUNTER_MUST_RISE: bend_counter,
    Code.ORDER_KEY_MUST_BE_LIVE: bend_key(SCOPE_TRADE),
    Code.ORDER_SIGNATURE_MUST_VERIFY: bend_signature,
    Code.CANCEL_MUST_DECODE: bend_bytes,
    Code.CANCEL_POSITION_MUST_INCREASE: bend_position,
    Code.CANCEL_ACCOUNT_MUST_EXIST: bend_existence,
    Code.CANCEL_GENERATION_MUST_MATCH: bend_order_generation,
    Code.CANCEL_COUNTER_MUST_RISE: bend_counter,
    Code.CANCEL_KEY_MUST_BE_LIVE: bend_key(SCOPE_TRADE),
    Code.CANCEL_SIGNATURE_MUST_VERIFY: bend_signature,
    Code.FILL_MUST_DECODE: bend_bytes,
    Code.FILL_POSITION_MUST_INCREASE: bend_position,
    Code.FILL_MUST_NOT_BE_CANCEL_ONLY: bend_cancel_only,
    Code.FILL_ACCOUNTS_MUST_DIFFER: bend_accounts,
    Code.FILL_BUY_ORDER_MUST_BE_LIVE: bend_life(BUYER),
    Code.FILL_SELL_ORDER_MUST_BE_LIVE: bend_life(SELLER),
    Code.FILL_SIDES_MUST_OPPOSE: bend_sides,
    Code.FILL_COUNTERPARTY_MUST_MATCH: bend_counterparty,
    Code.FILL_PRICE_MUST_KEEP_LIMITS: bend_limits,
    Code.FILL_PRICE_MUST_BE_MAKERS: bend_makers_price,
    Code.FILL_QUANTITY_MUST_REMAIN: bend_remaining,
    Code.FILL_TAKER_MUST_NOT_BE_POST_ONLY: bend_post_only,
    Code.FILL_PRICE_MUST_BE_IN_BAND: bend_band,
    Code.FILL_BUYER_MUST_REDUCE: bend_reduction(BUYER),
    Code.FILL_SELLER_MUST_REDUCE: bend_reduction(SELLER),
    Code.FILL_BUYER_FEE_MUST_KEEP_LIMIT: bend_fee(BUYER),
    Code.FILL_SELLER_FEE_MUST_KEEP_LIMIT: bend_fee(SELLER),
    Code.FILL_BUYER_MUST_FIT: bend_fit(BUYER),
    Code.FILL_SELLER_MUST_FIT: bend_fit(SELLER),
    Code.FILL_BUYER_MARGIN_MUST_HOLD: bend_fill_margin(BUYER),
    Code.FILL_SELLER_MARGIN_MUST_HOLD: bend_fill_margin(SELLER),
    Code.TRANSFER_MUST_DECODE: bend_bytes,
    Code.TRANSFER_POSITION_MUST_INCREASE: bend_position,
    Code.TRANSFER_ACCOUNT_MUST_EXIST: bend_existence,
    Code.TRANSFER_DESTINATION_MUST_EXIST: bend_destination,
    Code.TRANSFER_SEQUENCE_MUST_RISE: bend_sequence,
    Code.TRANSFER_BALANCE_MUST_COVER: bend_balance,
    Code.TRANSFER_DESTINATION_MUST_FIT: bend_room,
    Code.TRANSFER_MARGIN_MUST_HOLD: bend_margin,
    Code.TRANSFER_KEY_MUST_BE_LIVE: bend_key(SCOPE_TRANSFER),
    Code.TRANSFER_SIGNATURE_MUST_VERIFY: bend_signature,
    Code.WITHDRAW_MUST_DECODE: bend_bytes,
    Code.WITHDRAW_POSITION_MUST_INCREASE: bend_position,
    Code.WITHDRAW_ACCOUNT_MUST_EXIST: bend_existence,
    Code.WITHDRAW_SEQUENCE_MUST_RISE: bend_sequence,
    Code.WITHDRAW_BALANCE_MUST_COVER: bend_balance,
    Code.WITHDRAW_MARGIN_MUST_HOLD: bend_margin,
    Code.WITHDRAW_KEY_MUST_BE_LIVE: bend_key(SCOPE_WITHDRAW),
    Code.WITHDRAW_SIGNATURE_MUST_VERIFY: bend_signature,
    Code.WITHDRAW_CUSTODY_MUST_COVER: bend_custody,
}
