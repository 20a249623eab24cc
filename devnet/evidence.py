"""What an L1 itself says of a drill: which batches were convicted, by which transactions, and what was refused.

Everything is read from blocks, receipts and logs, so a fresh L1 that has loaded the old one's state says the same.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fraud_proofs.grounds import Ground
from fraud_proofs.replica import Replica
from node.event_reader import EventReader
from node.rollup import Rollup
from sequencer.derivation import BATCH_SUBMITTED, CONVICTED

Request = Callable[..., Any]
"""One JSON-RPC call: a method and its parameters."""

Log = dict[str, Any]
"""As JSON-RPC gives it."""


@dataclass(frozen=True, slots=True)
class Conviction:
    """One batch that died. `transactions` counts those that convicted it; `seconds` are L1's since its submission."""

    submission: str
    index: int
    transactions: int
    transaction: str
    gas: int
    calldata_bytes: int
    seconds: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """A submission that was mined and failed."""

    transaction: str
    gas: int
    calldata_bytes: int


def read_convictions(request: Request, rollup: str) -> list[Conviction]:
    """Every conviction in the history of a rollup, in order. `rollup` is the address as text."""
    submitted, convicted = "0x" + BATCH_SUBMITTED.hex(), "0x" + CONVICTED.hex()
    wanted = {"address": rollup, "fromBlock": "0x0", "toBlock": "latest", "topics": [[submitted, convicted]]}
    living: dict[int, Log] = {}
    proofs: dict[str, tuple[Log, list[Log]]] = {}
    for log in request("eth_getLogs", wanted):
        index = int(log["topics"][1], 16)
        if log["topics"][0] == submitted:
            living[index] = log
        else:
            submission = living[index]
            proofs.setdefault(submission["transactionHash"], (submission, []))[1].append(log)
    return [_describe(request, submission, found) for submission, found in proofs.values()]


def _describe(request: Request, submission: Log, convictions: list[Log]) -> Conviction:
    transaction = convictions[0]["transactionHash"]
    gas, calldata_bytes = measure(request, transaction)
    since = get_time(request, submission["blockNumber"])
    return Conviction(
        submission=submission["transactionHash"],
        index=int(submission["topics"][1], 16),
        transactions=len({log["transactionHash"] for log in convictions}),
        transaction=transaction,
        gas=gas,
        calldata_bytes=calldata_bytes,
        seconds=get_time(request, convictions[0]["blockNumber"]) - since,
    )


def read_refusal(request: Request, transaction: str) -> Refusal | None:
    """A submission that failed; None when this transaction is not known, or did not fail."""
    receipt = request("eth_getTransactionReceipt", transaction)
    if receipt is None or int(receipt["status"], 16) != 0:
        return None
    return Refusal(transaction, *measure(request, transaction))


def measure(request: Request, transaction: str) -> tuple[int, int]:
    """Gas used and bytes of calldata of a mined transaction."""
    gas = int(request("eth_getTransactionReceipt", transaction)["gasUsed"], 16)
    return gas, len(request("eth_getTransactionByHash", transaction)["input"]) // 2 - 1


def get_time(request: Request, block: str) -> int:
    """Seconds, of a block by its number as JSON-RPC writes it."""
    return int(request("eth_getBlockByNumber", block, False)["timestamp"], 16)


def derive_grounds(rollup: Rollup) -> list[Ground]:
    """On what each wrong batch in the history of a rollup is wrong, in order: all re-executed from L1 alone."""
    replica, grounds = Replica(rollup.get_domain()), []
    for event in EventReader(rollup).read().events:
        verdict = replica.apply(event)
        if verdict is not None and verdict.proof is not None:
            grounds.append(verdict.proof.ground)
    return grounds
