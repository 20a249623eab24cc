"""take: somebody takes over a slice of a portfolio that is up for auction, at a price that only time decides (SPEC.md
sections 6 to 8).

What a slice is and what it costs is in slices.py.

Mirrors contracts/verify_take.vy.
"""

from dataclasses import replace
from typing import cast

from state.active_scenarios import is_number_true, list_tried
from state.codes import Code
from state.context import Process, Receipt, StepContext, advance_position, is_position_next
from state.leaves import SCOPE_TRADE, Account
from state.ledger import Exhibit, Ledger, SubjectMissing
from state.operations import Operation, Take
from state.signed_checks import does_account_exist, is_key_live, is_signature_valid
from state.slices import (
    Price,
    are_claims_held,
    compute_bidder_after,
    compute_claims,
    compute_price,
    compute_relief,
    cut_slice,
    is_for_sale,
    is_slice_small,
    move_deal,
    weigh_bidder,
    weigh_slice,
)
from state.valuation import is_within_caps, is_young


def read_price(ledger: Ledger, take: Take) -> Price:
    """The price of the slice now. Reads the target and the books."""
    params, time = ledger.get_params(), ledger.get_globals().time
    target = ledger.require_account(take.target)
    return compute_price(take, target, params, ledger.require_asset(0), time)


def claim_take(ledger: Ledger, take: Take) -> Take:
    """The same bid with claims that are true of the state as it stands.

    Raises SubjectMissing, also where the slice relieves of less than nothing.
    """
    scales, _ = weigh_slice(ledger, ledger.require_account(take.target), take.slice_ppm)
    claims = compute_claims(scales)
    if claims.relief < 0:
        raise SubjectMissing("relief")
    target_active, rest_active = scales.name_worst_after(), scales.name_worst_before()
    return replace(take, **claims._asdict(), target_active=target_active, rest_active=rest_active)


def is_target_open(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """Another account, which is for sale."""
    take, time = cast(Take, op), ledger.get_globals().time
    target = ledger.require_account(take.target)
    return take.target != take.account and is_for_sale(target, time)


def is_bid_unexpired(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """The bid's last second has not passed."""
    return ledger.get_globals().time <= cast(Take, op).valid_until


def is_bid_new(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """No replay: sequences strictly increase."""
    take = cast(Take, op)
    return take.sequence > ledger.require_account(take.account).sequence


def are_claims_true(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """What the op claims of the target and of the slice is so, at young prices, and the target still needs it."""
    take = cast(Take, op)
    params, time = ledger.get_params(), ledger.get_globals().time
    target = ledger.require_account(take.target)
    scales, quotes = weigh_slice(ledger, target, take.slice_ppm)

    def is_true(exhibit: Exhibit) -> bool:
        relief = compute_relief(take, scales, exhibit.before)
        return are_claims_held(take, target, params, scales, exhibit) and is_number_true(
            relief, take.relief, exhibit.before, take.rest_active
        )

    tried = list_tried(ledger, scales, Exhibit(take.rest_active, take.target_active))
    return is_young(target, quotes, time, params) and all(map(is_true, tried))


def is_slice_needed(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """Nobody loses more of his portfolio at once than about twice what he is short of."""
    take = cast(Take, op)
    ledger.get_params()
    return is_slice_small(take, ledger.require_account(take.target))


def is_discount_enough(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """The bidder gets at least the discount that it asked for."""
    take = cast(Take, op)
    return read_price(ledger, take).discount >= take.discount_min


def compute_bidder(ledger: Ledger, take: Take) -> Account:
    """The bidder after the deal. Reads G, P, both accounts and the books."""
    ledger.get_params()
    bidder = ledger.require_account(take.account)
    target = ledger.require_account(take.target)
    return compute_bidder_after(take, bidder, cut_slice(target, take.slice_ppm), read_price(ledger, take))


def does_bidder_fit(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """The bidder stays within the protocol's caps."""
    return is_within_caps(compute_bidder(ledger, cast(Take, op)))


def is_bidder_margined(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """The bidder covers its initial margin with what it has taken."""
    scales, is_fresh = weigh_bidder(ledger, compute_bidder(ledger, cast(Take, op)), ledger.get_globals().time)
    return is_fresh and all(scales.compute_after(e.after).initial >= 0 for e in list_tried(ledger, scales))


def apply_take(ledger: Ledger, context: StepContext, op: Operation) -> Receipt:
    """The slice moves, and is paid for."""
    take = cast(Take, op)
    if take.account == take.target:
        raise SubjectMissing("another account")
    # EFFECTS
    advance_position(ledger, op)
    move_deal(ledger, take)
    # RECEIPT
    return Receipt(account=take.account)


TAKE = Process(
    checks=(
        (Code.TAKE_POSITION_MUST_INCREASE, is_position_next),
        (Code.TAKE_ACCOUNT_MUST_EXIST, does_account_exist),
        (Code.TAKE_TARGET_MUST_BE_OPEN, is_target_open),
        (Code.TAKE_MUST_NOT_BE_EXPIRED, is_bid_unexpired),
        (Code.TAKE_SEQUENCE_MUST_RISE, is_bid_new),
        (Code.TAKE_MARGIN_MUST_MATCH, are_claims_true),
        (Code.TAKE_SLICE_MUST_BE_NEEDED, is_slice_needed),
        (Code.TAKE_DISCOUNT_MUST_SUFFICE, is_discount_enough),
        (Code.TAKE_BIDDER_MUST_FIT, does_bidder_fit),
        (Code.TAKE_BIDDER_MARGIN_MUST_HOLD, is_bidder_margined),
        (Code.TAKE_KEY_MUST_BE_LIVE, is_key_live(SCOPE_TRADE)),
        (Code.TAKE_SIGNATURE_MUST_VERIFY, is_signature_valid),
    ),
    apply_effects=apply_take,
)
