"""A process that does nothing but signatures: it verifies sessions' and signs receipts, many at a time.

Signatures cost more than all the rest of a request, and a thread beside a busy interpreter waits for its lock at every
call. So they are worked off here, a whole group for one message each way, in the order in which groups were sent.

Messages are those of worker_messages.py. The first body in is the key that signs. Then `VERIFY || n x 128 bytes`
(key, digest, signature) is answered by n bytes of 0 or 1, and `SIGN || n x 32 bytes` (digests) by n x 65 bytes
(r, s, v with v 27 or 28). The process ends when its socket does: nobody needs to end it.

    python -m node.signature_worker SOCKET
"""

import signal
import socket
import sys

from coincurve import PrivateKey

from node.worker_messages import answer_all, read_message
from sequencer.verdicts import SIGNED_BYTES
from state.signatures import assert_library_agrees, is_ed25519_valid

VERIFY, SIGN = b"V", b"S"
DIGEST_BYTES = 32
SIGNATURE_BYTES = 65


def verify_all(messages: bytes) -> bytes:
    """One byte for each message."""
    return bytes(
        is_ed25519_valid(messages[at : at + 32], messages[at + 32 : at + 64], messages[at + 64 : at + SIGNED_BYTES])
        for at in range(0, len(messages), SIGNED_BYTES)
    )


def sign_all(key: PrivateKey, digests: bytes) -> bytes:
    """One signature for each digest."""
    return b"".join(sign(key, digests[at : at + DIGEST_BYTES]) for at in range(0, len(digests), DIGEST_BYTES))


def sign(key: PrivateKey, digest: bytes) -> bytes:
    """SIGNATURE_BYTES bytes, as the contract's ecrecover takes them."""
    signed = key.sign_recoverable(digest, hasher=None)
    return signed[:64] + bytes([signed[64] + 27])


def main(stream: socket.socket) -> None:
    """Serve one socket to its end."""
    assert_library_agrees()
    secret = read_message(stream)
    if secret is None:
        return
    key = PrivateKey(secret)
    answer_all(stream, lambda body: verify_all(body[1:]) if body[:1] == VERIFY else sign_all(key, body[1:]))


if __name__ == "__main__":
    # An interrupt from the terminal reaches every process of the group; this one ends after the one that it serves.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    main(socket.socket(fileno=int(sys.argv[1])))
