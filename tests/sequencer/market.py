"""A sequencer in a test: an engine on an open market's state, and people whose requests it takes."""

from dataclasses import replace

from fraud_proofs.challenger import Honest, State, examine_batch
from sequencer.batcher import Batcher
from sequencer.engine import Accepted, Engine, Sealed
from sequencer.refusals import Refused
from sequencer.requests import build_request
from state.batches import BatchData, decode_header
from state.context import StepContext
from state.leaves import Instrument
from state.ledger import Ledger
from state.tree import GLOBALS_KEY, build_tree
from tests.world import World, open_market


class Sequencing:
    """An engine whose generation 2 begins on top of a world's generation 1, past its cancel-only interval."""

    def __init__(self, seed: int = 0, unposted_bytes_max: int = 4_000_000, world: World | None = None) -> None:
        self.world = world or open_market(seed, keep_steps=False)
        self.world.seal()
        leaves = dict(self.world.state.leaves)
        # The world's next batch is open already; the engine's own begins where the sealed one ended.
        state = Ledger(leaves).get_globals()
        leaves[GLOBALS_KEY] = replace(state, batch=state.batch - 1).encode()
        self.before = State(dict(leaves), build_tree(leaves.items()))
        self.batcher = Batcher(build_tree(leaves.items()), self.world.parent)
        self.engine = Engine(leaves, self.world.domain, unposted_bytes_max)
        self.engine.open_batch(generation=2)
        self.now = self.engine.globals.time
        for seconds in (1, 20):
            self.now += seconds
            self.engine.tick(self.now)

    def order(
        self, name: str, size: int, price: int, slot: int = 0, underlying: int | Instrument = 0, **changes: int
    ) -> bytes:
        """A signed order request, its counter one above the last of that slot."""
        world = self.world
        person = world.person(name)
        op = world.sign_order(
            name,
            underlying,
            size,
            price,
            slot,
            **({"generation": 2, "valid_until": self.now + 1000, "position": 0} | changes),
        )
        person.counters[slot] = op.terms.counter
        return build_request(op)

    def cancel(self, name: str, slot: int = 0, **changes: int) -> bytes:
        """A signed cancel request."""
        return build_request(self.world.sign_cancel(name, slot, **({"generation": 2} | changes)))

    def take(self, request: bytes) -> Accepted:
        """Submit what must be accepted."""
        outcome = self.engine.submit(request)
        assert isinstance(outcome, Accepted), f"refused: {outcome}"
        return outcome

    def refuse(self, request: bytes) -> int:
        """Submit what must be refused; its code."""
        outcome = self.engine.submit(request)
        assert isinstance(outcome, Refused), "accepted"
        return outcome.code

    def position_of(self, name: str, underlying: int = 0) -> int:
        """Signed lots that somebody holds."""
        account = Ledger(self.engine.leaves).require_account(self.world.person(name).account)
        return sum(quantity for instrument, quantity in account.positions if instrument.underlying == underlying)

    def seal(self) -> tuple[Sealed, BatchData]:
        """Close the batch and have the honest challenger agree with every step of it."""
        sealed = self.engine.seal()
        batch = self.batcher.build(sealed)
        context = StepContext(decode_header(batch.header), 0, self.world.domain, self.world.messages.__getitem__)
        found = examine_batch(self.before, batch, context)
        assert isinstance(found, Honest), f"the sequencer posted a wrong step: {found.ground}"
        self.engine.open_batch(generation=2)
        return sealed, batch
