"""The dearest state, ops that are valid in it, and batches that take the longest to show one of them in.

Everything stands in this state that protocol and version allow at once: every path of the tree as full as it can be,
two accounts with every key, collateral and position, 64 underlyings, 16 assets, five oracle signers, and no byte that
is zero without need. An op is told in a batch of 64 frames, at the end of a frame of 8,192 bytes.
"""

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import TypeVar

from coincurve import PrivateKey
from nacl.signing import SigningKey

from fraud_proofs.challenger import State
from risk.parameter_sets import make_keel
from state.batches import FRAME_HEAD_BYTES, BatchData, Frame, Header, Step
from state.codes import Kind
from state.constants import (
    ACCOUNTS_MAX,
    ASSETS_MAX,
    EXPIRY_SECOND_OF_DAY,
    EXPIRY_STEP,
    FEE_PPM_MAX,
    FRAME_BYTES_MAX,
    FRAMES_MAX,
    KEYS_MAX,
    LEGS_MAX,
    NEVER,
    ORACLE_SIGNERS_MAX,
    PROTOCOL_VERSION,
    RULES_OFFSET,
    SLOTS_PER_ACCOUNT,
    UNDERLYINGS_MAX,
)
from state.context import StepContext
from state.leaves import (
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
    perpetual,
    put,
)
from state.ledger import Ledger
from state.operations import (
    L1,
    Cancel,
    Close,
    Fill,
    Index,
    Liquidate,
    Open,
    Operation,
    Oracle,
    OracleSignature,
    OrderOp,
    OrderTerms,
    Settle,
    Surface,
    Take,
    Tick,
    Transfer,
    Withdraw,
    hash_digest,
)
from state.process_deleverage import claim_deleverage
from state.process_inbox import Message, MessageType, encode_amount, encode_close, encode_key, hash_accumulator
from state.process_liquidate import claim_liquidate
from state.process_take import claim_take
from state.rules import encode_rules
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
from tests.contracts.scene import Scene
from tests.parity.case import Case
from tests.parity.tribunal import Tribunal
from tests.workload import round_strike
from tests.world import GENESIS_TIME, QUOTE_TERMS, build_params, get_address

Reading = TypeVar("Reading", Oracle, Surface)
Signed = TypeVar("Signed", OrderOp, Cancel, Transfer, Withdraw, Take)

A, B, NEW = ACCOUNTS_MAX - 3, ACCOUNTS_MAX - 4, ACCOUNTS_MAX - 1
"""Two accounts with everything, and the one that is created next."""

SLOT = SLOTS_PER_ACCOUNT - 1
OUTBOX_INDEX = (1 << 32) - 1
TIME = GENESIS_TIME
MESSAGE_LAG = 600
"""Seconds of L1 between the batch's time and the first message, one for each further one: less than a batch may lag."""

POSITION = 0xF1F1F1F1
HELD = tuple(range(40, 48))
"""The underlyings of the positions."""

EXPIRIES = tuple((TIME // EXPIRY_STEP + days) * EXPIRY_STEP + EXPIRY_SECOND_OF_DAY for days in (1, 2, 30))
"""Three of each: with eight underlyings as many as an account may hold, a perpetual being one."""

COLLATERAL = (*range(25, 39), 63)
"""Those of the fifteen kinds of collateral; with the last one listed every loop over underlyings goes to its end."""

QUANTITY = 0x1F1F1F1F1F
DEBT = -(1 << 111)
AMOUNT = 0x3F3F3F3F3F3F3F3F
USER = SigningKey(b"\x0b" * 32)
ORACLES = tuple(PrivateKey(bytes([n]) * 32) for n in range(1, ORACLE_SIGNERS_MAX + 1))


def draw_rich(chance: random.Random, size: int) -> bytes:
    """Bytes none of which is zero: zeros are cheaper as calldata."""
    return bytes(chance.randint(1, 255) for _ in range(size))


# The state


def build_dearest_params(chance: random.Random) -> Params:
    """Five signers who must all sign, sixteen assets, sixty-four underlyings; fees that make margin harder to hold."""
    terms = (100_001, 50_001, 500_001, 0x7777_7777_7777_7777, 5_000_001)
    backed = [AssetTerms(COLLATERAL[i - 1], *terms) for i in range(1, ASSETS_MAX)]
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
        halt_seconds=0x11111111,
        auction_seconds=600,
        peg_underlying=0,
        assets=(QUOTE_TERMS._replace(create_min=0x11111111), *backed),
        underlyings=(UnderlyingTerms(0xBBBBB, NEVER),) * UNDERLYINGS_MAX,
    )


def list_held(underlying: int, mark: int) -> list[Instrument]:
    """What an account holds of one underlying: eight options near the money in all expiries; of the last underlying a
    perpetual, which counts as one, and seven options in two of them.
    """
    strikes = [round_strike(mark * percent // 100) for percent in (90, 95)]
    has_perpetual = underlying == HELD[-1]
    rights = [(right, strike) for strike in strikes for right in (put, call)]
    days = EXPIRIES[:2] if has_perpetual else EXPIRIES
    options = [right(underlying, expiry, strike) for right, strike in rights for expiry in days]
    return [perpetual(underlying), *sorted(options[:7])] if has_perpetual else sorted(options[:8])


def build_dearest_account(chance: random.Random, owner: bytes, sign: int, marks: dict[int, int]) -> Account:
    """Every key, the user's last; every collateral; eight positions in each of eight underlyings."""
    keys = [SessionKey(draw_rich(chance, 32), 255, NEVER) for _ in range(KEYS_MAX - 1)]
    return Account(
        owner=owner,
        sequence=0x1111_1111,
        epoch=0x11111111,
        cash=int.from_bytes(draw_rich(chance, 14)) >> 1,
        keys=(*keys, SessionKey(USER.verify_key.encode(), 255, NEVER)),
        collateral=tuple((asset, int.from_bytes(draw_rich(chance, 12)) >> 1) for asset in range(1, ASSETS_MAX)),
        positions=tuple(
            (held, sign * QUANTITY * (1 if place % 2 else -1))
            for underlying in HELD
            for place, held in enumerate(list_held(underlying, marks[underlying]))
        ),
    )


def build_dearest_order(*, is_sell: bool, price: int, mark: int) -> Order:
    """An order that lives, of as many legs as may be."""
    held = list_held(HELD[-1], mark)[:LEGS_MAX]
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
        legs=tuple(zip(held, (1, -1, 1, -1), strict=True)),
    )


def build_dearest_expiry(mark: int) -> bytes:
    """A surface without a zero where one is not needed."""
    surface = Expiry(
        time=TIME - 10,
        forward=mark + 0x1111,
        rate=0x3_3333_3333,
        a=0x1111_1111,
        b=0x1_1111_1111,
        rho=-0x1_1111_1111,
        m=0x1111_1111,
        sigma=0x11_1111_1111,
        confidence=400_001,
        start_integral=int.from_bytes(b"\x11" * 13),
        integral=int.from_bytes(b"\x22" * 13),
    )
    return surface.encode()


def build_dearest_leaves(chance: random.Random) -> dict[LeafKey, bytes]:
    """All that the steps look at, and a leaf in each subtree beside their paths that version 1 can fill."""
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
        params_version=0,
        cancel_only_until=TIME,
    )
    leaves = {
        GLOBALS_KEY: globals_.encode(),
        leaf_key(Collection.PARAMS, 0): build_dearest_params(chance).encode(),
        leaf_key(Collection.PARAMS, RULES_OFFSET): encode_rules(make_keel()),
    }
    marks: dict[int, int] = {}
    for index in range(UNDERLYINGS_MAX):
        mark = int.from_bytes(draw_rich(chance, 5))
        quote = Underlying(
            symbol=draw_rich(chance, 8),
            oracle_time=TIME - 10,
            spot=mark,
            mark=mark,
            spot_confidence=400_001,
            mark_confidence=400_001,
            volatility=600_001,
            funding_index=-int.from_bytes(draw_rich(chance, 6)),
            index_time=TIME - 100,
            premium=-int.from_bytes(draw_rich(chance, 4)),
            open_interest=int.from_bytes(draw_rich(chance, 6)),
        )
        leaves[underlying_key(index)] = quote.encode()
        marks[index] = mark
    leaves |= {expiry_key(index, day): build_dearest_expiry(marks[index]) for index in HELD for day in EXPIRIES}
    books = Asset(1 << 95, *(int.from_bytes(draw_rich(chance, 12)) for _ in range(3)))
    leaves |= {leaf_key(Collection.ASSETS, index): books.encode() for index in range(ASSETS_MAX)}
    price = Ledger(leaves).require_underlying(HELD[-1]).mark
    for account, sign in ((A, 1), (B, -1)):
        leaves[account_key(account)] = build_dearest_account(chance, draw_rich(chance, 20), sign, marks).encode()
        order = build_dearest_order(is_sell=account == B, price=price, mark=price)
        leaves[order_key(account, SLOT)] = order.encode()
    fill_paths(leaves, chance)
    return leaves


def fill_paths(leaves: dict[LeafKey, bytes], chance: random.Random) -> None:
    """Put a leaf into every empty subtree beside the path of an account, an order, an expiry, the next withdrawal."""
    bystanders = {
        Collection.ACCOUNTS: Account(draw_rich(chance, 20), cash=1).encode(),
        Collection.ORDERS: Order(counter=1).encode(),
        Collection.EXPIRIES: Expiry(time=1, forward=1, sigma=1).encode(),
        Collection.OUTBOX: Withdrawal(draw_rich(chance, 20), 1, 1, 1).encode(),
    }
    outbox = leaf_key(Collection.OUTBOX, OUTBOX_INDEX)
    accounts = (account_key(A), account_key(B), account_key(NEW), order_key(A, SLOT), order_key(B, SLOT))
    expiries = [expiry_key(underlying, expiry) for underlying in HELD for expiry in EXPIRIES]
    for path in (*accounts, outbox, *expiries):
        collection = get_collection(path)
        for level in range(DEPTHS[collection]):
            beside = LeafKey(path ^ 1 << level)
            if not any(key >> level == beside >> level for key in leaves if get_collection(key) == collection):
                leaves[beside] = bystanders[collection]


# The rollup's side


def list_messages(leaves: dict[LeafKey, bytes]) -> list[bytes]:
    """Messages of the owner of account A, one of each kind that the rollup makes, and the dearest of each."""
    account = Ledger(leaves).require_account(A)
    key = account.keys[-1]._replace(scope=7)
    last = ASSETS_MAX - 1
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
        (MessageType.FORCE_LIQUIDATE, A, b""),
    ]
    return [
        Message(kind, account.owner, TIME + MESSAGE_LAG + index, number, payload).encode()
        for index, (kind, number, payload) in enumerate(rows)
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
        oracle_time=TIME - 10,
    )


class Stage:
    """The dearest state, and the rollup before which it is disputed."""

    def __init__(self, tribunal: Tribunal, parent: bytes, chance: random.Random) -> None:
        self.tribunal = tribunal
        leaves = build_dearest_leaves(chance)
        self.state = State(leaves, build_tree(leaves.items()))
        self.messages = list_messages(leaves)
        for message in self.messages:
            tribunal.take_message(message)
        self.domain = tribunal.rollup.read("DOMAIN").value
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

    def sign(self, op: Signed) -> Signed:
        """By the key that every account has last."""
        return replace(op, signature=USER.sign(hash_digest(self.domain, op)).signature)

    def list_valid(self) -> dict[Kind, list[Scene]]:
        """Valid ops of every kind, more than one where it is not plain which is the dearest."""
        last = KEYS_MAX - 1
        mark = Ledger(self.state.leaves).require_underlying(HELD[-1]).mark
        legs = ((perpetual(UNDERLYINGS_MAX - 1), 1),)
        terms = OrderTerms(A, SLOT, NEVER, 1, 0x11111111, NEVER, 6, mark, 2 * QUANTITY, FEE_PPM_MAX, B, legs)
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
            Kind.FILL: [self.set_scene(Fill(POSITION, A, SLOT, B, SLOT, mark, QUANTITY))],
            Kind.TRANSFER: [self.set_scene(self.sign(op)) for op in transfers],
            Kind.WITHDRAW: [self.set_scene(self.sign(op)) for op in withdrawals],
            Kind.SURFACE: [self.set_scene(self.sign_surface())],
            Kind.INDEX: [self.set_index()],
            Kind.SETTLE: [self.set_settle()],
            Kind.LIQUIDATE: [self.set_liquidate()],
            Kind.TAKE: [self.set_take()],
            Kind.DELEVERAGE: [self.set_deleverage()],
        }
        for scene in (scene for listed in scenes.values() for scene in listed):
            lay_out(scene)
            assert isinstance(judge(scene), Valid), scene.op[0]
        return scenes

    def set_index(self) -> Scene:
        """A basket of four whose components have moved on."""
        scene, basket = self.set_scene(Index(POSITION, UNDERLYINGS_MAX - 1)), tuple((u, 250_001) for u in HELD[:4])
        scene.bend_underlying(UNDERLYINGS_MAX - 1, basket=basket, oracle_time=TIME - 20)
        return scene

    def set_settle(self) -> Scene:
        """All expiries have come and settled."""
        scene = self.set_scene(Settle(POSITION, A), time=EXPIRIES[-1])
        for underlying in HELD:
            for expiry in EXPIRIES:
                scene.bend_expiry(underlying, expiry, settlement=0x1111_1111)
        return scene

    def set_liquidate(self) -> Scene:
        """Account A owes more than it has."""
        scene = self.set_scene(Liquidate(POSITION, A, 0, 0, 0))
        scene.bend_account(A, cash=DEBT)
        scene.op = claim_liquidate(scene.ledger, POSITION, A).encode()
        return scene

    def set_take(self) -> Scene:
        """Account A takes half of what B has, whose auction has run for a while."""
        bare = Take(POSITION, 0, 0, 0, 0, A, NEVER, B, 500_001, 0, NEVER, KEYS_MAX - 1, b"")
        scene = self.set_scene(replace(bare, signature=bytes(64)))
        scene.bend_account(B, cash=DEBT, liquidation_from=TIME - 400)
        scene.op = self.sign(claim_take(scene.ledger, bare)).encode()
        return scene

    def set_deleverage(self) -> Scene:
        """The same accounts as the only three there are: whoever is first in a queue is looked for among all."""
        scene = self.set_scene(b"\x10", account_count=4)
        for account, like, changes in ((1, A, {"cash": DEBT, "liquidation_from": 1}), (2, B, {}), (3, B, {})):
            scene.write(account_key(account), scene.account(like).encode())
            scene.bend_account(account, **changes)
        scene.op = claim_deleverage(scene.ledger, POSITION, 1, 2, perpetual(HELD[-1]), QUANTITY).encode()
        return scene

    def set_close(self) -> Scene:
        """Close, where the header says what the state does."""
        header = self.header
        return self.set_scene(Close(), inbox_cursor=header.inbox_cursor, inbox_hash=header.inbox_hash)

    def list_l1(self) -> Iterator[Scene]:
        """Each message where it is due; the second also where the asset owes, so that it goes back."""
        inbox_hash = bytes(32)
        for index, message in enumerate(self.messages):
            now = {"inbox_cursor": index, "inbox_hash": inbox_hash}
            yield self.set_scene(L1(POSITION, index), **now)
            if index == 1:
                refused, key = self.set_scene(L1(POSITION, index), **now), leaf_key(Collection.ASSETS, ASSETS_MAX - 1)
                refused.write(key, replace(refused.ledger.require_asset(ASSETS_MAX - 1), bad_debt=1).encode())
                yield refused
            inbox_hash = hash_accumulator(inbox_hash, message)

    def sign_reading(self) -> Oracle:
        """A reading that all five signed."""
        last = Ledger(self.state.leaves).require_underlying(UNDERLYINGS_MAX - 1)
        prices = (last.spot - 1, last.mark - 1, 999_999, 999_999, 600_001)
        return self.sign_as_oracles(Oracle(POSITION, UNDERLYINGS_MAX - 1, TIME - 1, *prices, 31, ()))

    def sign_surface(self) -> Surface:
        """A reading of an expiry that all five signed."""
        shape = (0x3_3333_3333, 0x1111_1111, 0x1_1111_1111, -0x1_1111_1111, 0x1111_1111, 0x11_1111_1111)
        where = (POSITION, HELD[-1], EXPIRIES[0], TIME - 1, int.from_bytes(b"\x11" * 14))
        return self.sign_as_oracles(Surface(*(*where, 0x1111_1111, *shape, 999_999, 31, ())))

    def sign_as_oracles(self, bare: Reading) -> Reading:
        """The same, signed by all."""
        signed = [key.sign_recoverable(hash_digest(self.domain, bare), hasher=None) for key in ORACLES]
        signatures = tuple(OracleSignature(one[:32], one[32:64], one[64] + 27) for one in signed)
        return replace(bare, signatures=signatures)


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
