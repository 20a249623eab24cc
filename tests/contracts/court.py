"""Verifiers as a judge would call them, beside their Python twin: both must say the same of every dispute.

The inbox of the rollup is a contract that keeps accumulators by the rule of state/SPEC.md section 9 and nothing else.
"""

from dataclasses import dataclass, replace

from fraud_proofs.grounds import EFFECT, Ground, check_ground
from fraud_proofs.step import BadWitness, is_fraud_shown
from fraud_proofs.witness import Witness, build_witness
from node.deploy import JUDGE_CONTRACTS, TABLES
from state.codes import Code, Kind
from state.ledger import Ledger
from state.operations import decode_operation
from state.transition import PROCESSES
from state.tree import Root, build_tree, hash_leaf
from tests.evm import Contract, Evm, Outcome
from tests.world import PlayedStep, World

INBOX = """
# pragma version 0.4.3
accumulator: public(HashMap[uint256, bytes32])
count: uint256

@external
def append(message: Bytes[4096]):
    self.accumulator[self.count + 1] = sha256(concat(self.accumulator[self.count], sha256(message)))
    self.count += 1
"""

VERIFIERS = {
    Kind.OPEN: "verify_batch",
    Kind.CLOSE: "verify_batch",
    Kind.TICK: "verify_batch",
    Kind.L1: "verify_inbox",
    Kind.ORACLE: "verify_oracle",
    Kind.ORDER: "verify_market",
    Kind.CANCEL: "verify_market",
    Kind.FILL: "verify_fill",
    Kind.TRANSFER: "verify_account",
    Kind.WITHDRAW: "verify_account",
    Kind.SURFACE: "verify_oracle",
    Kind.INDEX: "verify_oracle",
    Kind.SETTLE: "verify_liquidation",
    Kind.LIQUIDATE: "verify_liquidation",
    Kind.TAKE: "verify_take",
    Kind.DELEVERAGE: "verify_deleverage",
    Kind.BID: "verify_bid",
    Kind.RELAY: "verify_relay",
    Kind.INTEREST: "verify_liquidation",
}


def deploy_with_needs(evm: Evm, name: str, deployed: dict[str, Contract]) -> Contract:
    """A contract behind the judge, or the judge, and before it all that it asks; what is deployed already serves."""
    if name not in deployed:
        addresses = [deploy_with_needs(evm, needed, deployed).address for needed in JUDGE_CONTRACTS[name]]
        deployed[name] = evm.deploy(name, *addresses, *map(list, TABLES.get(name, ())))
    return deployed[name]


@dataclass(frozen=True)
class Dispute:
    """A step, as it was claimed, and what is said against it."""

    played: PlayedStep
    ground: Ground
    witness: Witness

    @property
    def is_shown_by_twin(self) -> bool:
        """The verdict of fraud_proofs/step.py."""
        return is_fraud_shown(
            self.played.context,
            self.played.op,
            self.ground,
            self.witness,
            self.played.pre_root,
            self.played.post_root,
        )


def dispute(played: PlayedStep, ground: Ground) -> Dispute:
    """With the witness that an honest prover builds."""
    tree = build_tree(played.leaves.items())
    assert tree.root == played.pre_root
    return Dispute(played, ground, build_witness(played.leaves, tree, played.context, played.op, ground))


def claim(world: World, op: bytes, post_root: bytes = bytes(32)) -> PlayedStep:
    """A step that claims `post_root` for any bytes at this place of the world."""
    return PlayedStep(world.here, dict(world.state.leaves), world.root, op, post_root, result=None)  # type: ignore


def compute_post_root(played: PlayedStep) -> Root:
    """The root after the effects of the op, by the rules, whether it is valid or not."""
    op, ledger, tree = decode_operation(played.op), Ledger(played.leaves), build_tree(played.leaves.items())
    assert op is not None
    PROCESSES[op.kind].apply_effects(ledger, played.context, op)
    return tree.update({key: hash_leaf(key, data) for key, data in ledger.writes.items()})


def list_grounds(kind: Kind) -> list[Ground]:
    """EFFECT, and every check of the kind from number 0 on."""
    return [EFFECT, *(check_ground(code) for code in Code if code // 100 == kind)]


class Court:
    """The verifiers of some kinds, deployed together with what they call."""

    def __init__(self, *names: str) -> None:
        self.evm = Evm()
        self.inbox = self.evm.deploy_source(INBOX)
        self.verifiers: dict[str, Contract] = {}
        for name in names:
            deploy_with_needs(self.evm, name, self.verifiers)

    def hear(self, world: World) -> None:
        """Let a new inbox have the world's messages."""
        self.inbox = self.evm.deploy_source(INBOX)
        for message in world.messages:
            assert not self.inbox.send("append", message).reverted

    def call(self, played: PlayedStep, ground: Ground, witness: bytes) -> Outcome:
        """What the verifier of the op's kind answers."""
        return self.evaluate(played, int(ground.kind), ground.check, witness)

    def evaluate(self, played: PlayedStep, ground: int, check: int, witness: bytes) -> Outcome:
        """The same for any numbers."""
        context = (
            played.context.domain,
            self.inbox.address,
            played.context.header.encode(),
            played.context.step,
            played.pre_root,
            played.post_root,
        )
        verifier = self.verifiers[VERIFIERS[Kind(played.op[0])]]
        return verifier.read("evaluate", context, played.op, ground, check, witness)

    def judge(self, case: Dispute) -> bool:
        """The verdict, on which contract and twin agree."""
        outcome = self.call(case.played, case.ground, case.witness.encode())
        assert not outcome.reverted, f"{case.ground}: {outcome.reason}"
        assert outcome.value == case.is_shown_by_twin, f"{case.ground}: {outcome.value}"
        return outcome.value

    def is_refused(self, case: Dispute) -> bool:
        """Whether both take it for a bad witness."""
        try:
            _ = case.is_shown_by_twin
        except BadWitness:
            return self.call(case.played, case.ground, case.witness.encode()).reverted
        return False

    def assert_acquits(self, played: PlayedStep) -> None:
        """No ground convicts an honest step."""
        for ground in list_grounds(Kind(played.op[0])):
            assert not self.judge(dispute(played, ground)), f"an honest step is convicted by {ground}"

    def assert_convicts_root(self, played: PlayedStep) -> None:
        """EFFECT convicts the step when it claims any other root."""
        for root in (bytes(32), played.pre_root, bytes([played.post_root[0] ^ 1]) + played.post_root[1:]):
            if root != played.post_root:
                assert self.judge(dispute(replace(played, post_root=root), EFFECT))

    def assert_knows_nothing_else(self, played: PlayedStep) -> None:
        """Neither a check that the kind does not have, nor a ground that there is not, convicts an honest step."""
        checks = len(list_grounds(Kind(played.op[0]))) - 1
        for ground, check in ((1, checks), (1, 99), (1, 1 << 255), (0, 0), (0, 1), (3, 0), (1 << 255, 1)):
            assert not self.evaluate(played, ground, check, b"").value
