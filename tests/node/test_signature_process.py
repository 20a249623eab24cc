"""Signatures in a process of their own: the same verdicts and the same signatures as here, in order."""

import os
import random
import signal

import pytest
import trio
from coincurve import PrivateKey
from nacl.signing import SigningKey

from node.signature_process import WorkerEnded, run_signature_process
from node.signature_worker import sign
from sequencer.verdicts import SignedMessage
from state.signatures import is_ed25519_valid

SECRET = b"\x07" * 32


def draw_message(rng: random.Random) -> SignedMessage:
    """A signed digest; every other one is spoilt somewhere."""
    key, digest = SigningKey(rng.randbytes(32)), rng.randbytes(32)
    message = bytearray(SignedMessage(key.verify_key.encode(), digest, key.sign(digest).signature).encode())
    if rng.random() < 0.5:
        message[rng.randrange(len(message))] ^= 1 << rng.randrange(8)
    return SignedMessage(bytes(message[:32]), bytes(message[32:64]), bytes(message[64:]))


async def test_verdicts_and_signatures_are_those_of_the_reference(seed: int) -> None:
    """Groups of any size, sent before earlier ones are answered, come back in order."""
    rng = random.Random(seed)
    async with trio.open_nursery() as nursery:
        process = await nursery.start(run_signature_process, SECRET)
        groups = [[draw_message(rng) for _ in range(size)] for size in (1, 0, 40, 7)]
        digests = [rng.randbytes(32) for _ in range(20)]
        heard: list[object] = []
        is_over = trio.Event()
        for group in groups:
            process.verify(group, heard.append)
        process.sign(digests, heard.append)
        process.verify([], lambda verdicts: is_over.set())
        await is_over.wait()
        assert heard == [
            *([is_ed25519_valid(*message) for message in group] for group in groups),
            [sign(PrivateKey(SECRET), digest) for digest in digests],
        ]
        nursery.cancel_scope.cancel()


async def test_a_worker_that_ends_is_an_error_of_whoever_needs_it() -> None:
    """Nobody waits for ever, and nothing goes on without verification."""

    async def lose_the_worker() -> None:
        async with trio.open_nursery() as nursery:
            process = await nursery.start(run_signature_process, SECRET)
            os.kill(process.pid, signal.SIGKILL)
            await trio.sleep_forever()

    with pytest.raises(ExceptionGroup) as ended:
        await lose_the_worker()
    assert ended.group_contains(WorkerEnded)
