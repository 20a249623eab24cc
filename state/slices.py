"""A slice of a portfolio that is up for auction: what it is, what it costs, and what it makes of the two accounts
(SPEC.md section 8).

A slice is the same share of every position and of all collateral, so that nobody picks the good half. It moves at its
value less a discount: a growing share of the maintenance requirement that goes with it. First the account pays, out of
that requirement's share of its equity; what it cannot pay the insurance fund adds, in a second phase. A forced close
has no second phase and no penalty: until its delay has passed it is an order to reduce at the marks, then an auction.

Mirrors contracts/slices.vy, and contracts/verify_take_effect.vy for what a deal does.
"""

from dataclasses import replace
from typing import NamedTuple

from state.active_scenarios import Scales, is_number_true
from state.constants import POSITIONS_MAX, PPM
from state.leaves import Account, Asset, Instrument, Params
from state.ledger import Exhibit, Ledger, SubjectMissing
from state.operations import Take
from state.process_liquidate import is_margin_bad
from state.valuation import (
    Quotes,
    add_balance,
    add_position,
    drop_stale_spots,
    is_halted,
    is_young,
    read_quotes,
)

# Beyond twice what is missing, so much more may be taken at once.
SLICE_ROOM_PPM = 50_000

# What a claim makes of an account may be any number; cash has 128 bits.
CASH_END = 1 << 127


class Slice(NamedTuple):
    """What moves: signed lots by instrument and units by asset, none of them 0."""

    positions: tuple[tuple[Instrument, int], ...]
    collateral: tuple[tuple[int, int], ...]


class Price(NamedTuple):
    """What is paid, in quote units: by the target out of its equity, by the fund, and to the fund."""

    target_pays: int
    fund_pays: int
    penalty: int

    @property
    def discount(self) -> int:
        """By how much the bidder pays less than the slice is worth."""
        return self.target_pays + self.fund_pays


def get_opening(account: Account) -> int:
    """State time from which the account is for sale; 0 when it is not."""
    return account.liquidation_from if account.liquidation_from > 0 else account.close_from


def get_clock(account: Account, params: Params) -> int:
    """State time from which the account costs less and less than it is worth; 0 when it is not for sale."""
    if account.liquidation_from > 0:
        return account.liquidation_from
    return account.close_from + params.close_delay if account.close_from > 0 else 0


def part_towards_zero(quantity: int, slice_ppm: int) -> int:
    """A share of a signed quantity."""
    part = abs(quantity) * slice_ppm // PPM
    return part if quantity > 0 else -part


def cut_slice(target: Account, slice_ppm: int) -> Slice:
    """The parts of the target that move."""
    lots = ((instrument, part_towards_zero(quantity, slice_ppm)) for instrument, quantity in target.positions)
    units = ((asset, amount * slice_ppm // PPM) for asset, amount in target.collateral)
    return Slice(tuple(part for part in lots if part[1] != 0), tuple(part for part in units if part[1] != 0))


def move_slice(account: Account, parts: Slice, sign: int) -> Account:
    """The account with the parts (+1) or without them (-1); cash stays."""
    for instrument, quantity in parts.positions:
        account = add_position(account, instrument, sign * quantity)
    for asset, amount in parts.collateral:
        account = add_balance(account, asset, sign * amount)
    return account


def compute_price(take: Take, target: Account, params: Params, books: Asset, time: int) -> Price:
    """Every floor is in favour of the target or of the fund."""
    elapsed, length = max(0, time - get_clock(target, params)), params.auction_seconds
    discount_ppm = min(PPM, PPM * elapsed // length)
    requirement = max(0, take.equity - take.maintenance)
    share = max(0, take.equity) * take.relief // max(requirement, 1)
    target_pays = min(take.relief * discount_ppm // PPM, share)
    if target.liquidation_from == 0:
        return Price(target_pays, 0, 0)
    extra_ppm = min(PPM, PPM * max(0, elapsed - length) // length)
    fund_pays = min(max(0, take.relief - share) * extra_ppm // PPM, max(books.fund, 0))
    penalty = min(take.relief * params.penalty_ppm // PPM, share - target_pays)
    return Price(target_pays, fund_pays, penalty)


def compute_bidder_after(take: Take, bidder: Account, parts: Slice, price: Price) -> Account:
    """The bidder pays the value less the discount. Raises SubjectMissing when no leaf has room for what it then has."""
    after = move_slice(bidder, parts, 1)
    after = replace(after, cash=after.cash - take.value + price.discount, sequence=take.sequence)
    if len(after.positions) > POSITIONS_MAX or not -CASH_END <= after.cash < CASH_END:
        raise SubjectMissing("room")
    return after


def compute_target_after(take: Take, target: Account, parts: Slice, price: Price) -> Account:
    """The target is paid the value less its share of the discount and the penalty; when all is sold, the clocks end."""
    after = move_slice(target, parts, -1)
    after = replace(after, cash=after.cash + take.value - price.target_pays - price.penalty)
    if after.positions or after.collateral or after.cash < 0:
        return after
    return replace(after, liquidation_from=0, close_from=0)


class Claims(NamedTuple):
    """What a deal rests on, in quote units: the target's margin, and what the slice is worth and relieves it of."""

    equity: int
    maintenance: int
    value: int
    relief: int


def weigh_slice(ledger: Ledger, target: Account, slice_ppm: int) -> tuple[Scales, Quotes]:
    """What is left of the target (before), and the target (after), for it is the one whose prices have to be young.
    Reads G, P, M*(target). Raises SubjectMissing."""
    params, time = ledger.get_params(), ledger.get_globals().time
    quotes = read_quotes(ledger, target, params)
    rest = move_slice(target, cut_slice(target, slice_ppm), -1)
    return Scales(quotes, time, params, rest, target), quotes


def compute_claims(scales: Scales) -> Claims:
    """The claims that are true of a slice. Relief is below 0 where rounding cuts off a hedge, so that the rest would
    need more than the whole."""
    target, rest = scales.compute_after(None), scales.compute_before(None)
    relief = (target.equity - target.maintenance) - (rest.equity - rest.maintenance)
    return Claims(target.equity, target.maintenance, target.equity - rest.equity, relief)


def is_sale_needed(target: Account, maintenance: int, quote_equity: int, params: Params) -> bool:
    """Whether a liquidation still has its reason; the owner of a forced close wants it."""
    return target.liquidation_from == 0 or is_margin_bad(target, maintenance, quote_equity, params)


def are_claims_held(take: Take, target: Account, params: Params, scales: Scales, exhibit: Exhibit) -> bool:
    """Whether nothing under these scenarios speaks against what a deal rests on: the claims, and that it is needed."""
    margin = scales.compute_after(exhibit.after)
    return (
        margin.equity == take.equity
        and margin.equity - scales.compute_before(exhibit.before).equity == take.value
        and is_number_true(margin.maintenance, take.maintenance, exhibit.after, take.target_active)
        and is_sale_needed(target, take.maintenance, margin.quote_equity, params)
    )


def compute_relief(take: Take, scales: Scales, active: bytes | None) -> int:
    """By how much what is left needs less than is claimed of the target; below 0 where it needs more."""
    rest = scales.compute_before(active)
    return (take.equity - take.maintenance) - (rest.equity - rest.maintenance)


def is_slice_small(take: Take, target: Account) -> bool:
    """Nobody loses more of his portfolio at once than about twice what he is short of."""
    if target.liquidation_from == 0 or take.equity <= 0:
        return True
    requirement = max(0, take.equity - take.maintenance)
    missing_ppm = max(0, -take.maintenance) * PPM // max(requirement, 1)
    return take.slice_ppm <= 2 * missing_ppm + SLICE_ROOM_PPM


def is_for_sale(target: Account, time: int) -> bool:
    """Whether slices of the target can be taken: at its marks, or in its auction below them."""
    return 0 < get_opening(target) <= time


def weigh_bidder(ledger: Ledger, after: Account, asked_at: int) -> tuple[Scales, bool]:
    """A bidder behind the deal, and whether its prices were young at `asked_at` and none is halted.

    Reads G, P, M*(after). Raises SubjectMissing.
    """
    params, time = ledger.get_params(), ledger.get_globals().time
    asked_at = min(asked_at, time)
    quotes = drop_stale_spots(read_quotes(ledger, after, params), asked_at, params)
    is_fresh = is_young(after, quotes, asked_at, params) and not is_halted(after, quotes, time)
    return Scales(quotes, time, params, after, after), is_fresh


def move_deal(ledger: Ledger, take: Take) -> None:
    """The slice moves, and is paid for; a penalty repays bad debt before it fills the fund. Raises SubjectMissing."""
    params, time = ledger.get_params(), ledger.get_globals().time
    bidder, target = ledger.require_account(take.account), ledger.require_account(take.target)
    if not is_for_sale(target, time):
        raise SubjectMissing("auction")
    parts = cut_slice(target, take.slice_ppm)
    underlyings = {i.underlying: ledger.require_underlying(i.underlying) for i, _ in parts.positions}
    books = ledger.require_asset(0)
    price = compute_price(take, target, params, books, time)
    # EFFECTS
    bidder_after = compute_bidder_after(take, bidder, parts, price)
    target_after = compute_target_after(take, target, parts, price)
    ledger.put_account(take.account, bidder_after)
    ledger.put_account(take.target, target_after)
    for instrument, _ in parts.positions:
        underlying = underlyings[instrument.underlying]
        long_change = sum(
            max(0, after.get_position(instrument)) - max(0, before.get_position(instrument))
            for before, after in ((bidder, bidder_after), (target, target_after))
        )
        underlyings[instrument.underlying] = replace(underlying, open_interest=underlying.open_interest + long_change)
    for index, underlying in underlyings.items():
        ledger.put_underlying(index, underlying)
    repaid = min(price.penalty, books.bad_debt)
    fund = books.fund + price.penalty - repaid - price.fund_pays
    ledger.put_asset(0, replace(books, fund=fund, bad_debt=books.bad_debt - repaid))
