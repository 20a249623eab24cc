# pragma version 0.4.3
"""
@title Signatures: Ed25519 of users, secp256k1 of oracle signers
@notice Ed25519 is judged by a contract of its own, with the prover's hints: `hint_kind u8 || words`, the words of
        contracts/ed25519.vy, four of them, to the end of the witness.
@dev Mirrors state/signatures.py.
"""
import constants

interface Ed25519:
    def judge_signature(
        public_key: bytes32, r: bytes32, s: bytes32, digest: bytes32, hint_kind: uint256, hints: uint256[4]
    ) -> uint256: view

# Verdicts of contracts/ed25519.vy
BAD_HINT: constant(uint256) = 0
INVALID: constant(uint256) = 2

HINT_COUNT: constant(uint256) = 4

SECP256K1_ORDER: constant(uint256) = 115792089237316195423570985008687907852837564279074904382605163141518161494337

ED25519: immutable(address)


@deploy
def __init__(ed25519: address):
    """
    @param ed25519 The deployed contracts/ed25519.vy
    """
    assert ed25519.is_contract, "ed25519"
    ED25519 = ed25519


@internal
@pure
def _hash_digest(
    domain: bytes32, op: Bytes[constants.OP_BYTES_MAX], signed_from: uint256, signed_bytes: uint256
) -> bytes32:
    """
    @notice The 32 bytes that are signed, for an op whose signed fields are `signed_bytes` bytes from `signed_from`.
    """
    return sha256(concat(domain, slice(op, 0, 1), slice(op, signed_from, signed_bytes)))


@internal
@view
def _is_invalid(
    public_key: bytes32,
    digest: bytes32,
    r: bytes32,
    s: bytes32,
    witness: Bytes[constants.WITNESS_BYTES_MAX],
    at: uint256,
) -> bool:
    """
    @notice Whether the hints from `at` to the end of the witness show that the signature (r, s) is invalid.
    @dev A hint that shows neither validity nor invalidity is a bad witness and reverts, as does a call without gas.
    """
    assert len(witness) == at + 1 + 32 * HINT_COUNT, "hints"
    hint_kind: uint256 = convert(slice(witness, at, 1), uint256)
    hints: uint256[HINT_COUNT] = empty(uint256[HINT_COUNT])
    for i: uint256 in range(HINT_COUNT):
        hints[i] = convert(extract32(witness, at + 1 + 32 * i), uint256)
    verdict: uint256 = staticcall Ed25519(ED25519).judge_signature(public_key, r, s, digest, hint_kind, hints)
    assert verdict != BAD_HINT, "hints"
    return verdict == INVALID


@internal
@pure
def _recover_signer(digest: bytes32, r: uint256, s: uint256, v: uint256) -> address:
    """
    @notice The address that signed `digest`; zero unless v is 27 or 28, 0 < r < n and 0 < s <= n / 2.
    """
    if v != 27 and v != 28:
        return empty(address)
    if r == 0 or r >= SECP256K1_ORDER or s == 0 or s > SECP256K1_ORDER // 2:
        return empty(address)
    return ecrecover(digest, v, r, s)
