"""Two sequencers' lives as L1 and holders of receipts see them: restarts, reorgs, rollbacks, rescues, changes of hands.

The engines, their disks and their signatures are real; L1 is a list of batches, each with who posted it and in which
generation, by the rules of contracts/rollup.vy.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from coincurve import PrivateKey

from fraud_proofs.challenger import Honest, State, examine_batch
from fraud_proofs.contradiction_search import (
    HeldReceipt,
    PostedStep,
    encode_batch,
    encode_step,
    ends_order,
    find_cancelled_fill,
    find_contradiction,
    is_later_fill,
    list_filled_orders,
    list_steps,
    prove_other_receipt,
)
from fraud_proofs.contradictions import ContradictionKind, L1Batch
from fraud_proofs.witness import WitnessLeaf
from node.sequencer_core import SequencerCore
from node.signature_worker import sign
from sequencer.engine import Accepted, accept_any
from sequencer.requests import build_request, decode_request
from sequencer.rescue import build_rescue_batch
from state.batches import BatchData, decode_header
from state.context import StepContext
from state.ledger import Ledger, Slot
from state.operations import Cancel, Operation, OrderOp
from state.process_inbox import Message, MessageType
from state.receipts import ReceiptBody, SignedReceipt
from state.store import Store
from state.transition import apply_step
from state.tree import LeafKey, build_tree, order_key
from tests.sequencer.market import Sequencing
from tests.world import get_address

KEYS = (PrivateKey(b"\x07" * 32), PrivateKey(b"\x08" * 32))
RESCUER = get_address(PrivateKey(b"\x09" * 32))
PEOPLE = ("alice", "bob", "carol")
PRICE = 17_000_000


@dataclass(frozen=True)
class Posted:
    """A batch that lives on L1; the leaves, L1's generation and the last submitter before it."""

    index: int
    batch: BatchData
    kept: L1Batch
    leaves: dict[LeafKey, bytes]
    generation_before: int
    submitter_before: bytes


class Life:
    """Whoever holds the slot serves.

    `chain` is what L1 holds, `dead` what it held once, `held` every receipt ever given, by who gave it.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self.random = random.Random(seed)
        self.market = Sequencing(seed)
        self.domain = self.market.world.domain
        self.messages = self.market.world.messages
        self.chain: list[Posted] = []
        self.dead: list[Posted] = []
        self.base = self.market.world.batch_index - 1
        self.state = State(dict(self.market.before.leaves), build_tree(self.market.before.leaves.items()))
        self.base_hash = self.market.world.parent
        self.generation, self.last_submitter = 1, b""
        self.held: dict[bytes, list[HeldReceipt]] = {get_address(key): [] for key in KEYS}
        self.folders = [folder / "first", folder / "second"]
        self.stores = [Store(folder) for folder in self.folders]
        self.cores = [SequencerCore(self.stores[who], self.domain, 4_000_000) for who in (0, 1)]
        self.who = 0
        self.begin()

    @property
    def core(self) -> SequencerCore:
        """Of the slot's holder."""
        return self.cores[self.who]

    @property
    def address(self) -> bytes:
        """Of the slot's holder."""
        return get_address(KEYS[self.who])

    @property
    def tip(self) -> int:
        """Index of the last batch on L1."""
        return self.base + len(self.chain)

    def close(self) -> None:
        """Give the folders back."""
        for store in self.stores:
            store.close()

    # Serving

    def begin(self) -> None:
        """Start a generation on what L1 holds; its cancel-only interval passes."""
        generation = self.generation + (self.last_submitter != self.address)
        assert self.core.head is None or self.core.head.generation < generation, "one generation begun twice"
        parent = self.chain[-1].kept.hash if self.chain else self.base_hash
        self.core.restart(dict(self.state.leaves), generation=generation, index=self.tip, parent=parent)
        for seconds in (1, 20):
            self.tick(seconds)

    def tick(self, seconds: int) -> None:
        """Let time pass."""
        self.core.make_durable(self.core.engine.tick(self.core.engine.globals.time + seconds))

    def take(self, *ops: Operation) -> list[HeldReceipt]:
        """Ask for ops in one group; the receipts of those that are accepted."""
        requests = [build_request(op) for op in ops]
        group = self.core.take(requests)
        self.core.make_durable(group.records)
        receipts = []
        for request, outcome in zip(requests, group.outcomes, strict=True):
            if isinstance(outcome, Accepted):
                decoded = decode_request(request)
                assert decoded is not None
                receipts.append(HeldReceipt(self.sign(self.core.build_receipt(outcome)), decoded.op))
        self.held[self.address] += receipts
        return receipts

    def take_message(self, name: str) -> None:
        """Somebody cancels everything through L1."""
        self.send_message(name)
        engine = self.core.engine
        for index in range(engine.globals.inbox_cursor, len(self.messages)):
            self.core.make_durable(engine.take_message(index, self.messages[index]))

    def send_message(self, name: str) -> None:
        """Somebody's cancel-all comes into the inbox."""
        person, time = self.market.world.person(name), self.core.engine.globals.time
        self.messages.append(Message(MessageType.CANCEL_ALL, person.address, time, person.account, b"").encode())

    def order(self, name: str, size: int, price: int = PRICE, slot: int = 0) -> OrderOp:
        """A signed order of this generation, its counter one higher."""
        state, person = self.core.engine.globals, self.market.world.person(name)
        epoch = Ledger(self.core.engine.leaves).require_account(person.account).epoch
        terms = {"generation": state.generation, "epoch": epoch, "valid_until": state.time + 1000}
        op = self.market.world.sign_order(name, 0, size, price, slot, position=0, **terms)
        person.counters[slot] = op.terms.counter
        return op

    def cancel(self, name: str, slot: int = 0) -> Cancel:
        """A signed cancel of the slot's last counter."""
        return self.market.world.sign_cancel(name, slot, generation=self.core.engine.globals.generation)

    def draw(self) -> Operation:
        """Something that people, or signers of prices, ask for."""
        name, slot, roll = self.random.choice(PEOPLE), self.random.randrange(3), self.random.random()
        world = self.market.world
        if roll < 0.6:
            size = self.random.choice((-1, 1)) * self.random.randrange(1, 500)
            return self.order(name, size, PRICE + self.random.randrange(-5, 6) * 1000, slot)
        if roll < 0.75:
            return self.cancel(name, slot)
        if roll < 0.85:
            return world.sign_transfer(name, self.random.choice(PEOPLE), self.random.randrange(1, 1000))
        if roll < 0.95:
            return world.sign_withdraw(name, self.random.randrange(1, 1000))
        return world.sign_reading(1, 7_000_000, 7_000_000, self.core.engine.globals.time)

    def serve(self, groups: int) -> None:
        """Some groups of requests, with time and messages between them."""
        for _ in range(groups):
            self.take(*(self.draw() for _ in range(self.random.randrange(1, 6))))
            if self.random.random() < 0.3:
                self.tick(1)
            if self.random.random() < 0.1:
                self.take_message(self.random.choice(PEOPLE))

    # L1

    def seal(self) -> None:
        """Close a batch, which waits to be posted."""
        self.core.seal()

    def post(self) -> None:
        """Close a batch, and post all that is not on L1."""
        self.seal()
        for index in sorted(index for index in self.core.sealed if index > self.tip):
            self.append(self.core.sealed[index])

    def append(self, batch: BatchData, submitter: bytes | None = None) -> Posted:
        """L1 takes an honest batch, of the holder's unless said otherwise."""
        leaves = dict(self.state.leaves)
        found = examine_batch(self.state, batch, self.build_context(batch))
        assert isinstance(found, Honest), f"the sequencer posted a wrong step: {found.ground}"
        return self.append_unexamined(batch, leaves, submitter)

    def append_unexamined(
        self, batch: BatchData, leaves: dict[LeafKey, bytes], submitter: bytes | None = None
    ) -> Posted:
        """L1 takes any batch, of the holder's unless said otherwise, that has the right header."""
        submitter = submitter or self.address
        header = decode_header(batch.header)
        assert header.generation == self.generation + (self.last_submitter != submitter)
        assert header.index == self.tip + 1
        kept = L1Batch(batch.batch_hash, header.generation, submitter)
        self.chain.append(Posted(header.index, batch, kept, leaves, self.generation, self.last_submitter))
        self.generation, self.last_submitter = header.generation, submitter
        return self.chain[-1]

    def build_context(self, batch: BatchData) -> StepContext:
        """In which the steps of a batch are judged; signatures were verified when they were accepted."""
        return StepContext(decode_header(batch.header), 0, self.domain, self.messages.__getitem__, accept_any)

    def lose(self, count: int) -> None:
        """The last batches are gone from L1."""
        leaves = self.chain[-count].leaves
        self.state = State(dict(leaves), build_tree(leaves.items()))
        self.dead += self.chain[-count:]
        del self.chain[-count:]

    # What may befall an honest sequencer

    def crash(self) -> None:
        """The process is gone, and starts again on its folder."""
        self.stores[self.who].close()
        self.stores[self.who] = Store(self.folders[self.who])
        self.cores[self.who] = SequencerCore(self.stores[self.who], self.domain, 4_000_000)
        assert self.core.recover(self.messages.__getitem__)

    def reorg(self) -> None:
        """L1 forgets the holder's last batches. They are posted again, as they were or batched anew; or another comes
        first, and what they held is gone."""
        own = [posted for posted in self.chain if posted.kept.generation == self.core.engine.globals.generation]
        count = self.random.randrange(len(own) + 1)
        if count == 0:
            return
        self.generation, self.last_submitter = own[-count].generation_before, own[-count].submitter_before
        self.lose(count)
        fate = self.random.choice((self.batch_anew, self.give_way, lambda: None))
        fate()
        self.post()

    def batch_anew(self) -> None:
        """What L1 does not hold goes into other batches."""
        self.core.rewind(self.tip, self.messages.__getitem__)

    def give_way(self) -> None:
        """Another begins first; unless his log has had that generation already, for then he must not begin it again."""
        other = 1 - self.who
        generation = self.generation + (self.last_submitter != get_address(KEYS[other]))
        head = self.cores[other].head
        if head is None or head.generation < generation:
            self.who = other
            self.begin()

    def roll_back(self) -> None:
        """An ancestor is convicted (of whom does not matter here): the last batches die, and the generation rises."""
        if self.chain:
            self.lose(self.random.randrange(1, len(self.chain) + 1))
            self.generation += 1
            self.begin()

    def rescue(self) -> None:
        """A stranger posts a rescue batch with somebody's message in it; the holder goes on in a new generation.

        Once, until the holder has posted again: he begins only upon what nobody can come before.
        """
        if self.last_submitter != self.address:
            return
        self.send_message(self.random.choice(PEOPLE))
        state = Ledger(self.state.leaves).get_globals()
        batch = build_rescue_batch(
            self.state.leaves,
            parent=self.chain[-1].kept.hash if self.chain else self.base_hash,
            domain=self.domain,
            generation=self.generation + 1,
            time=state.time + 1,
            messages=self.messages[state.inbox_cursor :],
        )
        self.append(batch, RESCUER)
        self.begin()

    def change_hands(self) -> None:
        """Another takes the slot, in a generation of his own."""
        if self.last_submitter == self.address:
            self.give_way()

    def live(self, rounds: int) -> None:
        """Serve and post, while in each round all that may happen happens once, in any order; then a quiet while."""
        for _ in range(rounds):
            events = [self.post, self.post, self.seal, self.crash, self.reorg, self.change_hands, self.roll_back]
            events += [self.post, self.rescue]
            self.random.shuffle(events)
            for event in events:
                self.serve(self.random.randrange(1, 4))
                event()
        self.serve(15)
        self.post()

    # Receipts against L1

    def find_all(self) -> list[bytes]:
        """Every contradiction that there is between all receipts and all that lives on L1, or has lived there."""
        proofs = []
        for signer, held in self.held.items():
            first: dict[tuple[int, int], HeldReceipt] = {}
            for one in held:
                other = first.setdefault((one.generation, one.position), one)
                if other.data[:76] != one.data[:76]:
                    proofs.append(prove_other_receipt(other.data, one.data))
            for posted in self.dead + self.chain:
                if posted.kept.submitter == signer:
                    proofs += [proof for one in held if (proof := self.find(one, posted)) is not None]
        return proofs

    def find(self, held: HeldReceipt, posted: Posted) -> bytes | None:
        """What contradicts a receipt in one batch."""
        proof = find_contradiction(self.domain, held, posted.index, posted.batch)
        if proof is not None:
            return proof
        state = State(dict(posted.leaves), build_tree(posted.leaves.items()))
        proof = find_cancelled_fill(held, posted.index, posted.batch, state, self.build_context(posted.batch))
        if decode_header(posted.batch.header).generation == held.generation:
            is_ended = any(ends_order(held, filled) for filled in list_filled_orders(posted.batch, state))
            assert is_ended == (proof is not None), "what the ops say at a glance is what their execution shows"
        return proof

    def list_near_misses(self) -> list[bytes]:
        """Every proof that a sequencer's enemy would try: each receipt beside all that stands where it says."""
        proofs = []
        for signer, receipts in self.held.items():
            for held in receipts:
                proofs.append(prove_other_receipt(held.data, held.data))
                for posted in self.chain:
                    if posted.kept.submitter == signer and posted.kept.generation == held.generation:
                        proofs += self._list_near_misses(held, posted)
        return proofs

    def _list_near_misses(self, held: HeldReceipt, posted: Posted) -> Iterator[bytes]:
        """Against one batch: its end, the steps around the position, and later fills of the slot."""
        batch, steps = encode_batch(posted.index, posted.batch), list(list_steps(posted.batch))
        request = held.encode_request()
        yield bytes([ContradictionKind.OTHER_LOG]) + held.data + batch
        for left, right in pairwise(steps):
            first, last = (int.from_bytes(step.op[1:9]) if len(step.op) > 1 else None for step in (left, right))
            one, two = encode_step(posted.batch, left), encode_step(posted.batch, right)
            if first == held.position:
                yield bytes([ContradictionKind.OTHER_OP]) + held.data + batch + one
            if (first is None or first <= held.position) and (last is None or held.position <= last):
                yield bytes([ContradictionKind.MISSING]) + held.data + request + batch + one + two
        if isinstance(held.op, Cancel | OrderOp):
            terms = held.op if isinstance(held.op, Cancel) else held.op.terms
            slot = Slot(terms.account, terms.slot)
            for step, leaf in self._list_fills(posted, slot):
                rest = batch + encode_step(posted.batch, step) + leaf.encode()
                yield bytes([ContradictionKind.CANCELLED_FILL]) + held.data + request + rest

    def _list_fills(self, posted: Posted, slot: Slot) -> Iterator[tuple[PostedStep, WitnessLeaf]]:
        """The fills of a slot in a batch, each with the leaf before it."""
        steps = list(list_steps(posted.batch))
        if not any(is_later_fill(step.op, -1, slot) for step in steps):
            return
        state = State(dict(posted.leaves), build_tree(posted.leaves.items()))
        key, context = order_key(*slot), self.build_context(posted.batch)
        for number, step in enumerate(steps):
            if is_later_fill(step.op, -1, slot):
                yield step, WitnessLeaf(key, state.leaves[key], state.tree.prove(key))
            ledger = Ledger(state.leaves)
            apply_step(ledger, context.at(number), step.op)
            state.commit(ledger.writes)

    def get_batch(self, index: int) -> L1Batch | None:
        """What L1 answers."""
        return self.chain[index - self.base - 1].kept if self.base < index <= self.tip else None

    def sign(self, body: ReceiptBody) -> bytes:
        """A receipt of the holder's, honest or not."""
        return SignedReceipt(body, sign(KEYS[self.who], body.hash_signing(self.domain))).encode()
