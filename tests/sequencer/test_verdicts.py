"""Kept verdicts: the same answers as without, found out once."""

from nacl.signing import SigningKey

from sequencer.verdicts import SIGNED_BYTES, SignedMessage, Verdicts
from state.signatures import is_ed25519_valid


def sign(number: int) -> SignedMessage:
    """A valid message of its own key."""
    key, digest = SigningKey(number.to_bytes(32)), number.to_bytes(32, "little")
    return SignedMessage(key.verify_key.encode(), digest, key.sign(digest).signature)


class CountingVerifier:
    """The real predicate, and how often it was asked."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, public_key: bytes, digest: bytes, signature: bytes) -> bool:
        self.calls += 1
        return is_ed25519_valid(public_key, digest, signature)


def test_a_verdict_is_found_out_once_whether_good_or_bad() -> None:
    """A flood of one bad signature costs as little as one of a good."""
    verifier = CountingVerifier()
    verdicts = Verdicts(verify=verifier)
    good = sign(1)
    bad = good._replace(digest=bytes(32))

    for _ in range(3):
        assert verdicts.verify(*good)
        assert not verdicts.verify(*bad)

    assert verifier.calls == 2
    assert len(good.encode()) == SIGNED_BYTES


def test_a_verdict_holds_for_exactly_what_was_verified() -> None:
    """Another key, digest or signature is another question."""
    verdicts, one, two = Verdicts(), sign(1), sign(2)
    verdicts.note([one], [True])

    assert verdicts.verify(*one)
    for other in (
        one._replace(public_key=two.public_key),
        one._replace(digest=two.digest),
        one._replace(signature=two.signature),
    ):
        assert not verdicts.verify(*other)


def test_the_oldest_verdicts_are_forgotten_and_found_out_again() -> None:
    """Memory is bounded, and forgetting changes no answer."""
    verifier = CountingVerifier()
    verdicts = Verdicts(capacity=2, verify=verifier)
    messages = [sign(number) for number in range(1, 8)]
    verdicts.note(messages, [True] * len(messages))

    assert all(verdicts.verify(*message) for message in messages[-2:])
    assert verifier.calls == 0
    assert verdicts.verify(*messages[0])
    assert verifier.calls == 1
