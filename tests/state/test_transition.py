"""state/transition.py: every byte string is judged, by the first check that fails."""

import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from state.batches import FLAG_RESCUE
from state.codes import Code, Kind, MessageCode
from state.constants import AMOUNT_MAX, NEVER, OP_BYTES_MAX, PRICE_MAX
from state.context import MessageUnknown, is_passed
from state.leaves import FLAG_REDUCE_ONLY
from state.ledger import Ledger
from state.operations import Operation, decode_operation
from state.transition import PROCESSES, Invalid, Valid, apply_step, decode_step, get_decode_code, may_stand
from tests.stories import MESSAGE_STORIES, STORIES, Story, set_scene
from tests.strategies import operations
from tests.workload import mutate, random_steps
from tests.world import Attempt, World, open_market

MARKET = open_market()


def list_failing(attempt: Attempt) -> list[Code]:
    """Every check that fails when each is asked alone, with a ledger of its own; none about a message that is not."""
    if decode_step(attempt.context, attempt.op) is None:
        return [get_decode_code(attempt.op)]
    op = set_scene(attempt).op
    failing = []
    for code, check in PROCESSES[op.kind].checks:
        with suppress(MessageUnknown):
            if not is_passed(check, Ledger(attempt.leaves), attempt.context, op):
                failing.append(code)
    return failing


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
def test_the_code_is_the_first_check_that_fails(story: Story) -> None:
    """Whatever else fails, the lowest code is the verdict; and of the accepted neighbour nothing fails."""
    refused, accepted = story.tell()
    failing = list_failing(refused)
    assert refused.outcome == failing[0] == min(failing)
    assert list_failing(accepted) == []


@pytest.mark.parametrize("story", [*STORIES, *MESSAGE_STORIES], ids=lambda story: story.name)
def test_judging_changes_nothing(story: Story) -> None:
    """The leaves are as they were: a refused op has no effect, and an accepted one only in its ledger's writes."""
    for attempt in story.tell():
        before = dict(attempt.leaves)
        ledger = Ledger(attempt.leaves)
        result = apply_step(ledger, attempt.context, attempt.op)
        assert attempt.leaves == before
        assert isinstance(result, Valid) or not ledger.writes


@given(st.binary(max_size=OP_BYTES_MAX + 2))
def test_any_bytes_are_judged(data: bytes) -> None:
    """No byte string makes the rules stumble; what does not decode is refused with check 0 of its kind."""
    result = MARKET.judge(data)
    assert isinstance(result, Invalid)
    if decode_operation(data) is None:
        kind = data[0] if data else 0
        assert result.code == (100 * kind if kind in [*Kind] else 0)


@given(operations)
def test_any_op_is_judged(op: object) -> None:
    """Nor does any well-formed op, of any numbers, in a state that knows nothing of it."""
    try:
        result = MARKET.judge(op)  # type: ignore[arg-type]
    except MessageUnknown:
        return
    assert isinstance(result, Valid | Invalid)


def test_ops_beside_valid_ones_are_judged(seed: int) -> None:
    """In a history of all kinds, ops a field or a byte beside valid ones are judged by their first failure."""
    world, chance = open_market(seed), random.Random(seed)
    codes = set()
    for _ in random_steps(world, 300):
        played = world.steps[-1]
        for _ in range(4):
            attempt = Attempt(played.leaves, played.context, mutate(played.op, chance))
            try:
                outcome = attempt.outcome
            except MessageUnknown:
                continue
            failing = list_failing(attempt)
            assert outcome in failing[:1] or not failing
            codes.add(outcome)
    assert len(codes) > 25


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("flags", [0, FLAG_RESCUE])
def test_where_each_kind_may_stand(kind: Kind, flags: int) -> None:
    """open first, close last, all others in between; in a rescue only ops without discretion."""
    context = MARKET.attempt(b"\x01", step_count=3, flags=flags).context
    places = [may_stand(kind, context.at(step)) for step in range(3)]
    in_between = kind not in (Kind.OPEN, Kind.CLOSE)
    if flags and kind in (Kind.ORDER, Kind.FILL, Kind.TRANSFER, Kind.WITHDRAW):
        in_between = False
    assert places == [kind is Kind.OPEN, in_between, kind is Kind.CLOSE]


def test_a_batch_of_one_step_cannot_be() -> None:
    """The first step opens and the last closes: one step is neither."""
    context = MARKET.attempt(b"\x01", step_count=1).context
    assert not any(may_stand(kind, context.at(0)) for kind in Kind)


# Where many checks fail


def mend(build: Callable[..., Operation], faults: dict[str, int], world: World) -> list[Code | MessageCode]:
    """The codes of an op with all these faults, and then with one fewer, the first first, until there is none."""
    outcomes = []
    for count in range(len(faults) + 1):
        op = build(**dict(list(faults.items())[count:]))
        outcomes.append(world.attempt(op).outcome)
    return outcomes


def test_precedence_of_order() -> None:
    """Of an order with ten faults each comes to light when those of lower codes are mended."""
    world = open_market()
    world.place("alice", 0, 1, 17_000_000)

    def build(underlying: int = 0, forged: int = 0, **faults: int) -> Operation:
        signed = world.sign_order("alice", underlying, 1, 1, **faults)
        return replace(signed, signature=bytes(64)) if forged else signed

    faults = {
        "position": 0,
        "accepted": NEVER,
        "account": 99,
        "generation": 9,
        "epoch": 9,
        "valid_until": 0,
        "underlying": 9,
        "counter": 1,
        "key_index": 3,
        "forged": 1,
    }
    assert mend(build, faults, world) == [
        Code.ORDER_POSITION_MUST_INCREASE,
        Code.ORDER_ACCEPTED_MUST_NOT_FOLLOW,
        Code.ORDER_ACCOUNT_MUST_EXIST,
        Code.ORDER_GENERATION_MUST_MATCH,
        Code.ORDER_EPOCH_MUST_MATCH,
        Code.ORDER_MUST_NOT_BE_EXPIRED,
        Code.ORDER_INSTRUMENT_MUST_BE_LISTED,
        Code.ORDER_COUNTER_MUST_RISE,
        Code.ORDER_KEY_MUST_BE_LIVE,
        Code.ORDER_SIGNATURE_MUST_VERIFY,
        MessageCode.DONE,
    ]


def test_precedence_of_cancel() -> None:
    """Of a cancel with six faults each comes to light when those of lower codes are mended."""
    world = open_market()
    world.place("alice", 0, 1, 17_000_000)
    world.place("alice", 0, 1, 17_000_000)

    def build(forged: int = 0, **faults: int) -> Operation:
        signed = world.sign_cancel("alice", **faults)
        return replace(signed, signature=bytes(64)) if forged else signed

    faults = {"position": 0, "account": 99, "generation": 9, "counter": 1, "key_index": 3, "forged": 1}
    assert mend(build, faults, world) == [*[code for code in Code if 700 < code < 800], MessageCode.DONE]


def test_precedence_of_fill() -> None:
    """Of a fill between two orders that fit in nothing each failure comes to light when the ones before are mended."""
    world = open_market()
    world.place("alice", 0, 10, 1, flags=FLAG_REDUCE_ONLY, counterparty=9, max_fee_ppm=0, accepted=0)
    world.place("bob", 0, -10, PRICE_MAX - 1, flags=7, counterparty=9, max_fee_ppm=0)
    outcomes = [
        world.attempt(replace(world.fill("alice", "alice", 5, 11), position=0)).outcome,
        world.attempt(world.fill("alice", "alice", 5, 11, 3)).outcome,
        world.attempt(world.fill("alice", "bob", 5, 11, 3, 3)).outcome,
        world.attempt(world.fill("alice", "bob", 5, 11, 0, 3)).outcome,
        world.attempt(world.fill("bob", "alice", 5, 11)).outcome,
        world.attempt(world.fill("alice", "bob", 5, 11)).outcome,
    ]
    world.place("alice", 0, 10, 5, flags=FLAG_REDUCE_ONLY, max_fee_ppm=0, accepted=0)
    world.place("bob", 0, -10, 5, flags=7, max_fee_ppm=0)
    outcomes += [
        world.attempt(world.fill("alice", "bob", 6, 11)).outcome,
        world.attempt(world.fill("alice", "bob", 5, 11)).outcome,
        world.attempt(world.fill("alice", "bob", 5, 10)).outcome,
    ]
    world.place("bob", 0, -10, 5, flags=3, max_fee_ppm=0)
    outcomes.append(world.attempt(world.fill("alice", "bob", 5, 10)).outcome)
    for buy_flags, sell_flags in ((2, 3), (0, 3), (0, 1)):
        world.place("alice", 0, 10, 17_000_000, flags=buy_flags, max_fee_ppm=0, accepted=0)
        world.place("bob", 0, -10, 17_000_000, flags=sell_flags, max_fee_ppm=0)
        outcomes.append(world.attempt(world.fill("alice", "bob", 17_000_000, 10)).outcome)
    assert outcomes == [
        Code.FILL_POSITION_MUST_INCREASE,
        Code.FILL_ACCOUNTS_MUST_DIFFER,
        Code.FILL_BUY_ORDER_MUST_BE_LIVE,
        Code.FILL_SELL_ORDER_MUST_BE_LIVE,
        Code.FILL_SIDES_MUST_OPPOSE,
        Code.FILL_COUNTERPARTY_MUST_MATCH,
        Code.FILL_PRICE_MUST_KEEP_LIMITS,
        Code.FILL_QUANTITY_MUST_REMAIN,
        Code.FILL_TAKER_MUST_NOT_BE_POST_ONLY,
        Code.FILL_PRICE_MUST_BE_IN_BAND,
        Code.FILL_BUYER_MUST_REDUCE,
        Code.FILL_SELLER_MUST_REDUCE,
        Code.FILL_BUYER_FEE_MUST_KEEP_LIMIT,
    ]


@pytest.mark.parametrize("kind", ["transfer", "withdraw"])
def test_precedence_of_money(kind: str) -> None:
    """Of what leaves an account each fault comes to light when those of lower codes are mended."""
    world = open_market()

    def build(forged: int = 0, amount: int = 1, **faults: int) -> Operation:
        sequence = {"sequence": faults.pop("sequence", 1)}
        if kind == "transfer":
            signed: Operation = world.sign_transfer("alice", "bob", amount, **sequence, **faults)
        else:
            signed = world.sign_withdraw("alice", amount, **sequence, **faults)
        return replace(signed, signature=bytes(64)) if forged else signed  # type: ignore[arg-type, type-var]

    faults = {"position": 0, "account": 99, "sequence": 0, "amount": AMOUNT_MAX, "key_index": 3, "forged": 1}
    codes = [
        outcome.name.removeprefix(f"{kind.upper()}_MUST_").removeprefix(f"{kind.upper()}_")
        for outcome in mend(build, faults, world)
    ]
    assert codes == [
        "POSITION_MUST_INCREASE",
        "ACCOUNT_MUST_EXIST",
        "SEQUENCE_MUST_RISE",
        "BALANCE_MUST_COVER",
        "KEY_MUST_BE_LIVE",
        "SIGNATURE_MUST_VERIFY",
        "DONE",
    ]


def test_precedence_of_oracle() -> None:
    """Of a reading each fault comes to light when those of lower codes are mended."""
    world = open_market()
    world.tick(100)
    now = world.globals.time

    def build(
        position: int = world.position, underlying: int = 0, time: int = now, mask: int = 3, forged: int = 0
    ) -> Operation:
        signed = world.sign_reading(underlying, 1, 1, time, mask)
        return replace(signed, position=position, spot=2 if forged else 1)

    faults = {"position": 0, "underlying": 9, "time": 0, "mask": 4, "forged": 1}
    assert mend(build, faults, world) == [
        Code.ORACLE_POSITION_MUST_INCREASE,
        Code.ORACLE_UNDERLYING_MUST_BE_LISTED,
        Code.ORACLE_TIME_MUST_ADVANCE,
        Code.ORACLE_SIGNERS_MUST_SUFFICE,
        Code.ORACLE_SIGNATURES_MUST_VERIFY,
        MessageCode.DONE,
    ]
    stale = build(time=now - 70, mask=4)
    assert world.attempt(stale).outcome is Code.ORACLE_MUST_NOT_BE_STALE
    assert world.attempt(build(time=now + 70, mask=4)).outcome is Code.ORACLE_MUST_NOT_BE_AHEAD


def test_precedence_of_batch_ends() -> None:
    """A header that lies in everything is refused for the first of its lies, and so on."""
    world = open_market()
    world.seal()
    opening = world.steps[-1].attempt
    lies: dict[str, object] = {"index": 9, "generation": 0, "time_from": 0, "position_from": NEVER}
    outcomes = [opening.within(**dict(list(lies.items())[count:])).outcome for count in range(len(lies) + 1)]
    assert outcomes == [*[code for code in Code if 100 < code < 200], MessageCode.DONE]
    lies = {"inbox_cursor": 9, "inbox_hash": bytes(32), "time": 0, "position_to": 0, "oracle_time": 1}
    outcomes = [world.attempt_close(**dict(list(lies.items())[count:])).outcome for count in range(len(lies) + 1)]
    assert outcomes == [*[code for code in Code if 200 < code < 300], MessageCode.DONE]
