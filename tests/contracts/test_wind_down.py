"""The end on L1: every payment is the twin's to the unit, each once, and no witness but the true one says anything."""

from random import Random
from typing import Any

import pytest

from fraud_proofs.settlement_witness import build_opening_witness, build_settlement_witness
from fraud_proofs.witness import NO_SCENARIOS
from state.ledger import Ledger
from state.process_inbox import Message, MessageType, encode_amount
from state.tree import LeafKey, build_tree
from state.wind_down import Ending, Payment
from tests.contracts.court import deploy_with_needs
from tests.contracts.rollup_chain import DEPOSIT_MAX, ETH, ETH_UNIT, FEE, LIMIT, PERIOD, WINDOW, Chain, address
from tests.contracts.scene import draw_exhibit
from tests.ended_world import draw_ended_leaves
from tests.evm import Contract, Evm, Outcome
from tests.world import GENESIS_TIME

OPERATOR, USER, STRANGER = address("operator"), address("user"), address("stranger")
TOKEN_UNIT = 10
UNITS = (TOKEN_UNIT, ETH_UNIT)
histories = pytest.mark.parametrize("history", range(4))


class EndedRollup:
    """A rollup of a token and ether whose last final root is that of given leaves, and the twin of its end."""

    def __init__(self, leaves: dict[LeafKey, bytes]) -> None:
        evm = Evm(timestamp=GENESIS_TIME + 100)
        token = evm.deploy("token", "Dollar", "USD", 6)
        wind_down: Contract = deploy_with_needs(evm, "wind_down", {})
        assets = ((token.address, TOKEN_UNIT, DEPOSIT_MAX), (ETH, ETH_UNIT, DEPOSIT_MAX))
        self.chain = Chain(assets, evm=evm, wind_down=wind_down)
        self.leaves, self.tree = leaves, build_tree(leaves.items())
        self.twin = Ending(leaves)
        evm.set_balance(USER, 10**30)
        token.send("mint", USER, 10**30)
        token.send("approve", self.chain.rollup.address, 2**256 - 1, sender=USER)
        self.chain.holder("operator")
        taken = [self.deposit(asset, pool.custody) for asset, pool in enumerate(self.twin.pools)]
        self.last = self.chain.post(OPERATOR, root=self.tree.root, take=sum(taken))
        self.late = [self.deposit_late(asset, 100 + asset) for asset in range(2)]

    def deposit(self, asset: int, units: int) -> bool:
        """Put units in custody, if any."""
        value = FEE + (units * ETH_UNIT if asset else 0)
        if units:
            self.chain.do("deposit", asset, units, 0, sender=USER, value=value)
        return units > 0

    def deposit_late(self, asset: int, units: int) -> bytes:
        """A deposit that no final batch takes; its message."""
        self.deposit(asset, units)
        sender = bytes.fromhex(USER[2:])
        return Message(MessageType.DEPOSIT, sender, self.chain.evm.timestamp, 0, encode_amount(asset, units)).encode()

    def end(self) -> None:
        """The operator is gone; somebody ends the rollup and opens its books."""
        self.chain.wait(LIMIT + 1)
        self.chain.do("finalise", self.last)
        self.chain.do("wind_down", b"", sender=STRANGER)
        self.do("open", build_opening_witness(self.leaves, self.tree))

    def do(self, function: str, *arguments: object) -> Outcome:
        """A call that must succeed, by somebody whom it does not concern."""
        outcome = self.chain.wind_down.send(function, self.chain.rollup.address, *arguments, sender=STRANGER)
        assert not outcome.reverted, f"{function}: {outcome.reason}"
        return outcome

    def refuse(self, function: str, *arguments: object) -> str:
        """Why a call is refused; it must be."""
        outcome = self.chain.wind_down.read(function, self.chain.rollup.address, *arguments, sender=STRANGER)
        assert outcome.reason is not None, f"{function} was accepted"
        return outcome.reason

    def witness(self, account: int) -> bytes:
        """What `register` and `claim` take."""
        return build_settlement_witness(self.leaves, self.tree, account)

    def settle(self, function: str, account: int) -> None:
        """Register or pay an account: what the rollup credits is what the twin pays."""
        act: Any = getattr(self.twin, function)
        expected: list[Payment] = act(account)
        before = {one: self.get_credit(one) for one in expected}
        self.do(function, account, self.witness(account))
        for one, credit in before.items():
            assert self.get_credit(one) == credit + one.units * UNITS[one.asset]
        for asset, pool in enumerate(self.twin.pools):
            found = self.chain.wind_down.read("pools", self.chain.rollup.address, asset).value
            assert found == (pool.custody, pool.left, pool.total, pool.pot, pool.pot_left)

    def get_credit(self, payment: Payment) -> int:
        """What stands to somebody's credit in the token of a payment."""
        return self.chain.read("balance_of", self.chain.read("assets", payment.asset)[0], "0x" + payment.to.hex())

    def list_accounts(self) -> list[int]:
        return [account for account, _ in Ledger(self.leaves).peek_accounts()]


def end_drawn(seed: int, history: int, accounts: int = 5) -> EndedRollup:
    """A rollup that ended in ruin."""
    ended = EndedRollup(draw_ended_leaves(Random(f"{seed} {history}"), accounts))
    ended.end()
    return ended


@histories
def test_everybody_is_paid_what_the_twin_pays(history: int, seed: int) -> None:
    """Ruined states to the end: debtors registered, all others paid, deposits returned, and only what nobody is owed is
    left in custody."""
    ended = end_drawn(seed, history)
    debtors = dict(ended.twin.list_debtors())
    for account in debtors:
        ended.settle("register", account)
    ended.chain.wait(PERIOD)
    for account in ended.list_accounts():
        if account not in debtors:
            ended.settle("claim", account)
    first = ended.chain.read("inbox_count") - 2
    for asset, message in enumerate(ended.late):
        ended.do("refund", first + asset, message)
    for asset, pool in enumerate(ended.twin.pools):
        assert ended.chain.read("custody", asset) == pool.left


@histories
def test_debts_left_out_are_bounded(history: int, seed: int) -> None:
    """Where nobody registers, the first are paid in full and the last what is left; refunds stay whole."""
    ended = end_drawn(seed, history)
    ended.chain.wait(PERIOD)
    for account in ended.list_accounts():
        ended.settle("claim", account)
    first = ended.chain.read("inbox_count") - 2
    for asset, message in enumerate(ended.late):
        ended.do("refund", first + asset, message)


def test_each_thing_has_its_time(seed: int) -> None:
    """No opening before the end and none after another; no claim in the period, no registration after it."""
    ended = EndedRollup(draw_ended_leaves(Random(seed)))
    opening = build_opening_witness(ended.leaves, ended.tree)
    account, witness = 1, ended.witness(1)
    assert ended.refuse("open", opening) == "wind down: not ended"
    for function in ("register", "claim"):
        assert ended.refuse(function, account, witness) in ("wind down: not open", "wind down: not yet")
    ended.end()
    assert ended.refuse("open", opening) == "wind down: open"
    assert ended.refuse("claim", account, witness) == "wind down: not yet"
    ended.chain.wait(PERIOD - 1)
    assert ended.refuse("claim", account, witness) == "wind down: not yet"
    ended.chain.wait(1)
    assert ended.refuse("register", account, witness) == "wind down: not open"
    ended.settle("claim", account)


def test_nothing_happens_twice(seed: int) -> None:
    """Neither registering, nor claiming, nor both, nor a refund; and a creditor is no debtor."""
    ended = end_drawn(seed, 0)
    debtors = dict(ended.twin.list_debtors())
    creditor = next(account for account in ended.list_accounts() if account not in debtors)
    for account in debtors:
        ended.settle("register", account)
        assert ended.refuse("register", account, ended.witness(account)) == "wind down: settled"
    assert ended.refuse("register", creditor, ended.witness(creditor)) == "wind down: owes nothing"
    ended.chain.wait(PERIOD)
    for account in debtors:
        assert ended.refuse("claim", account, ended.witness(account)) == "wind down: settled"
    ended.settle("claim", creditor)
    assert ended.refuse("claim", creditor, ended.witness(creditor)) == "wind down: settled"
    index = ended.chain.read("inbox_count") - 1
    ended.do("refund", index, ended.late[1])
    assert ended.refuse("refund", index, ended.late[1]) == "wind down: refunded"


def test_a_witness_is_for_one_account_and_exact(seed: int) -> None:
    """Another account's leaf, any changed, missing or added byte, another state: nothing is paid."""
    random = Random(seed)
    ended = end_drawn(seed, 1)
    ended.chain.wait(PERIOD)
    for account in ended.list_accounts():
        witness = ended.witness(account)
        for other in (account % len(ended.list_accounts()) + 1, 99, 2**24):
            assert ended.refuse("claim", other, witness) in ("leaf", "index", "mask", "")
        exhibit = witness.find(NO_SCENARIOS.encode())
        for at in random.sample(range(len(witness)), 25):
            if 0 <= exhibit <= at < exhibit + len(NO_SCENARIOS.encode()):
                continue
            changed = witness[:at] + bytes([witness[at] ^ 1 << random.randrange(8)]) + witness[at + 1 :]
            ended.refuse("claim", account, changed)
        for wrong in (witness[:-1], witness + b"\0", witness + witness, b""):
            ended.refuse("claim", account, wrong)
    opening = build_opening_witness(ended.leaves, ended.tree)
    assert ended.refuse("claim", 1, opening) != ""


def test_whatever_scenarios_are_exhibited_everybody_is_paid_alike(seed: int) -> None:
    """What an account is worth depends on no scenario, so any sixteen bytes may stand before its prices."""
    random, tried = Random(seed), 0
    ended = end_drawn(seed, 1)
    ended.chain.wait(PERIOD)
    for account in ended.list_accounts():
        honest = ended.witness(account)
        if NO_SCENARIOS.encode() not in honest:
            continue
        other = honest.replace(NO_SCENARIOS.encode(), draw_exhibit(random).encode())
        paid, alike = (
            ended.chain.wind_down.read("claim", ended.chain.rollup.address, account, witness)
            for witness in (honest, other)
        )
        assert not paid.reverted
        assert alike.events == paid.events
        tried += 1
    assert tried


def test_an_opening_is_exact(seed: int) -> None:
    """The books of the last final root, all of them, and nothing behind them."""
    ended = EndedRollup(draw_ended_leaves(Random(seed)))
    ended.chain.wait(LIMIT + 1)
    ended.chain.do("finalise", ended.last)
    ended.chain.do("wind_down", b"")
    opening, random = build_opening_witness(ended.leaves, ended.tree), Random(seed)
    for _ in range(60):
        at = random.randrange(len(opening))
        ended.refuse("open", opening[:at] + bytes([opening[at] ^ 1 << random.randrange(8)]) + opening[at + 1 :])
    for wrong in (opening[:-1], opening + b"\0", b""):
        ended.refuse("open", wrong)
    ended.do("open", opening)


def test_only_a_deposit_that_nobody_took_comes_back(seed: int) -> None:
    """Not one that a final batch has taken, not another message, not one that was never sent, not to another."""
    ended = EndedRollup(draw_ended_leaves(Random(seed)))
    chain, user = ended.chain, bytes.fromhex(USER[2:])
    chain.do("cancel_all", 7, sender=USER, value=FEE)
    cancel = Message(MessageType.CANCEL_ALL, user, chain.evm.timestamp, 7, b"").encode()
    deposited = chain.evm.timestamp
    ended.end()
    count, deposit = chain.read("inbox_count"), ended.late[0]
    taken = Message(MessageType.DEPOSIT, user, deposited, 0, encode_amount(0, ended.twin.pools[0].custody)).encode()
    stolen = deposit[:1] + bytes.fromhex(STRANGER[2:]) + deposit[21:]
    assert ended.refuse("refund", 0, taken) == "wind down: taken"
    assert ended.refuse("refund", count - 1, cancel) == "wind down: no deposit"
    for index, message in ((count - 3, stolen), (count - 2, deposit), (count, deposit), (2**255, deposit)):
        assert ended.refuse("refund", index, message) == "wind down: message"
    ended.do("refund", count - 3, deposit)
    assert ended.get_credit(Payment(0, 100, user)) == 100 * TOKEN_UNIT


def test_pending_batches_are_not_paid_by(seed: int) -> None:
    """What a batch says that was not final when the rollup ended counts for nothing: its deposits come back."""
    ended = EndedRollup(draw_ended_leaves(Random(seed)))
    chain = ended.chain
    chain.wait(WINDOW)
    chain.do("finalise", ended.last)
    chain.wait(LIMIT)
    ended.deposit(0, 5)
    chain.do("wind_down", b"")
    ended.do("open", build_opening_witness(ended.leaves, ended.tree))
    ended.do("refund", chain.read("inbox_count") - 3, ended.late[0])
    assert chain.wind_down.read("endings", chain.rollup.address).value[0] == ended.tree.root


def test_rollups_do_not_meet(seed: int) -> None:
    """A contract that only says it is a rollup opens, settles and pays nobody but itself."""
    ended = end_drawn(seed, 2)
    false = ended.chain.evm.deploy_source(FALSE_ROLLUP, ended.tree.root)
    wind_down: Contract = ended.chain.wind_down
    opening = build_opening_witness(ended.leaves, ended.tree)
    assert not wind_down.send("open", false.address, opening).reverted
    before = [ended.chain.read("custody", asset) for asset in range(2)]
    for account in ended.list_accounts():
        for function in ("register", "claim"):
            wind_down.send(function, false.address, account, ended.witness(account))
    assert [ended.chain.read("custody", asset) for asset in range(2)] == before
    for account in ended.list_accounts():
        assert not wind_down.read("is_settled", ended.chain.rollup.address, account).value


FALSE_ROLLUP = """
# pragma version 0.4.3
struct Terms:
    fields: uint256[7]
    registration_period: uint256

struct Batch:
    hash: bytes32
    root: bytes32
    numbers: uint256[7]

ROOT: immutable(bytes32)
final_index: public(uint256)

@deploy
def __init__(root: bytes32):
    ROOT = root

@external
@view
def wound_down_at() -> uint256:
    return 1

@external
@view
def batches(index: uint256) -> Batch:
    return Batch(hash=empty(bytes32), root=ROOT, numbers=empty(uint256[7]))

@external
@view
def TERMS() -> Terms:
    return Terms(fields=empty(uint256[7]), registration_period=1000)

@external
def pay_out(asset: uint256, units: uint256, to: address):
    pass
"""
