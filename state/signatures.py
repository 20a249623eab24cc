"""Signatures: strict Ed25519 of users, secp256k1 of oracle signers and of receipts (SPEC.md section 5, design 2.5).

The Ed25519 predicate is the pinned libsodium's; `assert_library_agrees` refuses to go on with another. The same
predicate in integers is fraud_proofs/ed25519.py, and contracts/ed25519.vy decides.

Mirrors contracts/signatures.vy.
"""

from typing import NamedTuple

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


class Edge(NamedTuple):
    """A case on which Ed25519 libraries differ, and the verdict of libsodium 1.0.20, which is the protocol's."""

    name: str
    public_key: bytes
    digest: bytes
    signature: bytes
    is_valid: bool


_ORDER_8 = bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a")
_ORDER_1 = bytes([1]) + bytes(31)
_ORDER_1_UNREDUCED = b"\xee" + b"\xff" * 30 + b"\x7f"
_KEY = bytes.fromhex("3b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29")
_KEY_AND_ORDER_8 = bytes.fromhex("6a04fa7acf0934cb8ab34fbcb40c7f58b109fbee389d186d8e22f705e87de8be")
_R = bytes.fromhex("3da1ebdfa96edd181dbe3659d1c051c431f056a5ad6a97a60d5cca1046043878")
_R_BY_KEY_AND_ORDER_8 = bytes.fromhex("ef4f62f8479733ad879cfaced3c89a9c39dd4fc795ef2efa1c3eafe4d729a081")
_S = bytes.fromhex("3546461e31285fc59f91c7072642745061e2451d5ff33bccd8c3c74dabcaf60a")
_S_UNREDUCED = bytes.fromhex("221a3c7b4b8b711d762ebfaa043c536561e2451d5ff33bccd8c3c74dabcaf61a")
_S_FOR_R_OF_ORDER_1 = bytes.fromhex("5f3ab63abc9c2628ee512577c283838d2d76cc6b82b95658f94e89a0a69aa20a")
_S_FOR_DIGEST_9 = bytes.fromhex("a5beabddf94b46288ce77e5f9e647cd4226f0486dafdf081d80ca53b238d0500")
_S_FOR_DIGEST_1 = bytes.fromhex("3c563f7c97e404eafd1ac8c92f645a4988b9353d9f40c4a16e117d8e6d7c6c0e")

EDGES = (
    Edge("a signature", _KEY, bytes(32), _R + _S, True),
    Edge("an S that is not reduced", _KEY, bytes(32), _R + _S_UNREDUCED, False),
    Edge("an R of small order", _KEY, bytes(32), _ORDER_1 + _S_FOR_R_OF_ORDER_1, False),
    Edge("a key of order 8", _ORDER_8, bytes(32), _ORDER_8 + bytes(32), False),
    Edge("a key of order 1", _ORDER_1, bytes(32), _ORDER_1 + bytes(32), False),
    Edge("a key that is not reduced", _ORDER_1_UNREDUCED, bytes(32), _ORDER_1 + bytes(32), False),
    # A key with a part of order 8 is one, where the equation holds as it stands; not where it holds times 8 alone.
    Edge("a key of mixed order", _KEY_AND_ORDER_8, (9).to_bytes(32), _R_BY_KEY_AND_ORDER_8 + _S_FOR_DIGEST_9, True),
    Edge("a cofactor", _KEY_AND_ORDER_8, (1).to_bytes(32), _R_BY_KEY_AND_ORDER_8 + _S_FOR_DIGEST_1, False),
)


class WrongLibrary(Exception):
    """The installed Ed25519 library accepts what the contract refuses, or the reverse."""


def assert_library_agrees() -> None:
    """Ask the library about every edge, at start-up. Raises WrongLibrary."""
    for edge in EDGES:
        if is_ed25519_valid(edge.public_key, edge.digest, edge.signature) != edge.is_valid:
            raise WrongLibrary(f"Ed25519: this library is wrong about {edge.name}; install PyNaCl 1.6.2 as locked")
