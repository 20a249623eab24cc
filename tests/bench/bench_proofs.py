"""What a conviction may cost at most: gas of a receipt on the development L1, and bytes of calldata."""

import functools

from fraud_proofs.challenger import PROOF_GAS_MAX
from state.constants import BATCH_BYTES_MAX
from tests.bench import Measurement
from tests.worst_receipts import Receipt, build_receipts


@functools.cache
def get_receipts() -> tuple[Receipt, ...]:
    """Of the dearest real step of every kind and ground."""
    return tuple(build_receipts().values())


def bench_worst_proof_gas() -> Measurement:
    """The dearest receipt, with 64 gas a byte of calldata where that is more."""
    return Measurement((float(max(receipt.gas for receipt in get_receipts())),), "gas", target=PROOF_GAS_MAX)


def bench_worst_proof_bytes() -> Measurement:
    """The longest calldata of a proof."""
    longest = max(receipt.row.calldata_bytes for receipt in get_receipts())
    return Measurement((float(longest),), "bytes", target=BATCH_BYTES_MAX)
