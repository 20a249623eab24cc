"""Requests: ops as users send them, before the sequencer gives them a position in the log.

A request's bytes are its op's without position (an order's: without accepted too): `kind u8 || signed fields || tail`.
"""

from dataclasses import dataclass

from state.codes import Kind
from state.operations import Cancel, Operation, Oracle, OrderOp, Transfer, Withdraw, decode_operation

REQUEST_KINDS = (Kind.ORACLE, Kind.ORDER, Kind.CANCEL, Kind.TRANSFER, Kind.WITHDRAW)
REQUEST_BYTES_MAX = 512

RequestOp = Oracle | OrderOp | Cancel | Transfer | Withdraw


@dataclass(frozen=True, slots=True)
class Request:
    """Well-formed request bytes; `place` makes them an op of the chain."""

    data: bytes

    @property
    def kind(self) -> Kind:
        """Which op it asks for."""
        return Kind(self.data[0])

    def place(self, position: int, accepted: int | None = None) -> RequestOp:
        """The op at a log position; an order was accepted there too unless said otherwise."""
        op = decode_operation(self._insert(position, position if accepted is None else accepted))
        assert isinstance(op, RequestOp)
        return op

    def _insert(self, position: int, accepted: int) -> bytes:
        places = position.to_bytes(8) + (accepted.to_bytes(8) if self.data[0] == Kind.ORDER else b"")
        return self.data[:1] + places + self.data[1:]


def decode_request(data: bytes) -> Request | None:
    """None for bytes that are no well-formed request of a kind that users may send."""
    if not 1 <= len(data) <= REQUEST_BYTES_MAX or data[0] not in REQUEST_KINDS:
        return None
    request = Request(data)
    return None if decode_operation(request._insert(0, 0)) is None else request


def build_request(op: Operation) -> bytes:
    """The request that asks for this op."""
    data = op.encode()
    return data[:1] + data[17 if op.kind is Kind.ORDER else 9 :]
