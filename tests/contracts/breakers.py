"""Ways to break what many kinds of op share: their place, their bytes, their position, their account and its key."""

import random
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from nacl.signing import SigningKey

from state.codes import Kind
from state.constants import NEVER
from state.leaves import SCOPE_TRANSFER, SCOPE_WITHDRAW
from state.operations import OrderOp, hash_digest
from state.tree import account_key
from tests.contracts.scene import Bend, Breaker, Scene

WITH_DISCRETION = (Kind.ORDER, Kind.FILL, Kind.TRANSFER, Kind.WITHDRAW)


def break_place(scene: Scene, rng: random.Random) -> Sequence[Bend]:
    """First or last in the batch; or in a rescue, where nothing may stand whose order somebody chooses."""
    ways: list[Bend] = [
        lambda: scene.bend_header(step_count=scene.context.step + 1),
        lambda: scene.bend_place(0),
    ]
    if scene.op[0] in WITH_DISCRETION:
        ways.append(lambda: scene.bend_header(flags=1))
    return ways


def break_length(scene: Scene, rng: random.Random) -> Sequence[Bend]:
    """Bytes too few or too many."""
    op = scene.op
    others = (op[:-1], op + b"\0", op[:1], op[: len(op) // 2], op + bytes(65))
    return [partial(scene.bend_bytes, other) for other in others]


def bend_signed(scene: Scene, **changes: Any) -> None:
    """Change what the user signed, and not the signature."""
    op = scene.decoded
    if isinstance(op, OrderOp):
        scene.bend_op(terms=replace(op.terms, **changes))
    else:
        scene.bend_op(**changes)


def break_bytes(*breakers: Breaker) -> Breaker:
    """No op of the kind, or not where one may stand."""

    def break_any(scene: Scene, rng: random.Random) -> Sequence[Bend]:
        return [way for breaker in (break_place, break_length, *breakers) for way in breaker(scene, rng)]

    return break_any


def break_position(scene: Scene, rng: random.Random) -> Sequence[Bend]:
    """Before the next position, or at the end of the log."""
    position = scene.decoded.position
    return [
        lambda: scene.bend_globals(next_position=position + rng.randint(1, 9)),
        lambda: scene.bend_header(position_to=position - rng.randint(0, 1)),
        lambda: scene.bend_op(position=NEVER),
    ]


def break_cancel_only(scene: Scene, rng: random.Random) -> Sequence[Bend]:
    """A second too early, or the first tick is still to come."""
    times = (scene.ledger.get_globals().time + 1, NEVER)
    return [partial(scene.bend_globals, cancel_only_until=time) for time in times]


def break_account(scene: Scene, rng: random.Random) -> Sequence[Bend]:
    """Nobody has this account."""
    return [lambda: scene.write(account_key(scene.decoded.account), b"")]


def break_key(scene: Scene, rng: random.Random) -> Sequence[Bend]:
    """The key is not there, may not trade, or has expired; or nobody has this account."""
    op, now = scene.decoded, scene.ledger.get_globals()
    keys = scene.account(op.account).keys
    key = keys[op.key_index]
    dead = ((), (key._replace(scope=SCOPE_TRANSFER | SCOPE_WITHDRAW),), (key._replace(expiry=now.time),))
    return [
        lambda: scene.bend_op(key_index=len(keys)),
        lambda: scene.bend_op(key_index=7),
        *(partial(scene.bend_account, op.account, keys=others) for others in dead),
        *break_account(scene, rng),
    ]


def break_signature(scene: Scene, rng: random.Random) -> Sequence[Bend]:
    """Another key, another signature, other fields or another rollup; or a key that is not there."""
    op = scene.decoded
    keys = scene.account(op.account).keys
    stranger = SigningKey(rng.randbytes(32))
    flipped = bytearray(op.signature)
    flipped[rng.randrange(64)] ^= 1 << rng.randrange(8)
    digest = hash_digest(scene.context.domain, op)
    signatures = (
        bytes(flipped),
        bytes(64),
        rng.randbytes(64),
        stranger.sign(digest).signature,
        stranger.sign(hash_digest(rng.randbytes(32), op)).signature,
        op.signature[:32] + b"\xff" * 32,
    )
    public_keys = (stranger.verify_key.encode(), rng.randbytes(32), bytes(32))
    return [
        *(partial(scene.bend_op, signature=signature) for signature in signatures),
        *(partial(scene.bend_account, op.account, keys=(keys[0]._replace(public_key=k),)) for k in public_keys),
        lambda: scene.bend_op(key_index=len(keys)),
        lambda: scene.bend_domain(rng.randbytes(32)),
        *(partial(bend_signed, scene, **change) for change in draw_other_fields(scene, rng)),
        *break_account(scene, rng),
    ]


def draw_other_fields(scene: Scene, rng: random.Random) -> Sequence[dict[str, int]]:
    """Signed fields that the op does not have."""
    if scene.op[0] == Kind.TAKE:
        return ({"sequence": rng.randrange(1 << 60)}, {"slice_ppm": 1 + rng.randrange(10**6)})
    return ({"counter": 1 + rng.randrange(1 << 40)}, {"generation": rng.randrange(1 << 32)})
