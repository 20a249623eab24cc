"""Attacks through the gateway's reads: an answer that no frame holds would end the node."""

from dataclasses import replace

import pytest
import trio

from node.client import open_client
from node.framing import FRAME_BYTES_MAX, encode_frame
from node.gateway import ANSWER_TOO_LONG, Gateway, MethodError
from node.reads import ANSWERED_MAX, build_read_methods
from state.codec import Value
from state.leaves import PERPETUAL, Account, Instrument, SessionKey
from state.tree import GLOBALS_KEY, LeafKey, account_key
from tests.world import World

OWNER = b"\x0b" * 20


async def test_owner_of_a_thousand_accounts() -> None:
    """Somebody opens accounts by the ten thousand and then asks which are his."""
    world = World()
    count = 30_000
    leaves: dict[LeafKey, bytes] = dict(world.state.leaves)
    leaf = Account(OWNER).encode()
    leaves.update({account_key(index): leaf for index in range(1, count)})
    leaves[GLOBALS_KEY] = replace(world.globals, account_count=count).encode()

    found = await build_read_methods(lambda: leaves)["accounts_of"]([OWNER])

    assert isinstance(found, list)
    assert found == list(range(1, ANSWERED_MAX + 1))
    assert len(encode_frame([2**64 - 1, 0, [2**32 - 1] * len(found)])) < FRAME_BYTES_MAX


async def test_longest_account_fits_a_frame() -> None:
    """The account with most of everything is answered as any other."""
    longest = Account(
        OWNER,
        keys=tuple(SessionKey(bytes(32), 7, 1) for _ in range(8)),
        collateral=tuple((asset, 1) for asset in range(1, 16)),
        positions=tuple((Instrument(0, expiry, PERPETUAL, 0), 1) for expiry in range(64)),
    ).encode()
    found = await build_read_methods(lambda: {account_key(1): longest})["account"]([1])

    assert found == longest
    assert len(encode_frame([1, 0, found])) < FRAME_BYTES_MAX


async def test_answer_too_long_is_told() -> None:
    """Somebody finds a question whose answer no frame holds; he is told so, and the node answers the next one."""

    async def everything(arguments: list[Value]) -> Value:
        return bytes(FRAME_BYTES_MAX + 1)

    async def something(arguments: list[Value]) -> Value:
        return 7

    gateway = Gateway({"everything": everything, "something": something})
    async with trio.open_nursery() as nursery:
        port = await nursery.start(gateway.serve, "127.0.0.1", 0)
        async with open_client("127.0.0.1", port) as client:
            with pytest.raises(MethodError, match="above") as told:
                await client.call("everything")
            assert told.value.code == ANSWER_TOO_LONG
            assert await client.call("something") == 7
        nursery.cancel_scope.cancel()
