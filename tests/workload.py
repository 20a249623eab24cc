"""Random histories: valid ops of every kind, at ordinary and at extreme values, and byte strings just beside them.

Everything is drawn from `world.random`, so a world's seed replays its whole history.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import replace

from state.batches import FLAG_RESCUE
from state.codes import Kind
from state.constants import (
    AMOUNT_MAX,
    EXPIRY_SECOND_OF_DAY,
    EXPIRY_STEP,
    FEE_PPM_MAX,
    NEVER,
    PRICE_MAX,
    QUANTITY_MAX,
    SLOTS_PER_ACCOUNT,
)
from state.leaves import Order, Underlying, call, future, perpetual, put
from state.ledger import Ledger, Slot
from state.marks import compute_mark
from state.operations import Close, Index, Open, Operation, OrderOp, Tick
from state.process_inbox import MessageType, encode_amount, encode_close
from state.process_relay import encode_reading
from state.transition import Valid
from state.tree import Collection, get_collection, get_index
from tests.workload_endings import Endings
from tests.world import Legs, Person, World, make_legs

WILD_UNDERLYING = 3
"""Its price jumps anywhere; those of the others walk, so that a market lives."""

PEOPLE_MAX = 12


def random_steps(world: World, count: int) -> Iterator[bytes]:
    """Play `count` valid steps of all kinds, one whenever the next is asked for, and give its bytes.

    Needs a world with funded people and prices (`open_market`). Batches are sealed and generations raised on the way.
    """
    workload = Workload(world)
    while count > 0:
        for op in workload.draw_steps():
            yield op
            count -= 1
            if count == 0:
                return


def pick_boundary(chance: random.Random, low: int, high: int) -> int:
    """A number from `low` to `high`: near either end, a power of two or its neighbour, or anywhere."""
    power = (1 << chance.randrange(high.bit_length() + 1)) + chance.choice((-1, 0, 1))
    drawn = chance.choice((low, low + 1, high - 1, high, power, chance.randint(low, high)))
    return max(low, min(high, drawn))


def round_strike(price: int) -> int:
    """A strike near a price: three digits and zeros."""
    zeros = max(0, len(str(price)) - 3)
    return price // 10**zeros * 10**zeros


class Workload:
    """One drawn story at a time; what the rules refuse is dropped and drawn anew."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.chance = world.random
        self.stories: list[Callable[[], Iterator[bytes]]] = [
            *[self._trade] * 8,
            *[self._reduce] * 3,
            *[self._order] * 3,
            *[self._cancel] * 2,
            *[self._match_standing] * 3,
            *[self._price] * 3,
            *[self._tick] * 2,
            *[self._transfer] * 3,
            *[self._withdraw] * 2,
            *[self._deposit] * 2,
            *[self._message] * 2,
            *[self._owner_message] * 2,
            self._seal,
            *[self._surface] * 3,
            *[self._relay] * 2,
            *[self._index] * 2,
            *Endings(self).list_stories(),
        ]

    def draw_steps(self) -> Iterator[bytes]:
        """The steps of the next story; none when the rules refuse its first."""
        return self.chance.choice(self.stories)()

    # What there is

    def list_live_expiries(self) -> list[tuple[int, int]]:
        """Every expiry that has a surface and has not come."""
        leaves = self.world.state.leaves
        days = [get_index(key) for key in leaves if get_collection(key) == Collection.EXPIRIES]
        pairs = [(day >> 16, (day & 0xFFFF) * EXPIRY_STEP + EXPIRY_SECOND_OF_DAY) for day in days]
        return sorted(pair for pair in pairs if pair[1] > self.world.globals.time)

    def list_people(self) -> list[Person]:
        """Who has an account."""
        return [person for person in self.world.people.values() if person.account]

    def pick_person(self) -> Person:
        """One of them."""
        return self.chance.choice(self.list_people())

    def pick_pair(self) -> tuple[Person, Person]:
        """Two of them."""
        first, second = self.chance.sample(self.list_people(), 2)
        return first, second

    def _pick_underlying(self) -> int:
        return self.chance.randrange(self.world.globals.underlying_count)

    def _pick_asset(self) -> int:
        return self.chance.choice((0, 0, 1))

    def _get_underlying(self, underlying: int) -> Underlying:
        return Ledger(self.world.state.leaves).require_underlying(underlying)

    def _pick_position(self) -> int:
        """Most often the next one; now and then after a gap, as of entries that were never posted."""
        gap = self.chance.choice((0, 0, 0, 0, 1, 9, 1 << 20))
        return self.world.position + gap

    def _pick_price(self, traded: Legs) -> int:
        """Near the marks, within the band more often than not."""
        ledger, now = Ledger(self.world.state.leaves), self.world.globals.time
        underlying = ledger.require_underlying(traded[0][0].underlying)
        fair = 0
        for instrument, ratio in traded:
            expiry = ledger.require_expiry(instrument.underlying, instrument.expiry) if instrument.expiry else None
            fair += ratio * compute_mark(instrument, underlying, expiry, now)
        price = fair + underlying.mark * self.chance.randint(-55, 55) // 1000
        return max(1 if len(traded) == 1 else 1 - PRICE_MAX, min(PRICE_MAX - 1, price))

    def _pick_traded(self) -> Legs:
        """A perpetual; or, of what has an expiry, a future, an option, or two of these at once."""
        underlying = self._pick_underlying()
        live = [expiry for of, expiry in self.list_live_expiries() if of == underlying]
        if not live or self.chance.random() < 0.4:
            return make_legs(underlying)
        expiry, spot = self.chance.choice(live), self._get_underlying(underlying).spot
        strikes = [round_strike(max(1, spot * tenths // 10)) for tenths in self.chance.sample(range(7, 14), 2)]
        dated = [put(underlying, expiry, strikes[0]), call(underlying, expiry, strikes[1]), future(underlying, expiry)]
        if self.chance.random() < 0.6:
            return make_legs(self.chance.choice(dated))
        first, second = sorted(self.chance.sample([perpetual(underlying), *dated], 2))
        return (first, 1), (second, self.chance.choice((1, -1, -2)))

    def _pick_size(self) -> int:
        if self.chance.random() < 0.1:
            return pick_boundary(self.chance, 1, QUANTITY_MAX)
        return 1 + int(self.chance.expovariate(1 / 5_000))

    # Playing

    def play(self, op: Operation) -> Iterator[bytes]:
        """Play the op if it is valid."""
        if isinstance(self.world.judge(op), Valid):
            self.world.play(op)
            if isinstance(op, OrderOp):
                self._remember(op)
            yield op.encode()

    def _remember(self, op: OrderOp) -> None:
        for person in self.list_people():
            if person.account == op.terms.account:
                person.counters[op.terms.slot] = op.terms.counter

    def send(self, kind: int, sender: bytes, account: int, payload: bytes) -> Iterator[bytes]:
        """A message through L1."""
        self.world.send(kind, sender, account, payload)
        yield self.world.batch_steps[-1].op

    # Stories

    def _tick(self) -> Iterator[bytes]:
        """A little time, or so much that every price is stale; then most often all prices come anew."""
        seconds = self.chance.choice((1, 1, 1, 2, 2, 20, 20, 100, 30_000))
        yield from self.play(Tick(self._pick_position(), self.world.globals.time + seconds))
        if seconds >= 100 and self.chance.random() < 0.8:
            yield from self.publish_all()

    def publish_all(self) -> Iterator[bytes]:
        """Every price and every surface anew."""
        for underlying in range(self.world.globals.underlying_count):
            yield from self._publish(underlying)
        yield from self._index()
        for underlying, expiry in self.list_live_expiries():
            yield from self._read_surface(underlying, expiry)

    def _price(self) -> Iterator[bytes]:
        underlying = self._pick_underlying()
        if self._get_underlying(underlying).oracle_time >= self.world.globals.time:
            yield from self._tick()
        yield from self._publish(underlying)

    def _publish(self, underlying: int) -> Iterator[bytes]:
        before = self._get_underlying(underlying)
        if before.basket:
            return
        if underlying == WILD_UNDERLYING:
            spot = pick_boundary(self.chance, 1, PRICE_MAX - 1)
            mark = pick_boundary(self.chance, 1, PRICE_MAX - 1)
        else:
            spot = max(1, min(PRICE_MAX - 1, before.spot * self.chance.randint(960, 1042) // 1000))
            mark = max(1, min(PRICE_MAX - 1, spot * self.chance.randint(990, 1010) // 1000))
        time = max(before.oracle_time + 1, self.world.globals.time - self.chance.choice((0, 0, 1, 60)))
        mask = self.chance.choice((0b011, 0b101, 0b110, 0b111))
        yield from self.play(self.world.sign_reading(underlying, spot, mark, time, mask))

    def _relay(self) -> Iterator[bytes]:
        """A reading that comes through L1, good or not; L1 took it when time began."""
        underlying = self._pick_underlying()
        before = self._get_underlying(underlying)
        price = max(1, min(PRICE_MAX - 1, before.spot * self.chance.randint(990, 1010) // 1000))
        time = max(before.oracle_time + self.chance.choice((0, 1)), self.world.globals.time)
        kind, payload = encode_reading(self.world.sign_reading(underlying, price, price, time))
        expiries = [pair for pair in self.list_live_expiries() if self._get_underlying(pair[0]).spot]
        if expiries and self.chance.random() < 0.4:
            kind, payload = encode_reading(self.world.sign_surface(*self.chance.choice(expiries)))
        if self.chance.random() < 0.2:
            payload = payload[: self.chance.randrange(len(payload))]
        yield from self.send(kind, self.pick_person().address, 0, payload)

    def _index(self) -> Iterator[bytes]:
        """Price every basket anew."""
        for underlying in range(self.world.globals.underlying_count):
            if self._get_underlying(underlying).basket:
                yield from self.play(Index(self._pick_position(), underlying))

    def _surface(self) -> Iterator[bytes]:
        """A reading of an expiry that is known, or the first one of another."""
        underlying = self.chance.choice((0, self.world.globals.underlying_count - 1))
        day = self.world.globals.time // EXPIRY_STEP + self.chance.choice((1, 1, 3))
        named = (underlying, day * EXPIRY_STEP + EXPIRY_SECOND_OF_DAY)
        yield from self._read_surface(*self.chance.choice((named, *self.list_live_expiries())))

    def _read_surface(self, underlying: int, expiry: int) -> Iterator[bytes]:
        """Vols and a forward not far from spot."""
        spot = self._get_underlying(underlying).spot
        if not 0 < spot < PRICE_MAX // 2:
            return
        shape = {
            "forward": max(1, spot * self.chance.randint(980, 1020) // 1000),
            "a": self.chance.randint(1 << 28, 1 << 33),
            "b": self.chance.randint(0, 1 << 36),
            "rho": self.chance.randint(-(1 << 37), 1 << 37),
            "sigma": self.chance.randint(1 << 34, 1 << 37),
            "rate": self.chance.randint(-(1 << 33), 1 << 34),
        }
        yield from self.play(self.world.sign_surface(underlying, expiry, **shape))

    def _sign_order(self, person: Person, traded: Legs, size: int, price: int, **changes: int) -> OrderOp:
        slot = changes.pop("slot", self.chance.choice((0, 0, 1, 2, SLOTS_PER_ACCOUNT - 1)))
        position = self._pick_position()
        accepted = max(0, position - self.chance.choice((0, 0, 0, 1, 5)))
        counter = person.counters.get(slot, 0) + self.chance.choice((1, 1, 1, 2, 1000))
        values = {"position": position, "accepted": accepted, "counter": counter, **changes}
        return self.world.sign_order(person.name, traded, size, price, slot, **values)

    def _order(self) -> Iterator[bytes]:
        """An order that waits, with terms of all kinds."""
        person, traded = self.pick_person(), self._pick_traded()
        size = self._pick_size() * self.chance.choice((1, -1))
        price = self.chance.choice((self._pick_price(traded), pick_boundary(self.chance, 1, PRICE_MAX - 1)))
        changes = {
            "flags": self.chance.choice((0, 0, 2, 4, 6)) | (size < 0),
            "max_fee_ppm": self.chance.choice((10_000, pick_boundary(self.chance, 0, FEE_PPM_MAX))),
            "valid_until": self.world.globals.time + self.chance.choice((0, 5, 10_000, 1 << 40)),
            "counterparty": self.chance.choice((0, 0, 0, self.pick_person().account)),
        }
        yield from self.play(self._sign_order(person, traded, size, price, **changes))

    def _trade(self) -> Iterator[bytes]:
        """Two orders of the same price and their fill, whole or in part."""
        buyer, seller = self.pick_pair()
        traded = self._pick_traded()
        price, size = self._pick_price(traded), self._pick_size()
        terms = {"max_fee_ppm": FEE_PPM_MAX, "counterparty": self.chance.choice((0, 0, seller.account))}
        buy = self._sign_order(buyer, traded, size, price, **terms)
        yield from self.play(buy)
        sell = self._sign_order(seller, traded, -size, price, max_fee_ppm=FEE_PPM_MAX)
        yield from self.play(sell)
        quantity = self.chance.choice((size, 1, max(1, size // 2)))
        slots = buy.terms.slot, sell.terms.slot
        yield from self.play(self.world.fill(buyer.name, seller.name, price, quantity, *slots))

    def _reduce(self) -> Iterator[bytes]:
        """Somebody closes a position, in part or whole, with a reduce-only order."""
        person, other = self.pick_pair()
        account = Ledger(self.world.state.leaves).require_account(person.account)
        if not account.positions:
            return
        instrument, held = self.chance.choice(account.positions)
        if 0 < instrument.expiry <= self.world.globals.time:
            return
        traded = make_legs(instrument)
        price = self._pick_price(traded)
        size = -self.chance.choice((held, held, held // 2 or held))
        order = self._sign_order(person, traded, size, price, flags=2 | (size < 0))
        against = self._sign_order(other, traded, -size, price)
        yield from self.play(order)
        yield from self.play(replace(against, position=self.world.position, accepted=self.world.position))
        sides = (person, order.terms.slot, other, against.terms.slot)
        buyer, buyer_slot, seller, seller_slot = sides if size > 0 else (*sides[2:], *sides[:2])
        fill = self.world.fill(buyer.name, seller.name, price, abs(size), buyer_slot, seller_slot)
        yield from self.play(fill)

    def _list_standing(self) -> list[tuple[Slot, Order]]:
        ledger, found, generation = Ledger(self.world.state.leaves), [], self.world.globals.generation
        for key in self.world.state.leaves:
            if get_collection(key) == Collection.ORDERS:
                slot = Slot(*divmod(get_index(key), SLOTS_PER_ACCOUNT))
                order = ledger.get_order(slot)
                if order is not None and order.remaining and order.generation == generation:
                    found.append((slot, order))
        return found

    def _match_standing(self) -> Iterator[bytes]:
        """Two orders that have waited, if any cross."""
        standing = self._list_standing()
        self.chance.shuffle(standing)
        names = {person.account: person.name for person in self.list_people()}
        for buy_slot, buy in standing[:12]:
            for sell_slot, sell in standing[:12]:
                if not buy.is_sell and sell.is_sell and buy.legs == sell.legs:
                    maker = buy if buy.accepted <= sell.accepted else sell
                    quantity = min(buy.remaining, sell.remaining)
                    buyer, seller = names[buy_slot.account], names[sell_slot.account]
                    slots = buy_slot.slot, sell_slot.slot
                    yield from self.play(self.world.fill(buyer, seller, maker.price, quantity, *slots))

    def _cancel(self) -> Iterator[bytes]:
        person = self.pick_person()
        slot = self.chance.choice((*person.counters, 7))
        counter = person.counters.get(slot, 1) + self.chance.choice((0, 0, 1, 100))
        op = self.world.sign_cancel(person.name, slot, counter=counter, position=self._pick_position())
        for step in self.play(op):
            person.counters[slot] = counter
            yield step

    def _pick_amount(self, person: Person, asset: int) -> int:
        account = Ledger(self.world.state.leaves).require_account(person.account)
        held = account.cash if asset == 0 else account.get_collateral(asset)
        if held <= 0:
            return pick_boundary(self.chance, 1, 1 << 30)
        most = self.chance.choice((held, max(1, held // 20)))
        return min(AMOUNT_MAX, pick_boundary(self.chance, 1, most))

    def _transfer(self) -> Iterator[bytes]:
        person, to = self.pick_pair()
        asset = self._pick_asset()
        return self.play(self.world.sign_transfer(person.name, to.name, self._pick_amount(person, asset), asset))

    def _withdraw(self) -> Iterator[bytes]:
        person, asset = self.pick_person(), self._pick_asset()
        return self.play(self.world.sign_withdraw(person.name, self._pick_amount(person, asset) // 3 or 1, asset))

    def _deposit(self) -> Iterator[bytes]:
        """To somebody who is there, or to a new one; in dollars or ether; now and then too little."""
        asset, amount = self._pick_asset(), pick_boundary(self.chance, 1, 1 << 42)
        people = self.list_people()
        if len(people) < PEOPLE_MAX and self.chance.random() < 0.3:
            before = len(self.world.batch_steps)
            self.world.deposit(f"person {len(self.world.people)}", amount, asset)
            yield from [step.op for step in self.world.batch_steps[before:]]
        else:
            person = self.pick_person()
            yield from self.send(MessageType.DEPOSIT, person.address, person.account, encode_amount(asset, amount))

    def _message(self) -> Iterator[bytes]:
        """A message that has no effect, or a deposit that comes back."""
        person, other = self.pick_pair()
        kinds = [
            (MessageType.DEPOSIT, person.address, 1 << 23, encode_amount(0, 1)),
            (MessageType.DEPOSIT, person.address, NEVER & 0xFFFFFFFF, encode_amount(1, 1)),
            (MessageType.DEPOSIT, person.address, person.account, encode_amount(9, 1)),
            (MessageType.DEPOSIT, other.address, 0, encode_amount(0, 1)),
            (MessageType.CANCEL_ALL, person.address, other.account, b""),
            (MessageType.REGISTER_KEY, person.address, other.account, bytes(41)),
            (MessageType.REGISTER_KEY, person.address, person.account, bytes(41)),
            (MessageType.FORCE_WITHDRAW, person.address, other.account, encode_amount(0, 1)),
            (MessageType.FORCE_WITHDRAW, person.address, person.account, encode_amount(0, 0)),
            (MessageType.FORCE_WITHDRAW, person.address, person.account, encode_amount(0, NEVER)),
            (MessageType.FORCE_CLOSE, person.address, other.account, encode_close(True)),
            (MessageType.FORCE_LIQUIDATE, person.address, 1 << 23, b""),
            (4, person.address, person.account, b""),
            (255, bytes(20), 0, bytes(60)),
        ]
        yield from self.send(*self.chance.choice(kinds))

    def _owner_message(self) -> Iterator[bytes]:
        """What an owner asks of his account through L1."""
        person = self.pick_person()
        asset = self._pick_asset()
        amount = encode_amount(asset, self._pick_amount(person, asset))
        key = self.chance.randbytes(32) + bytes([self.chance.randrange(256)]) + self.chance.randbytes(8)
        kinds = [
            (MessageType.CANCEL_ALL, b""),
            (MessageType.REGISTER_KEY, key),
            (MessageType.FORCE_WITHDRAW, amount),
            (MessageType.FORCE_WITHDRAW, amount),
            (MessageType.FORCE_CLOSE, encode_close(True)),
            (MessageType.FORCE_CLOSE, encode_close(False)),
            (MessageType.FORCE_LIQUIDATE, b""),
        ]
        kind, payload = self.chance.choice(kinds)
        yield from self.send(kind, person.address, person.account, payload)

    def _seal(self) -> Iterator[bytes]:
        """Close the batch and open the next, now and then of a new generation or a rescue that is over at once."""
        raised = self.chance.choice((0, 0, 1, 5))
        flags = self.chance.choice((0, 0, 0, FLAG_RESCUE))
        yield from self._seal_into(self.world.globals.generation + raised, flags)
        if raised:
            yield from self.play(Tick(self.world.position, self.world.globals.time + 1))
            yield from self.play(Tick(self.world.position, self.world.globals.time + 10))
        if flags:
            yield from self._cancel()
            yield from self._seal_into(self.world.globals.generation, 0)

    def _seal_into(self, generation: int, flags: int) -> Iterator[bytes]:
        self.world.seal(self.chance.randbytes(32), generation=generation, flags=flags)
        yield from (Close().encode(), Open().encode())


FIELD_BYTES: dict[int, tuple[int, ...]] = {
    Kind.OPEN: (),
    Kind.CLOSE: (),
    Kind.TICK: (8, 8),
    Kind.L1: (8, 8),
    Kind.ORACLE: (8, 2, 8, 8, 8, 4, 4, 4, 1, 32, 32, 1),
    Kind.ORDER: (8, 8, 4, 2, 8, 4, 4, 8, 1, 8, 8, 4, 4, 1, 2, 4, 5, 1, 1, 1, 32, 32),
    Kind.CANCEL: (8, 4, 2, 8, 4, 1, 32, 32),
    Kind.FILL: (8, 4, 2, 4, 2, 8, 8),
    Kind.TRANSFER: (8, 4, 8, 4, 2, 8, 1, 32, 32),
    Kind.WITHDRAW: (8, 4, 8, 2, 8, 1, 32, 32),
    Kind.SURFACE: (8, 2, 4, 8, 16, 8, 8, 8, 8, 8, 8, 8, 4, 1, 32, 32, 1),
    Kind.INDEX: (8, 2),
    Kind.SETTLE: (8, 4),
    Kind.LIQUIDATE: (8, 4, 16, 16, 16),
    Kind.TAKE: (8, 16, 16, 16, 16, 4, 8, 4, 4, 8, 8, 1, 32, 32),
    Kind.DELEVERAGE: (8, 4, 4, 2, 4, 5, 1, 8, 16, 16, 16, 8),
    Kind.BID: (8, 8, 2, 16, 16, 16, 16),
    Kind.RELAY: (8, 8),
    Kind.INTEREST: (8, 4, 16),
}
"""Widths of an op's fields after its kind, a signature as two halves; of signatures and legs the first."""


def mutate(op: bytes, chance: random.Random) -> bytes:
    """A byte string that differs from a valid op in one field, one byte, or its length; often still well-formed."""
    widths = FIELD_BYTES[op[0]]
    way = chance.random()
    if widths and way < 0.7:
        number = chance.randrange(len(widths))
        at = 1 + sum(widths[:number])
        end = at + widths[number]
        return op[:at] + _mutate_field(op[at:end], chance) + op[end:]
    if way < 0.9:
        at = chance.randrange(len(op))
        return op[:at] + bytes([op[at] ^ 1 << chance.randrange(8)]) + op[at + 1 :]
    at = chance.randrange(len(op) + 1)
    return chance.choice((op[:at], op[:at] + b"\0" + op[at:], op + op, op[:at] + op[at + 1 :]))


def _mutate_field(field: bytes, chance: random.Random) -> bytes:
    """Another number of the same width: beside it, at the ends of the field, at its top bit, or anywhere."""
    size, value = 8 * len(field), int.from_bytes(field)
    near = (value - 1, value + 1, value + chance.randrange(2, 100), value * 2, value ^ 1 << chance.randrange(size))
    ends = (0, 1, (1 << size) - 1, 1 << size - 1, (1 << size - 1) - 1, chance.getrandbits(size))
    return (chance.choice((*near, *near, *ends)) % (1 << size)).to_bytes(len(field))
