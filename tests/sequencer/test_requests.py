"""Requests: an op before it has a place, and what its signature is over."""

from collections.abc import Callable

import pytest

from sequencer.requests import REQUEST_KINDS, build_request, decode_request
from state.codes import Kind
from state.operations import Operation, OrderOp, decode_operation, hash_digest
from tests.world import WEEK, World, open_market

SIGNED: dict[Kind, Callable[[World], Operation]] = {
    Kind.ORACLE: lambda world: world.sign_reading(0, 17_000_000, 17_000_000, world.globals.time),
    Kind.SURFACE: lambda world: world.sign_surface(0, WEEK),
    Kind.ORDER: lambda world: world.sign_order("alice", 0, 10, 17_000_000),
    Kind.CANCEL: lambda world: world.sign_cancel("alice", 0),
    Kind.TRANSFER: lambda world: world.sign_transfer("alice", "bob", 1000),
    Kind.WITHDRAW: lambda world: world.sign_withdraw("alice", 1000),
    Kind.TAKE: lambda world: world.sign_take("carol", "alice"),
}


def test_every_kind_of_request_is_signed_here() -> None:
    """Whatever may be asked for has its row below."""
    assert set(SIGNED) == REQUEST_KINDS


@pytest.mark.parametrize("sign", SIGNED.values(), ids=[kind.name for kind in SIGNED])
def test_a_placed_request_is_the_op_that_was_signed(sign: Callable[[World], Operation]) -> None:
    """Whatever its position, its bytes decode to it and its digest is the protocol's."""
    world = open_market(keep_steps=False)
    op = sign(world)
    request = decode_request(build_request(op))
    assert request is not None

    placed = request.place(77)

    assert decode_operation(placed.encode()) == placed
    assert placed.position == 77
    assert build_request(placed) == request.data
    assert request.hash_digest(world.domain) == hash_digest(world.domain, op)  # type: ignore[arg-type]
    if isinstance(placed, OrderOp):
        assert placed.accepted == 77
        later = request.place(80, 77)
        assert isinstance(later, OrderOp)
        assert (later.position, later.accepted) == (80, 77)


def test_what_no_user_may_send_is_no_request() -> None:
    """Ticks, fills and the batch's own ops are the sequencer's."""
    world = open_market(keep_steps=False)
    for data in (b"", b"\x01", b"\x08" * 29, bytes(600)):
        assert decode_request(data) is None
    assert decode_request(build_request(world.sign_cancel("alice", 0))[:-1]) is None
