"""What the end costs on a real node, for accounts and assets at their caps, as contracts/README.md states it."""

from collections.abc import Iterator
from dataclasses import replace
from random import Random

import pytest

from fraud_proofs.settlement_witness import build_opening_witness, build_settlement_witness
from node.anvil import Anvil, run_anvil
from node.contracts import SOURCES
from state.batches import decode_header
from state.constants import ASSETS_MAX, FRAMES_MAX
from state.leaves import Account, Asset
from state.ledger import Ledger
from state.process_inbox import Message, MessageType, encode_amount
from state.tree import Collection, LeafKey, account_key, build_tree, leaf_key
from tests.contracts.court import deploy_with_needs
from tests.contracts.l1_evm import L1Evm
from tests.contracts.rollup_chain import DEPOSIT_MAX, FEE, LIMIT, PERIOD, WINDOW, Chain, address, change_header
from tests.contracts.test_rollup_gas import ROW
from tests.contracts.test_rollup_wind_down import list_hashed
from tests.dearest_state import A, B, build_dearest_leaves
from tests.evm import SENDER, Contract

OPERATOR, USER = address("operator"), address("user")
SECTION = "## Gas of the end"
SETTLEMENT_GAS_MAX = 6_000_000
"""What a transaction may cost with which anybody leaves: well within EIP-7825."""

CUSTODY = 10**14
CASH_ALONE = 7


@pytest.fixture
def l1() -> Iterator[Anvil]:
    """A development L1 of its own: time is bent here."""
    with run_anvil() as running:
        yield running


def read_stated_gas() -> dict[str, int]:
    """Call -> gas, from the table in contracts/README.md."""
    text = (SOURCES / "README.md").read_text().partition(SECTION)[2].partition("\n## ")[0]
    return {f"{call} {case}".strip(): int(gas.replace(",", "")) for call, case, gas in ROW.findall(text)}


def build_leaves() -> dict[LeafKey, bytes]:
    """Two accounts with everything, one of which owes nearly what it has, and one with cash alone; sixteen assets of
    which less is there than was paid in."""
    leaves = build_dearest_leaves(Random(1))
    books = Asset(custody=CUSTODY, bad_debt=1 << 94).encode()
    leaves |= {leaf_key(Collection.ASSETS, asset): books for asset in range(ASSETS_MAX)}
    debtor = Ledger(leaves).require_account(B)
    leaves[account_key(B)] = replace(debtor, cash=-debtor.cash).encode()
    leaves[account_key(CASH_ALONE)] = Account(debtor.owner[::-1], cash=1 << 90).encode()
    return leaves


class Meter:
    """A rollup of sixteen tokens that has ended in the dearest state, and what each call cost."""

    def __init__(self, l1: Anvil) -> None:
        evm = L1Evm(l1)
        self.wind_down: Contract = deploy_with_needs(evm, "wind_down", {})
        tokens = [evm.deploy("token", "Dollar", "USD", 6) for _ in range(ASSETS_MAX)]
        assets = tuple((token.address, 1, DEPOSIT_MAX) for token in tokens)
        self.chain = Chain(assets, evm=evm, wind_down=self.wind_down)
        self.chain.holder("operator")
        evm.set_balance(USER, 10**24)
        for asset, token in enumerate(tokens):
            token.send("mint", USER, 10**30)
            token.send("approve", self.chain.rollup.address, 2**256 - 1, sender=USER)
            self.chain.do("deposit", asset, CUSTODY, 0, sender=USER, value=FEE)
        self.leaves = build_leaves()
        self.tree = build_tree(self.leaves.items())
        self.gas: dict[str, int] = {}

    def end(self) -> None:
        """The dearest header to exhibit, and the opening of sixteen books."""
        chain = self.chain
        ops = [b"\x06"] * (FRAMES_MAX - 2)
        draft = chain.draft(OPERATOR, *ops, frame_bytes=73, root=self.tree.root, take=ASSETS_MAX)
        batch = change_header(draft, oracle_time=decode_header(draft.header).time - LIMIT - 1)
        chain.do("submit_batch", batch.encode(), sender=OPERATOR)
        chain.do("deposit", ASSETS_MAX - 1, 77, 0, sender=USER, value=FEE)
        time = chain.evm.timestamp
        self.late = Message(
            MessageType.DEPOSIT, bytes.fromhex(USER[2:]), time, 0, encode_amount(ASSETS_MAX - 1, 77)
        ).encode()
        chain.wait(WINDOW)
        chain.do("finalise", 1)
        self.gas["wind_down"] = chain.do("wind_down", list_hashed(batch)).gas_used
        self.send("", "open", build_opening_witness(self.leaves, self.tree))

    def send(self, case: str, function: str, *arguments: object) -> None:
        """A call that is metered under its name and case."""
        outcome = self.wind_down.send(function, self.chain.rollup.address, *arguments, sender=SENDER)
        assert not outcome.reverted, f"{function}: {outcome.reason}"
        self.gas[f"{function} {case}".strip()] = outcome.gas_used

    def settle(self, case: str, function: str, account: int) -> None:
        """Register or pay an account."""
        self.send(case, function, account, build_settlement_witness(self.leaves, self.tree, account))


def test_gas_is_as_stated(l1: Anvil) -> None:
    """No call costs more than the table says, nor half of it, and the dearest fits its budget."""
    meter = Meter(l1)
    meter.end()
    meter.settle("at the caps", "register", B)
    meter.chain.wait(PERIOD)
    meter.settle("at the caps", "claim", A)
    meter.settle("of cash", "claim", CASH_ALONE)
    meter.send("", "refund", ASSETS_MAX, meter.late)
    stated = read_stated_gas()

    assert meter.gas.keys() == stated.keys(), f"measured: {meter.gas}"
    wrong = {call: gas for call, gas in meter.gas.items() if not 0.5 * stated[call] < gas <= stated[call]}
    assert not wrong, f"measured: {wrong}"
    assert max(meter.gas.values()) <= SETTLEMENT_GAS_MAX
