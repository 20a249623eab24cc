"""The total state transition: what one op does to the state, for every byte string (SPEC.md).

`apply_step` answers Valid or Invalid and never raises for what stands in the bytes. The outline of every op is the
same: it decodes and stands where it may (check 0), its numbered checks hold, its effects happen.
"""

from dataclasses import dataclass

from state.codes import Code, Kind
from state.context import Process, Receipt, StepContext, is_passed
from state.ledger import Ledger
from state.operations import Operation, decode_operation
from state.process_batch import CLOSE, OPEN, TICK
from state.process_bid import BID
from state.process_deleverage import DELEVERAGE
from state.process_fill import FILL
from state.process_inbox import PROCESS_L1
from state.process_index import INDEX
from state.process_interest import INTEREST
from state.process_liquidate import LIQUIDATE
from state.process_market import CANCEL, ORACLE, ORDER
from state.process_money import TRANSFER, WITHDRAW
from state.process_relay import RELAY
from state.process_settle import SETTLE
from state.process_surface import SURFACE
from state.process_take import TAKE

PROCESSES: dict[Kind, Process] = {
    Kind.OPEN: OPEN,
    Kind.CLOSE: CLOSE,
    Kind.TICK: TICK,
    Kind.L1: PROCESS_L1,
    Kind.ORACLE: ORACLE,
    Kind.ORDER: ORDER,
    Kind.CANCEL: CANCEL,
    Kind.FILL: FILL,
    Kind.TRANSFER: TRANSFER,
    Kind.WITHDRAW: WITHDRAW,
    Kind.SURFACE: SURFACE,
    Kind.INDEX: INDEX,
    Kind.SETTLE: SETTLE,
    Kind.LIQUIDATE: LIQUIDATE,
    Kind.TAKE: TAKE,
    Kind.DELEVERAGE: DELEVERAGE,
    Kind.BID: BID,
    Kind.RELAY: RELAY,
    Kind.INTEREST: INTEREST,
}

RESCUE_KINDS = (
    Kind.OPEN,
    Kind.CLOSE,
    Kind.TICK,
    Kind.L1,
    Kind.ORACLE,
    Kind.CANCEL,
    Kind.SURFACE,
    Kind.INDEX,
    Kind.SETTLE,
    Kind.LIQUIDATE,
    Kind.TAKE,
    Kind.DELEVERAGE,
    Kind.BID,
    Kind.RELAY,
    Kind.INTEREST,
)


@dataclass(frozen=True, slots=True)
class Valid:
    """The step holds; its ledger's writes are the change."""

    receipt: Receipt


@dataclass(frozen=True, slots=True)
class Invalid:
    """The step may not stand in a batch: the first check that fails, in order of precedence."""

    code: Code


def may_stand(kind: Kind, context: StepContext) -> bool:
    """open is the first step and close the last, and nothing else is; a rescue batch holds few kinds."""
    is_first = context.step == 0
    is_last = context.step == context.header.step_count - 1
    is_placed = (kind is Kind.OPEN) == is_first and (kind is Kind.CLOSE) == is_last
    return is_placed and (not context.header.is_rescue or kind in RESCUE_KINDS)


def decode_step(context: StepContext, op_bytes: bytes) -> Operation | None:
    """Check 0 of every kind: the bytes are an op, and it stands where such an op may stand."""
    op = decode_operation(op_bytes)
    return op if op is not None and may_stand(op.kind, context) else None


def get_decode_code(op_bytes: bytes) -> Code:
    """The code of a failed check 0."""
    kind = op_bytes[0] if op_bytes else 0
    return Code(100 * kind) if kind in PROCESSES else Code.KIND_MUST_BE_KNOWN


def find_failed_check(ledger: Ledger, context: StepContext, op: Operation) -> Code | None:
    """The first check that speaks against a decoded op, in order of precedence; None when all hold. Writes nothing."""
    if not may_stand(op.kind, context):
        return Code(100 * op.kind)
    for code, check in PROCESSES[op.kind].checks:
        if not is_passed(check, ledger, context, op):
            return code
    return None


def apply_operation(ledger: Ledger, context: StepContext, op: Operation) -> Valid | Invalid:
    """As `apply_step`, for an op that its caller has decoded."""
    # CHECKS
    code = find_failed_check(ledger, context, op)
    if code is not None:
        return Invalid(code)
    # EFFECTS and RECEIPT
    return Valid(PROCESSES[op.kind].apply_effects(ledger, context, op))


def apply_step(ledger: Ledger, context: StepContext, op_bytes: bytes) -> Valid | Invalid:
    """Judge one op against the state that `ledger` shows, and write its effects there when it is valid.

    Raises MessageUnknown when an l1 op names a message that `context.get_message` does not have.
    """
    op = decode_operation(op_bytes)
    return Invalid(get_decode_code(op_bytes)) if op is None else apply_operation(ledger, context, op)
