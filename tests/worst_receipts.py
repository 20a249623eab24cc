"""What the development L1 charges for the dearest convictions: real batches, posted, and real proofs with receipts.

`python -m tests.worst_receipts` prints the tables of fraud_proofs/SPEC.md section 4 anew.
"""

import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from node.anvil import Anvil, run_anvil
from node.contracts import compile_contract
from node.deploy import JUDGE_CONTRACTS
from state.batches import decode_header
from state.codes import Kind
from state.process_inbox import decode_message
from tests.contracts.l1_evm import L1Evm
from tests.contracts.rollup_chain import BOND
from tests.dearest_state import Stage, open_stage
from tests.evm import SENDER, Contract
from tests.parity.tribunal import build_genesis, deploy_judge, deploy_rollup, send_message
from tests.world import GENESIS_TIME
from tests.worst_case import Row, bind_gas, find_rows

PROVER = "0x" + "b2" * 20


@dataclass(frozen=True, slots=True)
class Receipt:
    """A row and the gas of its conviction: of the receipt, or 64 a byte of calldata where that is more."""

    row: Row
    gas: int


class Court:
    """The contracts on a fresh L1, where they stand at the same addresses as in the in-process EVM."""

    def __init__(self, anvil: Anvil, stage: Stage) -> None:
        self.anvil = anvil
        self.evm = L1Evm(anvil)
        self.genesis = build_genesis(len(stage.tribunal.genesis.params.assets))
        self.judge = deploy_judge(self.evm)
        self.rollup = deploy_rollup(self.evm, self.judge, self.genesis)
        assert self.rollup.address == stage.tribunal.rollup.address, "another domain: every signature would be wrong"
        for data in stage.messages:
            message = decode_message(data)
            anvil.request("evm_setNextBlockTimestamp", message.time)
            assert send_message(self.evm, self.rollup, message).reason is None
        cursor = stage.header.inbox_cursor
        assert self.rollup.read("accumulator", cursor).value == stage.header.inbox_hash
        self.evm.set_balance(PROVER, 10**24)

    def convict(self, row: Row) -> Receipt:
        """Post the row's batch and prove it false; then all is as it was before."""
        checkpoint = self.evm.checkpoint()
        rollup = self._find_rollup(row)
        for function, value in (("post_bond", BOND), ("take_slot", 0)):
            assert rollup.send(function, sender=SENDER, value=value).reason is None
        posted = rollup.send("submit_batch", row.batch.encode(), sender=SENDER)
        assert posted.reason is None, f"{row.name}: {posted.reason}"
        proven = rollup.send("prove", 1, row.proof, sender=PROVER)
        assert proven.reason is None, f"{row.name}: {proven.reason}"
        self.evm.restore(checkpoint)
        return Receipt(row, bind_gas(proven.gas_used, len(proven.calldata)))

    def _find_rollup(self, row: Row) -> Contract:
        """The one with the inbox; for an open one whose genesis has the root from which the batch begins."""
        if row.kind != Kind.OPEN.name.lower():
            return self.rollup
        return deploy_rollup(self.evm, self.judge, self.genesis, decode_header(row.batch.header).pre_root)


@contextmanager
def open_court(stage: Stage) -> Iterator[Court]:
    """A development L1 for as long as the block lasts."""
    with run_anvil(timestamp=GENESIS_TIME) as anvil:
        yield Court(anvil, stage)


def convict_all(stage: Stage, rows: Iterable[Row]) -> list[Receipt]:
    """A receipt for each row."""
    with open_court(stage) as court:
        return [court.convict(row) for row in rows]


def pick_dearest(receipts: Iterable[Receipt]) -> dict[str, Receipt]:
    """Of each kind and ground the receipt with the most gas, by the name of the row."""
    dearest: dict[str, Receipt] = {}
    for receipt in receipts:
        held = dearest.setdefault(receipt.row.name, receipt)
        if receipt.gas > held.gas:
            dearest[receipt.row.name] = receipt
    return dearest


def build_receipts() -> dict[str, Receipt]:
    """The whole table anew, always from the same draws."""
    chance = random.Random(1)
    stage = open_stage(chance)
    return pick_dearest(convict_all(stage, find_rows(stage, chance)))


def list_code_sizes() -> dict[str, int]:
    """Bytes of code on chain of each contract that a deployment brings."""
    return {name: compile_contract(name).runtime_size for name in (*JUDGE_CONTRACTS, "rollup")}


def main() -> None:
    """Print both tables."""
    print("| kind | ground | dearest check | gas | calldata bytes |\n|---|---|---|---|---|")
    for receipt in build_receipts().values():
        row = receipt.row
        code = "" if row.ground.code is None else row.ground.code.name
        print(f"| {row.kind} | {row.ground.kind.name} | {code} | {receipt.gas} | {row.calldata_bytes} |")
    print("\n| contract | bytes |\n|---|---|")
    for name, size in list_code_sizes().items():
        print(f"| {name} | {size} |")


if __name__ == "__main__":
    main()
