"""Strict Ed25519: the predicate in plain integers, L1's judgement of a signature, and the hints a prover gives it.

A signature (R, S) by a key A on a digest is valid exactly if
- S < L;
- A is canonical (y < P), decodes to a point of the curve, and is not of small order;
- R is not the encoding of a point of small order;
- the encoding of S B - h A is R, byte for byte, with h = SHA-512(R || A || digest) mod L.

`is_signature_valid` says just that. `judge_signature` comes to its verdict from hints, as the contract must, and
`build_signature_hints` finds for any bytes the hints that get the right verdict. The contract explains the hints,
and why none of them gets a wrong one.

Mirrors contracts/ed25519.vy.
"""

import hashlib
from enum import IntEnum
from typing import NamedTuple

P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P
L = 2**252 + 27742317777372353535851937790883648493
CURVE_ORDER = 8 * L
Y_BITS = 2**255 - 1
SQUARE_ROOT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)

Y_OF_ORDER_8 = 2707385501144840649318225287225658788936804267575313519463743609750303402022
SMALL_ORDER_ENCODINGS = (
    0,  # order 4
    1,  # order 1
    Y_OF_ORDER_8,
    P - Y_OF_ORDER_8,
    P - 1,  # order 2
    P,  # 0, not reduced
    P + 1,  # 1, not reduced
)
"""All y of points of small order, in every way that 255 bits can write them; libsodium ignores the sign bit."""


class Verdict(IntEnum):
    """What L1 answers; the first says nothing about the signature, the others are proven."""

    BAD_HINT = 0
    VALID = 1
    INVALID = 2


class HintKind(IntEnum):
    """What the hints are about."""

    NO_HINT = 0
    KEY_IS_NO_POINT = 1
    R_IS_NO_POINT = 2
    POINTS = 3


Hints = tuple[int, int, int, int]
"""Four unsigned 256-bit words; those that the kind does not name are 0."""


class Point(NamedTuple):
    """Extended coordinates: x = X / Z, y = Y / Z, x y = T / Z."""

    x: int
    y: int
    z: int
    t: int


IDENTITY = Point(0, 1, 1, 0)


# The predicate


def is_signature_valid(public_key: bytes, signature: bytes, digest: bytes) -> bool:
    """Whether a 64-byte signature by a 32-byte key verifies. L1 knows 32-byte digests; here any message will do."""
    if len(public_key) != 32 or len(signature) != 64:
        return False
    r, s = signature[:32], int.from_bytes(signature[32:], "little")
    if s >= L or _read_y(r) in SMALL_ORDER_ENCODINGS or _read_y(public_key) in SMALL_ORDER_ENCODINGS:
        return False
    a = decode_point(public_key)
    if a is None:
        return False
    return encode_point(add_multiples(s, BASE, hash_challenge(r, public_key, digest), negate(a))) == r


def hash_challenge(r: bytes, public_key: bytes, digest: bytes) -> int:
    """h, below L."""
    return int.from_bytes(hashlib.sha512(r + public_key + digest).digest(), "little") % L


# L1's judgement


def judge_signature(public_key: bytes, r: bytes, s: bytes, digest: bytes, hint_kind: int, hints: Hints) -> Verdict:
    """The contract's verdict on the signature (r, s), whatever the hints."""
    return judge(public_key, r, s, hash_challenge(r, public_key, digest), hint_kind, hints)


def judge(public_key: bytes, r: bytes, s: bytes, challenge: int, hint_kind: int, hints: Hints) -> Verdict:
    """The contract's verdict, given h: `challenge`, below L."""
    encoded_a, encoded_r, scalar = (int.from_bytes(word, "little") for word in (public_key, r, s))
    if scalar >= L or is_refused(encoded_a) or is_refused(encoded_r):
        return Verdict.INVALID

    if hint_kind == HintKind.KEY_IS_NO_POINT:
        return Verdict.INVALID if is_no_point(encoded_a, hints[0]) else Verdict.BAD_HINT
    if hint_kind == HintKind.R_IS_NO_POINT:
        return Verdict.INVALID if is_no_point(encoded_r, hints[0]) else Verdict.BAD_HINT
    if hint_kind != HintKind.POINTS:
        return Verdict.BAD_HINT
    x_a, x_r, u_word, v = hints
    if not is_x(x_a, encoded_a) or not is_x(x_r, encoded_r):
        return Verdict.BAD_HINT

    u = u_word - 2**256 if u_word >> 255 else u_word
    if v % 2 == 0 or v >= L or (u - v * challenge) % CURVE_ORDER != 0:
        return Verdict.BAD_HINT
    a = make_point(x_a, encoded_a & Y_BITS)
    minus_r = make_point(P - x_r, encoded_r & Y_BITS)
    u_a_and_v_r = add_multiples(abs(u), a if u < 0 else negate(a), v, minus_r)
    is_identity = add_multiples(v * scalar % L, BASE, 1, u_a_and_v_r)
    return Verdict.VALID if is_identity.x == 0 and is_identity.y == is_identity.z else Verdict.INVALID


def is_refused(encoding: int) -> bool:
    """Whether A or R is invalid by its bytes alone: not canonical, or of small order."""
    y = encoding & Y_BITS
    return y >= P or y * y % P in (0, 1, Y_OF_ORDER_8**2 % P)


def is_no_point(encoding: int, witness: int) -> bool:
    """Whether the witness shows that no point has this y: its square is 2 (y^2 - 1) / (d y^2 + 1)."""
    y_squared = (encoding & Y_BITS) ** 2
    return (witness * witness * (D * y_squared + 1) - 2 * (y_squared - 1)) % P == 0


def is_x(x: int, encoding: int) -> bool:
    """Whether this is the x of the encoded point: reduced, on the curve, of the parity in the top bit."""
    y = encoding & Y_BITS
    is_on_curve = (y * y - x * x - 1 - D * x * x * y * y) % P == 0
    return is_on_curve and x < P and x & 1 == encoding >> 255


# The prover's hints


def build_signature_hints(public_key: bytes, signature: bytes, digest: bytes) -> tuple[HintKind, Hints]:
    """Hint kind and hints with which L1 judges rightly; key and signature may be any 32 and 64 bytes."""
    r, s = signature[:32], signature[32:]
    return build_hints(public_key, r, s, hash_challenge(r, public_key, digest))


def build_hints(public_key: bytes, r: bytes, s: bytes, challenge: int) -> tuple[HintKind, Hints]:
    """The same, given h: `challenge`, below L."""
    encoded_a, encoded_r, scalar = (int.from_bytes(word, "little") for word in (public_key, r, s))
    if scalar >= L or is_refused(encoded_a) or is_refused(encoded_r):
        return HintKind.NO_HINT, (0, 0, 0, 0)
    a, point_r = decode_point(public_key), decode_point(r)
    if a is None:
        return HintKind.KEY_IS_NO_POINT, (find_witness(encoded_a), 0, 0, 0)
    if point_r is None:
        return HintKind.R_IS_NO_POINT, (find_witness(encoded_r), 0, 0, 0)
    u, v = find_short_pair(challenge)
    return HintKind.POINTS, (a.x, point_r.x, u % 2**256, v)


def find_witness(encoding: int) -> int:
    """The witness of `is_no_point`, which exists for a canonical y without a point."""
    y_squared = (encoding & Y_BITS) ** 2
    root = square_root(2 * (y_squared - 1) * pow(D * y_squared + 1, -1, P) % P)
    if root is None:
        raise ValueError("there is a point with this y")
    return root


def find_short_pair(challenge: int) -> tuple[int, int]:
    """(u, v) with u = v h mod 8 L, v odd, 0 < v < L, and the longer of |u| and v about as short as can be.

    All pairs with u = v h mod 8 L are a lattice of determinant 8 L, spanned by (8 L, 0) and (h, 1). Lagrange's
    reduction finds its two shortest vectors, of 128 bits as a rule. Not both have an even v, as (h, 1) has not.
    """
    short, long = (challenge, 1), (CURVE_ORDER, 0)
    while True:
        if _dot(short, short) > _dot(long, long):
            short, long = long, short
        # The nearest integer, so that `long` becomes as short as adding multiples of `short` can make it.
        quotient = (2 * _dot(short, long) + _dot(short, short)) // (2 * _dot(short, short))
        if quotient == 0:
            break
        long = _add_pairs(long, short, -quotient)
    pairs = [(challenge, 1), short, *(_add_pairs(long, short, times) for times in (-2, -1, 0, 1, 2))]
    pairs = [(u, v) if v > 0 else (-u, -v) for u, v in pairs]
    return min(((u, v) for u, v in pairs if v % 2 == 1 and v < L), key=lambda pair: max(abs(pair[0]), pair[1]))


def _dot(left: tuple[int, int], right: tuple[int, int]) -> int:
    return left[0] * right[0] + left[1] * right[1]


def _add_pairs(left: tuple[int, int], right: tuple[int, int], times: int) -> tuple[int, int]:
    return left[0] + times * right[0], left[1] + times * right[1]


# The curve


def make_point(x: int, y: int) -> Point:
    """A point from its affine coordinates, reduced."""
    return Point(x, y, 1, x * y % P)


def negate(p: Point) -> Point:
    """-p."""
    return Point(-p.x % P, p.y, p.z, -p.t % P)


def add_points(p: Point, q: Point) -> Point:
    """p + q, for any two points ("add-2008-hwcd-3")."""
    a = (p.y - p.x) * (q.y - q.x) % P
    b = (p.y + p.x) * (q.y + q.x) % P
    c = 2 * D * p.t * q.t % P
    d = 2 * p.z * q.z % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return Point(e * f % P, g * h % P, f * g % P, e * h % P)


def double_point(p: Point) -> Point:
    """p + p ("dbl-2008-hwcd")."""
    a, b = p.x * p.x % P, p.y * p.y % P
    e, g, h = 2 * p.x * p.y % P, b - a, -(a + b)
    f = g - 2 * p.z * p.z % P
    return Point(e * f % P, g * h % P, f * g % P, e * h % P)


def add_multiples(m: int, p: Point, n: int, q: Point) -> Point:
    """m p + n q, for m and n not negative."""
    p_and_q = add_points(p, q)
    total = IDENTITY
    for bit in range(max(m.bit_length(), n.bit_length()) - 1, -1, -1):
        total = double_point(total)
        if m >> bit & n >> bit & 1:
            total = add_points(total, p_and_q)
        elif m >> bit & 1:
            total = add_points(total, p)
        elif n >> bit & 1:
            total = add_points(total, q)
    return total


def encode_point(p: Point) -> bytes:
    """32 bytes: y, little-endian, and the parity of x in the top bit."""
    inverse = pow(p.z, -1, P)
    x, y = p.x * inverse % P, p.y * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def decode_point(encoding: bytes) -> Point | None:
    """The point with this canonical encoding; None if there is none."""
    number = int.from_bytes(encoding, "little")
    y, parity = number & Y_BITS, number >> 255
    if y >= P:
        return None
    x = square_root((y * y - 1) * pow(D * y * y + 1, -1, P) % P)
    if x is None or (x == 0 and parity == 1):
        return None
    return make_point(x if x & 1 == parity else P - x, y)


def square_root(square: int) -> int | None:
    """A root modulo P of a reduced number, None if it has none. As P = 5 mod 8, one of two candidates is a root."""
    root = pow(square, (P + 3) // 8, P)
    for candidate in (root, root * SQUARE_ROOT_OF_MINUS_ONE % P):
        if candidate * candidate % P == square:
            return candidate
    return None


def _read_y(encoding: bytes) -> int:
    return int.from_bytes(encoding, "little") & Y_BITS


BASE = make_point(
    15112221349535400772501151409588531511454012693041857206046113283949847762202,
    46316835694926478169428394003475163141307993866256225615783033603165251855960,
)
"""B: y = 4/5, x even."""
