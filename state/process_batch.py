"""open, close and tick: the frame of a batch, in time and in the log (SPEC.md sections 6 and 7).

Mirrors contracts/verify_batch.vy.
"""

from dataclasses import replace
from typing import cast

from state.codes import Code
from state.constants import NEVER
from state.context import Process, Receipt, StepContext, is_position_next
from state.ledger import Ledger
from state.operations import Operation, Tick


def is_batch_next(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """Batches are counted without gaps."""
    return context.header.index == ledger.get_globals().batch + 1


def is_generation_kept_or_raised(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """Generations never fall."""
    return context.header.generation >= ledger.get_globals().generation


def is_time_from_state(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """The batch begins when the last one ended."""
    return context.header.time_from == ledger.get_globals().time


def is_position_from_state(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """The log goes on where it was, or starts anew with a new generation."""
    state = ledger.get_globals()
    is_new = context.header.generation > state.generation
    return context.header.position_from == (0 if is_new else state.next_position)


def apply_open(ledger: Ledger, context: StepContext, op: Operation) -> Receipt:
    """Count the batch; a new generation starts its log anew and may only cancel for a while."""
    state = ledger.get_globals()
    header = context.header
    # EFFECTS
    if header.generation > state.generation:
        state = replace(
            state,
            generation=header.generation,
            next_position=0,
            log_hash=bytes(32),
            cancel_only_until=NEVER,
        )
    ledger.put_globals(replace(state, batch=header.index))
    # RECEIPT
    return Receipt()


def is_cursor_in_header(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """The header claims the messages that the steps consumed."""
    return context.header.inbox_cursor == ledger.get_globals().inbox_cursor


def is_inbox_hash_in_header(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """The header claims the hash of the messages that the steps consumed."""
    return context.header.inbox_hash == ledger.get_globals().inbox_hash


def is_time_in_header(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """The header claims the time to which the steps moved."""
    return context.header.time == ledger.get_globals().time


def is_position_in_header(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """The header's end of the log is not before the last op's position."""
    return context.header.position_to >= ledger.get_globals().next_position


def list_needed_oracle_times(ledger: Ledger) -> list[int]:
    """When each underlying with open interest had its last reading. Reads them all."""
    underlyings = [ledger.require_underlying(i) for i in range(ledger.get_globals().underlying_count)]
    return [underlying.oracle_time for underlying in underlyings if underlying.open_interest > 0]


def compute_oldest_oracle_time(ledger: Ledger) -> int:
    """Oldest reading among underlyings with open interest; state time when there is none."""
    return min(list_needed_oracle_times(ledger), default=ledger.get_globals().time)


def is_oracle_time_in_header(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """The header tells L1 how old the oldest price is that somebody depends on."""
    return context.header.oracle_time == min(list_needed_oracle_times(ledger), default=context.header.time)


def apply_close(ledger: Ledger, context: StepContext, op: Operation) -> Receipt:
    """Commit the log as far as it goes, posted or not."""
    # EFFECTS
    ledger.put_globals(
        replace(
            ledger.get_globals(),
            next_position=context.header.position_to,
            log_hash=context.header.log_hash,
        )
    )
    # RECEIPT
    return Receipt()


def is_time_advanced(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """A tick moves time forward."""
    return cast(Tick, op).time > ledger.get_globals().time


def is_time_within_header(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """A tick never passes the time that L1 has checked."""
    return cast(Tick, op).time <= context.header.time


def apply_tick(ledger: Ledger, context: StepContext, op: Operation) -> Receipt:
    """Move time; the first tick of a generation starts the clock of its cancel-only interval, and parameters whose day
    has come are the active ones."""
    tick = cast(Tick, op)
    state, params = ledger.get_globals(), ledger.get_params()
    until, next_params = state.cancel_only_until, ledger.get_next_params()
    is_due = next_params is not None and next_params.active_from <= tick.time
    # EFFECTS
    if until == NEVER:
        until = min(NEVER - 1, tick.time + params.cancel_only_interval)
    ledger.put_globals(
        replace(
            state,
            time=tick.time,
            next_position=tick.position + 1,
            cancel_only_until=until,
            params_version=state.params_version + is_due,
        )
    )
    # RECEIPT
    return Receipt()


OPEN = Process(
    checks=(
        (Code.OPEN_BATCH_MUST_BE_NEXT, is_batch_next),
        (Code.OPEN_GENERATION_MUST_NOT_FALL, is_generation_kept_or_raised),
        (Code.OPEN_TIME_MUST_MATCH, is_time_from_state),
        (Code.OPEN_POSITION_MUST_MATCH, is_position_from_state),
    ),
    apply_effects=apply_open,
)

CLOSE = Process(
    checks=(
        (Code.CLOSE_CURSOR_MUST_MATCH, is_cursor_in_header),
        (Code.CLOSE_INBOX_HASH_MUST_MATCH, is_inbox_hash_in_header),
        (Code.CLOSE_TIME_MUST_MATCH, is_time_in_header),
        (Code.CLOSE_POSITION_MUST_MATCH, is_position_in_header),
        (Code.CLOSE_ORACLE_TIME_MUST_MATCH, is_oracle_time_in_header),
    ),
    apply_effects=apply_close,
)

TICK = Process(
    checks=(
        (Code.TICK_POSITION_MUST_INCREASE, is_position_next),
        (Code.TICK_TIME_MUST_ADVANCE, is_time_advanced),
        (Code.TICK_TIME_MUST_NOT_PASS_HEADER, is_time_within_header),
    ),
    apply_effects=apply_tick,
)
