"""An honest sequencer without a network: it takes what L1 holds, seals, posts and finalises when a test says so."""

from pathlib import Path

from coincurve import PrivateKey

from node.chain_follower import ChainFollower
from node.keys import Ed25519Key
from node.sequencer_core import SequencerCore
from node.transactions import Sender, require_mined
from sequencer.engine import Accepted
from state.batches import BatchData
from state.receipts import SignedReceipt
from state.store import Store
from tests.node.town import TERMS, Town
from tests.receipts import sign_receipt

SESSION = Ed25519Key(bytes([8]) * 32)
"""Whoever asks a clerk for something signs with this."""


class Clerk:
    """The engine, its disk and a bonded sender; a context manager."""

    def __init__(self, town: Town, folder: Path) -> None:
        self.town = town
        self.sender: Sender = town.open_sender("clerk")
        self.store = Store(folder)
        self._follower = ChainFollower(town.rollup)
        self._follower.advance()
        replica = self._follower.replica
        self._key = PrivateKey(town.get_key("clerk").secret)
        self.core = SequencerCore(self.store, replica.domain, unposted_bytes_max=10**6)
        self.core.restart(replica.state.leaves, generation=1, index=0, parent=replica.batch_hashes[0])
        require_mined(self.sender.send(town.rollup.post_bond(TERMS.bond)))
        require_mined(self.sender.send(town.rollup.take_slot()))

    def __enter__(self) -> "Clerk":
        return self

    def __exit__(self, *_: object) -> None:
        self.store.close()

    def take_messages(self) -> None:
        """Everything in the inbox, at the time of the L1's head."""
        self._follower.advance()
        engine, messages = self.core.engine, self._follower.replica.messages
        records = list(engine.tick(self.town.l1.get_block().time))
        for index in range(engine.globals.inbox_cursor, len(messages)):
            records += engine.take_message(index, messages[index])
        self.core.make_durable(records)

    def get_message(self, index: int) -> bytes:
        """Of the inbox, as it was read last."""
        return self._follower.replica.messages[index]

    def take(self, request: bytes) -> Accepted:
        """One request, which must be taken."""
        group = self.core.take([request])
        self.core.make_durable(group.records)
        (outcome,) = group.outcomes
        assert isinstance(outcome, Accepted), outcome
        return outcome

    def acknowledge(self, request: bytes) -> SignedReceipt:
        """Take one request; its receipt."""
        return sign_receipt(self.core, self._key, self._follower.replica.domain, self.take(request))

    def seal(self) -> BatchData:
        """Close the batch with everything in it."""
        return self.core.seal()[1]

    def post(self, batch: BatchData | None = None) -> None:
        """Post the sealed batch, or another in its place."""
        data = (batch or self.seal()).encode()
        require_mined(self.sender.send(self.town.rollup.submit_batch(data)))

    def forget_transactions(self) -> None:
        """Whatever a reorg has taken is not sent again by itself."""
        self.sender.close()
        (self.town.folder / "clerk.nonces").unlink()
        self.sender = self.town.open_sender("clerk")

    def finalise(self) -> None:
        """Let the window pass."""
        self.town.pass_time(TERMS.challenge_window + 1)
        require_mined(self.sender.send(self.town.rollup.finalise(self.town.rollup.view("tip"))))
