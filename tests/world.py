"""A small world to tell stories in: a genesis, people with keys, and the honest rules applied op by op.

`World` plays the sequencer's part with nothing but `state`: it signs for its people, applies each op to the state, and
keeps every step with the state before it, so that a test can dispute any of them.
"""

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from coincurve import PrivateKey
from eth_hash.auto import keccak
from nacl.signing import SigningKey

from fraud_proofs.challenger import State
from risk.parameter_sets import make_linear
from risk.parameters import Parameters
from state.batches import BatchData, Header, Step, pack_frames
from state.codes import Code, MessageCode
from state.constants import EXPIRY_SECOND_OF_DAY, EXPIRY_STEP, NEVER, PPM, PROTOCOL_VERSION, RULES_OFFSET
from state.context import MessageUnknown, StepContext, draft_header
from state.genesis import Genesis, Listing
from state.leaves import (
    QUOTE_UNDERLYING,
    Account,
    AssetTerms,
    Globals,
    Instrument,
    Params,
    SessionKey,
    UnderlyingTerms,
    perpetual,
)
from state.ledger import Ledger
from state.operations import (
    L1,
    Bid,
    Cancel,
    Close,
    Fill,
    Index,
    Open,
    Operation,
    Oracle,
    OracleSignature,
    OrderOp,
    OrderTerms,
    Relay,
    Settle,
    Surface,
    Take,
    Tick,
    Transfer,
    Withdraw,
    decode_operation,
    hash_digest,
    hash_domain,
)
from state.process_batch import compute_oldest_oracle_time
from state.process_bid import claim_bid
from state.process_inbox import Message, MessageType, Proposal, claim_l1, encode_amount, encode_key
from state.process_take import claim_take
from state.transition import Invalid, Valid, apply_step
from state.tree import Collection, LeafKey, account_key, build_tree, leaf_key

CHAIN_ID = 31337
ROLLUP = bytes.fromhex("00000000000000000000000000000000000c0de1")
GOVERNOR = bytes.fromhex("fb1c0b960cb826b346079862e292f43b4bf0dcea")
"""Where tests/contracts/rollup_chain.py puts the contract that stands in for the governor's."""

GENESIS_TIME = 1_700_000_000
ORACLE_KEYS = tuple(PrivateKey(bytes([n]) * 32) for n in (1, 2, 3))
SYMBOLS = (b"BTC", b"ETH", b"LTC", b"XRP")
LISTINGS = tuple(Listing(symbol) for symbol in SYMBOLS)
MIX = 4
MIXED_LISTINGS = (*LISTINGS, Listing(b"MIX", ((0, 100_000), (1, 500_000))))
"""The plain four and a basket of the first two."""

RULES = make_linear(100_000, 60_000)
"""A tenth of notional to begin with, three fifths of that to keep: what a story can be told in."""

WEEK = (GENESIS_TIME // EXPIRY_STEP + 7) * EXPIRY_STEP + EXPIRY_SECOND_OF_DAY
"""An expiry six days and a half after the chain starts."""


def get_address(key: PrivateKey) -> bytes:
    """The Ethereum address of a secp256k1 key."""
    return keccak(key.public_key.format(compressed=False)[1:])[12:]


QUOTE_TERMS = AssetTerms(QUOTE_UNDERLYING, 0, 0, 0, 1, 10_000_000)
UNDERLYING_TERMS = UnderlyingTerms(1 << 20, 1 << 50)


def build_params(**changes: object) -> Params:
    """Plain parameters: two assets (dollar, ether), four underlyings, two of three oracle signers."""
    terms: dict[str, object] = {
        "oracle_threshold": 2,
        "oracle_signers": tuple(get_address(key) for key in ORACLE_KEYS),
        "oracle_age_max": 60,
        "oracle_skew_max": 5,
        "price_age_max": 300,
        "guard_ppm": 4_000_000_000,
        "halt_ppm": 900_000,
        "halt_seconds": 30,
        "band_ppm": 50_000,
        "maker_fee_ppm": 100,
        "taker_fee_ppm": 500,
        "l1_fee": 1000,
        "funding_period": 28_800,
        "funding_cap_ppm": 30_000,
        "cancel_only_interval": 10,
        "auction_seconds": 600,
        "close_delay": 3600,
        "penalty_ppm": 20_000,
        "quote_debt_max": 1_000_000_000_000,
        "peg_underlying": QUOTE_UNDERLYING,
        "debt_rate_ppm": 100_000,
        "active_from": 0,
        "assets": (QUOTE_TERMS, AssetTerms(1, 100_000, 50_000, 500_000, 10_000_000, 5_000_000)),
        "underlyings": (UNDERLYING_TERMS,) * len(SYMBOLS),
    }
    return Params(**(terms | changes))  # type: ignore[arg-type]


def read_inbox(messages: Sequence[bytes], index: int) -> bytes:
    """One of the messages. Raises MessageUnknown."""
    if index >= len(messages):
        raise MessageUnknown(f"L1 message {index} is not known")
    return messages[index]


@dataclass
class Person:
    """Somebody with an L1 address, a session key and, once deposited, an account."""

    name: str
    address: bytes
    key: SigningKey
    account: int = 0
    sequence: int = 0
    counters: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Attempt:
    """An op where it would stand: the leaves, the context, the bytes. Judging it changes nothing."""

    leaves: dict[LeafKey, bytes]
    context: StepContext
    op: bytes

    def judge(self) -> Valid | Invalid:
        """What the rules say of it."""
        return apply_step(Ledger(self.leaves), self.context, self.op)

    @property
    def outcome(self) -> Code | MessageCode:
        """The code of the check that fails; of a valid op what became of its message, DONE for all but l1."""
        result = self.judge()
        return result.code if isinstance(result, Invalid) else result.receipt.message_code

    def decode(self) -> Operation | None:
        """The op, if the bytes are one."""
        return decode_operation(self.op)

    def within(self, **header: object) -> "Attempt":
        """The same under another header."""
        changed = replace(self.context.header, **header)  # type: ignore[arg-type]
        return replace(self, context=replace(self.context, header=changed))


@dataclass(frozen=True)
class PlayedStep:
    """A step as it was played, with everything needed to dispute it."""

    context: StepContext
    leaves: dict[LeafKey, bytes]
    pre_root: bytes
    op: bytes
    post_root: bytes
    result: Valid

    @property
    def attempt(self) -> Attempt:
        """The step before it was played."""
        return Attempt(self.leaves, self.context, self.op)


Legs = tuple[tuple[Instrument, int], ...]


def make_legs(traded: int | Instrument | Legs) -> Legs:
    """The legs of an order for a perpetual, named by its underlying, for an instrument, or for these legs."""
    if isinstance(traded, int):
        return ((perpetual(traded), 1),)
    return ((traded, 1),) if isinstance(traded, Instrument) else traded


class World:
    """Honest history, one op at a time, within one ever-open batch unless `seal` closes it."""

    def __init__(
        self,
        seed: int = 0,
        params: Params | None = None,
        *,
        rules: Parameters = RULES,
        listings: tuple[Listing, ...] = LISTINGS,
        keep_steps: bool = True,
        rollup: bytes = ROLLUP,
    ) -> None:
        self.random = random.Random(seed)
        self.genesis = Genesis(params or build_params(), rules, listings, GENESIS_TIME)
        leaves = self.genesis.build_leaves()
        self.state = State(leaves, build_tree(leaves.items()))
        self.genesis_root = self.state.tree.root
        self.domain = hash_domain(CHAIN_ID, rollup)
        self.messages: list[bytes] = []
        self.people: dict[str, Person] = {}
        self.keep_steps = keep_steps
        self.steps: list[PlayedStep] = []
        self.batch_steps: list[Step] = []
        self.batch_ledger_start = 0
        self.parent = self.genesis.batch_hash
        self.batch_index = 0
        self.open_batch(generation=1)

    # The batch

    def open_batch(self, generation: int, flags: int = 0) -> None:
        """Begin the next batch with a header whose end is still unbounded."""
        self.batch_index += 1
        now = self.globals
        header = draft_header(
            index=self.batch_index,
            parent=self.parent,
            generation=generation,
            pre_root=self.root,
            time_from=now.time,
            position_from=0 if generation > now.generation else now.next_position,
            flags=flags,
        )
        self.context = StepContext(header, 0, self.domain, self.get_message)
        self.batch_steps = []
        self.batch_start = len(self.steps)
        self.play(Open())

    def draft_final_header(self, log_hash: bytes = bytes(32)) -> Header:
        """The header with which the batch could be closed now; its post_root is not known yet."""
        now, draft = self.globals, self.context.header
        return Header(
            version=PROTOCOL_VERSION,
            data_kind=0,
            flags=draft.flags,
            index=draft.index,
            parent=draft.parent,
            generation=draft.generation,
            pre_root=draft.pre_root,
            post_root=bytes(32),
            step_count=len(self.batch_steps) + 1,
            inbox_cursor=now.inbox_cursor,
            inbox_hash=now.inbox_hash,
            time_from=draft.time_from,
            time=now.time,
            position_from=draft.position_from,
            position_to=now.next_position,
            log_hash=log_hash,
            oracle_time=compute_oldest_oracle_time(Ledger(self.state.leaves)),
        )

    def seal(self, log_hash: bytes = bytes(32), *, generation: int | None = None, flags: int = 0) -> BatchData:
        """Close the batch: its final header and frames. The next opens at once, by default in the same generation."""
        draft, final = self.context.header, self.draft_final_header(log_hash)
        self.context = StepContext(final, 0, self.domain, self.get_message)
        self.play(Close())
        header = replace(final, post_root=self.root).encode()
        batch = BatchData(header, tuple(frame.encode() for frame in pack_frames(draft.pre_root, self.batch_steps)))
        self.parent = batch.batch_hash
        self.open_batch(draft.generation if generation is None else generation, flags)
        return batch

    @property
    def root(self) -> bytes:
        """The state root now."""
        return self.state.tree.root

    @property
    def globals(self) -> Globals:
        """The globals leaf now."""
        return Ledger(self.state.leaves).get_globals()

    @property
    def position(self) -> int:
        """The lowest log position that the next op may carry."""
        return self.globals.next_position

    @property
    def here(self) -> StepContext:
        """The context of the next step."""
        return self.context.at(len(self.batch_steps))

    def judge(self, op: Operation | bytes) -> Valid | Invalid:
        """What the rules say of an op here, without playing it."""
        data = op if isinstance(op, bytes) else op.encode()
        return apply_step(Ledger(self.state.leaves), self.here, data)

    def play(self, op: Operation | bytes) -> Valid:
        """Apply a valid op. Fails the test when it is not valid."""
        data = op if isinstance(op, bytes) else op.encode()
        ledger, context, pre_root = Ledger(self.state.leaves), self.here, self.root
        result = apply_step(ledger, context, data)
        assert isinstance(result, Valid), f"refused: {result.code.name}"
        leaves = dict(self.state.leaves) if self.keep_steps else {}
        root = self.state.commit(ledger.writes)
        self.batch_steps.append(Step(data, root))
        if self.keep_steps:
            self.steps.append(PlayedStep(context, leaves, pre_root, data, root, result))
        return result

    def refuse(self, op: Operation | bytes) -> Code:
        """The code for which an op is invalid. Fails the test when it is valid."""
        result = self.judge(op)
        assert isinstance(result, Invalid), "accepted"
        return result.code

    def attempt(self, op: Operation | bytes, **header: object) -> Attempt:
        """An op as it would stand here, under a header with these changes."""
        data = op if isinstance(op, bytes) else op.encode()
        return Attempt(dict(self.state.leaves), self.here, data).within(**header)

    def attempt_close(self, **header: object) -> Attempt:
        """The close that would stand here, under the final header with these changes."""
        context = replace(self.here, header=self.draft_final_header())
        return Attempt(dict(self.state.leaves), context, Close().encode()).within(**header)

    def account_of(self, name: str) -> Account:
        """Somebody's account as it is now."""
        return Ledger(self.state.leaves).require_account(self.person(name).account)

    def rewrite_account(self, name: str, **changes: object) -> None:
        """Change fields of somebody's account as no op would."""
        changed = replace(self.account_of(name), **changes)  # type: ignore[arg-type]
        self.rewrite(account_key(self.person(name).account), changed.encode())

    def rewrite(self, key: LeafKey, data: bytes) -> None:
        """Put a leaf where no op would: a story may begin in a state that honest history takes too long to reach."""
        self.state.commit({key: data})

    # L1

    def get_message(self, index: int) -> bytes:
        """An inbox message. Raises MessageUnknown."""
        return read_inbox(self.messages, index)

    def attempt_message(
        self, kind: int, sender: bytes, account: int, payload: bytes, time: int | None = None
    ) -> Attempt:
        """The op that would take this message next; L1 has taken it at the beginning of time, or at another."""
        message = Message(kind, sender, GENESIS_TIME if time is None else time, account, payload)
        messages = [*self.messages, message.encode()]
        bare = self.attempt(self.build_taker(message))
        return replace(bare, context=replace(bare.context, get_message=partial(read_inbox, messages)))

    def build_taker(self, message: Message) -> L1 | Bid | Relay:
        """The op that takes a message, were it next in the inbox; its claims are true here."""
        position, index = self.position, len(self.messages)
        if message.type in (MessageType.READING, MessageType.SURFACE):
            return Relay(position, index)
        claim = claim_bid if message.type == MessageType.TAKE else claim_l1
        return claim(Ledger(self.state.leaves), position, index, message.encode())

    def send(self, kind: int, sender: bytes, account: int, payload: bytes, time: int | None = None) -> Valid:
        """Put a message in the inbox and take it."""
        message = Message(kind, sender, GENESIS_TIME if time is None else time, account, payload)
        taker = self.build_taker(message)
        self.messages.append(message.encode())
        return self.play(taker)

    def person(self, name: str) -> Person:
        """Somebody by name; made up on first mention."""
        if name not in self.people:
            seed = name.encode().ljust(32, b"\0")[:32]
            self.people[name] = Person(name, seed[:20], SigningKey(seed))
        return self.people[name]

    def deposit(self, name: str, amount: int, asset: int = 0) -> Person:
        """Deposit; the first one creates the account and registers the session key for everything, for ever."""
        person = self.person(name)
        payload = encode_amount(asset, amount)
        receipt = self.send(MessageType.DEPOSIT, person.address, person.account, payload).receipt
        if not person.account and receipt.account:
            person.account = receipt.account
            self.register_key(name)
        return person

    def register_key(self, name: str, scope: int = 7, expiry: int = NEVER, public_key: bytes | None = None) -> Valid:
        """Register a session key through L1."""
        person = self.person(name)
        key = SessionKey(public_key or person.key.verify_key.encode(), scope, expiry)
        return self.send(MessageType.REGISTER_KEY, person.address, person.account, encode_key(key))

    def draft_proposal(self, **changes: object) -> Proposal:
        """The next version, compared with the active one: the same rules, and parameters with these changes."""
        ledger, version = Ledger(self.state.leaves), self.globals.params_version
        params, rules = ledger.get_params(), ledger.get(leaf_key(Collection.PARAMS, RULES_OFFSET + version))
        changed = replace(params, **changes)  # type: ignore[arg-type]
        hashes = (hashlib.sha256(params.encode()).digest(), hashlib.sha256(rules).digest())
        return Proposal(version + 1, *hashes, changed.encode(), rules)

    def propose(self, proposal: Proposal) -> Valid:
        """Put what the governor's contract has passed in the inbox and take it."""
        return self.send(MessageType.PARAMS, GOVERNOR, 0, proposal.encode())

    # Time and prices

    def tick(self, seconds: int = 1) -> Valid:
        """Let time pass."""
        return self.play(Tick(self.position, self.globals.time + seconds))

    def sign_reading(self, underlying: int, spot: int, mark: int, time: int, mask: int = 0b011) -> Oracle:
        """A reading signed by the signers of `mask`, fully trusted, at a volatility of three fifths."""
        bare = Oracle(self.position, underlying, time, spot, mark, PPM, PPM, 600_000, mask, ())
        return replace(bare, signatures=self.sign_as_oracles(bare))

    def sign_as_oracles(self, bare: Oracle | Surface) -> tuple[OracleSignature, ...]:
        """Signatures of those whom the mask names."""
        digest = hash_digest(self.domain, bare)
        signatures = []
        for number, key in enumerate(ORACLE_KEYS):
            if bare.signer_mask >> number & 1:
                signed = key.sign_recoverable(digest, hasher=None)
                signatures.append(OracleSignature(signed[:32], signed[32:64], signed[64] + 27))
        return tuple(signatures)

    def price(self, underlying: int, spot: int, mark: int | None = None) -> Valid:
        """Publish a reading at state time."""
        return self.play(self.sign_reading(underlying, spot, spot if mark is None else mark, self.globals.time))

    def sign_surface(self, underlying: int, expiry: int, **changes: int) -> Surface:
        """A reading of an expiry: forward at spot, vols near three fifths, and an integral as if spot had always been
        what it is. `changes` override any field."""
        spot, time = Ledger(self.state.leaves).require_underlying(underlying).spot, min(self.globals.time, expiry)
        values = {
            "position": self.position,
            "underlying": underlying,
            "expiry": expiry,
            "time": time,
            "forward": spot,
            "rate": 0,
            "a": 1 << 30,
            "b": 1 << 33,
            "rho": 0,
            "m": 0,
            "sigma": 1 << 35,
            "confidence": PPM,
            "signer_mask": 0b011,
        } | changes
        values.setdefault("integral", spot * (values["time"] - GENESIS_TIME))
        bare = Surface(**values, signatures=())
        return replace(bare, signatures=self.sign_as_oracles(bare))

    def read_surface(self, underlying: int, expiry: int, **changes: int) -> Valid:
        """Publish a reading of an expiry at state time."""
        return self.play(self.sign_surface(underlying, expiry, **changes))

    def settle_expiry(self, underlying: int, expiry: int, price: int) -> None:
        """Let time pass to an expiry, if it has not, and settle it at a price; nothing else is read on the way."""
        start, integral = expiry - 1800, price * (expiry - GENESIS_TIME)
        if self.globals.time < expiry:
            self.play(Tick(self.position, expiry))
        self.read_surface(underlying, expiry, time=start, integral=integral)
        self.read_surface(underlying, expiry, time=expiry, integral=integral + 1800 * price, forward=price)

    def index(self, underlying: int) -> Valid:
        """Price a basket."""
        return self.play(Index(self.position, underlying))

    def settle(self, name: str) -> Valid:
        """Settle what somebody holds of what has expired."""
        return self.play(Settle(self.position, self.person(name).account))

    # Signed ops

    def sign_order(
        self, name: str, traded: int | Instrument | Legs, size: int, price: int, slot: int = 0, **changes: int
    ) -> OrderOp:
        """An order for a perpetual, another instrument, or legs; negative size sells.

        `changes` override any field of its terms, accepted, position or key_index.
        """
        person, now = self.person(name), self.globals
        counter = person.counters.get(slot, 0) + 1
        position = changes.pop("position", now.next_position)
        accepted = changes.pop("accepted", position)
        key_index = changes.pop("key_index", 0)
        account = Ledger(self.state.leaves).get_account(person.account)
        values: dict[str, object] = {
            "account": person.account,
            "slot": slot,
            "counter": counter,
            "generation": now.generation,
            "epoch": account.epoch if account else 0,
            "valid_until": now.time + 10_000,
            "flags": 1 if size < 0 else 0,
            "price": price,
            "size": abs(size),
            "max_fee_ppm": 10_000,
            "counterparty": 0,
            "legs": make_legs(traded),
        }
        terms = OrderTerms(**(values | changes))  # type: ignore[arg-type]
        bare = OrderOp(position, accepted, terms, key_index, bytes(64))
        return OrderOp(position, accepted, terms, key_index, self._sign(person, bare))

    def place(
        self, name: str, traded: int | Instrument | Legs, size: int, price: int, slot: int = 0, **changes: int
    ) -> OrderOp:
        """Register an order."""
        op = self.sign_order(name, traded, size, price, slot, **changes)
        self.play(op)
        self.person(name).counters[slot] = op.terms.counter
        return op

    def fill(
        self, buyer: str, seller: str, price: int, quantity: int, buyer_slot: int = 0, seller_slot: int = 0
    ) -> Fill:
        """A fill of two slots."""
        return Fill(
            self.position,
            self.person(buyer).account,
            buyer_slot,
            self.person(seller).account,
            seller_slot,
            price,
            quantity,
        )

    def trade(
        self, buyer: str, seller: str, traded: int | Instrument | Legs, quantity: int, price: int, **changes: int
    ) -> Valid:
        """Two fresh orders and their fill; the buyer is the maker."""
        self.place(buyer, traded, quantity, price, **changes)
        self.place(seller, traded, -quantity, price, **changes)
        return self.play(self.fill(buyer, seller, price, quantity))

    def sign_cancel(self, name: str, slot: int = 0, **changes: int) -> Cancel:
        """A cancel of what lives in the slot."""
        person, now = self.person(name), self.globals
        values = {
            "position": now.next_position,
            "account": person.account,
            "slot": slot,
            "counter": person.counters.get(slot, 1),
            "generation": now.generation,
            "key_index": 0,
        }
        bare = Cancel(**(values | changes), signature=bytes(64))
        return Cancel(**(values | changes), signature=self._sign(person, bare))

    def sign_transfer(self, name: str, to: str, amount: int, asset: int = 0, **changes: int) -> Transfer:
        """A transfer with the next sequence."""
        person = self.person(name)
        person.sequence += 1
        values = {
            "position": self.position,
            "account": person.account,
            "sequence": person.sequence,
            "to": self.person(to).account,
            "asset": asset,
            "amount": amount,
            "key_index": 0,
        }
        bare = Transfer(**(values | changes), signature=bytes(64))
        return Transfer(**(values | changes), signature=self._sign(person, bare))

    def sign_withdraw(self, name: str, amount: int, asset: int = 0, **changes: int) -> Withdraw:
        """A withdrawal with the next sequence."""
        person = self.person(name)
        person.sequence += 1
        values = {
            "position": self.position,
            "account": person.account,
            "sequence": person.sequence,
            "asset": asset,
            "amount": amount,
            "key_index": 0,
        }
        bare = Withdraw(**(values | changes), signature=bytes(64))
        return Withdraw(**(values | changes), signature=self._sign(person, bare))

    def sign_take(self, name: str, target: str, slice_ppm: int = PPM, **changes: int) -> Take:
        """A bid for a slice of somebody's portfolio, with claims that are true here."""
        person = self.person(name)
        person.sequence += 1
        values = {
            "position": self.position,
            "account": person.account,
            "sequence": person.sequence,
            "target": self.person(target).account,
            "slice_ppm": slice_ppm,
            "discount_min": 0,
            "valid_until": self.globals.time + 10_000,
            "key_index": 0,
        }
        bare = Take(equity=0, maintenance=0, value=0, relief=0, **values, signature=bytes(64))  # type: ignore[arg-type]
        claimed = replace(claim_take(Ledger(self.state.leaves), bare), **changes)  # type: ignore[arg-type]
        return replace(claimed, signature=self._sign(person, claimed))

    def _sign(self, person: Person, op: OrderOp | Cancel | Transfer | Withdraw | Take) -> bytes:
        return person.key.sign(hash_digest(self.domain, op)).signature


def open_market(seed: int = 0, people: tuple[str, ...] = ("alice", "bob", "carol"), **options: object) -> World:
    """A world whose cancel-only interval is over, with prices and three funded people."""
    world = World(seed, **options)  # type: ignore[arg-type]
    for name in people:
        world.deposit(name, 1_000_000_000_000)
    world.tick(1)
    world.tick(20)
    for underlying, spot in enumerate((17_000_000, 7_000_000, 3_000_000, 700_000)):
        world.price(underlying, spot)
    return world


def open_mixed_market(seed: int = 0, people: tuple[str, ...] = ("alice", "bob", "carol"), **options: object) -> World:
    """The same with a basket, and with an expiry of the first underlying and of the basket."""
    params = build_params(underlyings=(UNDERLYING_TERMS,) * len(MIXED_LISTINGS))
    world = open_market(seed, people, **({"params": params, "listings": MIXED_LISTINGS} | options))
    world.index(MIX)
    for underlying in (0, MIX):
        world.read_surface(underlying, WEEK)
    return world
