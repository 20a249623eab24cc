"""Attacks through the gateway's reads: an answer that no frame holds would end the node."""

from dataclasses import replace

from node.framing import FRAME_BYTES_MAX, encode_frame
from node.reads import ACCOUNTS_ANSWERED_MAX, build_read_methods
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
    assert found == list(range(1, ACCOUNTS_ANSWERED_MAX + 1))
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
