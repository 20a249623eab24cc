"""A whole exchange in one process, for the replay of a crash: the sequencer's engine, its keeper, and signed requests.

Nothing is simulated but people and prices: deposits are L1 messages, readings are signed by two of three oracle keys,
orders and bids are requests with signatures, and everything goes through the engine that the node runs.
"""

from dataclasses import dataclass, replace
from hashlib import sha256

from nacl.signing import SigningKey

from devnet.crash_people import Legs, Person
from node.keys import Secp256k1Key
from node.oracle_role import sign_reading
from sequencer.engine import Accepted, Engine, Sealed
from sequencer.keeper import Keeper, Sweep
from sequencer.refusals import Refused
from sequencer.requests import build_request
from state.constants import NEVER
from state.genesis import Genesis
from state.leaves import FLAG_SELL, SessionKey
from state.ledger import Ledger
from state.operations import (
    Operation,
    Oracle,
    OrderOp,
    OrderTerms,
    Surface,
    Take,
    decode_operation,
    hash_digest,
    hash_domain,
)
from state.process_inbox import Message, MessageType, encode_amount, encode_key

CHAIN_ID = 31_337
ROLLUP = sha256(b"keel crash replay").digest()[:20]
ORACLE_SIGNERS = 3
BATCH_BYTES = 80_000
MAX_FEE_PPM = 10_000


def make_oracle_keys() -> tuple[Secp256k1Key, ...]:
    """The replay's own three signers."""
    return tuple(Secp256k1Key(sha256(b"crash oracle %d" % number).digest()) for number in range(ORACLE_SIGNERS))


@dataclass(frozen=True, slots=True)
class Event:
    """An op as it was posted, and state time."""

    time: int
    op: Operation


class CrashExchange:
    """One engine from genesis on. `sealed` batches wait there for whoever follows; `events` are what was posted."""

    def __init__(self, genesis: Genesis, sweep: Sweep, rollup: bytes = ROLLUP) -> None:
        self.domain = hash_domain(CHAIN_ID, rollup)
        self.genesis = genesis
        self.engine = Engine(genesis.build_leaves(), self.domain, unposted_bytes_max=NEVER)
        self.messages: list[bytes] = []
        self.sealed: list[Sealed] = []
        self.refusals: dict[str, int] = {}
        self._oracle_keys = make_oracle_keys()
        self.engine.open_batch(1)
        self.keeper = Keeper(self.engine, sweep, BATCH_BYTES)

    @property
    def ledger(self) -> Ledger:
        """The head state."""
        return Ledger(self.engine.leaves)

    @property
    def time(self) -> int:
        """State time."""
        return self.engine.globals.time

    # Batches

    def seal_if_full(self) -> None:
        """Close the batch when it is worth posting."""
        if self.engine.pending_bytes >= BATCH_BYTES:
            self.seal()

    def seal(self) -> None:
        """Close the batch and open the next."""
        self.sealed.append(self.engine.seal())
        self.engine.open_batch(1)

    # L1

    def deposit(self, person: Person) -> None:
        """Create somebody's account and register the session key."""
        owner = sha256(b"crash owner %d" % person.number).digest()[:20]
        person.account = self.engine.globals.account_count
        self._send(Message(MessageType.DEPOSIT, owner, self.time, 0, encode_amount(0, person.deposit)))
        key = SessionKey(get_key(person).verify_key.encode(), 7, NEVER)
        self._send(Message(MessageType.REGISTER_KEY, owner, self.time, person.account, encode_key(key)))

    def _send(self, message: Message) -> None:
        self.messages.append(message.encode())
        self.engine.take_message(len(self.messages) - 1, self.messages[-1])
        self.seal_if_full()

    # Prices

    def tick(self, time: int) -> None:
        """Let time pass."""
        self.engine.tick(time)

    def publish(self, reading: Oracle | Surface) -> bool:
        """Sign a reading with two keys and hand it in."""
        return self._submit(sign_reading(self.domain, reading, tuple(enumerate(self._oracle_keys[:2]))))

    def keep(self) -> list[Event]:
        """Have everything posted that is due, in as many batches as it takes."""
        records = self.keeper.keep()
        self.seal_if_full()
        while self.keeper.is_due([]):
            records += self.keeper.keep()
            self.seal_if_full()
        ops = [decode_operation(record.body) for record in records]
        return [Event(self.time, op) for op in ops if op is not None]

    # People

    def order(self, person: Person, legs: Legs, lots: int, price: int) -> int:
        """Sign an order (negative sells) and hand it in; answers the lots that traded at once."""
        person.counter += 1
        account = self.ledger.require_account(person.account)
        terms = OrderTerms(
            account=person.account,
            slot=0,
            counter=person.counter,
            generation=1,
            epoch=account.epoch,
            valid_until=self.time + 3_600,
            flags=FLAG_SELL if lots < 0 else 0,
            price=price,
            size=abs(lots),
            max_fee_ppm=MAX_FEE_PPM,
            counterparty=0,
            legs=legs,
        )
        bare = OrderOp(0, 0, terms, 0, bytes(64))
        outcome = self.engine.submit(build_request(replace(bare, signature=self._sign(person, bare))))
        self._count(outcome)
        return outcome.filled if isinstance(outcome, Accepted) else 0

    def trade(self, maker: Person, taker: Person, legs: Legs, lots: int, price: int) -> int:
        """The maker quotes and the taker takes `lots` (negative sells); answers the lots that traded."""
        self.order(maker, legs, -lots, price)
        filled = self.order(taker, legs, lots, price)
        self.seal_if_full()
        return filled

    def bid(self, bidder: Person, target: int, slice_ppm: int, discount_min: int) -> bool:
        """Sign a bid for a slice of an account that is up for auction; whether it was taken."""
        bidder.sequence += 1
        bare = Take(
            position=0,
            equity=0,
            maintenance=0,
            value=0,
            relief=0,
            account=bidder.account,
            sequence=bidder.sequence,
            target=target,
            slice_ppm=slice_ppm,
            discount_min=discount_min,
            valid_until=self.time + 60,
            key_index=0,
            signature=bytes(64),
        )
        is_taken = self._submit(replace(bare, signature=self._sign(bidder, bare)))
        self.seal_if_full()
        return is_taken

    def _sign(self, person: Person, op: OrderOp | Take) -> bytes:
        return get_key(person).sign(hash_digest(self.domain, op)).signature

    def _submit(self, op: Operation) -> bool:
        outcome = self.engine.submit(build_request(op))
        self._count(outcome)
        return isinstance(outcome, Accepted)

    def _count(self, outcome: Accepted | Refused) -> None:
        if isinstance(outcome, Refused):
            self.refusals[outcome.code.name] = self.refusals.get(outcome.code.name, 0) + 1


_KEYS: dict[int, SigningKey] = {}


def get_key(person: Person) -> SigningKey:
    """Somebody's session key."""
    if person.number not in _KEYS:
        _KEYS[person.number] = SigningKey(sha256(b"crash key %d" % person.number).digest())
    return _KEYS[person.number]
