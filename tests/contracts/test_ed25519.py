"""The Ed25519 judge on the EVM: its constants, its hash, its verdicts on every kind of bytes, and its gas."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator
from math import isqrt
from pathlib import Path
from random import Random

import pytest

from fraud_proofs.ed25519 import (
    BASE,
    CURVE_ORDER,
    Y_OF_ORDER_8,
    D,
    HintKind,
    Hints,
    L,
    P,
    Point,
    Verdict,
    add_multiples,
    build_hints,
    build_signature_hints,
    decode_point,
    find_short_pair,
    hash_challenge,
    is_signature_valid,
    judge_signature,
    negate,
)
from node.anvil import Anvil
from node.contracts import MAX_RUNTIME_SIZE, SOURCES
from state.signatures import is_ed25519_valid
from tests.edge_signatures import EdgeSignature, forge, generate_edge_signatures
from tests.evm import TRANSACTION_GAS_LIMIT, Contract, Evm, Outcome

TYPICAL_GAS = 166_000
"""Execution gas that no judgement exceeds with u and v of at most 128 bits: nine honest ones in ten."""

GREATEST_GAS = 259_000
"""Execution gas that no arguments exceed."""

PARTS = """
# pragma version 0.4.3
# pragma optimize gas
import ed25519

initializes: ed25519


@deploy
def __init__():
    ed25519.__init__()


@external
@view
def judge(
    public_key: bytes32, r: bytes32, s: bytes32, challenge: uint256, hint_kind: uint256, hints: uint256[4]
) -> uint256:
    return ed25519._judge(public_key, r, s, challenge, hint_kind, hints)


@external
@view
def sha512(first: uint256, second: uint256, third: uint256) -> (uint256, uint256):
    return ed25519._sha512(first, second, third)


@external
@view
def hash_challenge(r: bytes32, public_key: bytes32, digest: bytes32) -> uint256:
    return ed25519._challenge(r, public_key, digest)
"""
"""Inner functions of the contract, for messages of any length."""


@pytest.fixture(scope="module")
def contract() -> Contract:
    return Evm().deploy("ed25519")


@pytest.fixture(scope="module")
def parts() -> Contract:
    return Evm().deploy_source(PARTS)


@pytest.fixture(scope="module")
def source() -> str:
    return (SOURCES / "ed25519.vy").read_text()


def judge(contract: Contract, case: EdgeSignature, hint_kind: int, hints: Hints) -> Outcome:
    r, s = case.signature[:32], case.signature[32:]
    return contract.send("judge_signature", case.public_key, r, s, case.digest, hint_kind, hints)


def judge_honestly(contract: Contract, case: EdgeSignature) -> Outcome:
    return judge(contract, case, *build_signature_hints(*case[1:]))


def expect(valid: bool) -> Verdict:
    return Verdict.VALID if valid else Verdict.INVALID


# Constants


def test_numbers_in_the_source_are_those_of_the_curve(source: str) -> None:
    """Every long literal of the contract is the twin's number of the same meaning."""
    literals = {name: int(value) for name, value in re.findall(r"^(\w+): .*\(?\s+(\d{70,})", source, re.MULTILINE)}
    assert literals == {
        "D": D,
        "BASE_X": BASE.x,
        "BASE_Y": BASE.y,
        "Y_SQUARED_OF_ORDER_8": Y_OF_ORDER_8**2 % P,
    }
    assert f"\nP: constant(uint256) = 2**255 - {2**255 - P}\n" in source
    assert f"\nL: constant(uint256) = 2**252 + {L - 2**252}\n" in source


def test_hash_constants_are_roots_of_primes(source: str) -> None:
    """The 88 words are the first 64 bits of the fractional parts of square and cube roots of primes (FIPS 180-4)."""
    primes = [n for n in range(2, 410) if all(n % divisor for divisor in range(2, n))]
    square_roots = [isqrt(prime << 128) % 2**64 for prime in primes[:8]]
    cube_roots = [floor_cube_root(prime << 192) % 2**64 for prime in primes]
    words = "".join(re.findall(r"0x([0-9a-f]{64})\b", source))
    assert words == "".join(f"{word:016x}" for word in square_roots + cube_roots)


def floor_cube_root(number: int) -> int:
    root = 0
    for bit in range(number.bit_length() // 3, -1, -1):
        if (root | 1 << bit) ** 3 <= number:
            root |= 1 << bit
    return root


def test_the_table_of_the_base_point_is_right(contract: Contract) -> None:
    """All 128 rows that the constructor computed, read from the code, are the points they should be."""
    far_base = add_multiples(2**128, BASE, 0, BASE)
    expected = b""
    for i in range(8):
        for j in range(16):
            base = BASE if j > 7 else negate(BASE)
            expected += encode_row(add_multiples(2 * i + 1, far_base, abs(2 * j - 15), base))
    code = contract._evm.get_code(contract.address)[: contract.code_size]
    assert code.endswith(expected)


def encode_row(point: Point) -> bytes:
    inverse = pow(point.z, -1, P)
    x, y = point.x * inverse % P, point.y * inverse % P
    return b"".join(word.to_bytes(32) for word in ((y - x) % P, (y + x) % P, 2 * D * x * y % P))


# The hash


def test_sha512_is_that_of_the_standard_library(parts: Contract, seed: int) -> None:
    """The hash of 96 bytes on chain is hashlib's, on random bytes, on extremes, and with each single bit set."""
    random = Random(seed)
    messages = [bytes(96), b"\xff" * 96, *((1 << bit).to_bytes(96) for bit in range(768))]
    messages += [random.randbytes(96) for _ in range(300)]
    for message in messages:
        words = [int.from_bytes(message[at : at + 32]) for at in (0, 32, 64)]
        low, high = parts.send("sha512", *words).value
        assert low.to_bytes(32) + high.to_bytes(32) == hashlib.sha512(message).digest(), message.hex()
    print(f"{len(messages)} messages hashed")


def test_the_challenge_is_the_hash_modulo_l(parts: Contract, seed: int) -> None:
    """h on chain is the twin's."""
    random = Random(seed)
    for _ in range(50):
        r, public_key, digest = (random.randbytes(32) for _ in range(3))
        assert parts.send("hash_challenge", r, public_key, digest).value == hash_challenge(r, public_key, digest)


# Verdicts


def test_wycheproof_vectors_are_judged_as_published(parts: Contract, contract: Contract, shared: Path) -> None:
    """Every case with a signature of 64 bytes gets the published verdict; the rest, L1 has no words for."""
    groups = json.loads((shared / "vectors/ed25519/wycheproof_ed25519_test.json").read_text())["testGroups"]
    count: Counter[str] = Counter()
    for group in groups:
        public_key = bytes.fromhex(group["publicKey"]["pk"])
        for test in group["tests"]:
            signature, message = bytes.fromhex(test["sig"]), bytes.fromhex(test["msg"])
            if len(signature) != 64:
                count["of another length"] += 1
                continue
            expected = expect(test["result"] == "valid")
            assert judge_message(parts, public_key, signature, message) == expected, test
            count[test["result"]] += 1
            if len(message) == 32:
                case = EdgeSignature("Wycheproof", public_key, signature, message)
                assert judge_honestly(contract, case).value == expected, test
                count["of which on 32 bytes, in full"] += 1
    print("wycheproof:", dict(count))
    assert count["valid"] >= 80
    assert count["invalid"] >= 50


def judge_message(parts: Contract, public_key: bytes, signature: bytes, message: bytes) -> int:
    """The verdict on a message of any length, by a challenge that is hashed here."""
    r, s = signature[:32], signature[32:]
    challenge = hash_challenge(r, public_key, message)
    verdict: int = parts.send("judge", public_key, r, s, challenge, *build_hints(public_key, r, s, challenge)).value
    return verdict


def test_the_cases_that_divide_libraries_are_judged_as_pynacl_does(contract: Contract, shared: Path) -> None:
    """Of the twelve cases of "Taming the many EdDSAs" only case 3 is valid, and the others are shown invalid."""
    cases = json.loads((shared / "vectors/ed25519/speccheck_cases.json").read_text())
    for number, case in enumerate(cases):
        key, signature, message = (bytes.fromhex(case[name]) for name in ("pub_key", "signature", "message"))
        assert is_ed25519_valid(key, message, signature) == (number == 3)
        outcome = judge_honestly(contract, EdgeSignature("speccheck", key, signature, message))
        assert outcome.value == expect(number == 3), number


def test_edge_signatures_are_judged_as_pynacl_does(contract: Contract, seed: int) -> None:
    """PyNaCl, the predicate and the contract with honest hints agree on 2,000 signatures at the edge."""
    verdicts: Counter[tuple[str, bool]] = Counter()
    for case in generate_edge_signatures(Random(seed), 2_000):
        valid = is_ed25519_valid(case.public_key, case.digest, case.signature)
        assert is_signature_valid(*case[1:]) == valid, case
        assert judge_honestly(contract, case).value == expect(valid), case
        verdicts[case.story, valid] += 1
    for (story, valid), number in sorted(verdicts.items()):
        print(f"{number:4} {'valid' if valid else 'invalid':8}{story}")
    assert verdicts["mixed orders that cancel", True] >= 50
    assert verdicts["mixed orders that do not cancel", False] >= 50
    assert verdicts["no point", False] >= 200


def test_no_hint_turns_a_verdict(contract: Contract, seed: int) -> None:
    """Whatever is tried with hints, the answer is the right verdict or BAD_HINT, and the twin's in every case."""
    random = Random(seed)
    answers: Counter[str] = Counter()
    for case in generate_edge_signatures(random, 162):
        if build_signature_hints(*case[1:])[0] == HintKind.NO_HINT:
            continue  # judged by its bytes, hints are not looked at
        truth = expect(is_ed25519_valid(case.public_key, case.digest, case.signature))
        for hint_kind, hints in generate_dishonest_hints(random, case):
            answer = judge(contract, case, hint_kind, hints).value
            assert answer in (truth, Verdict.BAD_HINT), (case, hint_kind, hints)
            r, s = case.signature[:32], case.signature[32:]
            assert answer == judge_signature(case.public_key, r, s, case.digest, hint_kind, hints), (case, hints)
            answers[Verdict(answer).name] += 1
    print("answers to dishonest hints:", dict(answers))
    assert min(answers[verdict.name] for verdict in Verdict) >= 60


def generate_dishonest_hints(random: Random, case: EdgeSignature) -> Iterator[tuple[int, Hints]]:
    """Hints of every kind around the honest ones; some are unusual but true, and get the right verdict."""
    kind, honest = build_signature_hints(*case[1:])
    x_a, x_r = (draw_x(random, encoding) for encoding in (case.public_key, case.signature[:32]))
    h = case.challenge
    u, v = find_short_pair(h)
    odd = random.randrange(1, L, 2)
    points = [(u, v), (h, 1), (h - CURVE_ORDER, 1), (3 * u, 3 * v), (odd * h % CURVE_ORDER, odd)]
    points += [(v * h % CURVE_ORDER, v) for v in (0, 2, 4, 8, L - 1, L, L + 2, 2 * L, 8 * L, odd + L, odd + 8 * L)]
    points += [(u + shift, v) for shift in (L, -L, 4 * L, 1, -1)] + [(-u, v), (u, -v), (-u, -v)]
    points += [(u + CURVE_ORDER, v), (u - CURVE_ORDER, v), (odd * h % L, odd), (2**255, v), (2**255 - 1, v), (v, u)]
    for pair in points:
        yield HintKind.POINTS, (x_a, x_r, pair[0] % 2**256, pair[1] % 2**256)
    for x in (x_a, x_r):
        # 2 P - x has the parity of x, and belongs to the opposite point.
        for other in (0, 1, P, P - x, P + x, 2 * P - x, 2**256 - 1):
            yield HintKind.POINTS, (other, x_r, u % 2**256, v)
            yield HintKind.POINTS, (x_a, other, u % 2**256, v)
    for witness in (honest[0], P - honest[0] % P, honest[0] + P, honest[0] + 1, 0, 1, P, random.randrange(P)):
        for other_kind in (0, 1, 2, 4, 2**256 - 1):
            yield other_kind, (witness % 2**256, *honest[1:])
    yield kind, (honest[1], honest[0], honest[3], honest[2])
    w0, w1, w2, w3 = (random.getrandbits(256) for _ in range(4))
    yield random.randrange(5), (w0, w1, w2, w3)


def draw_x(random: Random, encoding: bytes) -> int:
    """The point's x; anything where there is no point."""
    point = decode_point(encoding)
    return random.randrange(P) if point is None else point.x


def test_eight_times_invalid_is_not_valid(contract: Contract, seed: int) -> None:
    """A signature that only a cofactored verifier accepts is invalid, and the hints that would hide it are bad."""
    random = Random(seed)
    for i in range(1, 8):
        case = EdgeSignature("uncancelled", *forge(random, 5, i, 7, i, holds=False))
        assert judge_honestly(contract, case).value == Verdict.INVALID
        x_a, x_r = (draw_x(random, encoding) for encoding in (case.public_key, case.signature[:32]))
        h = case.challenge
        for u, v in ((8 * h % CURVE_ORDER, 8), (0, 8 * L), (L * h % CURVE_ORDER, L), (0, 0), (h + L, 1)):
            assert judge(contract, case, HintKind.POINTS, (x_a, x_r, u, v)).value == Verdict.BAD_HINT, (u, v)


def test_random_words_are_answered(contract: Contract, seed: int) -> None:
    """No arguments revert."""
    random = Random(seed)
    for _ in range(300):
        words = [random.choice((0, 1, P, L, 2**255, 2**256 - 1, random.getrandbits(256))) for _ in range(9)]
        key, r, s, digest = (word.to_bytes(32) for word in words[:4])
        outcome = contract.send("judge_signature", key, r, s, digest, words[4] % 5, words[5:9])
        assert outcome.value in (Verdict.BAD_HINT, Verdict.INVALID)


# Size and gas


def test_the_contract_fits_its_limits(contract: Contract) -> None:
    """It can be deployed in one transaction, and its code obeys EIP-170 with room to spare."""
    print(f"{contract.code_size} bytes of code, deployed for {contract.deployment_gas} gas")
    assert contract.code_size == contract.artifact.runtime_size <= 24_000 < MAX_RUNTIME_SIZE
    assert contract.deployment_gas < TRANSACTION_GAS_LIMIT


def test_gas_is_that_of_the_published_table(contract: Contract, seed: int) -> None:
    """The dearest S costs the published gas with hints of 128 bits, and no length of hints exceeds the greatest."""
    random = Random(seed)
    gas: dict[int, int] = {}
    for _ in range(150):
        public_key, signature, digest = forge(random, random.randrange(L), 0, random.randrange(L), 0, holds=True)
        challenge = hash_challenge(signature[:32], public_key, digest)
        for u, v in (find_short_pair(challenge), draw_long_pair(random, challenge)):
            # Every digit of S is -1, and every row of the table must be negated.
            dearest = (-pow(v, -1, L) * (2**256 - 1) % L).to_bytes(32, "little")
            case = EdgeSignature("dearest", public_key, signature[:32] + dearest, digest)
            points = (draw_x(random, public_key), draw_x(random, signature[:32]))
            outcome = judge(contract, case, HintKind.POINTS, (*points, u % 2**256, v))
            assert outcome.value == Verdict.INVALID
            length = max(128, max(abs(u), v).bit_length() + 3 & ~3)
            gas[length] = max(outcome.execution_gas, gas.get(length, 0))
    print("execution gas by bits of u and v, rounded up to a multiple of four:", dict(sorted(gas.items())))
    assert TYPICAL_GAS - 500 <= gas[128] <= TYPICAL_GAS
    assert GREATEST_GAS - 500 <= gas[256] == max(gas.values()) <= GREATEST_GAS


def draw_long_pair(random: Random, challenge: int) -> tuple[int, int]:
    """A pair (u, v) of the 253 to 255 bits that most random ones have."""
    while True:
        v = random.randrange(1, L, 2)
        u = v * challenge % CURVE_ORDER
        if u >= 2**255:
            u -= CURVE_ORDER
        if abs(u).bit_length() > 252:
            return u, v


def test_a_receipt_tells_the_same_gas(contract: Contract, anvil: Anvil, seed: int) -> None:
    """On the development L1, under Osaka's rules, deployment succeeds and a judgement costs what it does here."""
    account = anvil.request("eth_accounts")[0]
    creation = {"from": account, "data": "0x" + contract.artifact.bytecode.hex(), "gas": hex(TRANSACTION_GAS_LIMIT)}
    deployed = await_receipt(anvil, anvil.request("eth_sendTransaction", creation))
    assert deployed["status"] == "0x1"

    random = Random(seed)
    case = EdgeSignature("honest", *forge(random, random.randrange(L), 0, random.randrange(L), 0, holds=True))
    outcome = judge_honestly(contract, case)
    call = {"from": account, "to": deployed["contractAddress"], "data": "0x" + outcome.calldata.hex()}
    assert int(anvil.request("eth_call", call, "latest"), 16) == Verdict.VALID
    called = await_receipt(anvil, anvil.request("eth_sendTransaction", call))
    assert int(called["gasUsed"], 16) == outcome.gas_used
    print(f"receipts: deployed for {int(deployed['gasUsed'], 16)} gas, judged for {outcome.gas_used}")


def await_receipt(anvil: Anvil, transaction: str) -> dict[str, str]:
    """Ask until the block is mined, which is at once."""
    for _ in range(1_000):
        receipt: dict[str, str] | None = anvil.request("eth_getTransactionReceipt", transaction)
        if receipt is not None:
            return receipt
    raise TimeoutError(transaction)
