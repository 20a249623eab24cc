"""The follower: re-executes the chain from L1 and serves reads of it. It trusts nobody and can convict nobody."""

from collections.abc import Callable
from dataclasses import dataclass

import trio

from node.chain_follower import ChainFollower
from node.errors import L1Error
from node.gateway import Gateway, GatewayLimits, Method
from node.l1 import in_thread
from node.logs import Log
from node.reads import build_read_methods
from node.rollup import Rollup
from state.codec import Value


@dataclass(frozen=True, slots=True)
class FollowerSettings:
    """Where it serves, and how often it looks at L1."""

    host: str = "127.0.0.1"
    port: int = 7402
    poll_seconds: float = 1.0


async def run_follower(
    rollup: Rollup,
    settings: FollowerSettings,
    log: Log,
    *,
    on_start: Callable[[int], None] = lambda port: None,
) -> None:
    """Follow and serve until cancelled."""
    await in_thread(rollup.check_identity)
    follower = await in_thread(ChainFollower, rollup)
    await follower.advance_async()

    async def get_status(arguments: list[Value]) -> Value:
        """[] -> role, tip, final batch, root at the tip, wrong batch or nil."""
        replica = follower.replica
        return ["follower", replica.tip, replica.final, replica.roots[replica.tip], replica.wrong]

    methods: dict[str, Method] = build_read_methods(lambda: follower.replica.state.leaves)
    methods["status"] = get_status
    gateway = Gateway(methods, GatewayLimits())
    async with trio.open_nursery() as nursery:
        port = await nursery.start(gateway.serve, settings.host, settings.port)
        log.info("serving", role="follower", host=settings.host, port=port)
        on_start(port)
        while True:
            try:
                progress = await follower.advance_async()
                for event, verdict in progress.verdicts:
                    log.info("batch", index=event.index, valid=verdict.is_valid)
            except L1Error as error:
                log.warning("unavailable", error=str(error))
            await trio.sleep(settings.poll_seconds)
