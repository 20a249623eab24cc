"""state/signatures.py: the one predicate of each curve, at its edges."""

import hashlib
import random

import pytest
from coincurve import PrivateKey
from nacl.signing import SigningKey

from fraud_proofs.ed25519 import is_signature_valid
from state import signatures
from state.signatures import (
    EDGES,
    SECP256K1_ORDER,
    Edge,
    WrongLibrary,
    assert_library_agrees,
    is_ed25519_valid,
    recover_signer,
)
from tests.world import get_address

ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493
KEY = SigningKey(bytes(range(32)))
DIGEST = hashlib.sha256(b"digest").digest()


def test_a_signature_is_valid_for_its_key_and_digest_alone() -> None:
    """Another key, another digest or any flipped bit of the signature fails."""
    public_key, signature = KEY.verify_key.encode(), KEY.sign(DIGEST).signature
    assert is_ed25519_valid(public_key, DIGEST, signature)
    assert not is_ed25519_valid(SigningKey(bytes(32)).verify_key.encode(), DIGEST, signature)
    assert not is_ed25519_valid(public_key, hashlib.sha256(DIGEST).digest(), signature)
    for bit in range(512):
        flipped = (int.from_bytes(signature) ^ 1 << bit).to_bytes(64)
        assert not is_ed25519_valid(public_key, DIGEST, flipped)


def test_s_is_reduced() -> None:
    """S + L satisfies the equation and is refused: there is one S."""
    signature = KEY.sign(DIGEST).signature
    s = int.from_bytes(signature[32:], "little")
    again = signature[:32] + (s + ED25519_ORDER).to_bytes(32, "little")
    assert not is_ed25519_valid(KEY.verify_key.encode(), DIGEST, again)


def test_keys_that_are_no_keys() -> None:
    """Whatever 32 bytes an owner registers, verifying by them answers and does not raise."""
    signature = KEY.sign(DIGEST).signature
    for public_key in (bytes(32), b"\xff" * 32, b"\x01" + bytes(31), b"\xee" + b"\xff" * 30 + b"\x7f"):
        assert not is_ed25519_valid(public_key, DIGEST, signature)
        assert not is_ed25519_valid(public_key, DIGEST, public_key + bytes(32))


def test_the_library_is_the_pinned_one() -> None:
    """At start-up the edges on which libraries differ are asked for."""
    assert_library_agrees()


@pytest.mark.parametrize("edge", EDGES, ids=lambda edge: edge.name)
def test_edges_are_the_protocols(edge: Edge) -> None:
    """The predicate in plain integers, to which the contract is held, has the same verdict on every edge."""
    assert is_signature_valid(edge.public_key, edge.signature, edge.digest) == edge.is_valid


@pytest.mark.parametrize("edge", EDGES, ids=lambda edge: edge.name)
def test_a_library_that_is_wrong_about_one_edge_is_refused(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a library that differs anywhere nothing goes on."""

    def judge(*case: bytes) -> bool:
        return is_ed25519_valid(*case) != (case == (edge.public_key, edge.digest, edge.signature))

    monkeypatch.setattr(signatures, "is_ed25519_valid", judge)
    with pytest.raises(WrongLibrary, match=edge.name):
        assert_library_agrees()


def sign(key: PrivateKey) -> tuple[bytes, bytes, int]:
    """r, s, v over DIGEST."""
    signed = key.sign_recoverable(DIGEST, hasher=None)
    return signed[:32], signed[32:64], signed[64] + 27


def test_recovery_gives_the_signer() -> None:
    """Address and signature belong together; another digest gives another address."""
    for number in range(1, 30):
        key = PrivateKey(number.to_bytes(32))
        r, s, v = sign(key)
        assert recover_signer(DIGEST, r, s, v) == get_address(key)
        assert recover_signer(bytes(32), r, s, v) != get_address(key)
        assert recover_signer(DIGEST, r, s, 55 - v) != get_address(key)


def test_recovery_keeps_its_bounds() -> None:
    """r and s lie in the group, s in its lower half, v is 27 or 28: of a signature and its twin one is refused."""
    r, s, v = sign(PrivateKey(bytes([7]) * 32))
    upper = (SECP256K1_ORDER - int.from_bytes(s)).to_bytes(32)
    half = (SECP256K1_ORDER // 2).to_bytes(32)
    assert recover_signer(DIGEST, r, half, v) is not None
    for wrong in (
        (r, upper, 55 - v),
        (r, upper, v),
        (r, (SECP256K1_ORDER // 2 + 1).to_bytes(32), v),
        (bytes(32), s, v),
        (r, bytes(32), v),
        (SECP256K1_ORDER.to_bytes(32), s, v),
        (b"\xff" * 32, s, v),
        *((r, s, other) for other in (0, 1, 26, 29, 255)),
    ):
        assert recover_signer(DIGEST, *wrong) is None


def test_an_r_without_a_point_recovers_nobody(seed: int) -> None:
    """Half of all r are no x of a point: then there is no signer, and no error."""
    chance = random.Random(seed)
    found = [recover_signer(DIGEST, chance.randbytes(32), (1).to_bytes(32), 27) for _ in range(100)]
    assert None in found
    assert any(found)
