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
    """The last `capacity` verdicts, by what they are on; the oldest are forgotten first."""

    def __init__(self, capacity: int = 1 << 16, verify: Verifier = is_ed25519_valid) -> None:
        self._capacity = capacity
        self._verify = verify
        self._known: dict[SignedMessage, bool] = {}

    def note(self, messages: Iterable[SignedMessage], verdicts: Iterable[bool]) -> None:
        """Keep what somebody has found out."""
        self._known.update(zip(messages, verdicts, strict=True))
        while len(self._known) > self._capacity:
            del self._known[next(iter(self._known))]

    def verify(self, public_key: bytes, digest: bytes, signature: bytes) -> bool:
        """A verifier for the engine: the kept verdict, or a new one."""
        message = SignedMessage(public_key, digest, signature)
        verdict = self._known.get(message)
        if verdict is None:
            verdict = self._verify(*message)
            self.note((message,), (verdict,))
        return verdict
