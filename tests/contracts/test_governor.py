"""The governor: what Python would refuse the contract refuses, and what it takes the contract takes; who may ask."""

import hashlib
import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from state.process_inbox import Message, MessageType, Proposal
from state.proposals import NOTICE_MIN, POSTPONEMENT_MAX, RANGES, Version, decode_version, find_refusal
from state.rules import encode_rules
from tests.contracts.rollup_chain import DEADLINE, FEE, LIMIT, WINDOW, Chain, address
from tests.evm import Contract, Evm, Outcome, Reverted
from tests.governed import ACTIVE, BREAKS, RuleEdge, bend_params, list_edges, list_rule_edges

NOTICE = NOTICE_MIN + WINDOW + DEADLINE + LIMIT
FEES = FEE * 12
"""Of a message of some 2,600 bytes."""

GOVERNOR = address("governor")
ROUNDS = 200
Leaves = tuple[bytes, bytes]


def encode(version: Version) -> Leaves:
    """Both leaves."""
    return version.params.encode(), encode_rules(version.rules)


@pytest.fixture(scope="module")
def contract() -> Contract:
    """A governor's contract, to be asked what it would say."""
    return Evm().deploy("governor", GOVERNOR, NOTICE)


def ask(contract: Contract, before: Version, leaves: Leaves) -> str | None:
    """The fence that stands between the two versions; None when nothing does."""
    return contract.read("check", *encode(before), *leaves).reason


# The same verdict


@pytest.mark.parametrize("name", BREAKS)
def test_each_fence_stands_on_l1(contract: Contract, name: str) -> None:
    """Each way to break a fence is refused, and by that fence."""
    fence, version = BREAKS[name]
    assert ask(contract, ACTIVE, encode(version)) == f"governor: {fence}"


@pytest.mark.parametrize("field", RANGES)
def test_ranges_are_those_of_python(contract: Contract, field: str) -> None:
    """The least and the most of each number of the parameters are taken, the numbers beside them are not."""
    for number, is_taken in list_edges(field):
        reason = ask(contract, ACTIVE, encode(bend_params(**{field: number})))
        assert (reason is None) == is_taken, number


@pytest.mark.parametrize("edge", list_rule_edges(), ids=lambda edge: edge.name)
def test_rules_stay_defined_on_l1(contract: Contract, edge: RuleEdge) -> None:
    """Behind the bound of a number of the rules both refuse for the same reason, at the bound both say the same."""
    for version in (edge.within, edge.beyond):
        refusal = find_refusal(edge.within, version)
        assert ask(contract, edge.within, encode(version)) == (refusal and f"governor: {refusal}")


def draw_change(chance: random.Random, leaf: bytes) -> bytes:
    """Up to three of its bytes are others; or one is missing, or too much."""
    changed = bytearray(leaf)
    if chance.random() < 0.05:
        return bytes(changed[:-1]) if chance.random() < 0.5 else bytes(changed) + b"\0"
    for _ in range(chance.randint(0, 3)):
        changed[chance.randrange(len(changed))] ^= chance.choice((1, 1, 2, 16, 128, 255))
    return bytes(changed)


def test_contract_takes_what_python_takes_and_nothing_else(contract: Contract, seed: int) -> None:
    """Whatever bytes a governor sends, both judge alike: a version that a transition could not read is never sent."""
    chance, taken = random.Random(seed), 0
    for _ in range(ROUNDS):
        leaves = encode(ACTIVE)
        leaves = draw_change(chance, leaves[0]), draw_change(chance, leaves[1])
        version = decode_version(*leaves)
        is_taken = version is not None and find_refusal(ACTIVE, version) is None
        assert (ask(contract, ACTIVE, leaves) is None) == is_taken, leaves
        taken += is_taken
    assert 0 < taken < ROUNDS


# Who asks


class Realm:
    """A rollup with a governor."""

    def __init__(self) -> None:
        self.evm = Evm()
        self.governor = self.evm.deploy("governor", GOVERNOR, NOTICE)
        self.chain = Chain(evm=self.evm, governor=self.governor.address)
        self.chain.person("governor")

    def propose(
        self, version: Version = ACTIVE, wait: int = NOTICE, sender: str = GOVERNOR, fee: int = FEES
    ) -> Outcome:
        """Send a version that is active after so many seconds."""
        params = replace(version.params, active_from=self.evm.timestamp + wait)
        leaves = params.encode(), encode_rules(version.rules)
        self.chain.evm.set_balance(sender, 10**24)
        return self.governor.send(
            "propose", self.chain.rollup.address, 1, *encode(ACTIVE), *leaves, sender=sender, value=fee
        )


@pytest.fixture
def realm() -> Realm:
    """A rollup whose governor has proposed nothing yet."""
    return Realm()


def test_a_proposal_is_a_message_of_the_inbox(realm: Realm) -> None:
    """What the rollup chains is what the node would write, from the contract, for a fee that knows its length."""
    params = replace(ACTIVE.params, active_from=realm.evm.timestamp + NOTICE)
    active_params, rules = encode(ACTIVE)
    hashes = hashlib.sha256(active_params).digest(), hashlib.sha256(rules).digest()
    proposal = Proposal(1, *hashes, params.encode(), rules)
    sender = bytes.fromhex(realm.governor.address[2:])
    message = Message(MessageType.PARAMS, sender, realm.evm.timestamp, 0, proposal.encode()).encode()
    fee = FEE * (1 + (len(message) - 1) // 256)
    refused = (realm.propose(fee=fee - 1).reason, realm.propose(fee=fee + 1).reason)

    outcome = realm.propose(fee=fee)

    assert refused == ("rollup: value", "rollup: value")
    assert outcome.events[-1].arguments["active_from"] == params.active_from
    accumulator = hashlib.sha256(bytes(32) + hashlib.sha256(message).digest()).digest()
    assert realm.chain.read("accumulator", 1) == accumulator


def test_everybody_has_a_month_to_leave(realm: Realm) -> None:
    """A second less than the notice is refused, and a version cannot stand before the door for ever."""
    fee = FEE * (1 + (33 + 2 + 64 + 2 + len(encode(ACTIVE)[0]) + 2 + len(encode(ACTIVE)[1]) - 1) // 256)
    for wait, reason in (
        (NOTICE - 1, "governor: notice"),
        (NOTICE, None),
        (NOTICE + POSTPONEMENT_MAX, None),
        (NOTICE + POSTPONEMENT_MAX + 1, "governor: notice"),
    ):
        assert realm.propose(wait=wait, fee=fee).reason == reason


@pytest.mark.parametrize("name", ["two of four who sign", "a scenario that hardly weighs"])
def test_nothing_enters_that_a_fence_refuses(realm: Realm, name: str) -> None:
    """A proposal asks all that `check` asks."""
    fence, version = BREAKS[name]
    assert realm.propose(version).reason == f"governor: {fence}"
    assert realm.chain.read("inbox_count") == 0


def test_nobody_else_proposes(realm: Realm) -> None:
    """Neither a stranger by the contract, nor anybody past it."""
    assert realm.propose(sender=address("stranger")).reason == "governor: sender"
    realm.chain.person("stranger")
    for sender in (GOVERNOR, address("stranger")):
        outcome = realm.chain.rollup.send("govern", MessageType.PARAMS, b"anything", sender=sender, value=FEE)
        assert outcome.reason == "rollup: governor"


def test_a_key_is_handed_over_in_two_steps(realm: Realm) -> None:
    """Only the governor names an heir, only the heir takes over, and then the old key is nobody's."""
    heir, stranger = realm.chain.person("heir"), realm.chain.person("stranger")
    assert realm.governor.send("hand_over", heir, sender=stranger).reason == "governor: sender"
    assert realm.governor.send("hand_over", heir, sender=GOVERNOR).reason is None
    assert realm.governor.send("take_over", sender=stranger).reason == "governor: heir"
    assert realm.governor.send("take_over", sender=heir).reason is None
    assert realm.propose().reason == "governor: sender"
    assert realm.governor.send("take_over", sender=heir).reason == "governor: heir"


def test_a_burned_key_changes_nothing_any_more(realm: Realm) -> None:
    """Neither he who burned it nor the heir whom he had named proposes again."""
    heir = realm.chain.person("heir")
    realm.governor.send("hand_over", heir, sender=GOVERNOR)
    assert realm.governor.send("renounce", sender=heir).reason == "governor: sender"
    assert realm.governor.send("renounce", sender=GOVERNOR).reason is None
    assert realm.propose().reason == "governor: sender"
    assert realm.governor.send("take_over", sender=heir).reason == "governor: heir"
    assert realm.governor.send("renounce", sender=GOVERNOR).reason == "governor: sender"


def test_a_rollup_without_governor_has_none() -> None:
    """Whose address is empty is nobody."""
    chain = Chain()
    assert chain.refuse("govern", MessageType.PARAMS, b"") == "rollup: governor"


@pytest.mark.parametrize(
    ("notice", "reason"), [(NOTICE - 1, "rollup: notice"), (NOTICE, None)], ids=["too short", "enough"]
)
def test_a_rollup_wants_notice_for_its_own_terms(notice: int, reason: str | None) -> None:
    """A month to ask in, and until whoever asked is heard and paid, or the end has come."""
    evm = Evm()
    governor = evm.deploy("governor", GOVERNOR, notice)

    def build() -> Chain:
        return Chain(evm=evm, governor=governor.address)

    assert_outcome(build, reason)


@pytest.mark.parametrize(
    ("notice", "reason"), [(NOTICE_MIN - 1, "governor: notice"), (NOTICE_MIN, None), (2**32, "governor: notice")]
)
def test_no_governor_is_quick(notice: int, reason: str | None) -> None:
    """Below a month there is no such contract, and none for ever."""
    assert_outcome(lambda: Evm().deploy("governor", GOVERNOR, notice), reason)


def assert_outcome(deploy: Callable[[], object], reason: str | None) -> None:
    """Whether a deployment succeeds, or for what reason it does not."""
    if reason is None:
        deploy()
        return
    with pytest.raises(Reverted, match=f"{reason}$"):
        deploy()
