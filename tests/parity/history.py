"""Honest history whose L1 is a real rollup contract, batch by batch, and the way back through its steps."""

import random
from collections.abc import Iterator

from fraud_proofs.challenger import State
from risk.parameter_sets import make_keel, make_linear
from risk.parameters import Parameters
from state.batches import FLAG_RESCUE, BatchData, decode_frame, decode_header
from state.constants import PPM
from state.context import StepContext
from state.leaves import AssetTerms, Params, UnderlyingTerms
from state.ledger import Ledger
from state.process_inbox import Message
from state.transition import Valid, apply_step
from state.tree import build_tree
from state.valuation import compute_account_margin, read_quotes
from tests.parity.case import Case
from tests.parity.tribunal import Tribunal
from tests.workload import random_steps
from tests.world import GENESIS_TIME, MIX, MIXED_LISTINGS, QUOTE_TERMS, WEEK, World, build_params

SPOTS = (17_000_000, 7_000_000, 3_000_000, 700_000)
PEOPLE = ("alice", "bob", "carol", "dave", "erin", "frank")


class History(World):
    """A world that keeps its sealed batches and sends every message through the inbox of a tribunal's rollup."""

    def __init__(self, tribunal: Tribunal, seed: int) -> None:
        self.tribunal = tribunal
        self.batches: list[BatchData] = []
        chance = random.Random(seed)
        rules, params = draw_rules(chance), draw_params(chance)
        super().__init__(seed, params, rules=rules, listings=MIXED_LISTINGS, keep_steps=False, rollup=tribunal.address)

    def send(self, kind: int, sender: bytes, account: int, payload: bytes, time: int | None = None) -> Valid:
        """Put a message in both inboxes and take it."""
        sent = GENESIS_TIME if time is None else time
        self.tribunal.take_message(Message(kind, sender, sent, account, payload).encode())
        return super().send(kind, sender, account, payload, sent)

    def seal(self, log_hash: bytes = bytes(32), *, generation: int | None = None, flags: int = 0) -> BatchData:
        """Close the batch and keep it."""
        batch = super().seal(log_hash, generation=generation, flags=flags)
        self.batches.append(batch)
        return batch

    def open_market(self) -> None:
        """Funded people, a first tick, prices with premiums of either sign, a basket, an expiry of two underlyings."""
        for name in PEOPLE:
            self.deposit(name, self.random.choice((10**9, 10**11, 10**13)))
            for asset in (1, 2):
                if self.random.random() < 0.6:
                    self.deposit(name, self.random.randint(10**7, 10**11), asset)
        self.tick(1)
        self.tick(20)
        for underlying, spot in enumerate(SPOTS):
            self.price(underlying, spot, spot * self.random.randint(980, 1020) // 1000)
        self.index(MIX)
        for underlying in (0, MIX):
            self.read_surface(underlying, WEEK)
        self.fall_short()
        self.change_hands()

    def fall_short(self) -> None:
        """Somebody keeps no more than he must, and loses so much that his position may only shrink, and it shrinks."""
        mark, quantity = self.get_mark(0), 100
        self.deposit("poor", 2 * quantity * mark)
        self.trade("poor", "alice", 0, quantity, mark)
        self.play(self.sign_withdraw("poor", self.get_initial("poor")))
        self.tick()
        self.price(0, mark - mark // 50)
        self.trade("alice", "poor", 0, quantity // 25, self.get_mark(0))
        assert self.get_initial("poor") < 0, "the story went another way"

    def get_initial(self, name: str) -> int:
        """Somebody's surplus over the initial margin."""
        account, params, ledger = self.account_of(name), self.genesis.params, Ledger(self.state.leaves)
        return compute_account_margin(account, read_quotes(ledger, account, params), self.globals.time, params).initial

    def change_hands(self) -> None:
        """A rescue batch of the next generation, in which somebody cancels; then an ordinary one."""
        self.place("bob", 1, 5, 1)
        self.seal(generation=self.globals.generation + 1, flags=FLAG_RESCUE)
        self.tick()
        self.play(self.sign_cancel("bob"))
        self.seal(generation=self.globals.generation)
        self.tick(self.genesis.params.cancel_only_interval)

    def get_mark(self, underlying: int) -> int:
        """Quote units a lot."""
        return Ledger(self.state.leaves).require_underlying(underlying).mark

    def live(self, steps: int) -> Iterator[BatchData]:
        """Random steps, given in batches as they are sealed; the last one is cut off where the steps end."""
        given = 0  # what was sealed while the market opened comes first
        for _ in random_steps(self, steps):
            yield from self.batches[given:]
            given = len(self.batches)
        self.seal()
        yield from self.batches[given:]


def draw_params(chance: random.Random) -> Params:
    """Two kinds of collateral, three oracle signers, and numbers that do not divide evenly."""
    return build_params(
        assets=(
            QUOTE_TERMS,
            AssetTerms(1, 100_000, 50_000, 500_000, chance.randint(9_000_000, 11_000_000), 5_000_000),
            AssetTerms(3, chance.randint(0, 400_000), chance.randint(0, 99_999), PPM, 1_000_003, 5_000_000),
        ),
        underlyings=tuple(UnderlyingTerms(chance.randint(0, 1 << 20), 1 << 50) for _ in MIXED_LISTINGS),
        maker_fee_ppm=chance.randint(0, 300),
        taker_fee_ppm=chance.randint(300, 700),
        l1_fee=chance.randint(0, 2_000),
        funding_period=chance.choice((3_600, 28_800, 28_801)),
    )


def draw_rules(chance: random.Random) -> Parameters:
    """A tenth of notional or so and nothing else, or the rules of the venue itself."""
    return chance.choice((make_linear(chance.randint(51_000, 200_000), 50_000), make_keel()))


class Replay:
    """A second walk through a history, with the state before each step."""

    def __init__(self, history: History) -> None:
        self.history = history
        leaves = history.genesis.build_leaves()
        self.state = State(leaves, build_tree(leaves.items()))

    def walk(self, batch: BatchData) -> Iterator[Case]:
        """Each step of the next batch, honest as it is; the state moves on when the next one is asked for."""
        world = self.history
        context = StepContext(decode_header(batch.header), 0, world.domain, world.get_message)
        for number, data in enumerate(batch.frames):
            frame = decode_frame(data)
            assert frame is not None
            for offset, step in enumerate(frame.steps):
                here = context.at(frame.first_index + offset)
                pre_root = self.state.tree.root
                yield Case(self.state, here, pre_root, step.op, step.post_root, batch, number, offset)
                assert self.state.tree.root == pre_root, "a dispute moved the state"
                ledger = Ledger(self.state.leaves)
                result = apply_step(ledger, here, step.op)
                assert isinstance(result, Valid)
                assert self.state.commit(ledger.writes) == step.post_root
