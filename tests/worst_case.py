"""The dearest real step of every kind, on every ground: what a proof may cost at most.

One state holds everything that protocol and version allow at once: every path of the tree as full as it can be, two
accounts with every key, collateral and position, 64 underlyings, 16 assets, five oracle signers, no byte that is zero
without need. On it stand valid ops of all kinds; bent so that one check fails first (tests/parity/edges.py, and the
bends here where the rollup would not accept the bent header), and told in a batch of 64 frames, at the end of a frame
of 8,192 bytes. The rollup takes every one of these batches; their claims are another matter.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from coincurve import PrivateKey
from nacl.signing import SigningKey

from fraud_proofs.challenger import Proof, State
from fraud_proofs.grounds import EFFECT, MALFORMED, Ground, check_ground
from fraud_proofs.witness import Witness
from state.batches import FRAME_HEAD_BYTES, BatchData, Frame, Header, Step
from state.codes import Code, Kind
from state.constants import (
    ACCOUNTS_MAX,
    ASSETS_MAX,
    FEE_PPM_MAX,
    FRAME_BYTES_MAX,
    FRAMES_MAX,
    KEYS_MAX,
    NEVER,
    OP_BYTES_MAX,
    ORACLE_SIGNERS_MAX,
    PROTOCOL_VERSION,
    SLOTS_PER_ACCOUNT,
    UNDERLYINGS_MAX,
)
from state.context import StepContext
from state.leaves import (
    QUOTE_UNDERLYING,
    Account,
    Asset,
    AssetTerms,
    Globals,
    Order,
    Params,
    SessionKey,
    Underlying,
    UnderlyingTerms,
    Withdrawal,
    perpetual,
)
from state.ledger import Ledger
from state.operations import (
    L1,
    Cancel,
    Close,
    Fill,
    Open,
    Operation,
    Oracle,
    OracleSignature,
    OrderOp,
    OrderTerms,
    Tick,
    Transfer,
    Withdraw,
    hash_digest,
)
from state.process_fill import BUYER, SELLER, Side
from state.process_inbox import Message, MessageType, encode_amount, encode_key, hash_accumulator
from state.transition import Invalid, Valid, apply_step
from state.tree import (
    DEPTHS,
    GLOBALS_KEY,
    Collection,
    LeafKey,
    account_key,
    build_tree,
    get_collection,
    leaf_key,
    order_key,
    underlying_key,
)
from state.valuation import compute_account_margin, read_quotes
from tests.contracts.scene import Scene
from tests.parity.case import Case, overlay
from tests.parity.edges import EDGES, Edge, hold
from tests.parity.tribunal import Tribunal
from tests.world import GENESIS_TIME, build_params, get_address

A, B, NEW = ACCOUNTS_MAX - 3, ACCOUNTS_MAX - 4, ACCOUNTS_MAX - 1
"""Two accounts with everything, and the one that is created next."""

SLOT = SLOTS_PER_ACCOUNT - 1
OUTBOX_INDEX = (1 << 32) - 1
TIME = GENESIS_TIME
POSITION = 0xF1F1F1F1
HELD = tuple(range(40, 48))
"""The underlyings of the eight positions."""

COLLATERAL = (*range(25, 39), 63)
"""Those of the fifteen kinds of collateral; with the last one listed every loop over underlyings goes to its end."""

QUANTITY = 0x1F1F1F1F1F
AMOUNT = 0x3F3F3F3F3F3F3F3F
USER = SigningKey(b"\x0b" * 32)
ORACLES = tuple(PrivateKey(bytes([n]) * 32) for n in range(1, ORACLE_SIGNERS_MAX + 1))
TRIES = 12
"""How often an edge is drawn for each check; the dearest stays."""


def draw_rich(chance: random.Random, size: int) -> bytes:
    """Bytes none of which is zero: zeros are cheaper as calldata."""
    return bytes(chance.randint(1, 255) for _ in range(size))


# The state


def build_dearest_params(chance: random.Random) -> Params:
    """Five signers who must all sign, sixteen assets, sixty-four underlyings; fees that make margin harder to hold."""
    backed = [AssetTerms(COLLATERAL[i - 1], 150_001, 0x7777_7777_7777_7777, 5_000_001) for i in range(1, ASSETS_MAX)]
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
        assets=(AssetTerms(QUOTE_UNDERLYING, 0, 1, 0x11111111), *backed),
        underlyings=tuple(UnderlyingTerms(800_001, 666_001) for _ in range(UNDERLYINGS_MAX)),
    )


def build_dearest_account(chance: random.Random, owner: bytes, sign: int) -> Account:
    """Every key, the user's last; every collateral; a position in each of eight underlyings."""
    keys = [SessionKey(draw_rich(chance, 32), 255, NEVER) for _ in range(KEYS_MAX - 1)]
    return Account(
        owner=owner,
        sequence=0x1111_1111,
        epoch=0x11111111,
        cash=int.from_bytes(draw_rich(chance, 14)) >> 1,
        keys=(*keys, SessionKey(USER.verify_key.encode(), 255, NEVER)),
        collateral=tuple((asset, int.from_bytes(draw_rich(chance, 12)) >> 1) for asset in range(1, ASSETS_MAX)),
        positions=tuple((perpetual(u), sign * QUANTITY * chance.choice((1, -1))) for u in HELD),
    )


def build_dearest_order(chance: random.Random, *, is_sell: bool, price: int) -> Order:
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
        legs=((perpetual(HELD[-1]), 1),),
    )


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
    leaves = {GLOBALS_KEY: globals_.encode(), leaf_key(Collection.PARAMS, 0): build_dearest_params(chance).encode()}
    for index in range(UNDERLYINGS_MAX):
        mark = int.from_bytes(draw_rich(chance, 5))
        quote = Underlying(
            symbol=draw_rich(chance, 8),
            oracle_time=TIME - 10,
            spot=mark,
            mark=mark,
            funding_index=-int.from_bytes(draw_rich(chance, 6)),
            index_time=TIME - 100,
            premium=-int.from_bytes(draw_rich(chance, 4)),
            open_interest=int.from_bytes(draw_rich(chance, 6)),
        )
        leaves[underlying_key(index)] = quote.encode()
    books = Asset(1 << 95, *(int.from_bytes(draw_rich(chance, 12)) for _ in range(3)))
    leaves |= {leaf_key(Collection.ASSETS, index): books.encode() for index in range(ASSETS_MAX)}
    price = Ledger(leaves).require_underlying(HELD[-1]).mark
    for account, sign in ((A, 1), (B, -1)):
        leaves[account_key(account)] = build_dearest_account(chance, draw_rich(chance, 20), sign).encode()
        order = build_dearest_order(chance, is_sell=account == B, price=price)
        leaves[order_key(account, SLOT)] = order.encode()
    fill_paths(leaves, chance)
    return leaves


def fill_paths(leaves: dict[LeafKey, bytes], chance: random.Random) -> None:
    """Put a leaf into every empty subtree beside the path of an account, of an order and of the next withdrawal."""
    bystanders = {
        Collection.ACCOUNTS: Account(draw_rich(chance, 20), cash=1).encode(),
        Collection.ORDERS: Order(counter=1).encode(),
        Collection.OUTBOX: Withdrawal(draw_rich(chance, 20), 1, 1, 1).encode(),
    }
    outbox = leaf_key(Collection.OUTBOX, OUTBOX_INDEX)
    for path in (account_key(A), account_key(B), account_key(NEW), order_key(A, SLOT), order_key(B, SLOT), outbox):
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
    ]
    return [Message(kind, account.owner, TIME, number, payload).encode() for kind, number, payload in rows]


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

    def sign(self, op: OrderOp | Cancel | Transfer | Withdraw) -> OrderOp | Cancel | Transfer | Withdraw:
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
        }
        for scene in (scene for listed in scenes.values() for scene in listed):
            lay_out(scene)
            assert isinstance(judge(scene), Valid), scene.op[0]
        return scenes

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
        bare = Oracle(POSITION, UNDERLYINGS_MAX - 1, TIME - 1, 0x1111_1111, 0x1111_1122, 31, ())
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


# The bends


def bend_globals(**changes: int | bytes) -> Edge:
    """Bend the globals alone: where the header may not be."""
    return lambda scene, chance: scene.bend_globals(**changes)


def overrun(scene: Scene, chance: random.Random) -> None:
    """As long an op as may be, of the same kind in name only."""
    scene.op = scene.op[:1] + draw_rich(chance, OP_BYTES_MAX - 1)


def overrun_unknown(scene: Scene, chance: random.Random) -> None:
    """As long an op as may be, of no kind."""
    scene.op = b"\xff" + draw_rich(chance, OP_BYTES_MAX - 1)


def bend_next_position(scene: Scene, chance: random.Random) -> None:
    """The position is taken."""
    scene.bend_globals(next_position=POSITION + 1)


def forge_signature(scene: Scene, chance: random.Random) -> None:
    """R of another signature by the same key, any S: two good points and a wrong equation, the most there is to judge."""
    other = USER.sign(chance.randbytes(32)).signature[:32]
    s = chance.getrandbits(252).to_bytes(32, "little")
    scene.bend_op(signature=other + s)


def pass_header(scene: Scene, chance: random.Random) -> None:
    """The message after the last that the header claims."""
    index = scene.context.header.inbox_cursor
    scene.bend_op(index=index)
    scene.bend_globals(inbox_cursor=index)


def impoverish(scene: Scene, chance: random.Random) -> None:
    """Owns what it sends away, and then nothing that would cover its positions."""
    op, params, now = scene.decoded, scene.ledger.get_params(), scene.ledger.get_globals().time
    account = scene.account(op.account)
    quotes = read_quotes(scene.ledger, account, params)
    bare = replace(account, cash=0, collateral=())
    worth = compute_account_margin(bare, quotes, now, params).quote_equity
    scene.bend_account(op.account, cash=op.amount - worth)


def overspend(scene: Scene, chance: random.Random) -> None:
    """Not enough of it."""
    op = scene.decoded
    if op.asset == 0:
        scene.bend_account(op.account, cash=-(1 << 111))
    else:
        *others, (asset, _) = scene.account(op.account).collateral
        scene.bend_account(op.account, collateral=(*others, (asset, op.amount - 1)))


def ruin(side: Side) -> Edge:
    """A side far under its margin closes half of its position, and the fee eats more than that frees."""

    def bend(scene: Scene, chance: random.Random) -> None:
        fill = scene.decoded
        account = side.slot(fill).account
        scene.bend_account(account, cash=-(1 << 111))
        hold(scene, account, perpetual(HELD[-1]), -side.sign * 2 * fill.quantity)

    return bend


def expire(scene: Scene, chance: random.Random) -> None:
    """Its last second has passed."""
    scene.bend_op(terms=replace(scene.decoded.terms, valid_until=TIME - 1))


def leave_band(scene: Scene, chance: random.Random) -> None:
    """The mark moves away, and the band is narrow."""
    scene.bend_params(band_ppm=1)
    scene.bend_underlying(HELD[-1], mark=scene.decoded.price * 2)


OWN_BENDS: dict[Code, Edge] = {
    **{code: overrun for code in Code if code % 100 == 0},
    **{code: bend_next_position for code in Code if code.name.endswith("_POSITION_MUST_INCREASE")},
    **{code: forge_signature for code in Code if code.name.endswith("_SIGNATURE_MUST_VERIFY")},
    **{code: overspend for code in Code if code.name.endswith("_BALANCE_MUST_COVER")},
    Code.KIND_MUST_BE_KNOWN: overrun_unknown,
    Code.OPEN_BATCH_MUST_BE_NEXT: bend_globals(batch=0x1111_1111_1111_1111),
    Code.OPEN_GENERATION_MUST_NOT_FALL: bend_globals(generation=0x11111111),
    Code.OPEN_TIME_MUST_MATCH: bend_globals(time=TIME - 1),
    Code.OPEN_POSITION_MUST_MATCH: bend_globals(generation=1, next_position=0x1111_1111_1111_1111),
    Code.CLOSE_CURSOR_MUST_MATCH: bend_globals(inbox_cursor=0x1111_1111_1111_1111),
    Code.CLOSE_INBOX_HASH_MUST_MATCH: bend_globals(inbox_hash=b"\x11" * 32),
    Code.CLOSE_TIME_MUST_MATCH: bend_globals(time=TIME - 1),
    Code.CLOSE_POSITION_MUST_MATCH: bend_globals(next_position=0x1111_1111_1111_1111),
    Code.TICK_TIME_MUST_ADVANCE: bend_globals(time=TIME),
    Code.TICK_TIME_MUST_NOT_PASS_HEADER: lambda scene, chance: scene.bend_op(time=NEVER),
    Code.L1_INDEX_MUST_BE_CURSOR: bend_globals(inbox_cursor=0x1111_1111_1111_1111),
    Code.L1_INDEX_MUST_NOT_PASS_HEADER: pass_header,
    Code.ORDER_MUST_NOT_BE_EXPIRED: expire,
    Code.FILL_PRICE_MUST_BE_IN_BAND: leave_band,
    Code.FILL_BUYER_MARGIN_MUST_HOLD: ruin(BUYER),
    Code.FILL_SELLER_MARGIN_MUST_HOLD: ruin(SELLER),
    Code.TRANSFER_MARGIN_MUST_HOLD: impoverish,
    Code.WITHDRAW_MARGIN_MUST_HOLD: impoverish,
}


def may_be_posted(scene: Scene, before: Header) -> bool:
    """Whether the rollup would take the bent header: it looks at everything but the log hash and the oracle time."""
    header = scene.context.header
    return replace(header, oracle_time=before.oracle_time, step_count=before.step_count) == before


# The rows


@dataclass(frozen=True, slots=True)
class Row:
    """A dearest step: what was posted, what convicts it, and what the in-process EVM asks for the conviction."""

    kind: str
    ground: Ground
    batch: BatchData
    proof: bytes
    gas: int
    calldata_bytes: int
    scene: Scene | None

    @property
    def name(self) -> str:
        """As the table has it."""
        return f"{self.kind} {self.ground.kind.name}"


def bind_gas(gas_used: int, calldata_bytes: int) -> int:
    """What a proof costs where every byte of calldata costs at least 64."""
    return max(gas_used, 21_000 + 64 * calldata_bytes)


def draw_bent(stage: Stage, code: Code, scenes: list[Scene], chance: random.Random) -> Iterator[Scene]:
    """Scenes in which this check is the first that fails, under headers that the rollup takes."""
    bend: Callable[[Scene, random.Random], None] = OWN_BENDS.get(code, EDGES[code])
    for _ in range(TRIES):
        for valid in scenes:
            scene = Scene(valid.context, valid.leaves, valid.op)
            bend(scene, chance)
            if not may_be_posted(scene, valid.context.header):
                continue
            lay_out(scene)
            if judge(scene) == Invalid(code):
                yield scene


def weigh(stage: Stage, scene: Scene, ground: Ground, chance: random.Random) -> Row:
    """The scene as a row. Fails the test when the ground does not convict."""
    with overlay(stage.state, scene):
        case = enclose_dearest(stage.state, scene, chance)
        proof = case.encode(ground, case.build_witness(ground))
    outcome = stage.tribunal.prove(case.batch.batch_hash, proof)
    assert outcome.reason is None, f"{ground} of {scene.op.hex()}: {outcome.reason}"
    kind = Kind(scene.op[0]).name.lower() if scene.op[0] in list(Kind) else "unknown kind"
    calldata_bytes = len(outcome.calldata)
    gas = bind_gas(outcome.gas_used, calldata_bytes)
    return Row(kind, ground, case.batch, proof, gas, calldata_bytes, scene)


def weigh_malformed(stage: Stage, chance: random.Random) -> Row:
    """The longest frame, of the shortest steps, that breaks off at its very end."""
    scene = stage.set_scene(b"\x11")
    case = enclose_dearest(stage.state, scene, chance)
    frames = list(case.batch.frames)
    frame = frames[case.frame_number]
    frames[case.frame_number] = frame[:36] + (int.from_bytes(frame[36:38]) + 1).to_bytes(2) + frame[38:]
    frames[-1] = frames[-1][:32] + (int.from_bytes(frames[-1][32:36]) + 1).to_bytes(4) + frames[-1][36:]
    scene.bend_header(step_count=scene.context.header.step_count + 1)
    batch = BatchData(scene.context.header.encode(), tuple(frames))
    proof = Proof(batch, case.frame_number, 0, MALFORMED, Witness(())).encode()
    outcome = stage.tribunal.prove(batch.batch_hash, proof)
    assert outcome.reason is None, outcome.reason
    gas = bind_gas(outcome.gas_used, len(outcome.calldata))
    return Row("frame", MALFORMED, batch, proof, gas, len(outcome.calldata), None)


def list_codes(kind: int) -> list[Code]:
    """Of a kind's checks; 0 stands for no kind."""
    return [code for code in Code if code // 100 == kind]


def find_rows(stage: Stage, chance: random.Random) -> dict[str, list[Row]]:
    """Every check and every effect at its dearest, by row of the table, the dearest first."""
    valid = stage.list_valid()
    rows: dict[str, list[Row]] = {"frame MALFORMED": [weigh_malformed(stage, chance)]}
    for kind, scenes in ((0, valid[Kind.TICK]), *valid.items()):
        for code in list_codes(kind):
            weighed = [weigh(stage, one, check_ground(code), chance) for one in draw_bent(stage, code, scenes, chance)]
            assert weighed, f"no real step fails {code.name} first"
            dearest = max(weighed, key=lambda row: row.gas)
            rows.setdefault(dearest.name, []).append(dearest)
        if kind:
            effects = [weigh(stage, Scene(one.context, one.leaves, one.op), EFFECT, chance) for one in scenes]
            rows[effects[0].name] = [max(effects, key=lambda row: row.gas)]
    return {name: sorted(listed, key=lambda row: -row.gas) for name, listed in rows.items()}


def open_stage(chance: random.Random) -> Stage:
    """The dearest state before the contracts in the in-process EVM."""
    tribunal = Tribunal(ASSETS_MAX)
    return Stage(tribunal, tribunal.genesis.batch_hash, chance)
