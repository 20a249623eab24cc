"""Who may submit, what it costs to lie or to be silent, and what a conviction leaves standing."""

import pytest

from fraud_proofs.challenger import Proof
from fraud_proofs.grounds import MALFORMED, check_ground
from fraud_proofs.witness import Witness
from state.batches import BatchData
from state.codes import Code
from tests.contracts.rollup_chain import (
    BOND,
    BURNED,
    DEADLINE,
    ETH,
    FEE,
    OPEN,
    SILENCE,
    UNKNOWN,
    WINDOW,
    Chain,
    address,
)

NOBODY = address("")


@pytest.fixture
def chain() -> Chain:
    return Chain()


# The slot


def test_only_the_bonded_submit(chain: Chain) -> None:
    """While the slot is open anybody may submit who has the whole bond, and nobody with a wei less."""
    alice = chain.person("alice")
    assert chain.refuse("submit_batch", chain.draft(alice).encode(), sender=alice) == "rollup: bond"
    assert chain.refuse("post_bond", sender=alice, value=BOND - 1) == "rollup: bond"
    assert chain.refuse("take_slot", sender=alice) == "rollup: bond"

    chain.do("post_bond", sender=alice, value=BOND)
    chain.do("post_bond", sender=alice, value=5)

    assert chain.read("bond_of", alice) == BOND + 5
    chain.post(alice)


def test_slot_belongs_to_one(chain: Chain) -> None:
    """Once taken, the slot keeps every other bonded submitter out, until its holder leaves."""
    alice, bob = chain.holder("alice"), chain.bonded("bob")

    assert chain.refuse("take_slot", sender=bob) == "rollup: slot"
    assert chain.refuse("submit_batch", chain.draft(bob).encode(), sender=bob) == "rollup: slot"
    chain.post(alice)
    chain.do("leave_slot", sender=alice)
    assert chain.read("slot_holder") == NOBODY
    chain.post(bob)
    chain.do("take_slot", sender=bob)


def test_silent_holder_is_evicted_for_a_tenth(chain: Chain) -> None:
    """Silence opens the slot and burns a tenth of the bond; for one window the next holder's bond is double."""
    alice, bob = chain.holder("alice"), chain.person("bob")
    chain.wait(SILENCE)
    assert chain.refuse("evict", sender=bob) == "rollup: not silent"
    chain.wait(1)
    chain.do("evict", sender=bob)

    assert chain.read("slot_holder") == NOBODY
    assert chain.read("bond_of", alice) == BOND - BOND // 10
    assert chain.read("balance_of", ETH, BURNED) == BOND // 10
    assert chain.read("required_bond") == 2 * BOND
    assert chain.refuse("evict", sender=bob) == "rollup: not silent"
    assert chain.refuse("take_slot", sender=alice) == "rollup: bond"
    assert chain.refuse("post_bond", sender=bob, value=BOND) == "rollup: bond"
    chain.wait(WINDOW - 1)
    assert chain.read("required_bond") == 2 * BOND
    chain.wait(1)
    assert chain.read("required_bond") == BOND


def test_batches_of_the_holder_end_his_silence(chain: Chain) -> None:
    """Each batch gives the holder another limit of silence, to the second."""
    alice = chain.holder("alice")
    for _ in range(3):
        chain.wait(SILENCE)
        chain.post(alice)
    chain.wait(SILENCE)
    assert not chain.read("is_silent")
    chain.wait(1)
    assert chain.read("is_silent")


def test_batch_that_leaves_messages_overdue_does_not_end_silence(chain: Chain) -> None:
    """A holder under a flood may take sixty-four messages at a time, but is silent until none is overdue."""
    alice = chain.holder("alice")
    chain.send_messages(65, chain.person("user"))
    chain.wait(DEADLINE + 1)
    chain.post(alice, take=64)
    chain.wait(SILENCE - DEADLINE)
    assert chain.read("is_silent")

    chain.post(alice, take=1)

    assert not chain.read("is_silent")


def test_rescue_is_for_silence(chain: Chain) -> None:
    """Others may post a rescue batch, and only such, and only while the holder is silent; it does not speak for him."""
    alice, bob = chain.holder("alice"), chain.bonded("bob")
    rescue = chain.draft(bob, rescue=True)
    assert chain.refuse("submit_batch", rescue.encode(), sender=bob) == "rollup: slot"
    chain.wait(SILENCE + 1)
    assert chain.refuse("submit_batch", chain.draft(bob).encode(), sender=bob) == "rollup: slot"
    index = chain.post(bob, rescue=True)

    assert chain.read("is_silent")
    assert chain.read("batches", index)[5] == 1
    chain.post(alice)
    assert not chain.read("is_silent")
    assert chain.read("generation") == 2
    assert chain.refuse("submit_batch", chain.draft(bob, rescue=True).encode(), sender=bob) == "rollup: slot"


def test_taking_the_slot_starts_the_clock(chain: Chain) -> None:
    """Who takes the slot of a chain long quiet is not silent at once."""
    chain.wait(10 * SILENCE)
    chain.holder("alice")

    assert not chain.read("is_silent")
    assert chain.refuse("evict") == "rollup: not silent"


# Convictions


def test_conviction_kills_the_batch_and_all_upon_it(chain: Chain) -> None:
    """The first false batch and its descendants die at once; what stood before them stands."""
    alice = chain.holder("alice")
    chain.post(alice)
    parent = chain.read("batches", 1)
    false = chain.post(alice, UNKNOWN)
    chain.post(alice)
    chain.post(alice)
    outcome = chain.convict(false, chain.person("prover"))

    assert chain.read("tip") == 1
    assert chain.read("batches", 1) == parent
    assert all(chain.read("batches", index) == chain.read("batches", 99) for index in (2, 3, 4))
    assert outcome.events[-1].arguments == {
        "index": 2,
        "prover": address("prover"),
        "submitter": alice,
        "generation": 2,
        "reward": BOND // 2,
    }


def test_half_a_bond_rewards_and_half_burns(chain: Chain) -> None:
    """A liar who convicts himself is poorer by half his bond; an odd wei burns."""
    alice = chain.bonded("alice")
    chain.do("post_bond", sender=alice, value=3)
    chain.convict(chain.post(alice, UNKNOWN), alice)

    assert chain.read("bond_of", alice) == 0
    assert chain.read("balance_of", ETH, alice) == (BOND + 3) // 2
    assert chain.read("balance_of", ETH, BURNED) == BOND + 3 - (BOND + 3) // 2


def test_innocent_descendants_keep_their_bonds_and_the_slot(chain: Chain) -> None:
    """Who built upon a lie in good faith loses batches, not money, nor the slot."""
    liar, alice = chain.bonded("liar"), chain.bonded("alice")
    false = chain.post(liar, UNKNOWN)
    chain.do("take_slot", sender=alice)
    chain.post(alice)
    chain.convict(false, chain.person("prover"))

    assert chain.read("bond_of", alice) == BOND
    assert chain.read("slot_holder") == alice
    chain.do("withdraw_bond", sender=alice)
    assert chain.refuse("submit_batch", chain.draft(liar).encode(), sender=liar) == "rollup: bond"


def test_convicted_holder_loses_the_slot(chain: Chain) -> None:
    """The slot is open as soon as its holder is convicted."""
    alice = chain.holder("alice")
    chain.convict(chain.post(alice, UNKNOWN), chain.person("prover"))

    assert chain.read("slot_holder") == NOBODY
    chain.holder("bob")


def test_one_bond_answers_for_all_batches(chain: Chain) -> None:
    """A second lie can be convicted after the first took the bond, for no reward."""
    alice, prover = chain.bonded("alice"), chain.person("prover")
    first = chain.post(alice, UNKNOWN)
    second = chain.post(alice, UNKNOWN)
    chain.convict(second, prover)
    reward = chain.read("balance_of", ETH, prover)

    assert chain.convict(first, prover).events[-1].arguments["reward"] == 0
    assert chain.read("balance_of", ETH, prover) == reward == BOND // 2
    assert chain.read("tip") == 0


def test_conviction_counts_once(chain: Chain) -> None:
    """A copy of a proof that arrives second finds nothing to convict, even when the same batch is posted again."""
    alice, prover = chain.bonded("alice"), chain.person("prover")
    false = chain.post(alice, UNKNOWN)
    proof = chain.prove_unknown_kind(false)
    chain.convict(false, prover)
    assert chain.refuse("prove", false, proof, sender=prover) == "rollup: not pending"

    chain.bonded("alice")
    chain.post(alice, UNKNOWN)

    assert chain.refuse("prove", false, proof, sender=prover) == "judge: batch hash"


def test_honest_batch_is_never_convicted(chain: Chain) -> None:
    """A good proof that shows no fraud is refused by the rollup, a bad one by the judge, and nothing changes."""
    alice, prover = chain.holder("alice"), chain.person("prover")
    index = chain.post(alice, b"\x03" * 17)
    batch = chain.posted[index]
    malformed = Proof(batch, 0, 0, MALFORMED, Witness(())).encode()
    unknown_verifier = Proof(batch, 0, 1, check_ground(Code.TICK_MUST_DECODE), Witness(())).encode()

    assert chain.refuse("prove", index, malformed, sender=prover) == "rollup: not shown"
    assert chain.refuse("prove", index, unknown_verifier, sender=prover) == ""
    assert chain.refuse("prove", index, malformed[:-1], sender=prover) == ""
    assert chain.refuse("prove", index, b"", sender=prover) == ""
    assert chain.read("tip") == index


def test_malformed_frame_is_convicted(chain: Chain) -> None:
    """Noise that got in as a frame is shown to be noise."""
    alice = chain.bonded("alice")
    honest = chain.draft(alice, b"\x06" * 100)
    noise = honest.frames[0][:38] + b"\xff\xff" + honest.frames[0][40:]
    batch = BatchData(honest.header, (noise,))
    chain.do("submit_batch", batch.encode(), sender=alice)

    chain.do("prove", 1, Proof(batch, 0, 0, MALFORMED, Witness(())).encode(), sender=chain.person("prover"))

    assert chain.read("tip") == 0


def test_final_batch_is_beyond_proof(chain: Chain) -> None:
    """Until somebody finalises it a false batch can be convicted, however late; afterwards it cannot."""
    alice = chain.bonded("alice")
    false = chain.post(alice, UNKNOWN)
    proof = chain.prove_unknown_kind(false)
    chain.wait(2 * WINDOW)
    assert not chain.rollup.read("prove", false, proof).reverted
    chain.do("finalise", false)

    assert chain.refuse("prove", false, proof) == "rollup: not pending"
    assert chain.refuse("prove", 0, proof) == "rollup: not pending"


def test_every_rollback_raises_the_generation(chain: Chain) -> None:
    """After a conviction even the same submitter goes on in a new generation, at position 0."""
    alice, bob = chain.bonded("alice"), chain.bonded("bob")
    chain.post(alice, positions=5)
    chain.convict(chain.post(bob, UNKNOWN), alice)
    assert chain.read("generation") == 3

    index = chain.post(alice, positions=5)

    assert chain.read("batches", index)[5:7] == (4, 5)
    chain.bonded("bob")
    chain.convict(chain.post(bob, UNKNOWN), alice)
    chain.bonded("bob")
    assert chain.read("batches", chain.post(bob, positions=5))[5:7] == (6, 5)


def test_rollback_gives_messages_time_anew(chain: Chain) -> None:
    """Messages that a dead batch had taken wait again, and are overdue only a deadline after the rollback."""
    alice = chain.bonded("alice")
    chain.send_messages(3, chain.person("user"))
    chain.wait(DEADLINE + 1)
    chain.convict(chain.post(alice, UNKNOWN, take=3), chain.person("prover"))
    chain.bonded("alice")
    chain.wait(DEADLINE)
    assert not chain.rollup.read("submit_batch", chain.draft(alice).encode(), sender=alice).reverted
    chain.wait(1)

    assert chain.refuse("submit_batch", chain.draft(alice).encode(), sender=alice) == "rollup: overdue"
    chain.post(alice, take=3)


def test_silence_counts_from_what_survives(chain: Chain) -> None:
    """Batches that died with a lie below them do not prove that the holder was there."""
    liar, alice = chain.bonded("liar"), chain.bonded("alice")
    false = chain.post(liar, UNKNOWN)
    chain.do("take_slot", sender=alice)
    for _ in range(3):
        chain.wait(SILENCE)
        chain.post(alice)
    chain.convict(false, chain.person("prover"))

    assert chain.read("is_silent")


# Bonds come back


def test_bond_stays_while_a_batch_is_pending(chain: Chain) -> None:
    """The bond comes back whole once the last batch is final, through collect."""
    alice = chain.holder("alice")
    index = chain.post(alice)
    assert chain.refuse("withdraw_bond", sender=alice) == "rollup: pending"
    chain.do("leave_slot", sender=alice)
    chain.wait(WINDOW)
    assert chain.refuse("withdraw_bond", sender=alice) == "rollup: pending"
    chain.do("finalise", index)
    chain.do("withdraw_bond", sender=alice)
    before = chain.evm.get_balance(alice)
    chain.do("collect", ETH, sender=alice)

    assert chain.evm.get_balance(alice) == before + BOND
    assert chain.read("bond_of", alice) == chain.read("balance_of", ETH, alice) == 0


def test_bond_stays_for_the_batch_below_a_dead_one(chain: Chain) -> None:
    """When a submitter's last batch died, the earlier one still holds the bond; it is free when that one is final."""
    alice, liar = chain.bonded("alice"), chain.bonded("liar")
    first = chain.post(alice)
    false = chain.post(liar, UNKNOWN)
    chain.post(alice)
    chain.convict(false, chain.person("prover"))

    assert chain.refuse("withdraw_bond", sender=alice) == "rollup: pending"
    chain.wait(WINDOW)
    chain.do("finalise", first)
    chain.do("withdraw_bond", sender=alice)


def test_bond_cannot_flee_a_proof(chain: Chain) -> None:
    """A liar whose last batch died by another's lie is still bonded for the lie that lives."""
    liar, other = chain.bonded("liar"), chain.bonded("other")
    false = chain.post(liar, UNKNOWN)
    also_false = chain.post(other, UNKNOWN)
    chain.post(liar)
    chain.convict(also_false, chain.person("prover"))
    assert chain.refuse("withdraw_bond", sender=liar) == "rollup: pending"

    assert chain.convict(false, chain.person("prover")).events[-1].arguments["reward"] == BOND // 2


def test_bond_below_after_eviction_cannot_submit(chain: Chain) -> None:
    """An evicted holder must fill the bond up before he submits again."""
    alice = chain.holder("alice")
    chain.wait(SILENCE + 1)
    chain.do("evict")
    assert chain.refuse("submit_batch", chain.draft(alice).encode(), sender=alice) == "rollup: bond"

    chain.bonded("alice")

    chain.post(alice)


def test_fees_go_to_the_holder_or_burn(chain: Chain) -> None:
    """The message fee pays whoever holds the slot; while it is open the fee burns."""
    user = chain.person("user")
    chain.send_messages(1, user)
    alice = chain.holder("alice")
    chain.send_messages(2, user)

    assert chain.read("balance_of", ETH, BURNED) == FEE
    assert chain.read("balance_of", ETH, alice) == 2 * FEE


def test_nobody_collects_what_burned(chain: Chain) -> None:
    """What burned stays: collecting pays the sender's own credit alone, once."""
    alice = chain.bonded("alice")
    chain.convict(chain.post(alice, UNKNOWN), alice)
    held = chain.evm.get_balance(chain.rollup.address)
    chain.do("collect", ETH, sender=alice)
    chain.do("collect", ETH, sender=alice)
    chain.do("collect", ETH, sender=chain.person("stranger"))

    assert chain.evm.get_balance(chain.rollup.address) == held - BOND // 2 == chain.read("balance_of", ETH, BURNED)


REENTERING = """
interface Rollup:
    def collect(token: address): nonpayable
    def post_bond(): payable
    def withdraw_bond(): nonpayable

rollup: address
calls: public(uint256)

@deploy
@payable
def __init__(_rollup: address):
    self.rollup = _rollup
    extcall Rollup(_rollup).post_bond(value=msg.value)
    extcall Rollup(_rollup).withdraw_bond()

@external
def take():
    extcall Rollup(self.rollup).collect(empty(address))

@external
@payable
def __default__():
    self.calls += 1
    again: Bytes[36] = abi_encode(empty(address), method_id=method_id("collect(address)"))
    paid: bool = raw_call(self.rollup, again, revert_on_failure=False)
    assert not paid
"""


def test_reentering_collector_is_paid_once(chain: Chain) -> None:
    """A contract that collects again while it is being paid gets its credit and no more."""
    chain.bonded("victim")
    thief = chain.evm.deploy_source(REENTERING, chain.rollup.address, value=BOND)
    assert not thief.send("take").reverted

    assert thief.read("calls").value == 1
    assert chain.evm.get_balance(thief.address) == BOND
    assert chain.evm.get_balance(chain.rollup.address) == BOND


def test_steps_without_verifier_reach_no_verdict(chain: Chain) -> None:
    """A ground whose verifier reverts leaves the batch alone, whoever asks."""
    alice = chain.bonded("alice")
    index = chain.post(alice, OPEN)
    proof = Proof(chain.posted[index], 0, 1, check_ground(Code.OPEN_MUST_DECODE), Witness(())).encode()

    assert chain.rollup.send("prove", index, proof).reverted
    assert chain.read("tip") == index
