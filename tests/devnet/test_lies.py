"""Every variety of lie is found on the ground that its row names, or is one that the contract refuses."""

import pytest

from devnet.forgery import Forgery, LieImpossible
from devnet.lies import VARIETIES, Manner
from fraud_proofs.challenger import Honest, Proof
from state.codes import Kind
from tests.devnet.lying import Operator

MESSAGES = {Kind.BID, Kind.RELAY}
"""What asks for an L1 message of its own."""

UNSIGNED = {Kind.SURFACE, Kind.INDEX, Kind.SETTLE, Kind.LIQUIDATE, Kind.TAKE, Kind.DELEVERAGE, Kind.INTEREST}
UNPLAYED = MESSAGES | UNSIGNED
"""What the devnet's people do not come to in a minute; lies of the UNSIGNED make up their own occasion, and
tests/devnet/test_crash_replay.py puts honest ones to the contract."""

CONVICTED = [name for name, variety in VARIETIES.items() if not variety.is_refused]
REFUSED = [name for name, variety in VARIETIES.items() if variety.is_refused]


@pytest.fixture(scope="module")
def operator() -> Operator:
    """One honest batch for all lies."""
    return Operator()


def test_the_honest_batch_holds_every_kind_of_op(operator: Operator) -> None:
    """Lies are told among real business, and without a lie there is nothing to find."""
    kinds = {posted.op[0] for posted in operator.kit.sealed.ops}

    assert kinds == set(Kind) - UNPLAYED
    assert isinstance(operator.examine(operator.batch.encode()), Honest)
    assert operator.find_refusal(operator.batch.encode()) is None


@pytest.mark.parametrize("name", CONVICTED)
def test_lie_is_convicted_on_its_ground(operator: Operator, name: str) -> None:
    """The contract takes the batch, and whoever re-executes it finds the one step and its ground."""
    posted = VARIETIES[name].tell(Forgery(operator.kit))

    assert operator.find_refusal(posted) is None
    found = operator.examine(posted)
    assert isinstance(found, Proof)
    assert found.ground == VARIETIES[name].ground
    assert operator.convicts(found)


def test_there_is_a_lie_of_every_kind_that_nobody_plays() -> None:
    """Each of them is convicted by a check of its own kind."""
    codes = [code for variety in VARIETIES.values() if variety.ground is not None and (code := variety.ground.code)]

    assert {Kind(code // 100) for code in codes} >= UNSIGNED


@pytest.mark.parametrize("name", [name for name in REFUSED if VARIETIES[name].manner is Manner.PLAINLY])
def test_refused_lie_breaks_the_rule_of_submission_that_it_names(operator: Operator, name: str) -> None:
    """What the contract refuses never costs a proof."""
    posted = VARIETIES[name].tell(Forgery(operator.kit))

    assert operator.find_refusal(posted) == (VARIETIES[name].refusal or "rollup: frame length")


def test_an_operator_without_lies_posts_the_honest_batch(operator: Operator) -> None:
    """Honest code plus a patch: without the patch, byte for byte the same."""
    assert VARIETIES["through_contract"].tell(Forgery(operator.kit)) == operator.batch.encode()


def test_a_batch_that_leaves_out_a_message_is_wrong_only_when_it_is_overdue(operator: Operator) -> None:
    """Leaving a message for later is no fraud; the contract alone knows when it must be taken."""
    posted = VARIETIES["skipped_message"].tell(Forgery(operator.kit))

    assert operator.find_refusal(posted) is None
    assert isinstance(operator.examine(posted), Honest)


@pytest.mark.parametrize("name", ["header_cursor", "wrong_deposit", "shortage_of_nobody"])
def test_lie_about_a_message_needs_no_unread_one(name: str) -> None:
    """Where every message is read, the lie is about one that the honest batch takes; or it waits for another batch."""
    operator = Operator(is_message_unread=False)
    forgery = Forgery(operator.kit)

    if name == "header_cursor":
        with pytest.raises(LieImpossible):
            VARIETIES[name].tell(forgery)
    else:
        found = operator.examine(VARIETIES[name].tell(forgery))
        assert isinstance(found, Proof)
        assert found.ground == VARIETIES[name].ground
