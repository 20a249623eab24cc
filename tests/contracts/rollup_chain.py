"""A rollup on the in-process EVM, and batches for it that are right in all that the contract itself can see.

The judge is the real one; the verifiers behind it refuse every question, because the falsehoods of these stories (a
frame that does not parse, an op of an unknown kind) are judged before any verifier is asked.
"""

import functools
import hashlib
from dataclasses import replace
from typing import Any

from eth_utils import to_checksum_address

from fraud_proofs.challenger import Proof
from fraud_proofs.grounds import check_ground
from fraud_proofs.witness import Witness
from node.contracts import Artifact, compile_source
from node.deploy import JUDGE_CONTRACTS
from state.batches import FLAG_RESCUE, BatchData, Header, Step, decode_header, pack_frames
from state.codes import Code
from state.constants import PROTOCOL_VERSION
from state.genesis import Genesis
from state.leaves import QUOTE_UNDERLYING, AssetTerms
from state.process_inbox import hash_accumulator
from tests.evm import Contract, Evm, Outcome
from tests.world import GENESIS_TIME, GOVERNOR, LISTINGS, RULES, build_params

WINDOW, SILENCE, DEADLINE, LAG, LIMIT, PERIOD = 10_000, 5_000, 3_000, 1_000, 20_000, 12_000
"""Seconds: the challenge window, the silence limit, the inbox deadline, the largest lag of time, how long without a
batch or a reading before it all ends, and how long debtors are registered then."""

BOND, FEE = 10**18, 10**15
TERMS = (WINDOW, SILENCE, DEADLINE, LAG, BOND, FEE, LIMIT, PERIOD)
ETH = "0x" + "00" * 20
BURNED = "0x" + "00" * 18 + "dead"
ETH_UNIT = 10**10
DEPOSIT_MAX = 10**15
GENESIS_ROOT = hashlib.sha256(b"genesis root").digest()

OPEN, CLOSE, UNKNOWN = b"\x01", b"\x02", b"\x00"
"""Ops; the last is of no kind at all, which convicts the batch that holds it."""

FORWARDER = """
interface Rollup:
    def govern(kind: uint8, payload: Bytes[4063]): payable

NOTICE: public(constant(uint256)) = 2**32

@external
@payable
def govern(rollup: address, kind: uint8, payload: Bytes[4063]):
    extcall Rollup(rollup).govern(kind, payload, value=msg.value)
"""
"""In the governor's place where a test has to send what the real one would refuse."""

GOVERNOR_DEPLOYER = "0x" + "90" * 20

REFUSING_VERIFIER = """
@external
@view
def evaluate(nothing: uint256) -> bool:
    raise "no verifier is asked here"
"""


def address(name: str) -> str:
    """Somebody's address, made of the name."""
    return "0x" + name.encode().hex().ljust(40, "0")


@functools.cache
def compile_once(source: str) -> Artifact:
    """Sources within tests are compiled once a run."""
    return compile_source(source)


def place_governor(evm: Evm) -> Contract:
    """The forwarder at the address that tests/world.py calls GOVERNOR, which is its deployer's first."""
    place, artifact = to_checksum_address(GOVERNOR), compile_once(FORWARDER)
    if not evm.get_code(place).strip(b"\0"):
        evm.set_balance(GOVERNOR_DEPLOYER, 10**24)
        assert evm.deploy_artifact(artifact, sender=GOVERNOR_DEPLOYER).address == place
    return Contract(evm, place, artifact, 0)


class Chain:
    """One rollup with its judge. `assets` are (token, unit, deposit_max), ether alone unless said otherwise."""

    def __init__(
        self,
        assets: tuple[tuple[str, int, int], ...] = ((ETH, ETH_UNIT, DEPOSIT_MAX),),
        *,
        evm: Evm | None = None,
        genesis_root: bytes = GENESIS_ROOT,
        wind_down: Contract | None = None,
        governor: str | None = None,
    ) -> None:
        self.evm = evm or Evm(timestamp=GENESIS_TIME + 100)
        terms = tuple(AssetTerms(QUOTE_UNDERLYING, 0, 0, 0, 1, 1) for _ in assets)
        self.genesis = Genesis(build_params(assets=terms), RULES, LISTINGS, GENESIS_TIME)
        verifier = self.evm.deploy_artifact(compile_once(REFUSING_VERIFIER)).address
        self.judge = self.evm.deploy("judge", *[verifier] * len(JUDGE_CONTRACTS["judge"]))
        self.receipts = self.evm.deploy("receipts")
        # Where nobody is paid out, what values accounts may be any contract.
        self.wind_down: Contract = wind_down or self.evm.deploy("wind_down", verifier)
        self.governor = governor or ETH
        self.rollup: Contract = self.evm.deploy(
            "rollup",
            self.genesis.encode(),
            genesis_root,
            self.judge.address,
            self.receipts.address,
            self.wind_down.address,
            self.governor,
            list(assets),
            TERMS,
        )
        self.posted: dict[int, BatchData] = {}

    # People and time

    def person(self, name: str) -> str:
        """Somebody with ether."""
        who = address(name)
        if self.evm.get_balance(who) == 0:
            self.evm.set_balance(who, 1000 * BOND)
        return who

    def bonded(self, name: str) -> str:
        """Somebody with ether and the bond that is required now."""
        who = self.person(name)
        missing = self.read("required_bond") - self.read("bond_of", who)
        self.do("post_bond", sender=who, value=max(missing, 0))
        return who

    def holder(self, name: str) -> str:
        """Somebody bonded who has taken the slot."""
        who = self.bonded(name)
        self.do("take_slot", sender=who)
        return who

    def wait(self, seconds: int) -> None:
        """Let L1 time pass."""
        self.evm.set_block(timestamp=self.evm.timestamp + seconds)

    # Calls

    def read(self, function: str, *arguments: Any) -> Any:
        """The value of a view."""
        return self.rollup.read(function, *arguments).value

    def do(self, function: str, *arguments: Any, **options: Any) -> Outcome:
        """A transaction that must succeed."""
        outcome = self.rollup.send(function, *arguments, **options)
        assert not outcome.reverted, f"{function}: {outcome.reason}"
        return outcome

    def refuse(self, function: str, *arguments: Any, **options: Any) -> str:
        """Why a transaction is refused; it must be."""
        outcome = self.rollup.read(function, *arguments, **options)
        assert outcome.reason is not None, f"{function} was accepted"
        return outcome.reason

    def send_messages(self, count: int, sender: str) -> None:
        """Put messages in the inbox."""
        for number in range(count):
            self.do("cancel_all", number + 1, sender=sender, value=FEE)

    # Batches

    def draft(
        self,
        sender: str,
        *ops: bytes,
        take: int = 0,
        time: int | None = None,
        positions: int = 10,
        rescue: bool = False,
        frame_bytes: int = 4096,
        root: bytes | None = None,
    ) -> BatchData:
        """A batch of the sender's on the tip that takes `take` messages; its roots mean nothing, but hang together.

        `root` is the last one. `time` is the L1's unless given.
        """
        tip = self.read("tip")
        parent_hash, pre_root, _, time_from, cursor, parent_generation, parent_end, _, _ = self.read("batches", tip)
        is_other = self.read("last_submitter") != sender
        generation = self.read("generation") + is_other
        position_from = parent_end if generation == parent_generation else 0
        steps = []
        for number, op in enumerate((OPEN, *ops, CLOSE)):
            steps.append(Step(op, hashlib.sha256(parent_hash + number.to_bytes(4)).digest()))
        if root is not None:
            steps[-1] = Step(CLOSE, root)
        header = Header(
            version=PROTOCOL_VERSION,
            data_kind=0,
            flags=FLAG_RESCUE if rescue else 0,
            index=tip + 1,
            parent=parent_hash,
            generation=generation,
            pre_root=pre_root,
            post_root=steps[-1].post_root,
            step_count=len(steps),
            inbox_cursor=cursor + take,
            inbox_hash=self.read("accumulator", cursor + take),
            time_from=time_from,
            time=self.evm.timestamp if time is None else time,
            position_from=position_from,
            position_to=position_from + positions,
            log_hash=bytes(32),
            oracle_time=0,
        )
        frames = pack_frames(pre_root, steps, frame_bytes)
        return BatchData(header.encode(), tuple(frame.encode() for frame in frames))

    def post(self, sender: str, *ops: bytes, **options: Any) -> int:
        """Draft a batch and submit it; its index."""
        batch = self.draft(sender, *ops, **options)
        self.do("submit_batch", batch.encode(), sender=sender)
        index = decode_header(batch.header).index
        self.posted[index] = batch
        return index

    def prove_unknown_kind(self, index: int) -> bytes:
        """The proof that the second step of a posted batch is of no kind; it convicts only where that is so."""
        return Proof(self.posted[index], 0, 1, check_ground(Code.KIND_MUST_BE_KNOWN), Witness(())).encode()

    def convict(self, index: int, prover: str) -> Outcome:
        """Convict a posted batch whose second step is UNKNOWN."""
        return self.do("prove", index, self.prove_unknown_kind(index), sender=prover)


def change_header(batch: BatchData, **changes: Any) -> BatchData:
    """The batch with another header."""
    return BatchData(replace(decode_header(batch.header), **changes).encode(), batch.frames)


def chain_messages(messages: list[bytes]) -> bytes:
    """The accumulator after messages, by the node's own rule."""
    return functools.reduce(hash_accumulator, messages, bytes(32))
