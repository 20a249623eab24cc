"""Random endings, of contracts and of accounts: what expires settles, who falls short is auctioned or closed with."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from state.constants import FEE_PPM_MAX, INTEREST_PERIOD, NEVER, PPM, PRICE_MAX, QUANTITY_MAX, SETTLEMENT_WINDOW
from state.leaves import Instrument, future, perpetual
from state.ledger import Ledger, SubjectMissing
from state.operations import Settle, Tick
from state.process_bid import encode_bid
from state.process_deleverage import claim_deleverage, compute_value, find_first
from state.process_inbox import MessageType
from state.process_interest import claim_interest
from state.process_liquidate import claim_liquidate
from state.valuation import compute_account_margin, read_quotes
from tests.world import Person

if TYPE_CHECKING:
    from tests.workload import Workload


class Endings:
    """The stories of a workload in which something ends."""

    def __init__(self, workload: "Workload") -> None:
        self.workload = workload
        self.world, self.chance = workload.world, workload.chance

    def list_stories(self) -> list[Callable[[], Iterator[bytes]]]:
        """As often as each is to be told."""
        once = [self._liquidate, self._deleverage, self._owe]
        return [*once, *[self._fall] * 2, *[self._expire] * 2, *[self._take] * 7]

    @property
    def _ledger(self) -> Ledger:
        return Ledger(self.world.state.leaves)

    def _wait(self, seconds: int) -> Iterator[bytes]:
        """Let time pass, and read all prices anew."""
        yield from self.workload.play(Tick(self.world.position, self.world.globals.time + seconds))
        yield from self.workload.publish_all()

    def _list_auctioned(self) -> list[Person]:
        ledger = self._ledger
        people = self.workload.list_people()
        return [person for person in people if ledger.require_account(person.account).liquidation_from > 0]

    def _fall(self) -> Iterator[bytes]:
        """Two people bet nearly all they have against each other, and the mark moves enough for one to fall short."""
        pair = buyer, seller = self.workload.pick_pair()
        ledger, now, underlying = self._ledger, self.world.globals.time, self.chance.randrange(3)
        params, mark = ledger.get_params(), ledger.require_underlying(underlying).mark
        accounts = [ledger.require_account(person.account) for person in pair]
        free = min(
            compute_account_margin(account, read_quotes(ledger, account, params), now, params).initial
            for account in accounts
        )
        lots = min(free * 9 // mark, QUANTITY_MAX)
        if lots <= 0:
            return
        yield from self._trade(buyer, seller, perpetual(underlying), lots, mark)
        yield from self.workload.play(Tick(self.world.position, now + 1))
        moved = mark * self.chance.choice((75, 85, 90, 94, 106, 110, 115, 125)) // 100
        if 0 < moved < PRICE_MAX:
            yield from self.workload.play(self.world.sign_reading(underlying, moved, moved, self.world.globals.time))
        yield from self._liquidate()

    def _trade(self, buyer: Person, seller: Person, traded: Instrument, lots: int, price: int) -> Iterator[bytes]:
        terms = {"max_fee_ppm": FEE_PPM_MAX}
        yield from self.workload.play(self.world.sign_order(buyer.name, traded, lots, price, **terms))
        yield from self.workload.play(self.world.sign_order(seller.name, traded, -lots, price, **terms))
        yield from self.workload.play(self.world.fill(buyer.name, seller.name, price, lots))

    def _liquidate(self) -> Iterator[bytes]:
        """Whoever is due, for better or worse."""
        for person in self.workload.list_people():
            yield from self.workload.play(claim_liquidate(self._ledger, self.world.position, person.account))

    def _charge(self) -> Iterator[bytes]:
        """Whoever owes or has owed quote."""
        for person in self.workload.list_people():
            yield from self.workload.play(claim_interest(self._ledger, self.world.position, person.account))

    def _owe(self) -> Iterator[bytes]:
        """Somebody whose ether covers it loses more quote than he has; hours pass, and he pays for them."""
        buyer, seller = self.workload.pick_pair()
        ledger, underlying = self._ledger, self.chance.randrange(3)
        params, now, mark = ledger.get_params(), self.world.globals.time, ledger.require_underlying(underlying).mark
        account = ledger.require_account(buyer.account)
        margin = compute_account_margin(account, read_quotes(ledger, account, params), now, params)
        lots = min(max(0, margin.quote_equity) * 20 // mark, QUANTITY_MAX)
        needed = 10 * (max(0, margin.quote_equity) + mark)
        self.world.deposit(buyer.name, min(max(needed, params.assets[1].create_min), 1 << 60), 1)
        yield self.world.batch_steps[-1].op
        if lots > 0:
            yield from self._trade(buyer, seller, perpetual(underlying), lots, mark)
            yield from self.workload.play(Tick(self.world.position, now + 1))
            fallen = max(1, mark * 93 // 100)
            yield from self.workload.play(self.world.sign_reading(underlying, fallen, fallen, self.world.globals.time))
        yield from self._charge()
        yield from self._wait(self.chance.choice((INTEREST_PERIOD, INTEREST_PERIOD + 1, 3 * INTEREST_PERIOD)))
        yield from self._charge()

    def _take(self) -> Iterator[bytes]:
        """Somebody bids for a slice of an account, which is most often up for auction."""
        bidder, target = self.workload.pick_pair()
        auctioned = [person for person in self._list_auctioned() if person is not bidder]
        if auctioned:
            target = self.chance.choice(auctioned)
        if self.chance.random() < 0.5:
            yield from self._wait(self.chance.choice((30, 300, 900)))
        slice_ppm = self.chance.choice((1, 1_000, PPM // 3, PPM))
        account = self._ledger.require_account(target.account)
        if self.chance.random() < 0.4:
            yield from self._bid(bidder, target, slice_ppm)
        elif account.liquidation_from or account.close_from:
            with suppress(SubjectMissing):  # of a slice that relieves of nothing
                yield from self.workload.play(self.world.sign_take(bidder.name, target.name, slice_ppm))

    def _bid(self, bidder: Person, target: Person, slice_ppm: int) -> Iterator[bytes]:
        """The same through L1, on terms that may not be met."""
        bidder.sequence += 1
        sequence = bidder.sequence - self.chance.choice((0, 0, 0, 0, 1))
        discount_min = self.chance.choice((0, 0, 0, 1 << 40))
        terms = (sequence, target.account, slice_ppm, discount_min, NEVER)
        sender = self.chance.choice((bidder, bidder, bidder, bidder, target))
        yield from self.workload.send(MessageType.TAKE, sender.address, bidder.account, encode_bid(*terms))

    def _deleverage(self) -> Iterator[bytes]:
        """An auction runs out, and those who won close with the one who lost, the first in the queue."""
        yield from self._liquidate()
        yield from self._wait(2 * self.world.genesis.params.auction_seconds)
        for person in self._list_auctioned():
            for instrument, held in self._ledger.require_account(person.account).positions:
                ledger = self._ledger
                claim = claim_deleverage(ledger, self.world.position, person.account, person.account, instrument, 1)
                value = compute_value(ledger, claim, ledger.require_underlying(instrument.underlying))
                first = find_first(ledger, instrument, value, -held)
                if first is not None:
                    quantity = self.chance.choice((1, min(abs(held), first.lots)))
                    yield from self.workload.play(replace(claim, counterparty=first.account, quantity=quantity))

    def _expire(self) -> Iterator[bytes]:
        """A last trade, and time passes to an expiry, which settles near spot or far from it; most people settle."""
        live = self.workload.list_live_expiries()
        if not live:
            return
        underlying, expiry = self.chance.choice(live)
        start, ledger = expiry - SETTLEMENT_WINDOW, self._ledger
        forward = ledger.require_expiry(underlying, expiry).forward
        yield from self._trade(*self.workload.pick_pair(), future(underlying, expiry), 10, forward)
        before = ledger.require_expiry(underlying, expiry)
        price = max(1, ledger.require_underlying(underlying).spot * self.chance.choice((5, 9, 10, 11, 20)) // 10)
        yield from self.workload.play(Tick(self.world.position, expiry))
        integral = before.start_integral
        if before.time < start:
            integral = before.integral + price
            first = self.world.sign_surface(underlying, expiry, time=start, integral=integral)
            yield from self.workload.play(first)
        last = {"time": expiry, "integral": integral + SETTLEMENT_WINDOW * price, "forward": price}
        yield from self.workload.play(self.world.sign_surface(underlying, expiry, **last))
        for person in self.workload.list_people():
            if self.chance.random() < 0.8:
                yield from self.workload.play(Settle(self.world.position, person.account))
        yield from self.workload.publish_all()
