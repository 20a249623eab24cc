"""bid before the contract: what an op says of a message stands where it is so, falls where not, and both judges agree.

What the checks share with other kinds, and their edges, is in tests/parity. Here are the margins that a bid may hang
upon: the target's, that of what is left of it, and the bidder's.
"""

import random
from collections import Counter
from dataclasses import replace

import pytest

from fraud_proofs.grounds import EFFECT
from risk.parameter_sets import PARAMETER_SETS
from state.codes import Code, MessageCode
from state.constants import PPM
from state.leaves import Account
from state.operations import BID_CODES, BID_CODES_BEFORE_DEAL, BID_CODES_WITHOUT_CLAIMS, NO_ACTIVE, Bid
from state.process_bid import claim_bid, encode_bid, find_bidder, read_take
from state.process_inbox import Message, MessageType, decode_message
from state.slices import SLICE_ROOM_PPM, weigh_bidder, weigh_slice
from tests.contracts.court import Court, dispute, list_grounds
from tests.contracts.scene import (
    PEOPLE,
    Scene,
    assert_same_effect,
    draw_active,
    judge_any_exhibit,
)
from tests.contracts.test_verify_take import hold_options, open_bidders_market, put_up_for_sale
from tests.world import World

CLAIMS, OUTCOME = Code.BID_CLAIMS_MUST_MATCH, Code.BID_OUTCOME_MUST_MATCH
NOTHING = {
    **dict.fromkeys(("equity", "maintenance", "value", "relief"), 0),
    **dict.fromkeys(("target_active", "rest_active", "bidder_active"), NO_ACTIVE),
}


@pytest.fixture(scope="module")
def court() -> Court:
    """The contract, deployed once with those that know margin and effects: none has state."""
    return Court("verify_bid")


@pytest.fixture
def world(seed: int) -> World:
    """A market with options under rules of many scenarios, in which erin may bid for what others hold."""
    return open_bidders_market(seed, PARAMETER_SETS["keel"])


def find_bid(court: Court, world: World, rng: random.Random) -> Scene:
    """A bid through L1 for a portfolio with options, and the op that takes it next."""
    target = rng.choice(PEOPLE)
    hold_options(world, target, rng)
    put_up_for_sale(world, target, rng)
    bidder = world.person(rng.choice([name for name in ("erin", "erin", *PEOPLE) if name != target]))
    slice_ppm = rng.choice((SLICE_ROOM_PPM, rng.randint(1, 200_000), PPM // 2, PPM))
    sequence = world.account_of(bidder.name).sequence + 1
    payload = encode_bid(sequence, world.person(target).account, slice_ppm, 0, world.globals.time)
    attempt = world.attempt_message(MessageType.TAKE, bidder.address, bidder.account, payload, world.globals.time)
    heard = World()
    heard.messages = [*world.messages, attempt.context.get_message(len(world.messages))]
    court.hear(heard)
    return Scene(attempt.context, attempt.leaves, attempt.op)


def get_message(scene: Scene) -> Message:
    """What the op takes."""
    return decode_message(scene.context.get_message(scene.decoded.index))


def claim_again(scene: Scene) -> Bid:
    """Let the op claim what is so of the state as it is bent."""
    bid: Bid = scene.decoded
    claimed = claim_bid(scene.ledger, bid.position, bid.index, scene.context.get_message(bid.index))
    scene.bend_bytes(claimed.encode())
    return claimed


def leave_margin(scene: Scene, rest: int) -> bool:
    """So much beyond the bidder's initial margin after the deal; whether there is one, and prices to judge it by."""
    take = read_take(scene.decoded, get_message(scene))
    bidder = find_bidder(scene.ledger, take)
    if not isinstance(bidder, Account):
        return False
    scales, is_fresh = weigh_bidder(scene.ledger, bidder, get_message(scene).time)
    spare = scales.compute_after(None).initial
    scene.bend_account(take.account, cash=scene.account(take.account).cash - spare + rest)
    return is_fresh


def test_what_is_so_stands_under_any_exhibit(court: Court, world: World, seed: int) -> None:
    """Whatever a bid comes to, no scenarios convict the op that says so, nor does another ground; and every outcome
    that hangs upon a margin has been seen."""
    rng, seen = random.Random(seed), Counter[MessageCode]()
    hang = {MessageCode.DONE, MessageCode.BID_NOT_DUE, MessageCode.BID_SLICE_UNHEDGES, MessageCode.BID_BIDDER_SHORT}
    while not hang <= seen.keys():
        scene = find_bid(court, world, rng)
        target = int.from_bytes(get_message(scene).payload[8:12])
        if rng.random() < 0.2:
            scene.bend_account(target, liquidation_from=1, close_from=0, cash=10**15)
        elif scene.decoded.code is MessageCode.DONE and rng.random() < 0.5:
            leave_margin(scene, rng.choice((-1, 0)))
        code = claim_again(scene).code
        seen[code] += 1
        if seen[code] <= 2:
            assert not judge_any_exhibit(court, scene, CLAIMS, rng)
            assert not judge_any_exhibit(court, scene, OUTCOME, rng)
            for ground in list_grounds(scene.decoded.kind):
                assert not court.judge(dispute(scene.honest, ground))
            assert_same_effect(court, scene)


def test_another_outcome_falls(court: Court, world: World, seed: int) -> None:
    """Of each op every other code, with its claims or with none, is convicted by one of both checks: a shortfall that
    is denied, one that is pretended, a hedge that is none."""
    rng, fell = random.Random(seed), Counter[Code]()
    for _ in range(3):
        scene = find_bid(court, world, rng)
        honest = scene.op
        code = scene.decoded.code
        for other in BID_CODES:
            changes = NOTHING if other in BID_CODES_WITHOUT_CLAIMS else {"bidder_active": NO_ACTIVE}
            if other is MessageCode.BID_SLICE_UNHEDGES:
                changes = {**changes, "relief": 0}
            scene.bend_op(code=other, **changes)
            verdicts = [judge_any_exhibit(court, scene, check, rng, 1) for check in (CLAIMS, OUTCOME)]
            assert any(verdicts) or other is code, other.name
            fell.update(check for check, falls in zip((CLAIMS, OUTCOME), verdicts, strict=True) if falls)
            scene.bend_bytes(honest)
    assert min(fell[CLAIMS], fell[OUTCOME]) > 0


def test_claims_are_true_to_the_unit_of_the_scenarios_named(court: Court, world: World, seed: int) -> None:
    """A unit too many falls by the worst scenarios, a unit too few by those that the op names; and so does a true
    number of other scenarios, unless these are as bad. No others that a proof exhibits change a verdict."""
    rng, stood, fell = random.Random(seed), 0, 0
    while min(stood, fell) < 2:
        scene = find_bid(court, world, rng)
        bid, honest = scene.decoded, scene.op
        if bid.code in BID_CODES_BEFORE_DEAL:
            continue
        for by in (-1, 1):
            for name in ("equity", "maintenance", "value", "relief"):
                if name != "relief" or bid.relief + by >= 0:
                    scene.bend_op(**{name: getattr(bid, name) + by})
                    assert judge_any_exhibit(court, scene, CLAIMS, rng)
                    scene.bend_bytes(honest)
        for name in ("target_active", "rest_active"):
            scene.bend_op(**{name: draw_active(rng)})
            fails = judge_any_exhibit(court, scene, CLAIMS, rng)
            stood, fell = stood + (not fails), fell + fails
            scene.bend_bytes(honest)


def test_a_margin_under_other_scenarios_is_none(court: Court, world: World, seed: int) -> None:
    """Whoever claims what other scenarios leave of the target, and names them, claims too much, unless it is as
    much."""
    rng, fell = random.Random(seed), 0
    while fell < 2:
        scene = find_bid(court, world, rng)
        bid = scene.decoded
        if bid.code in BID_CODES_BEFORE_DEAL:
            continue
        take = read_take(bid, get_message(scene))
        scales, _ = weigh_slice(scene.ledger, scene.account(take.target), take.slice_ppm)
        active = draw_active(rng)
        maintenance = scales.compute_after(active).maintenance
        relief = bid.relief - (maintenance - bid.maintenance)
        if relief >= 0:
            scene.bend_op(maintenance=maintenance, relief=relief, target_active=active)
            fails = judge_any_exhibit(court, scene, CLAIMS, rng)
            assert fails is (maintenance > bid.maintenance)
            fell += fails


def test_a_hedge_is_cut_off_in_the_scenarios_that_are_named(court: Court, world: World, seed: int) -> None:
    """What the rest would need more is shown by the worst scenarios, and not by others in which it needs less."""
    rng, code, fell = random.Random(seed), MessageCode.BID_SLICE_UNHEDGES, 0
    while fell < 2:
        scene = find_bid(court, world, rng)
        if scene.decoded.code is code:
            for active in (draw_active(rng), b"\xfe" * 8):
                scene.bend_op(rest_active=active)
                fell += judge_any_exhibit(court, scene, CLAIMS, rng)


def test_a_bidder_is_short_to_the_unit(court: Court, world: World, seed: int) -> None:
    """Who has just enough is not short under any scenarios; who lacks a unit is, under the worst that the op names, and
    under others it is shown only where these leave him short too."""
    rng, fell = random.Random(seed), 0
    while fell < 2:
        scene = find_bid(court, world, rng)
        if scene.decoded.code in BID_CODES_BEFORE_DEAL or not leave_margin(scene, 0):
            continue
        assert claim_again(scene).code is MessageCode.DONE
        assert not judge_any_exhibit(court, scene, OUTCOME, rng)
        scene.bend_op(code=MessageCode.BID_BIDDER_SHORT, bidder_active=draw_active(rng))
        assert judge_any_exhibit(court, scene, OUTCOME, rng)
        assert leave_margin(scene, -1)
        assert claim_again(scene).code is MessageCode.BID_BIDDER_SHORT
        assert not judge_any_exhibit(court, scene, OUTCOME, rng)
        honest = scene.op
        for active in (draw_active(rng), b"\xfe" * 8):
            scene.bend_op(bidder_active=active)
            fell += judge_any_exhibit(court, scene, OUTCOME, rng)
        scene.bend_bytes(replace(scene.decoded, code=MessageCode.DONE, bidder_active=NO_ACTIVE).encode())
        assert judge_any_exhibit(court, scene, OUTCOME, rng)
        scene.bend_bytes(honest)


def test_absurd_claims_revert_nothing(court: Court, world: World, seed: int) -> None:
    """Claims at the ends of their fields are judged on every ground, and alike."""
    rng = random.Random(seed)
    ends = (-(1 << 127), (1 << 127) - 1, -1, 0, 1)
    for _ in range(12):
        scene = find_bid(court, world, rng)
        code = rng.choice([one for one in BID_CODES if one not in BID_CODES_WITHOUT_CLAIMS])
        scene.bend_op(
            code=code,
            equity=rng.choice(ends),
            maintenance=rng.choice(ends),
            value=rng.choice(ends),
            relief=rng.choice((0, 1, (1 << 128) - 1)) * (code is not MessageCode.BID_SLICE_UNHEDGES),
            target_active=draw_active(rng),
            rest_active=draw_active(rng),
            bidder_active=draw_active(rng) if code is MessageCode.BID_BIDDER_SHORT else NO_ACTIVE,
        )
        for ground in list_grounds(scene.decoded.kind):
            court.judge(dispute(scene.played, ground))


def test_bytes_decode_as_the_twin_says(court: Court, world: World, seed: int) -> None:
    """For each code that there is, and for others: nothing, one field or another is claimed, and both judges agree."""
    rng, decoded = random.Random(seed), Counter[bool]()
    plain = find_bid(court, world, rng)
    for code in (*BID_CODES, 461, 484, 494, 496, 498, 1 << 15):
        for at in (19, 34, 35, 50, 51, 66, 67, 82, 83, 90, 91, 98, 99, 106, 107, 0):
            op = bytearray(plain.op[:17] + int(code).to_bytes(2) + bytes(88))
            if at == 107:
                op = op[:-1]
            elif at:
                op[at] = 1
            scene = Scene(plain.context, plain.leaves, bytes(op))
            is_shown = court.judge(dispute(scene.played, list_grounds(plain.decoded.kind)[1]))
            assert is_shown is (scene.decoded is None)
            decoded[not is_shown] += 1
            court.judge(dispute(scene.played, EFFECT))
    assert min(decoded[True], decoded[False]) > 20
