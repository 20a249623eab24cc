"""The dearest state, ops that are valid in it, and batches that take the longest to show one of them in.

Everything stands in this state that protocol and version allow at once: every path of the tree as full as it can be,
two accounts with every key, all collateral and 64 options on 8 underlyings and 24 expiries, whose prices nobody trusts,
64 underlyings, 16 assets, five oracle signers, rules of margin with 32 scenarios on two dates and four tiers, and no
byte that is zero without need. Four legs trade: two that close a position and its expiry, two on expiries that are new,
so that the margins before and after need 66 options on 26 expiries. No fill that fits needs more.
An op is told in a batch of 64 frames, at the end of a frame of 8,192 bytes.
"""

import hashlib
import random
from collections.abc import Iterator
from dataclasses import replace

from coincurve import PrivateKey
from nacl.signing import SigningKey

from fraud_proofs.challenger import State
from risk.fixed_point import ONE_Q38
from risk.parameter_sets import KEEL_TIERS, make_keel
from risk.parameters import Parameters, Scenario, VolShock
from state.batches import FRAME_HEAD_BYTES, BatchData, Frame, Header, Step
from state.codes import Kind, MessageCode
from state.constants import (
    ACCOUNTS_MAX,
    ASSETS_MAX,
    EXPIRY_SECOND_OF_DAY,
    EXPIRY_STEP,
    FEE_PPM_MAX,
    FRAME_BYTES_MAX,
    FRAMES_MAX,
    INTEREST_SECONDS_MAX,
    KEYS_MAX,
    NEVER,
    ORACLE_SIGNERS_MAX,
    PROTOCOL_VERSION,
    RULES_OFFSET,
    SLOTS_PER_ACCOUNT,
    UNDERLYINGS_MAX,
)
from state.context import StepContext
from state.leaves import (
    QUOTE_UNDERLYING,
    Account,
    Asset,
    AssetTerms,
    Expiry,
    Globals,
    Instrument,
    Order,
    Params,
    SessionKey,
    Underlying,
    UnderlyingTerms,
    Withdrawal,
    call,
    put,
)
from state.ledger import Ledger, Slot
from state.operations import (
    NO_ACTIVE,
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
    hash_digest,
)
from state.process_bid import claim_bid, encode_bid
from state.process_deleverage import claim_deleverage
from state.process_inbox import (
    OPS_OF_THEIR_OWN,
    Message,
    MessageType,
    Proposal,
    claim_l1,
    decode_message,
    encode_amount,
    encode_close,
    encode_key,
    hash_accumulator,
)
from state.process_interest import claim_interest
from state.process_liquidate import claim_liquidate
from state.process_relay import encode_reading
from state.process_take import claim_take
from state.rules import SCENARIOS_MAX, TIERS_MAX, encode_rules
from state.transition import Invalid, Valid, apply_step
from state.tree import (
    DEPTHS,
    GLOBALS_KEY,
    Collection,
    LeafKey,
    account_key,
    build_tree,
    expiry_key,
    get_collection,
    leaf_key,
    order_key,
    underlying_key,
)
from tests.contracts.scene import Scene, compute_fair_price
from tests.parity.case import Case
from tests.parity.tribunal import Tribunal
from tests.world import GENESIS_TIME, GOVERNOR, build_params, get_address

A, B, NEW = ACCOUNTS_MAX - 3, ACCOUNTS_MAX - 4, ACCOUNTS_MAX - 1
"""Two accounts with everything, and the one that is created next."""

EXHIBIT = 1
"""The account that ranks before all others when somebody must close with a bankrupt."""

SLOT = SLOTS_PER_ACCOUNT - 1
OUTBOX_INDEX = (1 << 32) - 1
VERSION = RULES_OFFSET - 2
TIME = GENESIS_TIME
MESSAGE_LAG = 600
"""Seconds of L1 between the batch's time and the first message, one for each further one: less than a batch may lag."""

RELAYED_LAG = 20
"""And so many more to the first message that has an op of its own."""

POSITION = 0xF1F1F1F1
HELD = tuple(range(40, 48))
"""The underlyings of the sixty-four positions."""

TRADED = HELD[-1]
BASKET, COMPONENTS = 62, (50, 51, 52, 53)

COLLATERAL = (*range(25, 39), 63)
"""Those of the fifteen kinds of collateral; with the last one listed every loop over underlyings goes to its end."""

PEG = 60
"""The quote asset's own."""

DAYS = (240, 290, 330, 360, 390)
"""So far ahead are the expiries of what is traded; three of them on every underlying that is held. Options that are
worth much more than nothing in every scenario are the dearest to value, and so long ones are."""

ACTIVE = b"\x11" * len(NO_ACTIVE)
QUANTITY = 0x1F1F1F1F1F
AMOUNT = 0x3F3F3F3F3F3F3F3F
PRICE_OFFSET = 0x1111_1111
"""So far from the marks the legs trade."""

RATIOS = (1, 3, -2, 5)
"""Of the four legs."""

USER = SigningKey(b"\x0b" * 32)
ORACLES = tuple(PrivateKey(bytes([n]) * 32) for n in range(1, ORACLE_SIGNERS_MAX + 1))


def draw_rich(chance: random.Random, size: int) -> bytes:
    """Bytes none of which is zero: zeros are cheaper as calldata."""
    return bytes(chance.randint(1, 255) for _ in range(size))


# The state


def build_dearest_rules() -> Parameters:
    """Keel's own, with one scenario and two tiers more, every rule in force."""
    keel = make_keel()
    far = Scenario(5 * ONE_Q38, VolShock.DOWN, weight_q38=0x0F_1111_1111)
    return replace(keel, scenarios=(*keel.scenarios, far)[:SCENARIOS_MAX], tiers=(KEEL_TIERS * TIERS_MAX)[:TIERS_MAX])


def build_dearest_params(chance: random.Random) -> Params:
    """Five signers who must all sign, sixteen assets, sixty-four underlyings; fees that make margin harder to hold."""
    backed = [
        AssetTerms(COLLATERAL[i - 1], 150_001, 40_001, 990_001, 0x7777_7777_7777_7777, 5_000_001)
        for i in range(1, ASSETS_MAX)
    ]
    return build_params(
        oracle_threshold=ORACLE_SIGNERS_MAX,
        oracle_signers=tuple(get_address(key) for key in ORACLES),
        oracle_age_max=0x11111111,
        price_age_max=0x11111111,
        band_ppm=0x11111111,
        maker_fee_ppm=900_000,
        taker_fee_ppm=950_000,
        l1_fee=int.from_bytes(draw_rich(chance, 5)),
        funding_period=0x11111111,
        peg_underlying=PEG,
        assets=(AssetTerms(QUOTE_UNDERLYING, 0, 0, 0, 1, 0x11111111), *backed),
        underlyings=tuple(UnderlyingTerms(666_001, 0x7111_1111_1111_1111) for _ in range(UNDERLYINGS_MAX)),
    )


def get_expiry(place: int) -> int:
    """The expiry of this place in DAYS, in seconds."""
    return (TIME // EXPIRY_STEP + DAYS[place]) * EXPIRY_STEP + EXPIRY_SECOND_OF_DAY


def round_strike(price: int) -> int:
    """Down to three digits."""
    unit = 10 ** max(len(str(price)) - 3, 0)
    return price // unit * unit


def list_options(underlying: int, spot: int, counts: tuple[int, ...]) -> list[Instrument]:
    """So many options on each expiry, puts below spot and calls above."""
    return [
        (put if number % 2 else call)(underlying, get_expiry(place), round_strike(spot * (94 + 3 * number) // 100))
        for place, count in enumerate(counts)
        for number in range(count)
    ]


def list_held(spots: dict[int, int]) -> list[Instrument]:
    """Sixty-four options on twenty-four expiries; two of what is traded are alone on theirs."""
    options = [one for u in HELD[:-1] for one in list_options(u, spots[u], (3, 3, 2))]
    return [*options, *list_options(TRADED, spots[TRADED], (6, 1, 1))]


def list_legs(spot: int) -> tuple[tuple[Instrument, int], ...]:
    """The two that are alone on their expiries, and one each on two more."""
    options = list_options(TRADED, spot, (0, 1, 1, 1, 1))
    return tuple(zip(options, RATIOS, strict=True))


def build_dearest_account(chance: random.Random, owner: bytes, positions: dict[Instrument, int]) -> Account:
    """Every key, the user's last; every collateral; the last tier."""
    keys = [SessionKey(draw_rich(chance, 32), 255, NEVER) for _ in range(KEYS_MAX - 1)]
    return Account(
        owner=owner,
        sequence=0x1111_1111,
        epoch=0x11111111,
        tier=TIERS_MAX - 1,
        cash=int.from_bytes(draw_rich(chance, 14)) >> 1,
        keys=(*keys, SessionKey(USER.verify_key.encode(), 255, NEVER)),
        collateral=tuple((asset, int.from_bytes(draw_rich(chance, 12)) >> 1) for asset in range(1, ASSETS_MAX)),
        positions=tuple(sorted(positions.items())),
    )


def draw_positions(chance: random.Random, spots: dict[int, int]) -> dict[Instrument, int]:
    """Of account A, who buys: what the first two legs close he holds against them. Account B holds the opposite."""
    held = {instrument: QUANTITY * chance.choice((1, -1, 2, -2)) for instrument in list_held(spots)}
    closed = [(leg, -QUANTITY * ratio) for leg, ratio in list_legs(spots[TRADED]) if leg in held]
    return held | dict(closed)


def build_dearest_order(legs: tuple[tuple[Instrument, int], ...], price: int, *, is_sell: bool) -> Order:
    """An order that lives."""
    return Order(
        counter=0x1111_1111,
        accepted=0x1111_1111 + is_sell,
        generation=1,
        epoch=0x11111111,
        valid_until=NEVER,
        flags=int(is_sell),
        price=price,
        remaining=2 * QUANTITY,
        max_fee_ppm=FEE_PPM_MAX,
        counterparty=A if is_sell else B,
        legs=legs,
    )


def build_dearest_underlying(chance: random.Random, index: int) -> Underlying:
    """A price that is hardly trusted, below 2^39 so that there are strikes around it."""
    spot = int.from_bytes(draw_rich(chance, 5)) >> 2 | 1 << 36
    basket = tuple((component, 250_001 + component) for component in COMPONENTS) if index == BASKET else ()
    return Underlying(
        symbol=draw_rich(chance, 8),
        oracle_time=TIME - (20 if basket else 10),
        spot=spot,
        mark=spot * 1_003 // 1_000,
        spot_confidence=300_001,
        mark_confidence=300_002,
        volatility=800_001,
        funding_index=-int.from_bytes(draw_rich(chance, 6)),
        index_time=TIME - 100,
        premium=-int.from_bytes(draw_rich(chance, 4)),
        open_interest=int.from_bytes(draw_rich(chance, 6)),
        halted_until=TIME - 1,
        basket=basket,
    )


def build_dearest_expiry(chance: random.Random, spot: int, expiry: int) -> Expiry:
    """A smile that is neither flat nor symmetric, read a moment ago."""
    level = (ONE_Q38 * 64 // 100) * (expiry - TIME) // 31_536_000
    return Expiry(
        time=TIME - 10,
        forward=spot * chance.randint(99, 104) // 100,
        rate=ONE_Q38 // 23,
        a=level * 6 // 10,
        b=level // 2,
        rho=-ONE_Q38 * 3 // 10,
        m=-ONE_Q38 // 17,
        sigma=ONE_Q38 // 5,
        confidence=300_003,
        start_integral=int.from_bytes(draw_rich(chance, 9)),
        integral=int.from_bytes(draw_rich(chance, 10)),
    )


def build_dearest_leaves(chance: random.Random) -> dict[LeafKey, bytes]:
    """All that the steps look at, and a leaf in each subtree beside their paths that this version can fill."""
    globals_ = Globals(
        time=TIME,
        batch=1,
        generation=1,
        next_position=0x11111111,
        log_hash=draw_rich(chance, 32),
        inbox_cursor=0,
        inbox_hash=bytes(32),
        outbox_count=OUTBOX_INDEX,
        account_count=NEW,
        underlying_count=UNDERLYINGS_MAX,
        asset_count=ASSETS_MAX,
        params_version=VERSION,
        cancel_only_until=TIME,
    )
    leaves = {
        GLOBALS_KEY: globals_.encode(),
        leaf_key(Collection.PARAMS, VERSION): build_dearest_params(chance).encode(),
        leaf_key(Collection.PARAMS, VERSION + 1): build_dearest_params(chance).encode(),
        leaf_key(Collection.PARAMS, RULES_OFFSET + VERSION): encode_rules(build_dearest_rules()),
        leaf_key(Collection.PARAMS, RULES_OFFSET + VERSION + 1): encode_rules(build_dearest_rules()),
    }
    spots: dict[int, int] = {}
    for index in range(UNDERLYINGS_MAX):
        quote = build_dearest_underlying(chance, index)
        leaves[underlying_key(index)] = quote.encode()
        spots[index] = quote.spot
        for place in range(len(DAYS)):
            expiry = get_expiry(place)
            leaves[expiry_key(index, expiry)] = build_dearest_expiry(chance, quote.spot, expiry).encode()
    books = Asset(1 << 95, *(int.from_bytes(draw_rich(chance, 12)) for _ in range(3)))
    leaves |= {leaf_key(Collection.ASSETS, index): books.encode() for index in range(ASSETS_MAX)}
    legs, positions = list_legs(spots[TRADED]), draw_positions(chance, spots)
    fair, _ = compute_fair_price(Ledger(leaves), legs)
    for account, sign in ((A, 1), (B, -1)):
        held = {instrument: sign * quantity for instrument, quantity in positions.items()}
        leaves[account_key(account)] = build_dearest_account(chance, draw_rich(chance, 20), held).encode()
        order = build_dearest_order(legs, fair + PRICE_OFFSET, is_sell=account == B)
        leaves[order_key(account, SLOT)] = order.encode()
    fill_paths(leaves, chance)
    return leaves


def fill_paths(leaves: dict[LeafKey, bytes], chance: random.Random) -> None:
    """Put a leaf into every empty subtree beside the path of an account, of an order, of the next withdrawal, of the
    parameters, and of an expiry: more days than any chain will live."""
    bystanders = {
        Collection.ACCOUNTS: Account(draw_rich(chance, 20), cash=1).encode(),
        Collection.ORDERS: Order(counter=1).encode(),
        Collection.OUTBOX: Withdrawal(draw_rich(chance, 20), 1, 1, 1).encode(),
        Collection.EXPIRIES: Expiry(time=1).encode(),
        Collection.PARAMS: build_params().encode(),
    }
    outbox = leaf_key(Collection.OUTBOX, OUTBOX_INDEX)
    dated = [expiry_key(u, get_expiry(place)) for u in (*HELD, UNDERLYINGS_MAX - 1) for place in range(len(DAYS))]
    accounts = [account_key(account) for account in (A, B, NEW, EXHIBIT)]
    versions = [leaf_key(Collection.PARAMS, offset + VERSION) for offset in (0, RULES_OFFSET)]
    singles = (*accounts, *versions, order_key(A, SLOT), order_key(B, SLOT), outbox)
    filled = {(get_collection(key), key >> level) for key in leaves for level in range(key.bit_length())}
    for path in (*singles, *dated):
        collection = get_collection(path)
        for level in range(DEPTHS[collection]):
            beside = LeafKey(path ^ 1 << level)
            if (collection, beside >> level) not in filled:
                leaves[beside] = bystanders[collection]
                filled.update((collection, beside >> up) for up in range(beside.bit_length()))


# The rollup's side


def list_messages(leaves: dict[LeafKey, bytes]) -> list[bytes]:
    """Messages of the owner of account A, and of the governor: one of each kind that is made, the dearest of each."""
    account = Ledger(leaves).require_account(A)
    key = account.keys[-1]._replace(scope=7)
    last = ASSETS_MAX - 1
    active, waiting = (
        [leaves[leaf_key(Collection.PARAMS, offset + version)] for offset in (0, RULES_OFFSET)]
        for version in (VERSION, VERSION + 1)
    )
    proposal = Proposal(VERSION + 1, *(hashlib.sha256(leaf).digest() for leaf in active), *waiting)
    rows = [
        (MessageType.CANCEL_ALL, 1, b""),
        (MessageType.DEPOSIT, A, encode_amount(last, AMOUNT)),
        (MessageType.DEPOSIT, A, encode_amount(0, AMOUNT)),
        (MessageType.DEPOSIT, 0, encode_amount(last, AMOUNT)),
        (MessageType.DEPOSIT, 0, encode_amount(last, 1)),
        (MessageType.REGISTER_KEY, A, encode_key(key)),
        (MessageType.REGISTER_KEY, A, encode_key(key._replace(public_key=b"\x22" * 32))),
        (MessageType.FORCE_WITHDRAW, A, encode_amount(last, AMOUNT)),
        (MessageType.FORCE_WITHDRAW, A, encode_amount(0, AMOUNT)),
        (MessageType.CANCEL_ALL, A, b""),
        (MessageType.FORCE_CLOSE, A, encode_close(True)),
        (MessageType.PARAMS, 0, proposal.encode()),
        (MessageType.FORCE_LIQUIDATE, A, b""),
    ]
    return [
        Message(kind, sender, TIME + MESSAGE_LAG + index, number, payload).encode()
        for index, (kind, number, payload) in enumerate(rows)
        for sender in [GOVERNOR if kind == MessageType.PARAMS else account.owner]
    ]


def build_header(parent: bytes, messages: list[bytes]) -> Header:
    """A header that a rollup with these messages takes as that of batch 1, but for the roots and the count of steps."""
    inbox_hash = bytes(32)
    for message in messages:
        inbox_hash = hash_accumulator(inbox_hash, message)
    return Header(
        version=PROTOCOL_VERSION,
        data_kind=0,
        flags=0,
        index=1,
        parent=parent,
        generation=1,
        pre_root=bytes(32),
        post_root=bytes(32),
        step_count=0,
        inbox_cursor=len(messages),
        inbox_hash=inbox_hash,
        time_from=TIME,
        time=TIME,
        position_from=0,
        position_to=1 << 32,
        log_hash=b"\x11" * 32,
        oracle_time=TIME - 20,
    )


class Stage:
    """The dearest state, and the rollup before which it is disputed."""

    def __init__(self, tribunal: Tribunal, parent: bytes, chance: random.Random) -> None:
        self.tribunal = tribunal
        leaves = build_dearest_leaves(chance)
        self.state = State(leaves, build_tree(leaves.items()))
        self.domain = tribunal.rollup.read("DOMAIN").value
        self.messages = [*list_messages(leaves), *self.list_relayed()]
        for message in self.messages:
            tribunal.take_message(message)
        self.header = build_header(parent, self.messages)
        # Every further rollup, with a state of its own as its genesis, has an empty inbox.
        self.first_header = replace(build_header(parent, []), pre_root=self.state.tree.root)

    def set_scene(self, op: Operation | bytes, **now: object) -> Scene:
        """An op in the dearest state, with other globals where told."""
        data = op if isinstance(op, bytes) else op.encode()
        header = self.first_header if data[0] == Kind.OPEN else self.header
        scene = Scene(StepContext(header, 0, self.domain, self.messages.__getitem__), self.state.leaves, data)
        scene.bend_globals(**now)
        return scene

    def sign(self, op: OrderOp | Cancel | Transfer | Withdraw | Take) -> OrderOp | Cancel | Transfer | Withdraw | Take:
        """By the key that every account has last."""
        return replace(op, signature=USER.sign(hash_digest(self.domain, op)).signature)

    def list_valid(self) -> dict[Kind, list[Scene]]:
        """Valid ops of every kind, more than one where it is not plain which is the dearest."""
        last = KEYS_MAX - 1
        held = Ledger(self.state.leaves).require_order(Slot(A, SLOT))
        terms = OrderTerms(A, SLOT, NEVER, 1, 0x11111111, NEVER, 6, held.price, 2 * QUANTITY, FEE_PPM_MAX, B, held.legs)
        order = OrderOp(POSITION, POSITION, terms, last, b"")
        cancel = Cancel(POSITION, A, SLOT, NEVER, 1, last, b"")
        transfers = [Transfer(POSITION, A, NEVER, B, asset, AMOUNT, last, b"") for asset in (0, ASSETS_MAX - 1)]
        withdrawals = [Withdraw(POSITION, A, NEVER, asset, AMOUNT, last, b"") for asset in (0, ASSETS_MAX - 1)]
        scenes = {
            Kind.OPEN: [self.set_scene(Open(), batch=0, generation=0)],
            Kind.CLOSE: [self.set_close()],
            Kind.TICK: [self.set_scene(Tick(POSITION, TIME), time=TIME - 1, cancel_only_until=NEVER)],
            Kind.L1: list(self.list_l1()),
            Kind.ORACLE: [self.set_scene(self.sign_reading())],
            Kind.ORDER: [self.set_scene(self.sign(order))],
            Kind.CANCEL: [self.set_scene(self.sign(cancel))],
            Kind.FILL: [self.set_scene(Fill(POSITION, A, SLOT, B, SLOT, held.price, QUANTITY, ACTIVE, ACTIVE))],
            Kind.TRANSFER: [self.set_scene(self.sign(op)) for op in transfers],
            Kind.WITHDRAW: [self.set_scene(self.sign(op)) for op in withdrawals],
            Kind.SURFACE: [self.set_scene(self.sign_surface())],
            Kind.INDEX: [self.set_scene(Index(POSITION, BASKET))],
            Kind.SETTLE: [self.set_settle()],
            Kind.LIQUIDATE: [self.set_liquidate()],
            Kind.TAKE: [self.set_take()],
            Kind.DELEVERAGE: [self.set_deleverage()],
            Kind.BID: [self.set_bid()],
            Kind.RELAY: [self.set_relay(MessageType.READING), self.set_relay(MessageType.SURFACE)],
            Kind.INTEREST: [self.set_interest()],
        }
        for scene in (scene for listed in scenes.values() for scene in listed):
            lay_out(scene)
            assert isinstance(judge(scene), Valid), (scene.op[0], judge(scene))
        return scenes

    # What is left of an account that lost

    def set_bankrupt(self, **changes: int) -> Scene:
        """Account A owes more than all it has; there is no op yet."""
        scene = self.set_scene(Close())
        scene.bend_account(A, cash=-(1 << 111), **changes)
        return scene

    def set_settle(self) -> Scene:
        """Everything that A holds has expired, and all of it has settled."""
        scene = self.set_scene(Settle(POSITION, A), time=get_expiry(len(DAYS) - 1))
        for underlying, expiry in dict.fromkeys((one.underlying, one.expiry) for one, _ in scene.account(A).positions):
            scene.bend_expiry(underlying, expiry, settlement=scene.underlying(underlying).spot)
        return scene

    def set_liquidate(self) -> Scene:
        """The auction begins."""
        scene = self.set_bankrupt()
        scene.op = claim_liquidate(scene.ledger, POSITION, A).encode()
        return scene

    def set_interest(self) -> Scene:
        """Two hours of a debt."""
        scene = self.set_bankrupt(interest_from=TIME - INTEREST_SECONDS_MAX)
        scene.op = claim_interest(scene.ledger, POSITION, A).encode()
        return scene

    def set_take(self) -> Scene:
        """A third of everything, in the second phase of the auction, to somebody who holds the same instruments."""
        scene = self.set_bankrupt(liquidation_from=TIME - 1_000)
        bare = Take(POSITION, 0, 0, 0, 0, B, NEVER, A, 333_333, 0, NEVER, KEYS_MAX - 1, b"")
        scene.op = self.sign(claim_take(scene.ledger, bare)).encode()
        return scene

    def list_relayed(self) -> list[bytes]:
        """Messages that have an op of their own, behind the others: B bids as it does when it signs, and five have
        signed a reading and a surface."""
        owner, last = Ledger(self.state.leaves).require_account(B).owner, TIME + MESSAGE_LAG + RELAYED_LAG
        bid = encode_bid(NEVER, A, 333_333, 0, NEVER)
        readings = [encode_reading(one) for one in (self.sign_reading(), self.sign_surface())]
        rows = [(MessageType.TAKE, B, bid), *((kind, 0, payload) for kind, payload in readings)]
        return [
            Message(kind, owner, last + index, number, payload).encode()
            for index, (kind, number, payload) in enumerate(rows)
        ]

    def find_message(self, message_type: MessageType) -> tuple[int, dict[str, object]]:
        """Where the last message of a type is, and what the globals are when it is next and its second has come."""
        index = max(at for at, message in enumerate(self.messages) if message[0] == message_type)
        inbox_hash = bytes(32)
        for message in self.messages[:index]:
            inbox_hash = hash_accumulator(inbox_hash, message)
        time = decode_message(self.messages[index]).time
        return index, {"inbox_cursor": index, "inbox_hash": inbox_hash, "time": time}

    def set_bid(self) -> Scene:
        """The same as a signed take, through L1."""
        index, now = self.find_message(MessageType.TAKE)
        scene = self.set_bankrupt(liquidation_from=TIME - 1_000)
        scene.bend_globals(**now)
        scene.op = claim_bid(scene.ledger, POSITION, index, self.messages[index]).encode()
        assert scene.decoded.code is MessageCode.DONE, scene.decoded.code
        return scene

    def set_relay(self, message_type: MessageType) -> Scene:
        """A reading through L1."""
        index, now = self.find_message(message_type)
        return self.set_scene(Relay(POSITION, index), **now)

    def set_deleverage(self) -> Scene:
        """An option that A and B hold against each other closes, after the auction. The rules look at
        the first of all accounts alone, for there is nothing in the others; no proof reads how many there are."""
        scene = self.set_bankrupt(liquidation_from=TIME - 2_000)
        scene.bend_globals(account_count=EXHIBIT + 1)
        instrument, _ = next(one for one in scene.account(A).positions if one[0].underlying == TRADED)
        scene.op = claim_deleverage(scene.ledger, POSITION, A, B, instrument, QUANTITY).encode()
        return scene

    def set_close(self) -> Scene:
        """Close, where the header says what the state does."""
        header = self.header
        return self.set_scene(Close(), inbox_cursor=header.inbox_cursor, inbox_hash=header.inbox_hash)

    def list_l1(self) -> Iterator[Scene]:
        """Each message where it is due; the second also where the asset owes, so that it goes back; the last also where
        its account is bankrupt."""
        inbox_hash = bytes(32)
        for index, message in enumerate(self.messages):
            now = {"inbox_cursor": index, "inbox_hash": inbox_hash}
            if message[0] in OPS_OF_THEIR_OWN:
                continue
            plain = self.set_scene(Close(), **now)
            plain.op = claim_l1(plain.ledger, POSITION, index, message).encode()
            yield plain
            if index == 1:
                refused, key = self.set_scene(plain.op, **now), leaf_key(Collection.ASSETS, ASSETS_MAX - 1)
                refused.write(key, replace(refused.ledger.require_asset(ASSETS_MAX - 1), bad_debt=1).encode())
                yield refused
            if message[0] == MessageType.FORCE_LIQUIDATE:
                lost = self.set_bankrupt()
                lost.bend_globals(**now)
                lost.op = claim_l1(lost.ledger, POSITION, index, message).encode()
                yield lost
            inbox_hash = hash_accumulator(inbox_hash, message)

    def sign_reading(self) -> Oracle:
        """A reading that all five signed."""
        last = UNDERLYINGS_MAX - 1
        price = Ledger(self.state.leaves).require_underlying(last).spot
        bare = Oracle(POSITION, last, TIME - 1, price + 0x1111, price + 0x1122, 999_991, 999_992, 19_999_999, 31, ())
        return replace(bare, signatures=self.sign_as_oracles(bare))

    def sign_surface(self) -> Surface:
        """A reading of an expiry that all five signed."""
        last, expiry = UNDERLYINGS_MAX - 1, get_expiry(0)
        price = Ledger(self.state.leaves).require_underlying(last).spot
        read = Ledger(self.state.leaves).require_expiry(last, expiry)
        shape = (read.rate, read.a, read.b, read.rho, read.m, read.sigma)
        bare = Surface(POSITION, last, expiry, TIME - 1, 0x1111_1111_1111_1111_1111, price, *shape, 999_991, 31, ())
        return replace(bare, signatures=self.sign_as_oracles(bare))

    def sign_as_oracles(self, bare: Oracle | Surface) -> tuple[OracleSignature, ...]:
        """All five signatures."""
        signed = [key.sign_recoverable(hash_digest(self.domain, bare), hasher=None) for key in ORACLES]
        return tuple(OracleSignature(one[:32], one[32:64], one[64] + 27) for one in signed)


def judge(scene: Scene) -> Valid | Invalid:
    """What the rules say of a scene."""
    return apply_step(Ledger(scene.leaves), scene.context, scene.op)


# The batch


def lay_out(scene: Scene) -> list[int]:
    """Give the scene its place in the batch; the lengths of the meaningless ops that fill its frame with it.

    An open leads the first frame, a close ends the last, any other op ends the last frame but one.
    """
    kind = scene.op[0]
    room = FRAME_BYTES_MAX - FRAME_HEAD_BYTES - 34 - len(scene.op)
    lengths = [1] * (room // 35)
    lengths[-1] += room % 35
    count = FRAMES_MAX + len(lengths)
    step = {Kind.OPEN: 0, Kind.CLOSE: count - 1}.get(Kind(kind) if kind in list(Kind) else Kind.TICK, count - 2)
    scene.context = scene.context.at(step)
    scene.bend_header(step_count=count)
    return lengths


def enclose_dearest(state: State, scene: Scene, chance: random.Random) -> Case:
    """The scene's step in 64 frames, its own as long as may be; `state` is that of the scene."""
    lengths, step = lay_out(scene), scene.context.step
    fillers = [Step(draw_rich(chance, length), draw_rich(chance, 32)) for length in lengths]
    disputed = Step(scene.op, draw_rich(chance, 32))
    pre_root = state.tree.root
    if step == 0:
        long, number, offset = [disputed, *fillers], 0, 0
        scene.bend_header(pre_root=pre_root)
    else:
        fillers[-1] = fillers[-1]._replace(post_root=pre_root)
        long, offset = [*fillers, disputed], len(fillers)
        number = FRAMES_MAX - 1 if step == scene.context.header.step_count - 1 else FRAMES_MAX - 2
    frames, root, first = [], scene.context.header.pre_root, 0
    for index in range(FRAMES_MAX):
        steps = long if index == number else [Step(b"\x11", draw_rich(chance, 32))]
        frames.append(Frame(root, first, tuple(steps)).encode())
        root, first = steps[-1].post_root, first + len(steps)
    scene.bend_header(post_root=root)
    batch = BatchData(scene.context.header.encode(), tuple(frames))
    return Case(state, scene.context, pre_root, scene.op, disputed.post_root, batch, number, offset)


def open_stage(chance: random.Random) -> Stage:
    """The dearest state before the contracts in the in-process EVM."""
    tribunal = Tribunal(ASSETS_MAX)
    return Stage(tribunal, tribunal.genesis.batch_hash, chance)
