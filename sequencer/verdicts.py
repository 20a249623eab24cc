"""Verdicts on signatures, kept: whether one verifies depends on nothing else, so it is found out once.

What verifies in bulk, elsewhere, before the engine sees a request, is noted here; whatever is not noted is verified on
the spot. So the engine's answers are the same with and without, and a forgotten verdict only costs time.
"""

from collections.abc import Iterable
from typing import NamedTuple

from state.context import Verifier
from state.signatures import is_ed25519_valid


class SignedMessage(NamedTuple):
    """A 32-byte key, the 32-byte digest that it is said to have signed, and the 64-byte signature."""

    public_key: bytes
    digest: bytes
    signature: bytes

    def encode(self) -> bytes:
        """SIGNED_BYTES bytes."""
        return self.public_key + self.digest + self.signature


SIGNED_BYTES = 128


class Verdicts:
    """At least the last `capacity` verdicts, and at most twice as many, by what they are on."""

    def __init__(self, capacity: int = 1 << 15, verify: Verifier = is_ed25519_valid) -> None:
        self._capacity = capacity
        self._verify = verify
        # Two generations: when the young one is full it becomes the old one, and what was old is forgotten at once.
        self._young: dict[SignedMessage, bool] = {}
        self._old: dict[SignedMessage, bool] = {}

    def note(self, messages: Iterable[SignedMessage], verdicts: Iterable[bool]) -> None:
        """Keep what somebody has found out."""
        for message, verdict in zip(messages, verdicts, strict=True):
            if len(self._young) >= self._capacity:
                self._old, self._young = self._young, {}
            self._young[message] = verdict

    def verify(self, public_key: bytes, digest: bytes, signature: bytes) -> bool:
        """A verifier for the engine: the kept verdict, or a new one."""
        message = SignedMessage(public_key, digest, signature)
        verdict = self._young.get(message)
        if verdict is None:
            verdict = self._old.get(message)
        if verdict is None:
            verdict = self._verify(*message)
            self.note((message,), (verdict,))
        return verdict
