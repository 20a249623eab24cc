"""Reorganizations of the development L1 as a real L1 has them.

What `anvil_reorg DEPTH TRANSACTIONS` does, as tried on anvil 1.7.1 (test_anvil.py holds it to this):

- The last DEPTH blocks are taken back and as many new ones mined at once: the head keeps its number.
- The transactions of the blocks that are gone are forgotten: no receipt, no pool, unknown by their hash. A real node
  puts them back into its pool, so here they are named anew: `[raw bytes, i]` goes into the i-th new block. One that is
  not valid there is dropped without a word.
- The new blocks take nothing else from the pool; what waits there goes on waiting. But what waits behind a nonce that
  is missing now is dropped when the next block is mined.
- The clock goes back to the last common block and runs on from there: all L1 time since then, jumps too, is lost.
- `finalized` is a distance from the head. A depth at or beyond it takes finalized blocks back, which no real L1 does:
  give anvil epochs of more than half the depth.
"""

from collections.abc import Sequence

from node.anvil import Anvil


def reorganize(anvil: Anvil, depth: int, kept: Sequence[tuple[str, int]] = ()) -> None:
    """Replace the last `depth` blocks by as many, with raw transactions, each in a new block (0 is the first).

    The clock then goes on from where it was: time does not come back on a real L1.
    """
    before = _read_head_time(anvil)
    anvil.request("anvil_reorg", depth, [list(one) for one in kept])
    anvil.request("evm_increaseTime", max(before - _read_head_time(anvil), 0))


def _read_head_time(anvil: Anvil) -> int:
    return int(anvil.request("eth_getBlockByNumber", "latest", False)["timestamp"], 16)


def list_transactions(anvil: Anvil, depth: int) -> list[tuple[str, int]]:
    """(raw bytes, block) of everything in the last `depth` blocks, 0 being the first of these, in order."""
    head = int(anvil.request("eth_blockNumber"), 16)
    first = head - depth + 1
    found = []
    for number in range(first, head + 1):
        for transaction in anvil.request("eth_getBlockByNumber", hex(number), False)["transactions"]:
            found.append((anvil.request("eth_getRawTransactionByHash", transaction), number - first))
    return found
