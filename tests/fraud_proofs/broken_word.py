"""Every way in which a sequencer may break its word, each as a story that ends with the proof against it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from fraud_proofs.contradiction_search import HeldReceipt, prove_other_receipt
from fraud_proofs.contradictions import ContradictionKind
from sequencer.engine import SlotState
from state.batches import BatchData, Step, decode_frame, decode_header, pack_frames
from state.ledger import Slot
from state.operations import L1, Cancel, Fill, Operation, OrderOp, Tick, Withdraw, hash_digest
from state.receipts import decode_receipt
from tests.fraud_proofs.receipted import PRICE, Life, Posted

Bend = Callable[[list[bytes]], list[bytes]]
"""Ops of a batch -> ops that are posted instead."""

FRESH_SLOT = 7
"""In which nothing was ever registered, so that no cancel of it is posted."""


@dataclass(frozen=True)
class Lie:
    """A story, and what it comes to."""

    kind: ContradictionKind
    tell: Callable[[Life], bytes | None]


def bend_batch(batch: BatchData, bend: Bend, frame_bytes: int = 4096, **header: Any) -> BatchData:
    """A batch with other ops; of its roots only the ends are looked at."""
    steps = [step for data in batch.frames if (frame := decode_frame(data)) for step in frame.steps]
    ops = bend([step.op for step in steps])
    roots = [steps[min(at, len(steps) - 1)].post_root for at in range(len(ops) - 1)] + [steps[-1].post_root]
    before = decode_header(batch.header)
    frames = pack_frames(before.pre_root, [Step(*step) for step in zip(ops, roots, strict=True)], frame_bytes)
    changed = replace(before, step_count=len(ops), **header)
    return BatchData(changed.encode(), tuple(frame.encode() for frame in frames))


def post_bent(life: Life, bend: Bend = list, frame_bytes: int = 4096, **header: Any) -> Posted:
    """Post the open batch with other ops than the log has."""
    leaves = dict(life.state.leaves)
    _, batch = life.core.seal()
    return life.append_unexamined(bend_batch(batch, bend, frame_bytes, **header), leaves)


def leave_out(held: HeldReceipt) -> Bend:
    """Post everything but the op at the receipt's position."""
    return lambda ops: [op for op in ops if len(op) == 1 or int.from_bytes(op[1:9]) != held.position]


def put_in_place(held: HeldReceipt, instead: Operation) -> Bend:
    """Post another op at the receipt's position."""
    data = bytearray(instead.encode())
    data[1:9] = held.position.to_bytes(8)
    return lambda ops: [bytes(data) if op[1:9] == data[1:9] else op for op in ops]


# Two receipts


def give_twice(life: Life, **changes: Any) -> bytes:
    """Sign another receipt for a position that was given."""
    (held,) = life.take(life.order("alice", 10))
    receipt = decode_receipt(held.data)
    assert receipt is not None
    return prove_other_receipt(held.data, life.sign(replace(receipt.body, **changes)))


# Another op


def replace_op(life: Life, asked: Operation, instead: Operation) -> bytes | None:
    """Acknowledge one op and post another in its place."""
    (held,) = life.take(asked)
    return life.find(held, post_bent(life, put_in_place(held, instead)))


def replace_transfer(life: Life, **changes: Any) -> bytes | None:
    """Acknowledge a transfer and post a changed one."""
    asked = life.market.world.sign_transfer("alice", "bob", 1000)
    return replace_op(life, asked, replace(asked, **changes))


def replace_transfer_by(life: Life, instead: Operation) -> bytes | None:
    """Acknowledge a transfer and post what is none."""
    return replace_op(life, life.market.world.sign_transfer("alice", "bob", 1000), instead)


def replace_oracle(life: Life) -> bytes | None:
    """Acknowledge a reading and post another."""
    asked = life.market.world.sign_reading(1, 7_000_000, 7_000_000, life.core.engine.globals.time)
    return replace_op(life, asked, replace(asked, mark=7_000_001))


def replace_cancel(life: Life) -> bytes | None:
    """Acknowledge the cancel of a registered order, and post one of another slot."""
    life.take(life.order("alice", 10), life.order("bob", -4))
    asked = life.cancel("alice")
    return replace_op(life, asked, replace(asked, slot=1))


def post_at_an_orders_place(life: Life) -> bytes | None:
    """Acknowledge an order, and post a tick at its position."""
    (held,) = life.take(life.order("alice", 10))
    tick = Tick(held.position, life.core.engine.globals.time + 1).encode()
    return life.find(held, post_bent(life, lambda ops: [*ops[:-1], tick, ops[-1]]))


def register_at_its_own_place(life: Life) -> bytes | None:
    """Acknowledge an order, and post its registration at that very position."""
    asked = life.order("alice", 10)
    (held,) = life.take(asked)
    order = OrderOp(held.position, held.position, asked.terms, asked.key_index, asked.signature).encode()
    return life.find(held, post_bent(life, lambda ops: [*ops[:-1], order, ops[-1]]))


# Another log


def post_another_log(life: Life) -> bytes | None:
    """Commit another log at the end of a batch than the last receipt does."""
    (held,) = life.take(life.order("alice", 10))
    return life.find(held, post_bent(life, log_hash=bytes(32)))


# Missing


def forget(life: Life, is_withdrawal: bool, before: int, after: int, frame_bytes: int = 4096) -> bytes | None:
    """Acknowledge a transfer or withdrawal among others, in a batch of its own, and post all but that one."""
    life.post()
    world = life.market.world
    for _ in range(before):
        life.take(world.sign_transfer("bob", "carol", 1))
    asked = world.sign_withdraw("alice", 1000) if is_withdrawal else world.sign_transfer("alice", "bob", 1000)
    (held,) = life.take(asked)
    for _ in range(after):
        life.take(world.sign_transfer("bob", "carol", 1))
    return life.find(held, post_bent(life, leave_out(held), frame_bytes))


# A fill of what was cancelled


def revive(life: Life, end: Callable[[Life], Operation], price: int) -> bytes | None:
    """Acknowledge the end of an order that rests, and fill it all the same."""
    engine = life.core.engine
    life.take(life.order("alice", 10, price, FRESH_SLOT))
    slot = Slot(life.market.world.person("alice").account, FRESH_SLOT)
    order = engine.slots[slot].order
    assert order is not None
    (held,) = life.take(end(life))
    engine.restore_slot(slot, SlotState(engine.slots[slot].counter, order))
    life.take(life.order("bob", -4, price))
    life.post()
    return life.find(held, life.chain[-1])


def fill_registered_after_cancel(life: Life, is_sell: bool) -> bytes | None:
    """Acknowledge the cancel of an order that is half filled, without posting it, and fill the rest."""
    sign = -1 if is_sell else 1
    life.take(life.order("alice", 10 * sign), life.order("bob", -4 * sign))
    cancel, (other,) = life.cancel("alice"), life.take(life.order("carol", 1 * sign, PRICE - 1000 * sign))
    receipt = decode_receipt(other.data)
    assert receipt is not None
    digest = hash_digest(life.domain, cancel)
    held = HeldReceipt(life.sign(replace(receipt.body, op_digest=digest)), cancel)
    life.take(life.order("bob", -4 * sign, slot=1))
    life.post()
    return life.find(held, life.chain[-1])


TWO, OP, LOG, MISSING, FILL = ContradictionKind

LIES: dict[str, Lie] = {
    "one position, two ops": Lie(TWO, lambda life: give_twice(life, op_digest=bytes(32))),
    "one position, two logs": Lie(TWO, lambda life: give_twice(life, log_hash=bytes(32))),
    "a transfer of another amount": Lie(OP, lambda life: replace_transfer(life, amount=1001)),
    "a transfer to another": Lie(OP, lambda life: replace_transfer(life, to=1)),
    "a withdrawal for a transfer": Lie(
        OP, lambda life: replace_transfer_by(life, Withdraw(0, 1, 1, 0, 1, 0, bytes(64)))
    ),
    "a cancel for a transfer": Lie(OP, lambda life: replace_transfer_by(life, Cancel(0, 1, 0, 1, 2, 0, bytes(64)))),
    "a tick for a transfer": Lie(OP, lambda life: replace_transfer_by(life, Tick(0, 1))),
    "a message for a transfer": Lie(OP, lambda life: replace_transfer_by(life, L1(0, 1))),
    "a fill for a transfer": Lie(OP, lambda life: replace_transfer_by(life, Fill(0, 1, 0, 2, 0, 1, 1))),
    "an order for a transfer": Lie(OP, lambda life: replace_transfer_by(life, life.order("alice", 1))),
    "another reading": Lie(OP, replace_oracle),
    "another cancel": Lie(OP, replace_cancel),
    "a tick in an order's place": Lie(OP, post_at_an_orders_place),
    "a registration in its order's place": Lie(OP, register_at_its_own_place),
    "another log": Lie(LOG, post_another_log),
    "a transfer left out": Lie(MISSING, lambda life: forget(life, False, 2, 2)),
    "a withdrawal left out": Lie(MISSING, lambda life: forget(life, True, 2, 2)),
    "left out between two frames": Lie(MISSING, lambda life: forget(life, True, 2, 2, frame_bytes=100)),
    "left out at the start": Lie(MISSING, lambda life: forget(life, True, 0, 2)),
    "left out at the end": Lie(MISSING, lambda life: forget(life, False, 2, 1)),
    "left out and nothing else there": Lie(MISSING, lambda life: forget(life, True, 0, 0)),
    "an order cancelled and filled": Lie(
        FILL, lambda life: revive(life, lambda life: life.cancel("alice", FRESH_SLOT), PRICE)
    ),
    "an order replaced and filled": Lie(
        FILL, lambda life: revive(life, lambda life: life.order("alice", 10, PRICE - 1000, FRESH_SLOT), PRICE)
    ),
    "a half-filled buy cancelled and filled": Lie(FILL, lambda life: fill_registered_after_cancel(life, False)),
    "a half-filled sell cancelled and filled": Lie(FILL, lambda life: fill_registered_after_cancel(life, True)),
}
