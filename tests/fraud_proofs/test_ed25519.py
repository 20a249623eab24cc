"""The signature predicate in integers: the constants, the library it equals, and hints for any bytes."""

import json
from collections import Counter
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraud_proofs.ed25519 import (
    BASE,
    CURVE_ORDER,
    IDENTITY,
    SMALL_ORDER_ENCODINGS,
    Y_BITS,
    Hints,
    L,
    P,
    Verdict,
    add_multiples,
    add_points,
    build_signature_hints,
    decode_point,
    double_point,
    encode_point,
    find_short_pair,
    find_witness,
    hash_challenge,
    is_signature_valid,
    judge_signature,
    square_root,
)
from state.signatures import is_ed25519_valid
from tests.edge_signatures import ORDER_8, EdgeSignature, generate_edge_signatures


def judge_honestly(public_key: bytes, signature: bytes, digest: bytes) -> Verdict:
    """The twin's verdict on what a prover supplies."""
    kind, hints = build_signature_hints(public_key, signature, digest)
    return judge_signature(public_key, signature[:32], signature[32:], digest, kind, hints)


def test_the_base_point_has_order_l() -> None:
    """B is the point of y = 4/5 and even x, L B is the identity, and L passes Fermat's test of primes."""
    assert BASE.y * 5 % P == 4
    assert BASE.x % 2 == 0
    assert encode_point(add_multiples(L, BASE, 0, IDENTITY)) == encode_point(IDENTITY)
    assert all(pow(witness, L - 1, L) == 1 for witness in range(2, 40))


def test_the_table_of_small_orders_is_complete() -> None:
    """The eight multiples of a point of order 8 have the listed y, and 255 bits spell them in no other way."""
    multiples = [add_multiples(k, ORDER_8, 0, IDENTITY) for k in range(8)]
    assert len({encode_point(point) for point in multiples}) == 8
    reduced = {int.from_bytes(encode_point(point), "little") & Y_BITS for point in multiples}
    spelled = {y + times * P for y in reduced for times in (0, 1) if y + times * P <= Y_BITS}
    assert sorted(spelled) == sorted(SMALL_ORDER_ENCODINGS)


@given(st.integers(0, L - 1), st.integers(0, 7), st.integers(0, L - 1), st.integers(0, 7))
def test_points_form_a_group(m: int, i: int, n: int, j: int) -> None:
    """Adding points adds their multiples of B and of the order-8 point, in all cases by the one formula."""
    p = add_multiples(m, BASE, i, ORDER_8)
    q = add_multiples(n, BASE, j, ORDER_8)
    both = add_multiples((m + n) % L, BASE, (i + j) % 8, ORDER_8)
    assert encode_point(add_points(p, q)) == encode_point(both)
    assert encode_point(double_point(p)) == encode_point(add_points(p, p))
    decoded = decode_point(encode_point(p))
    assert decoded is not None
    assert encode_point(decoded) == encode_point(p)


@given(st.integers(0, P - 1))
def test_a_number_has_a_root_or_its_double_has(number: int) -> None:
    """Squares have a root; of a non-square, twice the number has one, on which the witness rests."""
    root = square_root(number)
    if root is None:
        doubled = square_root(2 * number % P)
        assert doubled is not None
        assert doubled * doubled % P == 2 * number % P
    else:
        assert root * root % P == number


@given(st.one_of(st.integers(0, L - 1), st.sampled_from((0, 1, 2, 8, L // 2, L // 2 + 1, L - 1))))
def test_short_pairs_satisfy_the_relation(challenge: int) -> None:
    """u = v h mod 8 L with an odd v between 0 and L, and never longer than (h, 1)."""
    u, v = find_short_pair(challenge)
    assert (u - v * challenge) % CURVE_ORDER == 0
    assert v % 2 == 1
    assert 0 < v < L
    assert max(abs(u), v) <= max(challenge, 1)


def test_short_pairs_are_short(seed: int) -> None:
    """Of random challenges more than four in five have pairs of 128 bits, and none needs 160."""
    random = Random(seed)
    pairs = [find_short_pair(random.randrange(L)) for _ in range(2_000)]
    lengths = Counter(max(abs(u), v).bit_length() for u, v in pairs)
    print("bits of the longer of u and v:", dict(sorted(lengths.items())))
    assert sum(count for bits, count in lengths.items() if bits <= 128) > 1_600
    assert max(lengths) < 160


def test_only_what_has_no_point_has_a_witness() -> None:
    """The prover refuses to look for what does not exist."""
    with pytest.raises(ValueError, match="there is a point"):
        find_witness(int.from_bytes(encode_point(BASE), "little"))


def test_lengths_other_than_32_and_64_are_invalid() -> None:
    """A key or a signature that is cut or grown is not valid."""
    case = next(generate_edge_signatures(Random(1), 1))
    assert is_signature_valid(*case[1:])
    assert not is_signature_valid(case.public_key + b"\0", case.signature, case.digest)
    assert not is_signature_valid(case.public_key, case.signature[:-1], case.digest)


def test_wycheproof_vectors_agree(shared: Path) -> None:
    """The predicate answers all Wycheproof cases as published, and the judgement as the predicate."""
    groups = json.loads((shared / "vectors/ed25519/wycheproof_ed25519_test.json").read_text())["testGroups"]
    count: Counter[str] = Counter()
    for group in groups:
        public_key = bytes.fromhex(group["publicKey"]["pk"])
        for test in group["tests"]:
            signature, message = bytes.fromhex(test["sig"]), bytes.fromhex(test["msg"])
            assert is_signature_valid(public_key, signature, message) == (test["result"] == "valid"), test
            if len(signature) == 64:
                expected = Verdict.VALID if test["result"] == "valid" else Verdict.INVALID
                assert judge_honestly(public_key, signature, message) == expected, test
            count[test["result"]] += 1
    print("wycheproof:", dict(count))
    assert count.total() >= 150


def test_the_cases_that_divide_libraries_are_decided_as_pynacl_does(shared: Path) -> None:
    """Of the twelve cases of "Taming the many EdDSAs" only case 3 is valid, here and in PyNaCl."""
    cases = json.loads((shared / "vectors/ed25519/speccheck_cases.json").read_text())
    texts = [[bytes.fromhex(case[name]) for name in ("pub_key", "signature", "message")] for case in cases]
    assert [is_signature_valid(*text) for text in texts] == [number == 3 for number in range(12)]
    assert [is_ed25519_valid(key, message, signature) for key, signature, message in texts] == [
        number == 3 for number in range(12)
    ]


def test_edge_signatures_are_decided_as_pynacl_does(seed: int) -> None:
    """Predicate, judgement by honest hints and PyNaCl agree on random signatures at the edge."""
    verdicts: Counter[tuple[str, bool]] = Counter()
    for case in generate_edge_signatures(Random(seed), 450):
        valid = is_ed25519_valid(case.public_key, case.digest, case.signature)
        assert is_signature_valid(*case[1:]) == valid, case
        assert judge_honestly(*case[1:]) == (Verdict.VALID if valid else Verdict.INVALID), case
        verdicts[case.story, valid] += 1
    for (story, valid), number in sorted(verdicts.items()):
        print(f"{number:4} {'valid' if valid else 'invalid':8}{story}")
    assert verdicts["mixed orders that cancel", True] > 0
    assert verdicts["mixed orders that do not cancel", False] > 0


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=64, max_size=64), st.binary(min_size=32, max_size=32))
def test_any_bytes_are_judged(public_key: bytes, signature: bytes, digest: bytes) -> None:
    """For any bytes whatever the honest hints bring out the predicate's answer."""
    valid = is_signature_valid(public_key, signature, digest)
    assert judge_honestly(public_key, signature, digest) == (Verdict.VALID if valid else Verdict.INVALID)


def test_relations_modulo_less_than_the_group_order_show_nothing(seed: int) -> None:
    """With even v, v = L or a relation modulo L, a wrong verdict could be had; none of them is heard."""
    case = find_uncancelled(Random(seed))
    point_a, point_r = decode_point(case.public_key), decode_point(case.signature[:32])
    assert point_a is not None
    assert point_r is not None
    challenge = hash_challenge(case.signature[:32], case.public_key, case.digest)
    pairs = [(v * challenge % CURVE_ORDER, v) for v in (2, 4, 8, 0, L, 8 * L)] + [(challenge + L, 1), (8, 8)]
    for u, v in pairs:
        hints: Hints = (point_a.x, point_r.x, u, v)
        r, s = case.signature[:32], case.signature[32:]
        assert judge_signature(case.public_key, r, s, case.digest, 3, hints) == Verdict.BAD_HINT, (u, v)
    # What an even v would have shown: eight times the difference of the two sides is nothing.
    s_b = add_multiples(8 * int.from_bytes(case.signature[32:], "little"), BASE, 0, IDENTITY)
    right = add_multiples(8 * challenge, point_a, 8, point_r)
    assert encode_point(s_b) == encode_point(right)


def find_uncancelled(random: Random) -> EdgeSignature:
    """A signature that only a cofactored verifier accepts."""
    return next(c for c in generate_edge_signatures(random, 900) if c.story == "mixed orders that do not cancel")
