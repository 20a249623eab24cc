"""Receipts: the sequencer's signed word that an op stands at a position of its log.

Fixed-width, so that a small L1 proof can hold two of them against each other (fraud_proofs/SPEC.md section 5). The
signature is secp256k1 by the key that submits batches, over `sha256(domain || "receipt" || body)`.
"""

import hashlib
import struct
from dataclasses import dataclass

from state.signatures import recover_signer

_BODY = struct.Struct(">IQ32s32s")
RECEIPT_BYTES = _BODY.size + 65
_TAG = b"receipt"


@dataclass(frozen=True, slots=True)
class ReceiptBody:
    """What is signed: the op with this digest stands at this position, and the log up to it has this hash."""

    generation: int
    position: int
    op_digest: bytes
    log_hash: bytes

    def encode(self) -> bytes:
        """76 bytes."""
        return _BODY.pack(self.generation, self.position, self.op_digest, self.log_hash)

    def hash_signing(self, domain: bytes) -> bytes:
        """The digest that the sequencer signs."""
        return hash_receipt(domain, self.encode())


def hash_receipt(domain: bytes, body: bytes) -> bytes:
    """The same from the body's bytes."""
    return hashlib.sha256(domain + _TAG + body).digest()


@dataclass(frozen=True, slots=True)
class SignedReceipt:
    """A receipt body and its signature `r || s || v`."""

    body: ReceiptBody
    signature: bytes

    def encode(self) -> bytes:
        """RECEIPT_BYTES bytes."""
        return self.body.encode() + self.signature

    def recover(self, domain: bytes) -> bytes | None:
        """The address that signed it; None when the signature is not one."""
        r, s, v = self.signature[:32], self.signature[32:64], self.signature[64]
        return recover_signer(self.body.hash_signing(domain), r, s, v)


def decode_receipt(data: bytes) -> SignedReceipt | None:
    """None when the length is wrong."""
    if len(data) != RECEIPT_BYTES:
        return None
    return SignedReceipt(ReceiptBody(*_BODY.unpack_from(data)), data[_BODY.size :])
