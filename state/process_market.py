"""oracle, order and cancel: prices come in, signed orders are registered and killed (SPEC.md sections 6 to 8).

Mirrors contracts/verify_oracle.vy, contracts/readings.vy and contracts/verify_market.vy.
"""

from dataclasses import replace
from typing import cast

from state.codes import Code
from state.constants import PPM
from state.context import Process, Receipt, StepContext, advance_position, is_position_next
from state.leaves import SCOPE_TRADE, Order, Params, Underlying
from state.ledger import Ledger, Slot
from state.operations import Cancel, Operation, Oracle, OrderOp, Surface, hash_digest
from state.signatures import recover_signer
from state.signed_checks import does_account_exist, is_key_live, is_signature_valid
from state.valuation import compute_funding_index_floor, compute_premium_clamped

# What one of these lets a price move is what it was guarded for.
GUARD_SECONDS = 60

Reading = Oracle | Surface


def is_underlying_listed(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """A reading is of a listed underlying."""
    return cast(Reading, op).underlying < ledger.get_globals().underlying_count


def is_reading_newer(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """Readings of an underlying come in order."""
    oracle = cast(Oracle, op)
    return oracle.time > ledger.require_underlying(oracle.underlying).oracle_time


def is_reading_young(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """A reading is not older than parameters allow."""
    params = ledger.get_params()
    return cast(Oracle, op).time + params.oracle_age_max >= ledger.get_globals().time


def is_reading_not_ahead(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """A reading is not from the future, but for a skew."""
    params = ledger.get_params()
    return cast(Reading, op).time <= ledger.get_globals().time + params.oracle_skew_max


def has_enough_signers(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """Known signers, and as many as the threshold."""
    params, mask = ledger.get_params(), cast(Reading, op).signer_mask
    return mask < 1 << len(params.oracle_signers) and mask.bit_count() >= params.oracle_threshold


def are_readings_signed(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """Each signature recovers to the signer whose bit it stands for."""
    reading = cast(Reading, op)
    digest = hash_digest(context.domain, reading)
    signers = ledger.get_params().oracle_signers
    named = [signers[i] for i in range(len(signers)) if reading.signer_mask >> i & 1]
    return len(named) == len(reading.signatures) and all(
        recover_signer(digest, signature.r, signature.s, signature.v) == signer
        for signer, signature in zip(named, reading.signatures, strict=True)
    )


def is_no_basket(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """A basket's price follows from others, and nobody signs it."""
    return not ledger.require_underlying(cast(Oracle, op).underlying).basket


def is_move_within(before: int, after: int, bound_ppm: int) -> bool:
    """Whether a price has moved by at most so many parts per million of what it was."""
    return abs(after - before) * PPM <= before * bound_ppm


def is_reading_near(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """No reading is far from the last one, by how long ago that was: enough stolen keys sign no price they like."""
    oracle, params = cast(Oracle, op), ledger.get_params()
    last = ledger.require_underlying(oracle.underlying)
    guard_ppm = params.guard_ppm * (1 + max(0, oracle.time - last.oracle_time) // GUARD_SECONDS)
    return last.oracle_time == 0 or (
        is_move_within(last.spot, oracle.spot, guard_ppm) and is_move_within(last.mark, oracle.mark, guard_ppm)
    )


def roll_funding(before: Underlying, reading: Underlying, time: int, params: Params) -> Underlying:
    """The reading of an underlying that stood as `before`, with what funding was owed until now."""
    return replace(
        reading,
        funding_index=compute_funding_index_floor(before, time, params),
        index_time=time,
        premium=compute_premium_clamped(reading.spot, reading.mark, params),
    )


def apply_oracle(ledger: Ledger, context: StepContext, op: Operation) -> Receipt:
    """Store the reading; what funding was owed until now is stored with it. A jump halts the underlying."""
    oracle = cast(Oracle, op)
    advance_position(ledger, op)
    params, time = ledger.get_params(), ledger.get_globals().time
    before = ledger.require_underlying(oracle.underlying)
    is_jump = before.oracle_time > 0 and not is_move_within(before.spot, oracle.spot, params.halt_ppm)
    # EFFECTS
    reading = replace(
        before,
        oracle_time=oracle.time,
        spot=oracle.spot,
        mark=oracle.mark,
        spot_confidence=oracle.spot_confidence,
        mark_confidence=oracle.mark_confidence,
        volatility=oracle.volatility,
        halted_until=time + params.halt_seconds if is_jump else before.halted_until,
    )
    ledger.put_underlying(oracle.underlying, roll_funding(before, reading, time, params))
    # RECEIPT
    return Receipt()


def is_accepted_before(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """An order is registered after it was accepted, or at once."""
    order = cast(OrderOp, op)
    return order.accepted <= order.position


def is_order_of_generation(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """Orders live only in the generation that they were signed for."""
    return cast(OrderOp, op).terms.generation == ledger.get_globals().generation


def is_open_for_risk(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """A new generation is cancel-only for a while."""
    state = ledger.get_globals()
    return state.time >= state.cancel_only_until


def is_epoch_current(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """A cancel-all has not come between."""
    terms = cast(OrderOp, op).terms
    return terms.epoch == ledger.require_account(terms.account).epoch


def is_order_unexpired(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """Its last second has not passed."""
    return ledger.get_globals().time <= cast(OrderOp, op).terms.valid_until


def are_instruments_listed(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """Their underlying is listed, and every expiry has a surface and has not come."""
    state, legs = ledger.get_globals(), cast(OrderOp, op).terms.legs
    for instrument, _ in legs:  # in order of instruments, so in order of expiries
        if instrument.expiry:
            ledger.require_expiry(instrument.underlying, instrument.expiry)
    is_live = all(instrument.expiry == 0 or instrument.expiry > state.time for instrument, _ in legs)
    return is_live and legs[0][0].underlying < state.underlying_count


def is_counter_above(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """No replay: a slot's counter strictly increases; so a higher one replaces."""
    terms = cast(OrderOp, op).terms
    held = ledger.get_order(Slot(terms.account, terms.slot))
    return held is None or terms.counter > held.counter


def apply_order(ledger: Ledger, context: StepContext, op: Operation) -> Receipt:
    """Register the order in its slot, whole."""
    order = cast(OrderOp, op)
    terms = order.terms
    advance_position(ledger, op)
    # EFFECTS
    ledger.put_order(
        Slot(terms.account, terms.slot),
        Order(
            counter=terms.counter,
            accepted=order.accepted,
            generation=terms.generation,
            epoch=terms.epoch,
            valid_until=terms.valid_until,
            flags=terms.flags,
            price=terms.price,
            remaining=terms.size,
            max_fee_ppm=terms.max_fee_ppm,
            counterparty=terms.counterparty,
            legs=terms.legs,
        ),
    )
    # RECEIPT
    return Receipt(account=terms.account)


def is_cancel_of_generation(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """Cancels, like orders, live in one generation."""
    return cast(Cancel, op).generation == ledger.get_globals().generation


def is_something_cancelled(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """The counter rises, or something that lives under it dies."""
    cancel = cast(Cancel, op)
    held = ledger.get_order(Slot(cancel.account, cancel.slot))
    return held is None or cancel.counter > held.counter or (cancel.counter == held.counter and held.remaining > 0)


def apply_cancel(ledger: Ledger, context: StepContext, op: Operation) -> Receipt:
    """Keep the counter, so that nothing up to it can come back."""
    cancel = cast(Cancel, op)
    advance_position(ledger, op)
    # EFFECTS
    ledger.put_order(Slot(cancel.account, cancel.slot), Order(counter=cancel.counter))
    # RECEIPT
    return Receipt(account=cancel.account)


ORACLE = Process(
    checks=(
        (Code.ORACLE_POSITION_MUST_INCREASE, is_position_next),
        (Code.ORACLE_UNDERLYING_MUST_BE_LISTED, is_underlying_listed),
        (Code.ORACLE_TIME_MUST_ADVANCE, is_reading_newer),
        (Code.ORACLE_MUST_NOT_BE_STALE, is_reading_young),
        (Code.ORACLE_MUST_NOT_BE_AHEAD, is_reading_not_ahead),
        (Code.ORACLE_SIGNERS_MUST_SUFFICE, has_enough_signers),
        (Code.ORACLE_SIGNATURES_MUST_VERIFY, are_readings_signed),
        (Code.ORACLE_UNDERLYING_MUST_NOT_BE_A_BASKET, is_no_basket),
        (Code.ORACLE_MUST_NOT_JUMP, is_reading_near),
    ),
    apply_effects=apply_oracle,
)

ORDER = Process(
    checks=(
        (Code.ORDER_POSITION_MUST_INCREASE, is_position_next),
        (Code.ORDER_ACCEPTED_MUST_NOT_FOLLOW, is_accepted_before),
        (Code.ORDER_ACCOUNT_MUST_EXIST, does_account_exist),
        (Code.ORDER_GENERATION_MUST_MATCH, is_order_of_generation),
        (Code.ORDER_MUST_NOT_BE_CANCEL_ONLY, is_open_for_risk),
        (Code.ORDER_EPOCH_MUST_MATCH, is_epoch_current),
        (Code.ORDER_MUST_NOT_BE_EXPIRED, is_order_unexpired),
        (Code.ORDER_INSTRUMENT_MUST_BE_LISTED, are_instruments_listed),
        (Code.ORDER_COUNTER_MUST_RISE, is_counter_above),
        (Code.ORDER_KEY_MUST_BE_LIVE, is_key_live(SCOPE_TRADE)),
        (Code.ORDER_SIGNATURE_MUST_VERIFY, is_signature_valid),
    ),
    apply_effects=apply_order,
)

CANCEL = Process(
    checks=(
        (Code.CANCEL_POSITION_MUST_INCREASE, is_position_next),
        (Code.CANCEL_ACCOUNT_MUST_EXIST, does_account_exist),
        (Code.CANCEL_GENERATION_MUST_MATCH, is_cancel_of_generation),
        (Code.CANCEL_COUNTER_MUST_RISE, is_something_cancelled),
        (Code.CANCEL_KEY_MUST_BE_LIVE, is_key_live(SCOPE_TRADE)),
        (Code.CANCEL_SIGNATURE_MUST_VERIFY, is_signature_valid),
    ),
    apply_effects=apply_cancel,
)
