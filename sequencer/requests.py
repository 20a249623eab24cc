"""Requests: ops as users send them, before the sequencer gives them a position in the log.

A request's bytes are its op's without what the sequencer adds: the position, an order's place of acceptance, what a
take claims of its target. So they are `kind u8 || signed fields || tail`.
"""

from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import cast

from state.codes import Kind
from state.operations import (
    Cancel,
    Operation,
    Oracle,
    OrderOp,
    Surface,
    Take,
    Transfer,
    Withdraw,
    decode_operation,
    hash_digest,
)

REQUEST_KINDS = frozenset((Kind.ORACLE, Kind.SURFACE, Kind.ORDER, Kind.CANCEL, Kind.TRANSFER, Kind.WITHDRAW, Kind.TAKE))
REQUEST_BYTES_MAX = 512
SIGNED_TAIL_BYTES = 65
"""Of what a session key signs: its index u8, and the signature."""
_POSITION_BYTES = 8
_ADDED_BYTES: dict[int, int] = {Kind.ORDER: _POSITION_BYTES + 8, Kind.TAKE: _POSITION_BYTES + 4 * 16 + 2 * 8}
"""What stands in an op between its kind and the rest of the request."""

RequestOp = Oracle | Surface | OrderOp | Cancel | Transfer | Withdraw | Take


@dataclass(slots=True)
class Request:
    """Well-formed request bytes and what they say; `place` makes them an op of the chain."""

    data: bytes
    op: RequestOp
    _domain: bytes = field(default=b"", compare=False, repr=False)
    _digest: bytes = field(default=b"", compare=False, repr=False)

    @property
    def kind(self) -> Kind:
        """Which op it asks for."""
        return self.op.kind

    def place(self, position: int, accepted: int | None = None) -> RequestOp:
        """The op at a log position; an order was accepted there too unless said otherwise."""
        op = self.op
        if isinstance(op, OrderOp):
            return OrderOp(position, position if accepted is None else accepted, op.terms, op.key_index, op.signature)
        return replace(op, position=position)

    def hash_digest(self, domain: bytes) -> bytes:
        """What its signatures are over. Asked for again and again on a request's way, computed once."""
        if domain != self._domain:
            self._domain, self._digest = domain, self._compute_digest(domain)
        return self._digest

    def _compute_digest(self, domain: bytes) -> bytes:
        if isinstance(self.op, Oracle | Surface):
            return hash_digest(domain, self.op)
        # The same, cut from the bytes: what is signed stands between the kind and the tail.
        return sha256(domain + self.data[:-SIGNED_TAIL_BYTES]).digest()


def decode_request(data: bytes) -> Request | None:
    """None for bytes that are no well-formed request of a kind that users may send."""
    if not 1 <= len(data) <= REQUEST_BYTES_MAX or data[0] not in REQUEST_KINDS:
        return None
    op = decode_operation(data[:1] + bytes(_ADDED_BYTES.get(data[0], _POSITION_BYTES)) + data[1:])
    return None if op is None else Request(data, cast(RequestOp, op))


def strip_operation(data: bytes) -> bytes:
    """The request that an op's bytes came from."""
    return data[:1] + data[1 + _ADDED_BYTES.get(data[0], _POSITION_BYTES) :]


def build_request(op: Operation) -> bytes:
    """The request that asks for this op."""
    return strip_operation(op.encode())
