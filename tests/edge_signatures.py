"""Signatures at the edge of validity: random and repeatable, each one step from the border between valid and invalid.

`forge` is the workshop. With A = a B + i T and R = r B + j T, where T has order 8, and S = r + h a, the equation
S B - h A = R holds exactly if j + h i is a multiple of 8; only the digest decides that. a = 0 makes a key of small
order, r = 0 an R of small order, i or j other than 0 mixed orders.
"""

from collections.abc import Iterator
from random import Random
from typing import NamedTuple

from nacl.bindings import crypto_scalarmult_ed25519_base_noclamp

from fraud_proofs.ed25519 import (
    IDENTITY,
    SMALL_ORDER_ENCODINGS,
    Y_BITS,
    Y_OF_ORDER_8,
    L,
    P,
    Point,
    add_multiples,
    decode_point,
    encode_point,
    hash_challenge,
)


class EdgeSignature(NamedTuple):
    """32-byte key, 64-byte signature, 32-byte digest, and how they were made."""

    story: str
    public_key: bytes
    signature: bytes
    digest: bytes

    @property
    def challenge(self) -> int:
        return hash_challenge(self.signature[:32], self.public_key, self.digest)


def _decode(encoding: bytes) -> Point:
    point = decode_point(encoding)
    assert point is not None
    return point


ORDER_8 = _decode(Y_OF_ORDER_8.to_bytes(32, "little"))


def forge(random: Random, a: int, i: int, r: int, j: int, *, holds: bool) -> tuple[bytes, bytes, bytes]:
    """Key, signature and digest as above, the digest such that the equation holds, or does not.

    `holds` needs i to be able to reach j; its opposite needs i or j other than 0.
    """
    public_key = encode_point(add_multiples(1, _multiply_base(a), i, ORDER_8))
    r_bytes = encode_point(add_multiples(1, _multiply_base(r), j, ORDER_8))
    while True:
        digest = random.randbytes(32)
        challenge = hash_challenge(r_bytes, public_key, digest)
        if ((j + challenge * i) % 8 == 0) == holds:
            s = (r + challenge * a) % L
            return public_key, r_bytes + s.to_bytes(32, "little"), digest


def _multiply_base(scalar: int) -> Point:
    """Through the library, which is fast."""
    return _decode(crypto_scalarmult_ed25519_base_noclamp(scalar.to_bytes(32, "little"))) if scalar else IDENTITY


def generate_edge_signatures(random: Random, count: int) -> Iterator[EdgeSignature]:
    """As many as asked for, the stories in turn."""
    stories = (
        _tell_honest,
        _tell_flipped_bit,
        _tell_unreduced_s,
        _tell_mixed_order,
        _tell_small_order_key,
        _tell_small_order_r,
        _tell_neighbour,
        _tell_planted_encoding,
        _tell_no_point,
    )
    for number in range(count):
        yield stories[number % len(stories)](random)


def _draw_scalar(random: Random) -> int:
    return random.randrange(1, L)


def _tell_honest(random: Random) -> EdgeSignature:
    return EdgeSignature("honest", *forge(random, _draw_scalar(random), 0, _draw_scalar(random), 0, holds=True))


def _tell_flipped_bit(random: Random) -> EdgeSignature:
    """One bit of key, signature or digest is wrong."""
    honest = _tell_honest(random)
    parts = [bytearray(part) for part in honest[1:]]
    part = random.choice(parts)
    bit = random.randrange(8 * len(part))
    part[bit // 8] ^= 1 << bit % 8
    return EdgeSignature("flipped bit", *(bytes(part) for part in parts))


def _tell_unreduced_s(random: Random) -> EdgeSignature:
    """S plus a multiple of L: the same point S B."""
    _, public_key, signature, digest = _tell_honest(random)
    s = int.from_bytes(signature[32:], "little")
    s += L * random.randint(1, (2**256 - 1 - s) // L)
    return EdgeSignature("unreduced S", public_key, signature[:32] + s.to_bytes(32, "little"), digest)


def _tell_mixed_order(random: Random) -> EdgeSignature:
    """A and R with parts of small order; what a cofactored verifier accepts, and a strict one if they cancel."""
    holds = random.random() < 0.5
    i = random.randrange(1, 8)
    j = i * random.randrange(8) % 8 if holds else random.randrange(8)
    scalars = _draw_scalar(random), _draw_scalar(random)
    story = "mixed orders that cancel" if holds else "mixed orders that do not cancel"
    return EdgeSignature(story, *forge(random, scalars[0], i, scalars[1], j, holds=holds))


def _tell_small_order_key(random: Random) -> EdgeSignature:
    """A of small order, in all its spellings where the hash allows, with an equation that holds."""
    i = random.randrange(8)
    public_key, signature, digest = forge(random, 0, i, _draw_scalar(random), 0, holds=True)
    return EdgeSignature("small-order key", _respell(random, public_key), signature, digest)


def _tell_small_order_r(random: Random) -> EdgeSignature:
    """R of small order, with an equation that holds before R is respelled."""
    i = random.randrange(1, 8)
    j = i * random.randrange(8) % 8
    public_key, signature, digest = forge(random, _draw_scalar(random), i, 0, j, holds=True)
    return EdgeSignature("small-order R", public_key, _respell(random, signature[:32]) + signature[32:], digest)


def _respell(random: Random, encoding: bytes) -> bytes:
    """The same y, perhaps not reduced; where x is 0, perhaps with the sign bit."""
    number = int.from_bytes(encoding, "little")
    y = number & Y_BITS
    if y in (0, 1) and random.random() < 0.5:
        number += P
    if y in (1, P - 1) and random.random() < 0.5:
        number |= 2**255
    return number.to_bytes(32, "little")


def _tell_neighbour(random: Random) -> EdgeSignature:
    """R or S is off by little: a part of small order, a sign, one."""
    _, public_key, signature, digest = _tell_honest(random)
    r_point, s = _decode(signature[:32]), int.from_bytes(signature[32:], "little")
    match random.randrange(4):
        case 0:
            r = encode_point(add_multiples(1, r_point, random.randrange(1, 8), ORDER_8))
        case 1:
            r = signature[:31] + bytes([signature[31] ^ 0x80])
        case 2:
            r, s = signature[:32], (s + random.choice((1, L - 1))) % L
        case _:
            r, s = signature[:32], random.choice((0, 1, L - 1, L - s))
    return EdgeSignature("neighbour", public_key, r + s.to_bytes(32, "little"), digest)


def _tell_planted_encoding(random: Random) -> EdgeSignature:
    """A or R is one of the encodings on which libraries differ: small order or not reduced, either sign."""
    _, public_key, signature, digest = _tell_honest(random)
    y = random.choice((*SMALL_ORDER_ENCODINGS, *range(19), *range(P, 2**255)))
    planted = (y | random.getrandbits(1) << 255).to_bytes(32, "little")
    if random.random() < 0.5:
        return EdgeSignature("planted key", planted, signature, digest)
    return EdgeSignature("planted R", public_key, planted + signature[32:], digest)


def _tell_no_point(random: Random) -> EdgeSignature:
    """A or R, or both, decode to nothing."""
    _, public_key, signature, digest = _tell_honest(random)
    where = random.randrange(3)
    if where != 0:
        public_key = draw_no_point(random)
    r = signature[:32] if where == 1 else draw_no_point(random)
    return EdgeSignature("no point", public_key, r + signature[32:], digest)


def draw_no_point(random: Random) -> bytes:
    """A canonical encoding without a point."""
    while True:
        encoding = (random.randrange(P) | random.getrandbits(1) << 255).to_bytes(32, "little")
        if decode_point(encoding) is None:
            return encoding
