"""Compiled margin, made ready beside everything else: a node serves at once and is quick soon after."""

import trio

from risk.fast_account import load


async def load_compiled_margin() -> None:
    """Load it in a thread, on a machine's first start compile it; until then the reference answers alike.

    Whoever is cancelled meanwhile goes on at once: what was compiled so far is on disk.
    """
    await trio.to_thread.run_sync(load, abandon_on_cancel=True)
