"""Signatures: strict Ed25519 of users, secp256k1 of oracle signers and of receipts (SPEC.md section 5, design 2.5).

The Ed25519 predicate is the pinned libsodium's; `assert_library_agrees` refuses to go on with another. The same
predicate in integers is fraud_proofs/ed25519.py, and contracts/ed25519.vy decides.

Mirrors contracts/signatures.vy.
"""

from coincurve import PublicKey
from eth_hash.auto import keccak
from nacl.bindings import crypto_sign_open
from nacl.exceptions import BadSignatureError

SECP256K1_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def is_ed25519_valid(public_key: bytes, digest: bytes, signature: bytes) -> bool:
    """Whether a 64-byte signature over a 32-byte digest verifies, strictly, by a 32-byte key."""
    try:
        crypto_sign_open(signature + digest, public_key)
    except (BadSignatureError, ValueError):
        return False
    return True


def recover_signer(digest: bytes, r: bytes, s: bytes, v: int) -> bytes | None:
    """The 20-byte address that signed `digest`; None unless v is 27 or 28, 0 < r < n and 0 < s <= n/2."""
    if v not in (27, 28):
        return None
    if not 0 < int.from_bytes(r) < SECP256K1_ORDER or not 0 < int.from_bytes(s) <= SECP256K1_ORDER // 2:
        return None
    try:
        public_key = PublicKey.from_signature_and_message(r + s + bytes([v - 27]), digest, hasher=None)
    except Exception:  # coincurve raises bare Exception when no point has this r
        return None
    return keccak(public_key.format(compressed=False)[1:])[12:]


# Cases on which Ed25519 libraries differ: (public key, digest-sized message, signature, verdict of libsodium 1.0.20).
_SMALL_ORDER = bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a")
_IDENTITY = bytes([1]) + bytes(31)


class WrongLibrary(Exception):
    """The installed Ed25519 library accepts what the contract refuses, or the reverse."""


def assert_library_agrees() -> None:
    """Check the edges at start-up: small-order keys and R are refused, S is reduced. Raises WrongLibrary."""
    edges = (
        (_SMALL_ORDER, bytes(32), _SMALL_ORDER + bytes(32)),
        (_IDENTITY, bytes(32), _IDENTITY + bytes(32)),
        (b"\xee" + b"\xff" * 30 + b"\x7f", bytes(32), _IDENTITY + bytes(32)),
    )
    for public_key, digest, signature in edges:
        if is_ed25519_valid(public_key, digest, signature):
            raise WrongLibrary("Ed25519: this library accepts a small-order key; install PyNaCl 1.6.2 as locked")
