"""The in-process EVM: what it answers, charges, refuses and forgets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.contracts import MAX_RUNTIME_SIZE
from tests.evm import SENDER, TRANSACTION_GAS_LIMIT, Contract, Event, Evm, Refused, Reverted

COUNTER = """
# pragma version 0.4.3

struct Reading:
    at: uint256
    label: Bytes[8]

event Raised:
    by: indexed(address)
    amount: uint256

count: public(uint256)
START: immutable(uint256)


@deploy
@payable
def __init__(start: uint256):
    START = start
    self.count = start


@external
@payable
def raise_count(amount: uint256 = 1) -> uint256:
    assert amount < 100, "amount must be below 100"
    self.count += amount
    log Raised(by=msg.sender, amount=amount)
    return self.count


@external
@view
def read_block(labels: DynArray[Bytes[8], 2]) -> (Reading, uint256):
    return Reading(at=block.timestamp, label=labels[1]), block.number


@external
def burn_everything():
    for i: uint256 in range(max_value(uint256)):
        self.count = i


@external
@pure
def divide(a: int256, b: int256) -> int256:
    return a // b


@external
@view
def read_origin() -> (address, address):
    return tx.origin, msg.sender


@external
@view
def ask_for_origin(other: address) -> (address, address):
    return staticcall Asked(other).read_origin()


interface Asked:
    def read_origin() -> (address, address): view
"""


@pytest.fixture
def evm() -> Evm:
    return Evm(timestamp=1_000, number=7)


@pytest.fixture
def counter(evm: Evm) -> Contract:
    return evm.deploy_source(COUNTER, 5)


def test_send_keeps_its_effect_and_reports_value_and_event(counter: Contract) -> None:
    """A sent call changes the state and comes back decoded."""
    outcome = counter.send("raise_count", 3)

    assert outcome.value == 8
    assert outcome.events == (Event("Raised", {"by": SENDER, "amount": 3}),)
    assert counter.read("count").value == 8


def test_read_leaves_no_trace(counter: Contract) -> None:
    """A read has no effect, so the next one finds the same values at the same price."""
    first, second = counter.read("raise_count", 3), counter.read("raise_count", 3)

    assert first == second
    assert counter.read("count").value == 5


def test_revert_carries_its_reason_and_has_no_value(counter: Contract) -> None:
    """A reverted call is told apart from one that returned nothing."""
    outcome = counter.send("raise_count", 100)

    assert outcome.reason == "amount must be below 100"
    with pytest.raises(Reverted, match="below 100"):
        _ = outcome.value


def test_gas_limit_is_the_transaction_cap(counter: Contract) -> None:
    """A call that would never end stops at EIP-7825's cap, and its effects are gone."""
    outcome = counter.send("burn_everything")

    assert outcome.reason is not None
    assert outcome.reason.startswith("OutOfGas")
    assert outcome.gas_used == TRANSACTION_GAS_LIMIT
    assert counter.read("count").value == 5


def test_gas_is_split_into_intrinsic_and_execution(counter: Contract) -> None:
    """A getter costs little beyond its calldata, and the budget follows the calldata floor to come."""
    outcome = counter.read("count")

    assert 100 <= outcome.execution_gas < 300
    assert outcome.gas_used == 21_000 + 16 * 4 + outcome.execution_gas
    assert outcome.budgeted_gas == outcome.gas_used
    padded = counter._evm.transact(counter.address, outcome.calldata + bytes(1_000))[0]
    assert padded.budgeted_gas == 21_000 + 64 * 1_004


def test_block_is_what_the_test_says(evm: Evm, counter: Contract) -> None:
    """Timestamp and number follow `set_block`; nested types decode."""
    assert counter.read("read_block", [b"", b"now"]).value == ((1_000, b"now"), 7)
    evm.set_block(timestamp=2_000)
    assert counter.read("read_block", [b"", b"now"]).value == ((2_000, b"now"), 7)
    assert evm.timestamp == 2_000


def test_value_moves_with_a_call(evm: Evm, counter: Contract) -> None:
    """Wei sent along arrives; more than one has is refused, as a block would."""
    other = "0x" + "b2" * 20
    evm.set_balance(other, 10)

    assert counter.send("raise_count", sender=other, value=4).value == 6
    assert (evm.get_balance(other), evm.get_balance(counter.address)) == (6, 4)
    with pytest.raises(Refused, match="LackOfFund"):
        counter.send("raise_count", sender=other, value=7)


def test_origin_is_the_sender_and_differs_only_behind_a_contract(evm: Evm, counter: Contract) -> None:
    """`tx.origin` is the account without code that sent, whoever calls last."""
    other, second = "0x" + "b2" * 20, evm.deploy_source(COUNTER, 0)

    assert counter.read("read_origin", sender=other).value == (other, other)
    seen = second.read("ask_for_origin", counter.address, sender=other).value
    assert seen == (other, second.address.lower())
    with pytest.raises(Refused, match="RejectCallerWithCode"):
        counter.read("read_origin", sender=second.address)


@pytest.mark.filterwarnings("ignore:Length of compiled bytecode")
def test_code_above_the_limit_is_not_deployed(evm: Evm) -> None:
    """EIP-170 holds, and an artifact's size is the size on chain."""
    filler = "@external\n@pure\ndef blob() -> Bytes[{0}]:\n    return x'{1}'\n"
    fitting = evm.deploy_source(filler.format(20_000, "ab" * 20_000))

    assert 20_000 < fitting.artifact.runtime_size <= MAX_RUNTIME_SIZE
    with pytest.raises(Reverted, match="CreateContractSizeLimit"):
        evm.deploy_source(filler.format(24_600, "ab" * 24_600))


def test_wrong_names_and_counts_are_said(counter: Contract) -> None:
    """A misspelt function or a missing argument names what there is."""
    with pytest.raises(LookupError, match="does not exist"):
        counter.read("raise_cuont", 1)
    with pytest.raises(LookupError, match="takes 0 or 1 arguments; asked with 2"):
        counter.read("raise_count", 1, 2)


INT256 = st.integers(-(2**255), 2**255 - 1)


@pytest.fixture(scope="module")
def divider() -> Contract:
    return Evm().deploy_source(COUNTER, 0)


@given(a=INT256, b=INT256)
def test_division_truncates_and_refuses_what_overflows(divider: Contract, a: int, b: int) -> None:
    """Vyper's `//` rounds towards zero, unlike Python's, and has no answer to x // 0 and to min // -1."""
    outcome = divider.read("divide", a, b)

    if b == 0 or (a, b) == (-(2**255), -1):
        assert outcome.reverted
    else:
        assert outcome.value == abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
