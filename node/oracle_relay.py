"""Readings that a sequencer leaves out: relayed through L1 once it has been silent about them for too long.

What counts is the state after the last good batch on L1, re-executed here: a sequencer that answers and never posts a
reading leaves it out as much as one that nobody reaches. Time is L1's, since the age of what is relayed is told by it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import trio

from node.chain_follower import ChainFollower
from node.errors import CallReverted, L1Error
from node.keys import Secp256k1Key
from node.l1 import in_thread
from node.logs import Log
from node.oracle_role import OracleSettings, draft_reading, find_signers, sign_reading
from node.oracle_source import Price, Smile, Sources
from node.oracle_surfaces import SurfaceDesk
from node.replica_checkpoint import ReplicaCheckpoint
from node.rollup import Rollup
from node.transactions import Mined, Sender, format_outcome
from state.constants import PPM
from state.leaves import Underlying
from state.ledger import Ledger
from state.operations import Oracle, Surface


class Feed(NamedTuple):
    """What readings follow each other on: an underlying's price, or with an expiry one of its surfaces."""

    underlying: int
    expiry: int = 0


@dataclass(slots=True)
class Patience:
    """Since when each feed lacks what it is owed; a sequencer has `seconds` of L1 time to bring it in."""

    seconds: float
    _since: dict[Feed, int] = field(default_factory=dict)

    def list_overdue(self, owed: Mapping[Feed, int], now: int) -> list[Feed]:
        """Feeds for which it is too late, of those that are owed a reading; with the time of their last one.

        One that came meanwhile begins the wait anew: it was late, and not left out.
        """
        waits = {feed: (self._since.get(feed, now), last) for feed, last in owed.items()}
        self._since = {feed: now if last >= since else since for feed, (since, last) in waits.items()}
        return [feed for feed, since in self._since.items() if now - since >= self.seconds]

    def note_sent(self, feed: Feed, now: int) -> None:
        """It was relayed, and is not again for as long."""
        self._since[feed] = now


class ReadingRelay:
    """Looks at L1, and pays for a message when one is due. Surfaces only of integrals that the oracle has begun."""

    def __init__(
        self,
        rollup: Rollup,
        sender: Sender,
        keys: Sequence[Secp256k1Key],
        sources: Sources,
        surfaces: SurfaceDesk,
        settings: OracleSettings,
        patience: Patience,
        log: Log,
        checkpoint: ReplicaCheckpoint | None = None,
    ) -> None:
        self._rollup = rollup
        self._sender = sender
        self._keys = keys
        self._sources = sources
        self._surfaces = surfaces
        self._settings = settings
        self._patience = patience
        self._log = log
        self._follower = ChainFollower(rollup, checkpoint=checkpoint)

    async def run(self, poll_seconds: float) -> None:
        """Look again and again, until cancelled. Raises NodeError for what does not pass."""
        await in_thread(self._sender.settle)
        while True:
            try:
                await self.look()
            except CallReverted as error:
                self._log.warning("relay refused; looking again", error=str(error))
            except L1Error as error:
                self._log.warning("L1 unavailable for relays", error=str(error))
            await trio.sleep(poll_seconds)

    async def look(self) -> None:
        """Read what is new on L1, and relay what is overdue. Raises L1Error."""
        progress = await self._follower.advance_beside()
        ledger, now = Ledger(self._follower.replica.state.leaves), progress.reading.head.time
        prices, smiles = self._list_owed(ledger, now)
        owed = {feed: ledger.require_underlying(feed.underlying).oracle_time for feed in prices}
        for feed in smiles:
            leaf = ledger.get_expiry(*feed)
            owed[feed] = 0 if leaf is None else leaf.time
        for feed in self._patience.list_overdue(owed, now):
            if feed in prices:
                await self._relay(ledger, feed, [draft_reading(feed.underlying, prices[feed], now)], now)
            else:
                leaf = ledger.get_expiry(*feed)
                readings = self._surfaces.list_readings(smiles[feed], feed.underlying, leaf, now)
                await self._relay(ledger, feed, readings, now)

    def _list_owed(self, ledger: Ledger, now: int) -> tuple[dict[Feed, Price], dict[Feed, Smile]]:
        """What the chain lacks, and every spot noted in the integrals."""
        indices = range(ledger.get_globals().underlying_count)
        symbols = {ledger.require_underlying(index).symbol.rstrip(b"\0").decode(): index for index in indices}
        begun = {symbol: index for symbol, index in symbols.items() if self._surfaces.has_begun(index)}
        said = self._sources.list_prices()
        self._surfaces.advance(now, begun, said, {})
        prices = {Feed(symbols[price.symbol]): price for price in said if price.symbol in symbols}
        quoted = [smile for smile in self._sources.list_smiles() if smile.symbol in begun]
        smiles = {Feed(begun[smile.symbol], smile.expiry): smile for smile in quoted}
        return (
            {
                feed: price
                for feed, price in prices.items()
                if is_price_owed(ledger.require_underlying(feed.underlying), price, self._settings, now)
            },
            {feed: smile for feed, smile in smiles.items() if self._is_surface_owed(ledger, feed, smile, now)},
        )

    def _is_surface_owed(self, ledger: Ledger, feed: Feed, smile: Smile, now: int) -> bool:
        leaf = ledger.get_expiry(*feed)
        is_settled = leaf is not None and leaf.settlement != 0
        return not is_settled and bool(self._surfaces.list_seconds(smile, leaf, now))

    async def _relay(self, ledger: Ledger, feed: Feed, bare: Sequence[Oracle | Surface], now: int) -> None:
        """Sign and send, in order."""
        params = ledger.get_params()
        signers, name = find_signers(params, self._keys), feed._asdict()
        if len(signers) < params.oracle_threshold:
            needed = f"a reading needs {params.oracle_threshold} signatures"
            reason = f"{needed}, and these keys give {len(signers)}: give more with --key"
            self._log.error("not relayed", **name, reason=reason)
            self._patience.note_sent(feed, now)
            return
        terms = await in_thread(self._rollup.get_terms)
        for one in bare:
            signed = sign_reading(self._follower.replica.domain, one, signers)
            outcome = await self._sender.send_async(self._rollup.relay(signed, terms.message_fee))
            self._patience.note_sent(feed, now)
            if isinstance(outcome, Mined):
                self._log.warning("relayed through L1", **name, time=one.time, block=outcome.block)
            else:
                self._log.warning("not relayed", **name, time=one.time, outcome=format_outcome(outcome))


def is_price_owed(last: Underlying, price: Price, settings: OracleSettings, now: int) -> bool:
    """Whether the chain's last reading is as old as the heartbeat, or as far from the price as the deviation."""
    if last.basket or now <= last.oracle_time:
        return False
    moved = max(abs(price.spot - last.spot), abs(price.mark - last.mark))
    return now - last.oracle_time >= settings.heartbeat or moved * PPM >= last.spot * settings.deviation_ppm
