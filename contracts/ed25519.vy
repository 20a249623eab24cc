# pragma version 0.4.3
# pragma optimize gas
"""
@title Strict Ed25519 over a 32-byte digest, judged with a prover's hints
@notice A signature (R, S) by a key A on a digest is valid when
        - S < L;
        - A is canonical (y < P), decodes to a point of the curve, and is not of small order;
        - R is not the encoding of a point of small order;
        - the encoding of S B - h A is R, byte for byte, with h = SHA-512(R || A || digest) mod L.
        This is the predicate of libsodium 1.0.20, the library inside PyNaCl 1.6.2. A and R may be of mixed
        order. What the last rule encodes is canonical and decodes; so an R that is not, or does not, is
        invalid, and for any other R equal bytes are equal points.

        A proof of fraud has to show that a signature is *invalid*, and a wrong hint shows nothing: hence
        three verdicts. No hint whatsoever gets VALID for an invalid signature or INVALID for a valid one, and
        for any bytes there are hints that get the right verdict.

        Hint kinds, and the four words that go with each. A word that a kind does not name is ignored.
        - NO_HINT: none. For what the bytes alone refuse; they are looked at first, whatever the kind.
        - KEY_IS_NO_POINT: a witness that A does not decode, see `_is_no_point`.
        - R_IS_NO_POINT: the same for R.
        - POINTS: x of A; x of R; u, signed, in two's complement; v. They satisfy u = v h mod 8 L, v odd,
          0 < v < L. Gas is least when u and v have 128 bits each. u = h with v = 1 always serves.
@dev Mirrors fraud_proofs/ed25519.py.

     WHY v. What is computed is (v S) B - u A - v R, with half the doublings of S B - h A - R when u and v are
     short. As u = v h mod 8 L, and 8 L annuls every point, it is v Q for Q = S B - h A - R. v is odd and below
     the prime L, thus invertible mod 8 L: v Q is the identity exactly if Q is, even where A and R have parts
     of small order. With an even v, or v = L, or u = v h mod L only, the verdict would be wrong for some bytes.

     POINTS are in extended coordinates (X : Y : Z : T), x = X / Z, y = Y / Z, x y = T / Z. Their addition,
     "add-2008-hwcd-3" for a = -1, is complete, as -1 is a square and d is not: no pair of points is special.

     WHY `unsafe_add` AND `unsafe_sub` ARE SAFE on coordinates. What `uint256_mulmod` and `uint256_addmod`
     return is below P. The sum of two such values, or of one and (P minus another), is below 2 P, and
     2 P = 2**256 - 38. A sum is only used as a factor of `uint256_mulmod`, which takes any words and forms
     the exact product. Nothing adds three.
"""


struct Point:
    x: uint256
    y: uint256
    z: uint256
    t: uint256


# A point ready to be added: Y - X, Y + X, 2 Z, 2 d T.
struct Addend:
    minus: uint256
    plus: uint256
    twice_z: uint256
    twice_dt: uint256


# The same with Z = 1.
struct AffineAddend:
    minus: uint256
    plus: uint256
    twice_dt: uint256


# A point with Z = 1 to which an `Addend` is added: y - x, y + x, x y.
struct AffinePoint:
    minus: uint256
    plus: uint256
    t: uint256


# Verdicts.
BAD_HINT: constant(uint256) = 0
VALID: constant(uint256) = 1
INVALID: constant(uint256) = 2

# Hint kinds.
NO_HINT: constant(uint256) = 0
KEY_IS_NO_POINT: constant(uint256) = 1
R_IS_NO_POINT: constant(uint256) = 2
POINTS: constant(uint256) = 3

# The curve is -x^2 + y^2 = 1 + d x^2 y^2 mod P, d = -121665 / 121666. It has 8 L points, L prime. B is the
# point with y = 4/5 and even x; its order is L.
P: constant(uint256) = 2**255 - 19
D: constant(uint256) = 37095705934669439343138083508754565189542113879843219016388785533085940283555
TWICE_D: constant(uint256) = 2 * D % P
L: constant(uint256) = 2**252 + 27742317777372353535851937790883648493
CURVE_ORDER: constant(uint256) = 8 * L
BASE_X: constant(uint256) = 15112221349535400772501151409588531511454012693041857206046113283949847762202
BASE_Y: constant(uint256) = 46316835694926478169428394003475163141307993866256225615783033603165251855960

# The orders 1 and 2 have y^2 = 1, order 4 has y = 0, and order 8 has this y^2, for either sign of x and of y.
Y_SQUARED_OF_ORDER_8: constant(uint256) = (
    53699909539325142115343624207863611371097067213659596252119297355370707899025
)

ALL_ONES_MOD_L: constant(uint256) = max_value(uint256) % L
HALF_MOD_L: constant(uint256) = (L + 1) // 2
HIGH_WORD_MOD_L: constant(uint256) = ALL_ONES_MOD_L + 1  # 2**256; the sum is below L

# An encoding is a little-endian number: y, and in the top bit the parity of x.
Y_BITS: constant(uint256) = 2**255 - 1

# Every second group of 1, 2, 4, 8 bytes, the lowest included.
BYTES_1: constant(uint256) = max_value(uint256) // (2**16 - 1) * (2**8 - 1)
BYTES_2: constant(uint256) = max_value(uint256) // (2**32 - 1) * (2**16 - 1)
BYTES_4: constant(uint256) = max_value(uint256) // (2**64 - 1) * (2**32 - 1)
BYTES_8: constant(uint256) = max_value(uint256) // (2**128 - 1) * (2**64 - 1)

# The precompile takes three lengths in bytes, then base, exponent, modulus.
MODULAR_EXPONENTIATION: constant(address) = 0x0000000000000000000000000000000000000005
OPERAND_BYTES: constant(uint256) = 32

# SHA-512 (FIPS 180-4). A literal holds four of its 64-bit words.
WORD: constant(uint256) = 2**64 - 1
WORD_PAIR: constant(uint256) = BYTES_8
TWICE: constant(uint256) = 2**64 + 1
INITIAL_HASH: constant(bytes32[2]) = [
    0x6a09e667f3bcc908bb67ae8584caa73b3c6ef372fe94f82ba54ff53a5f1d36f1,
    0x510e527fade682d19b05688c2b3e6c1f1f83d9abfb41bd6b5be0cd19137e2179,
]
ROUND_CONSTANTS: constant(bytes32[2][10]) = [
    [
        0x428a2f98d728ae227137449123ef65cdb5c0fbcfec4d3b2fe9b5dba58189dbbc,
        0x3956c25bf348b53859f111f1b605d019923f82a4af194f9bab1c5ed5da6d8118,
    ],
    [
        0xd807aa98a303024212835b0145706fbe243185be4ee4b28c550c7dc3d5ffb4e2,
        0x72be5d74f27b896f80deb1fe3b1696b19bdc06a725c71235c19bf174cf692694,
    ],
    [
        0xe49b69c19ef14ad2efbe4786384f25e30fc19dc68b8cd5b5240ca1cc77ac9c65,
        0x2de92c6f592b02754a7484aa6ea6e4835cb0a9dcbd41fbd476f988da831153b5,
    ],
    [
        0x983e5152ee66dfaba831c66d2db43210b00327c898fb213fbf597fc7beef0ee4,
        0xc6e00bf33da88fc2d5a79147930aa72506ca6351e003826f142929670a0e6e70,
    ],
    [
        0x27b70a8546d22ffc2e1b21385c26c9264d2c6dfc5ac42aed53380d139d95b3df,
        0x650a73548baf63de766a0abb3c77b2a881c2c92e47edaee692722c851482353b,
    ],
    [
        0xa2bfe8a14cf10364a81a664bbc423001c24b8b70d0f89791c76c51a30654be30,
        0xd192e819d6ef5218d69906245565a910f40e35855771202a106aa07032bbd1b8,
    ],
    [
        0x19a4c116b8d2d0c81e376c085141ab532748774cdf8eeb9934b0bcb5e19b48a8,
        0x391c0cb3c5c95a634ed8aa4ae3418acb5b9cca4f7763e373682e6ff3d6b2b8a3,
    ],
    [
        0x748f82ee5defb2fc78a5636f43172f6084c87814a1f0ab728cc702081a6439ec,
        0x90befffa23631e28a4506cebde82bde9bef9a3f7b2c67915c67178f2e372532b,
    ],
    [
        0xca273eceea26619cd186b8c721c0c207eada7dd6cde0eb1ef57d4f7fee6ed178,
        0x06f067aa72176fba0a637dc5a2c898a6113f9804bef90dae1b710b35131c471b,
    ],
    [
        0x28db77f523047d8432caab7b40c724933c9ebe0a15c9bebc431d67c49c100d4c,
        0x4cc5d4becb3e42b6597f299cfc657e2a5fcb6fab3ad6faec6c44198c4a475817,
    ],
]

# Row 16 i + j is (2 i + 1) 2**128 B + (2 j - 15) B, reduced, for i < 8 and j < 16.
BASE_TABLE: immutable(AffineAddend[128])


@deploy
def __init__():
    """
    @dev Computes the table of B.
    """
    base: Point = Point(x=BASE_X, y=BASE_Y, z=1, t=uint256_mulmod(BASE_X, BASE_Y, P))
    minus_base: Addend = self._addend(Point(x=P - base.x, y=base.y, z=1, t=P - base.t))
    twice_base: Addend = self._addend(self._add(base, self._addend(base)))
    far_base: Point = base
    for i: uint256 in range(128):
        far_base = self._add(far_base, self._addend(far_base))
    twice_far_base: Addend = self._addend(self._add(far_base, self._addend(far_base)))

    row_start: Point = far_base
    for j: uint256 in range(15):
        row_start = self._add(row_start, minus_base)
    table: AffineAddend[128] = empty(AffineAddend[128])
    for i: uint256 in range(8):
        point: Point = row_start
        for j: uint256 in range(16):
            table[16 * i + j] = self._affine_addend(point)
            point = self._add(point, twice_base)
        row_start = self._add(row_start, twice_far_base)
    BASE_TABLE = table


@external
@view
def judge_signature(
    public_key: bytes32, r: bytes32, s: bytes32, digest: bytes32, hint_kind: uint256, hints: uint256[4]
) -> uint256:
    """
    @notice The verdict on the signature (r, s) by `public_key` on `digest`. Never reverts.
    @param public_key A, encoded
    @param r R, encoded: the first 32 bytes of the signature
    @param s S, little-endian: the last 32 bytes of the signature
    @param digest The message
    @param hint_kind NO_HINT, KEY_IS_NO_POINT, R_IS_NO_POINT or POINTS; any other number counts as NO_HINT
    @param hints Four words, as the kind says
    @return VALID or INVALID, either of them proven, or BAD_HINT, which says nothing about the signature
    """
    return self._judge(public_key, r, s, self._challenge(r, public_key, digest), hint_kind, hints)


@internal
@view
def _judge(
    public_key: bytes32, r: bytes32, s: bytes32, challenge: uint256, hint_kind: uint256, hints: uint256[4]
) -> uint256:
    """
    @dev The verdict, given h: `challenge`, below L.
    """
    encoded_a: uint256 = self._reverse_bytes(convert(public_key, uint256))
    encoded_r: uint256 = self._reverse_bytes(convert(r, uint256))
    scalar: uint256 = self._reverse_bytes(convert(s, uint256))
    if scalar >= L or self._is_refused(encoded_a) or self._is_refused(encoded_r):
        return INVALID

    if hint_kind == KEY_IS_NO_POINT:
        return INVALID if self._is_no_point(encoded_a, hints[0]) else BAD_HINT
    if hint_kind == R_IS_NO_POINT:
        return INVALID if self._is_no_point(encoded_r, hints[0]) else BAD_HINT
    if hint_kind != POINTS:
        return BAD_HINT
    if not self._is_x(hints[0], encoded_a) or not self._is_x(hints[1], encoded_r):
        return BAD_HINT

    # The equation is tested with -R and -A; if u is negative, with |u| and A, for |u| A = -u A. Nothing below
    # wraps, as x < P and |u| <= 2**255 < 8 L; and so |u| and 8 L - |u| are residues.
    u: uint256 = hints[2]
    v: uint256 = hints[3]
    u_residue: uint256 = u
    x_a: uint256 = unsafe_sub(P, hints[0])
    if u >> 255 == 1:
        u = unsafe_sub(0, u)
        u_residue = unsafe_sub(CURVE_ORDER, u)
        x_a = hints[0]
    if v & 1 == 0 or v >= L or u_residue != uint256_mulmod(v, challenge, CURVE_ORDER):
        return BAD_HINT
    a_point: AffinePoint = self._affine_point(x_a, encoded_a & Y_BITS)
    r_point: AffinePoint = self._affine_point(unsafe_sub(P, hints[1]), encoded_r & Y_BITS)
    return VALID if self._vanishes(uint256_mulmod(v, scalar, L), u, a_point, v, r_point) else INVALID


@internal
@pure
def _is_refused(encoding: uint256) -> bool:
    """
    @dev Is A or R invalid by its bytes alone: not canonical, or of small order? If not, then y < P and y^2 is
         neither 0 nor 1, which all functions below rely on. So x is not 0, and one of x and P - x is odd.
    """
    y: uint256 = encoding & Y_BITS
    y_squared: uint256 = uint256_mulmod(y, y, P)
    return y >= P or y_squared <= 1 or y_squared == Y_SQUARED_OF_ORDER_8


@internal
@pure
def _is_no_point(encoding: uint256, witness: uint256) -> bool:
    """
    @dev Does the witness w show that no point has this y? It does if w^2 (d y^2 + 1) = 2 (y^2 - 1).
         On the curve x^2 (d y^2 + 1) = y^2 - 1. The bracket is never 0, for -1 / d is not a square. So x^2
         would be q = (y^2 - 1) / (d y^2 + 1), which is not 0, while the witness says w^2 = 2 q. P = 5 mod 8
         makes 2 a non-square; then q = w^2 / 2 is one too, and there is no x. Conversely, if q is a
         non-square then 2 q, the product of two, is a square, and w exists.
    """
    y: uint256 = encoding & Y_BITS
    y_squared: uint256 = uint256_mulmod(y, y, P)
    bracket: uint256 = unsafe_add(uint256_mulmod(D, y_squared, P), 1)
    w_squared: uint256 = uint256_mulmod(witness, witness, P)
    return uint256_mulmod(w_squared, bracket, P) == uint256_mulmod(2, unsafe_sub(y_squared, 1), P)


@internal
@pure
def _is_x(x: uint256, encoding: uint256) -> bool:
    """
    @dev Is this the x of the encoded point: reduced, on the curve, of the parity in the top bit?
    """
    y: uint256 = encoding & Y_BITS
    x_squared: uint256 = uint256_mulmod(x, x, P)
    y_squared: uint256 = uint256_mulmod(y, y, P)
    d_term: uint256 = uint256_mulmod(uint256_mulmod(x_squared, y_squared, P), D, P)
    is_on_curve: bool = y_squared == uint256_addmod(unsafe_add(x_squared, 1), d_term, P)
    return is_on_curve and x < P and x & 1 == encoding >> 255


@internal
@view
def _vanishes(scalar: uint256, u: uint256, a_point: AffinePoint, v: uint256, r_point: AffinePoint) -> bool:
    """
    @dev Is (v S) B + u A' + v R' the identity, for the two points given and `scalar` = v S mod L?
         u and v are read from the top, two bits at a time. S joins for the last 128 doublings, in digits 1 and
         -1: with s = (scalar + 2**256 - 1) / 2 mod L, scalar is the sum of (2 s_i - 1) 2**i mod L. A row of the
         table serves digits i .. i + 3 and 128 + i .. 128 + i + 3; the complement of the eight bits negates it.
    """
    table: Addend[16] = self._joint_table(a_point, r_point)
    s: uint256 = uint256_mulmod(unsafe_add(scalar, ALL_ONES_MOD_L), HALF_MOD_L, L)
    position: uint256 = 128
    for i: uint256 in range(32):
        if (u | v) >> position == 0:
            break
        position = unsafe_add(position, 4)

    x: uint256 = 0
    y: uint256 = 1
    z: uint256 = 1
    for i: uint256 in range(position >> 1, bound=128):
        position = unsafe_sub(position, 2)

        # Doubled ("dbl-2008-hwcd", E to H negated): E = -2 X Y, G = X^2 - Y^2, F = 2 Z^2 + G, H = 2 Y^2 + G.
        g: uint256 = uint256_mulmod(unsafe_add(x, y), unsafe_add(x, unsafe_sub(P, y)), P)
        f: uint256 = unsafe_add(uint256_mulmod(z << 1, z, P), g)
        x = uint256_mulmod(uint256_mulmod(x << 1, unsafe_sub(P, y), P), f, P)
        y = uint256_mulmod(unsafe_add(uint256_mulmod(y << 1, y, P), g), g, P)
        z = uint256_mulmod(f, g, P)

        # Doubled again, and T = E H for the addition.
        g = uint256_mulmod(unsafe_add(x, y), unsafe_add(x, unsafe_sub(P, y)), P)
        f = unsafe_add(uint256_mulmod(z << 1, z, P), g)
        h: uint256 = unsafe_add(uint256_mulmod(y << 1, y, P), g)
        e: uint256 = uint256_mulmod(x << 1, unsafe_sub(P, y), P)
        x = uint256_mulmod(e, f, P)
        y = uint256_mulmod(g, h, P)
        z = uint256_mulmod(f, g, P)
        t: uint256 = uint256_mulmod(e, h, P)

        # Plus two digits of u and two of v, as in `_add`.
        q: Addend = table[(u >> position) & 3 | ((v >> position) & 3) << 2]
        a: uint256 = uint256_mulmod(unsafe_add(y, unsafe_sub(P, x)), q.minus, P)
        b: uint256 = uint256_mulmod(unsafe_add(y, x), q.plus, P)
        c: uint256 = uint256_mulmod(t, q.twice_dt, P)
        d: uint256 = uint256_mulmod(z, q.twice_z, P)
        f = unsafe_add(d, unsafe_sub(P, c))
        g = unsafe_add(d, c)
        x = uint256_mulmod(unsafe_add(b, unsafe_sub(P, a)), f, P)
        y = uint256_mulmod(unsafe_add(b, a), g, P)
        z = uint256_mulmod(f, g, P)
        if position & 3 | position >> 7 != 0:
            continue

        # Plus eight digits of S, every four doublings. To negate a row: swap two words, negate the third.
        t = uint256_mulmod(unsafe_add(b, unsafe_sub(P, a)), unsafe_add(b, a), P)
        digits: uint256 = (s >> position) & 15 | (s >> position >> 124) & 240
        row: AffineAddend = BASE_TABLE[unsafe_sub(digits, 128) if digits >= 128 else unsafe_sub(127, digits)]
        if digits < 128:
            row = AffineAddend(minus=row.plus, plus=row.minus, twice_dt=unsafe_sub(P, row.twice_dt))
        a = uint256_mulmod(unsafe_add(y, unsafe_sub(P, x)), row.minus, P)
        b = uint256_mulmod(unsafe_add(y, x), row.plus, P)
        c = uint256_mulmod(t, row.twice_dt, P)
        d = uint256_addmod(z, z, P)
        f = unsafe_add(d, unsafe_sub(P, c))
        g = unsafe_add(d, c)
        x = uint256_mulmod(unsafe_add(b, unsafe_sub(P, a)), f, P)
        y = uint256_mulmod(unsafe_add(b, a), g, P)
        z = uint256_mulmod(f, g, P)
    return x == 0 and y == z


@internal
@pure
def _joint_table(a_point: AffinePoint, r_point: AffinePoint) -> Addend[16]:
    """
    @dev Entry 4 j + i is i A' + j R': the entry before plus A', or the one four before plus R'. The formulas of
         `_add` are symmetric: an `Addend` plus an `AffinePoint` has A = minus minus', B = plus plus',
         C = 2 d T T', D = 2 Z. Here 2 Z is itself a summand, and therefore reduced.
    """
    table: Addend[16] = empty(Addend[16])
    table[0] = Addend(minus=1, plus=1, twice_z=2, twice_dt=0)
    p: Addend = empty(Addend)
    q: AffinePoint = empty(AffinePoint)
    for k: uint256 in range(1, 16):
        if k & 3 != 0:
            p = table[unsafe_sub(k, 1)]
            q = a_point
        else:
            p = table[unsafe_sub(k, 4)]
            q = r_point
        a: uint256 = uint256_mulmod(p.minus, q.minus, P)
        b: uint256 = uint256_mulmod(p.plus, q.plus, P)
        c: uint256 = uint256_mulmod(p.twice_dt, q.t, P)
        e: uint256 = unsafe_add(b, unsafe_sub(P, a))
        f: uint256 = unsafe_add(p.twice_z, unsafe_sub(P, c))
        g: uint256 = unsafe_add(p.twice_z, c)
        h: uint256 = unsafe_add(b, a)
        x: uint256 = uint256_mulmod(e, f, P)
        y: uint256 = uint256_mulmod(g, h, P)
        table[k] = Addend(
            minus=unsafe_add(y, unsafe_sub(P, x)),
            plus=unsafe_add(y, x),
            twice_z=uint256_mulmod(uint256_mulmod(f, g, P), 2, P),
            twice_dt=uint256_mulmod(uint256_mulmod(e, h, P), TWICE_D, P),
        )
    return table


@internal
@pure
def _affine_point(x: uint256, y: uint256) -> AffinePoint:
    return AffinePoint(
        minus=unsafe_add(y, unsafe_sub(P, x)), plus=unsafe_add(y, x), t=uint256_mulmod(x, y, P)
    )


@internal
@pure
def _add(p: Point, q: Addend) -> Point:
    """
    @dev The addition that `_vanishes` and `_joint_table` write out to save gas; here for the constructor.
    """
    a: uint256 = uint256_mulmod(p.y + (P - p.x), q.minus, P)
    b: uint256 = uint256_mulmod(p.y + p.x, q.plus, P)
    c: uint256 = uint256_mulmod(p.t, q.twice_dt, P)
    d: uint256 = uint256_mulmod(p.z, q.twice_z, P)
    e: uint256 = b + (P - a)
    f: uint256 = d + (P - c)
    g: uint256 = d + c
    h: uint256 = b + a
    return Point(
        x=uint256_mulmod(e, f, P),
        y=uint256_mulmod(g, h, P),
        z=uint256_mulmod(f, g, P),
        t=uint256_mulmod(e, h, P),
    )


@internal
@pure
def _addend(p: Point) -> Addend:
    return Addend(
        minus=p.y + (P - p.x),
        plus=p.y + p.x,
        twice_z=2 * p.z,
        twice_dt=uint256_mulmod(p.t, TWICE_D, P),
    )


@internal
@view
def _affine_addend(p: Point) -> AffineAddend:
    """
    @dev 1 / Z is Z**(P - 2), by the precompile for modular exponentiation (EIP-198).
    """
    inverse: uint256 = convert(
        raw_call(
            MODULAR_EXPONENTIATION,
            abi_encode(OPERAND_BYTES, OPERAND_BYTES, OPERAND_BYTES, p.z, P - 2, P),
            max_outsize=32,
            is_static_call=True,
        ),
        uint256,
    )
    assert uint256_mulmod(p.z, inverse, P) == 1
    return AffineAddend(
        minus=uint256_mulmod(p.y + (P - p.x), inverse, P),
        plus=uint256_mulmod(p.y + p.x, inverse, P),
        twice_dt=uint256_mulmod(uint256_mulmod(p.t, inverse, P), TWICE_D, P),
    )


@internal
@pure
def _challenge(r: bytes32, public_key: bytes32, digest: bytes32) -> uint256:
    """
    @dev h: the 64 bytes of SHA-512(R || A || digest) as one little-endian number, modulo L.
    """
    low: uint256 = 0
    high: uint256 = 0
    low, high = self._sha512(convert(r, uint256), convert(public_key, uint256), convert(digest, uint256))
    high = uint256_mulmod(self._reverse_bytes(high), HIGH_WORD_MOD_L, L)
    return uint256_addmod(self._reverse_bytes(low), high, L)


@internal
@pure
def _sha512(first: uint256, second: uint256, third: uint256) -> (uint256, uint256):
    """
    @dev SHA-512 of 96 bytes. With 0x80, zeros and the length in bits, 768, they make one block of sixteen 64-bit
         words. They go in pairs: word 2 i in bits 128 .. 191 of a number, word 2 i + 1 in bits 0 .. 63.
    """
    w: uint256[8] = [
        first >> 192 << 128 | (first >> 128) & WORD,
        ((first >> 64) & WORD) << 128 | first & WORD,
        second >> 192 << 128 | (second >> 128) & WORD,
        ((second >> 64) & WORD) << 128 | second & WORD,
        third >> 192 << 128 | (third >> 128) & WORD,
        ((third >> 64) & WORD) << 128 | third & WORD,
        2**191,
        768,
    ]
    out: uint256[8] = self._rounds(w)
    iv: uint256 = convert(INITIAL_HASH[0], uint256)
    a: uint256 = unsafe_add(out[0], iv >> 192) & WORD
    b: uint256 = unsafe_add(out[1], iv >> 128) & WORD
    c: uint256 = unsafe_add(out[2], iv >> 64) & WORD
    d: uint256 = unsafe_add(out[3], iv) & WORD
    iv = convert(INITIAL_HASH[1], uint256)
    e: uint256 = unsafe_add(out[4], iv >> 192) & WORD
    f: uint256 = unsafe_add(out[5], iv >> 128) & WORD
    g: uint256 = unsafe_add(out[6], iv >> 64) & WORD
    h: uint256 = unsafe_add(out[7], iv) & WORD
    return a << 192 | b << 128 | c << 64 | d, e << 192 | f << 128 | g << 64 | h


@internal
@pure
def _rounds(message_words: uint256[8]) -> uint256[8]:
    """
    @dev The eighty rounds, eight to a pass: then every variable is back in its place. A round has four lines: T1 in
         two, the new e, the new a. In a state word x times TWICE, x stands twice side by side, and a shift by
         n < 64 leaves x rotated in the low 64 bits. Above these, sums are dirt until masked, and may wrap:
         2**64 divides 2**256, so the low bits are right.
    """
    w: uint256[4] = [message_words[0], message_words[1], message_words[2], message_words[3]]
    ahead: uint256[4] = [message_words[4], message_words[5], message_words[6], message_words[7]]
    iv: uint256 = convert(INITIAL_HASH[0], uint256)
    a: uint256 = unsafe_mul(iv >> 192, TWICE)
    b: uint256 = unsafe_mul((iv >> 128) & WORD, TWICE)
    c: uint256 = unsafe_mul((iv >> 64) & WORD, TWICE)
    d: uint256 = unsafe_mul(iv & WORD, TWICE)
    iv = convert(INITIAL_HASH[1], uint256)
    e: uint256 = unsafe_mul(iv >> 192, TWICE)
    f: uint256 = unsafe_mul((iv >> 128) & WORD, TWICE)
    g: uint256 = unsafe_mul((iv >> 64) & WORD, TWICE)
    h: uint256 = unsafe_mul(iv & WORD, TWICE)
    rounds_left: uint256 = 80
    for k: bytes32[2] in ROUND_CONSTANTS:
        k0: uint256 = convert(k[0], uint256)
        k1: uint256 = convert(k[1], uint256)
        t: uint256 = unsafe_add(unsafe_add(h, w[0] >> 128), k0 >> 192)
        t = unsafe_add(t, unsafe_add(e >> 14 ^ e >> 18 ^ e >> 41, g ^ e & (f ^ g)))
        d = unsafe_mul(unsafe_add(d, t) & WORD, TWICE)
        h = unsafe_mul(unsafe_add(unsafe_add(t, a >> 28 ^ a >> 34 ^ a >> 39), a & b | c & (a | b)) & WORD, TWICE)
        t = unsafe_add(unsafe_add(g, w[0]), k0 >> 128)
        t = unsafe_add(t, unsafe_add(d >> 14 ^ d >> 18 ^ d >> 41, f ^ d & (e ^ f)))
        c = unsafe_mul(unsafe_add(c, t) & WORD, TWICE)
        g = unsafe_mul(unsafe_add(unsafe_add(t, h >> 28 ^ h >> 34 ^ h >> 39), h & a | b & (h | a)) & WORD, TWICE)
        t = unsafe_add(unsafe_add(f, w[1] >> 128), k0 >> 64)
        t = unsafe_add(t, unsafe_add(c >> 14 ^ c >> 18 ^ c >> 41, e ^ c & (d ^ e)))
        b = unsafe_mul(unsafe_add(b, t) & WORD, TWICE)
        f = unsafe_mul(unsafe_add(unsafe_add(t, g >> 28 ^ g >> 34 ^ g >> 39), g & h | a & (g | h)) & WORD, TWICE)
        t = unsafe_add(unsafe_add(e, w[1]), k0)
        t = unsafe_add(t, unsafe_add(b >> 14 ^ b >> 18 ^ b >> 41, d ^ b & (c ^ d)))
        a = unsafe_mul(unsafe_add(a, t) & WORD, TWICE)
        e = unsafe_mul(unsafe_add(unsafe_add(t, f >> 28 ^ f >> 34 ^ f >> 39), f & g | h & (f | g)) & WORD, TWICE)
        t = unsafe_add(unsafe_add(d, w[2] >> 128), k1 >> 192)
        t = unsafe_add(t, unsafe_add(a >> 14 ^ a >> 18 ^ a >> 41, c ^ a & (b ^ c)))
        h = unsafe_mul(unsafe_add(h, t) & WORD, TWICE)
        d = unsafe_mul(unsafe_add(unsafe_add(t, e >> 28 ^ e >> 34 ^ e >> 39), e & f | g & (e | f)) & WORD, TWICE)
        t = unsafe_add(unsafe_add(c, w[2]), k1 >> 128)
        t = unsafe_add(t, unsafe_add(h >> 14 ^ h >> 18 ^ h >> 41, b ^ h & (a ^ b)))
        g = unsafe_mul(unsafe_add(g, t) & WORD, TWICE)
        c = unsafe_mul(unsafe_add(unsafe_add(t, d >> 28 ^ d >> 34 ^ d >> 39), d & e | f & (d | e)) & WORD, TWICE)
        t = unsafe_add(unsafe_add(b, w[3] >> 128), k1 >> 64)
        t = unsafe_add(t, unsafe_add(g >> 14 ^ g >> 18 ^ g >> 41, a ^ g & (h ^ a)))
        f = unsafe_mul(unsafe_add(f, t) & WORD, TWICE)
        b = unsafe_mul(unsafe_add(unsafe_add(t, c >> 28 ^ c >> 34 ^ c >> 39), c & d | e & (c | d)) & WORD, TWICE)
        t = unsafe_add(unsafe_add(a, w[3]), k1)
        t = unsafe_add(t, unsafe_add(f >> 14 ^ f >> 18 ^ f >> 41, h ^ f & (g ^ h)))
        e = unsafe_mul(unsafe_add(e, t) & WORD, TWICE)
        a = unsafe_mul(unsafe_add(unsafe_add(t, b >> 28 ^ b >> 34 ^ b >> 39), b & c | d & (b | c)) & WORD, TWICE)
        rounds_left = unsafe_sub(rounds_left, 8)
        later: uint256[4] = empty(uint256[4])
        if rounds_left >= 16:
            later = self._words_after(w, ahead)
        w = ahead
        ahead = later
    return [a, b, c, d, e, f, g, h]


@internal
@pure
def _words_after(w: uint256[4], ahead: uint256[4]) -> uint256[4]:
    """
    @dev The message schedule, two words at a time: W[t] = W[t-16] + s0(W[t-15]) + W[t-7] + s1(W[t-2]). A pair has
         128 bits for each of its words, so that both rotate as a state word does, and sums do not meet.
    """
    x: uint256 = w[0] << 128 | w[1] >> 128
    twice: uint256 = unsafe_mul(x, TWICE)
    sum: uint256 = unsafe_add(w[0], (twice >> 1 ^ twice >> 8 ^ x >> 7) & WORD_PAIR)
    sum = unsafe_add(sum, ahead[0] << 128 | ahead[1] >> 128)
    twice = unsafe_mul(ahead[3], TWICE)
    w0: uint256 = unsafe_add(sum, (twice >> 19 ^ twice >> 61 ^ ahead[3] >> 6) & WORD_PAIR) & WORD_PAIR

    x = w[1] << 128 | w[2] >> 128
    twice = unsafe_mul(x, TWICE)
    sum = unsafe_add(w[1], (twice >> 1 ^ twice >> 8 ^ x >> 7) & WORD_PAIR)
    sum = unsafe_add(sum, ahead[1] << 128 | ahead[2] >> 128)
    twice = unsafe_mul(w0, TWICE)
    w1: uint256 = unsafe_add(sum, (twice >> 19 ^ twice >> 61 ^ w0 >> 6) & WORD_PAIR) & WORD_PAIR

    x = w[2] << 128 | w[3] >> 128
    twice = unsafe_mul(x, TWICE)
    sum = unsafe_add(w[2], (twice >> 1 ^ twice >> 8 ^ x >> 7) & WORD_PAIR)
    sum = unsafe_add(sum, ahead[2] << 128 | ahead[3] >> 128)
    twice = unsafe_mul(w1, TWICE)
    w2: uint256 = unsafe_add(sum, (twice >> 19 ^ twice >> 61 ^ w1 >> 6) & WORD_PAIR) & WORD_PAIR

    x = w[3] << 128 | ahead[0] >> 128
    twice = unsafe_mul(x, TWICE)
    sum = unsafe_add(w[3], (twice >> 1 ^ twice >> 8 ^ x >> 7) & WORD_PAIR)
    sum = unsafe_add(sum, ahead[3] << 128 | w0 >> 128)
    twice = unsafe_mul(w2, TWICE)
    w3: uint256 = unsafe_add(sum, (twice >> 19 ^ twice >> 61 ^ w2 >> 6) & WORD_PAIR) & WORD_PAIR
    return [w0, w1, w2, w3]


@internal
@pure
def _reverse_bytes(word: uint256) -> uint256:
    """
    @dev Ed25519 writes numbers little-endian.
    """
    swapped: uint256 = (word >> 8) & BYTES_1 | (word & BYTES_1) << 8
    swapped = (swapped >> 16) & BYTES_2 | (swapped & BYTES_2) << 16
    swapped = (swapped >> 32) & BYTES_4 | (swapped & BYTES_4) << 32
    swapped = (swapped >> 64) & BYTES_8 | (swapped & BYTES_8) << 64
    return swapped >> 128 | swapped << 128
