"""surface: the forward, rate and vols of one expiry come in, and at its end the price at which everything settles
(SPEC.md sections 6 and 7).

A reading carries the integral of spot over time. The settlement price is its growth over the last half hour, by length:
a mean, in which a moment counts for as long as it lasted. So a window has a first second and a last one, and both must
have been read.

Mirrors contracts/verify_oracle.vy and contracts/readings.vy.
"""

from typing import cast

from state.codes import Code
from state.constants import EXPIRY_HORIZON, PRICE_MAX, SETTLEMENT_WINDOW
from state.context import Process, Receipt, StepContext, advance_position, is_position_next
from state.leaves import Expiry
from state.ledger import Ledger, SubjectMissing
from state.operations import Operation, Surface
from state.process_market import are_readings_signed, has_enough_signers, is_reading_not_ahead, is_underlying_listed


def get_last(ledger: Ledger, surface: Surface) -> Expiry:
    """The expiry as last read; all zeros before the first time."""
    return ledger.get_expiry(surface.underlying, surface.expiry) or Expiry()


def get_window_start(expiry: int) -> int:
    """The first second of the settlement window."""
    return expiry - SETTLEMENT_WINDOW


def is_surface_newer(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """Readings of an expiry come in order."""
    surface = cast(Surface, op)
    return surface.time > get_last(ledger, surface).time


def is_end_of_window(surface: Surface) -> bool:
    """Whether a reading decides the settlement price. Nobody comes too late with that: else nothing would settle."""
    return surface.time in (surface.expiry, get_window_start(surface.expiry))


def is_surface_recent(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """A reading is not older than parameters allow. Both ends of the window may be late."""
    surface, params = cast(Surface, op), ledger.get_params()
    return is_end_of_window(surface) or surface.time + params.oracle_age_max >= ledger.get_globals().time


def is_expiry_near(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """Nothing is listed further ahead than risk is computed for."""
    return cast(Surface, op).expiry <= ledger.get_globals().time + EXPIRY_HORIZON


def is_window_kept(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """The settlement window is entered by its first second; its integral is one of prices, and the forward knows it."""
    surface = cast(Surface, op)
    before, start = get_last(ledger, surface), get_window_start(surface.expiry)
    if surface.time <= start:
        return True
    seconds, accrued = surface.time - start, surface.integral - before.start_integral
    return (
        before.time >= start
        and seconds <= accrued <= (PRICE_MAX - 1) * seconds
        and surface.forward >= accrued // SETTLEMENT_WINDOW
    )


def apply_surface(ledger: Ledger, context: StepContext, op: Operation) -> Receipt:
    """Store the reading; with the first second of the window its integral there, with the last the settlement price."""
    surface = cast(Surface, op)
    advance_position(ledger, op)
    before = get_last(ledger, surface)
    start_integral, settlement = before.start_integral, before.settlement
    # EFFECTS
    if surface.time == get_window_start(surface.expiry):
        start_integral = surface.integral
    elif surface.time == surface.expiry:
        if surface.integral < start_integral:
            raise SubjectMissing("a settlement price")
        settlement = min(PRICE_MAX - 1, (surface.integral - start_integral) // SETTLEMENT_WINDOW)
    ledger.put_expiry(surface.underlying, surface.expiry, surface.to_expiry(start_integral, settlement))
    # RECEIPT
    return Receipt()


SURFACE = Process(
    checks=(
        (Code.SURFACE_POSITION_MUST_INCREASE, is_position_next),
        (Code.SURFACE_UNDERLYING_MUST_BE_LISTED, is_underlying_listed),
        (Code.SURFACE_TIME_MUST_ADVANCE, is_surface_newer),
        (Code.SURFACE_MUST_NOT_BE_STALE, is_surface_recent),
        (Code.SURFACE_MUST_NOT_BE_AHEAD, is_reading_not_ahead),
        (Code.SURFACE_EXPIRY_MUST_BE_NEAR, is_expiry_near),
        (Code.SURFACE_MUST_KEEP_WINDOW, is_window_kept),
        (Code.SURFACE_SIGNERS_MUST_SUFFICE, has_enough_signers),
        (Code.SURFACE_SIGNATURES_MUST_VERIFY, are_readings_signed),
    ),
    apply_effects=apply_surface,
)
