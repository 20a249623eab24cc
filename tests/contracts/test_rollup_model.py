"""Long random lives of a rollup beside a model of who may do what, and the laws that hold at every moment."""

import random
from collections import defaultdict
from dataclasses import dataclass, field

import pytest

from fraud_proofs.challenger import Proof
from fraud_proofs.grounds import check_ground
from fraud_proofs.witness import Witness
from state.codes import Code
from tests.contracts.rollup_chain import (
    BOND,
    BURNED,
    DEADLINE,
    ETH,
    ETH_UNIT,
    FEE,
    LIMIT,
    SILENCE,
    UNKNOWN,
    WINDOW,
    Chain,
    address,
)

PEOPLE = ("alice", "bob", "carol", "dave")


@dataclass
class ModelBatch:
    """What the laws need to know of a batch."""

    submitter: str
    submitted_at: int
    duty_at: int
    cursor: int
    generation: int
    is_false: bool


@dataclass
class Model:
    """The rollup as a list and a few numbers. Each method answers whether the rollup lets the action happen."""

    now: int
    batches: list[ModelBatch]
    final: int = 0
    generation: int = 0
    last_submitter: str = ""
    holder: str = ""
    taken_at: int = 0
    has_served: bool = False
    doubled_until: int = 0
    last_rollback: int = 0
    has_ended: bool = False
    messages: list[int] = field(default_factory=list)
    bonds: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    credits: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))

    @property
    def tip(self) -> int:
        return len(self.batches) - 1

    @property
    def required_bond(self) -> int:
        return 2 * BOND if self.now < self.doubled_until else BOND

    @property
    def is_silent(self) -> bool:
        return self.now > max(self.taken_at, self.batches[-1].duty_at) + SILENCE

    def is_overdue(self, message: int) -> bool:
        return message < len(self.messages) and self.now > max(self.messages[message], self.last_rollback) + DEADLINE

    def is_pending(self, who: str) -> bool:
        return any(batch.submitter == who for batch in self.batches[self.final + 1 :])

    def post_bond(self, who: str, value: int) -> bool:
        if self.has_ended or self.bonds[who] + value < self.required_bond:
            return False
        self.bonds[who] += value
        return True

    def take_slot(self, who: str) -> bool:
        if self.has_ended or self.holder or self.bonds[who] < self.required_bond:
            return False
        self.holder, self.taken_at, self.has_served = who, self.now, False
        return True

    def evict(self) -> bool:
        if not self.holder or not self.is_silent:
            return False
        self.dismiss()
        return True

    def dismiss(self) -> None:
        self.credits["burned"] += self.bonds[self.holder] // 10
        self.bonds[self.holder] -= self.bonds[self.holder] // 10
        self.holder, self.doubled_until = "", self.now + WINDOW

    def leave_slot(self, who: str) -> bool:
        if self.holder != who:
            return False
        if self.is_silent or not self.has_served:
            self.dismiss()
        self.holder = ""
        return True

    def send_message(self) -> bool:
        if self.has_ended:
            return False
        self.messages.append(self.now)
        self.credits[self.holder or "burned"] += FEE
        return True

    def submit(self, who: str, take: int, is_rescue: bool, is_false: bool) -> bool:
        is_rescuer = self.holder not in ("", who)
        if self.has_ended or self.bonds[who] < BOND or (is_rescuer and not (is_rescue and self.is_silent)):
            return False
        parent = self.batches[-1]
        cursor = parent.cursor + take
        is_duty_done = not self.is_overdue(cursor)
        if not is_duty_done and take < 64:
            return False
        self.generation += who != self.last_submitter
        self.last_submitter = who
        duty_at = self.now if is_duty_done and not is_rescuer else parent.duty_at
        self.has_served |= is_duty_done and not is_rescuer
        self.batches.append(ModelBatch(who, self.now, duty_at, cursor, self.generation, is_false))
        return True

    def prove(self, who: str, index: int) -> bool:
        if not self.final < index <= self.tip or not self.batches[index].is_false:
            return False
        liar = self.batches[index].submitter
        self.credits[who] += self.bonds[liar] // 2
        self.credits["burned"] += self.bonds[liar] - self.bonds[liar] // 2
        self.bonds[liar] = 0
        self.holder = "" if self.holder == liar else self.holder
        del self.batches[index:]
        self.generation += 1
        self.last_rollback = self.now
        return True

    def finalise(self, index: int) -> bool:
        if not self.final < index <= self.tip or self.now < self.batches[index].submitted_at + WINDOW:
            return False
        self.final = index
        return True

    def wind_down(self) -> bool:
        is_due = self.tip > self.final and self.now >= self.batches[self.final + 1].submitted_at + WINDOW
        if self.has_ended or is_due or self.now <= self.batches[-1].submitted_at + LIMIT:
            return False
        self.leave_slot(self.holder or "nobody")
        del self.batches[self.final + 1 :]
        self.has_ended = True
        return True

    def withdraw_bond(self, who: str) -> None:
        self.leave_slot(who)
        self.credits[who] += self.bonds[who]
        self.bonds[who] = 0


class Life:
    """One rollup and its model, moved by the same random hand."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.chain = Chain()
        self.model = Model(self.chain.evm.timestamp, [ModelBatch("", self.chain.evm.timestamp, 0, 0, 0, False)])
        self.model.batches[0].duty_at = self.chain.evm.timestamp
        self.custody = 0
        self.final_batches: list[object] = []
        self.happened: defaultdict[str, int] = defaultdict(int)
        for name in PEOPLE:
            self.chain.person(name)

    def step(self) -> None:
        """One action of one person; the rollup and the model agree on whether it may happen."""
        actions = [
            *[self.submit] * 6,
            *[self.post_bond, self.take_slot, self.prove, self.finalise, self.send_message, self.wait] * 2,
            *[self.evict, self.withdraw_bond, self.deposit, self.collect, self.withdraw_bond, self.leave_slot],
        ]
        action = self.random.choice(actions)
        is_done = action(self.random.choice(PEOPLE))
        self.happened[f"{action.__name__} {is_done}"] += 1

    def send(self, function: str, *arguments: object, who: str, value: int = 0) -> bool:
        return not self.chain.rollup.send(function, *arguments, sender=address(who), value=value).reverted

    def wait(self, who: str) -> bool:
        seconds = self.random.choice([0, 1, 100, DEADLINE, SILENCE, WINDOW])
        self.chain.wait(seconds)
        self.model.now += seconds
        return True

    def post_bond(self, who: str) -> bool:
        value = self.random.choice([0, BOND, 2 * BOND])
        done = self.send("post_bond", who=who, value=value)
        assert done == self.model.post_bond(who, value)
        return done

    def take_slot(self, who: str) -> bool:
        done = self.send("take_slot", who=who)
        assert done == self.model.take_slot(who)
        return done

    def evict(self, who: str) -> bool:
        done = self.send("evict", who=who)
        assert done == self.model.evict()
        return done

    def leave_slot(self, who: str) -> bool:
        done = self.send("leave_slot", who=who)
        assert done == self.model.leave_slot(who)
        return done

    def send_message(self, who: str) -> bool:
        done = self.send("cancel_all", 1, who=who, value=FEE)
        assert done == self.model.send_message()
        return done

    def deposit(self, who: str) -> bool:
        units = self.random.randrange(1, 1000)
        done = self.send("deposit", 0, units, 0, who=who, value=FEE + units * ETH_UNIT)
        assert done == self.model.send_message()
        self.custody += units * done
        return done

    def submit(self, who: str) -> bool:
        waiting = len(self.model.messages) - self.model.batches[-1].cursor
        take = self.random.choice([0, waiting, min(waiting, 64)])
        is_rescue, is_false = self.random.random() < 0.3, self.random.random() < 0.25
        ops = (UNKNOWN,) if is_false else (b"\x03" * 17,)
        batch = self.chain.draft(address(who), *ops, take=take, rescue=is_rescue)
        done = self.send("submit_batch", batch.encode(), who=who)
        assert done == self.model.submit(who, take, is_rescue, is_false)
        if done:
            self.chain.posted[self.model.tip] = batch
        return done

    def prove(self, who: str) -> bool:
        false = [index for index, batch in enumerate(self.model.batches) if batch.is_false]
        index = self.random.choice([*sorted(self.chain.posted)[-3:], *false[:3]] or [0])
        if index not in self.chain.posted:
            return False
        proof = Proof(self.chain.posted[index], 0, 1, check_ground(Code.KIND_MUST_BE_KNOWN), Witness(()))
        done = self.send("prove", index, proof.encode(), who=who)
        assert done == self.model.prove(who, index)
        return done

    def finalise(self, who: str) -> bool:
        index = self.random.randrange(self.model.final, self.model.tip + 2)
        # Watchers are awake here: no false batch is left to become final.
        if any(batch.is_false for batch in self.model.batches[: index + 1]):
            return False
        done = self.send("finalise", index, who=who)
        assert done == self.model.finalise(index)
        return done

    def wind_down(self, who: str) -> bool:
        done = self.send("wind_down", b"", who=who)
        assert done == self.model.wind_down()
        return done

    def withdraw_bond(self, who: str) -> bool:
        done = self.send("withdraw_bond", who=who)
        # After a rollback the rollup may hold a bond longer than the model, never shorter.
        if done:
            assert not self.model.is_pending(who)
            self.model.withdraw_bond(who)
        else:
            assert self.model.tip > self.model.final
        return done

    def collect(self, who: str) -> bool:
        before = self.chain.evm.get_balance(address(who))
        done = self.send("collect", ETH, who=who)
        assert self.chain.evm.get_balance(address(who)) - before == self.model.credits.pop(who, 0)
        return done

    def check_laws(self) -> None:
        """What must hold whatever happened."""
        chain, model = self.chain, self.model
        assert chain.read("tip") == model.tip
        assert chain.read("final_index") == model.final <= model.tip
        assert chain.read("generation") == model.generation >= model.batches[-1].generation
        assert chain.read("is_silent") == model.is_silent
        assert chain.read("required_bond") == model.required_bond
        assert chain.read("slot_holder") == address(model.holder)
        kept = [chain.read("batches", index) for index in range(model.final + 1)]
        assert kept[: len(self.final_batches)] == self.final_batches, "a final batch changed"
        self.final_batches = kept
        submitter, generation, duty_at = (chain.read("batches", model.tip)[field] for field in (7, 5, 8))
        tip = model.batches[-1]
        assert (submitter, generation, duty_at) == (address(tip.submitter), tip.generation, tip.duty_at)

        bonds = [chain.read("bond_of", address(name)) for name in PEOPLE]
        credits = [chain.read("balance_of", ETH, address(name)) for name in PEOPLE]
        burned = chain.read("balance_of", ETH, BURNED)
        assert bonds == [model.bonds[name] for name in PEOPLE]
        assert credits == [model.credits[name] for name in PEOPLE]
        assert burned == model.credits["burned"]
        held = chain.evm.get_balance(chain.rollup.address)
        assert held == sum(bonds) + sum(credits) + burned + self.custody * ETH_UNIT


@pytest.mark.slow
def test_rollup_lives_as_its_model(seed: int) -> None:
    """Four people bond, submit, lie, convict, fall silent and leave at random; no wei is ever lost or made."""
    life = Life(seed)
    wanted = [f"{name} {done}" for name in ("submit", "prove", "finalise", "evict") for done in (True, False)]
    steps = 0
    while steps < 300 or not all(life.happened[one] for one in wanted):
        assert steps < 5_000, f"this life is too dull: {dict(life.happened)}"
        life.step()
        life.check_laws()
        steps += 1
    while not life.wind_down("dave"):
        for action in (life.wait, life.prove, life.finalise):
            action("dave")
        life.check_laws()
    for _ in range(60):
        life.check_laws()
        life.step()
    for name in PEOPLE:
        assert life.withdraw_bond(name), "a bond is stuck"
