"""Attacks on the budget of a proof: a liar builds the largest accounts in the fullest tree, so that no proof fits."""

import random
from dataclasses import replace

import pytest
from coincurve import PrivateKey
from nacl.signing import SigningKey

from fraud_proofs.challenger import Proof
from fraud_proofs.grounds import EFFECT, Ground, check_ground
from fraud_proofs.witness import build_witness
from state.batches import FRAME_BYTES_MAX, FRAMES_MAX, BatchData
from state.codes import Code
from state.constants import ASSETS_MAX, KEYS_MAX, NEVER, PRICE_MAX, QUANTITY_MAX
from state.context import StepContext, draft_header
from state.leaves import (
    FLAG_REDUCE_ONLY,
    FLAG_SELL,
    QUOTE_UNDERLYING,
    Account,
    Asset,
    AssetTerms,
    Globals,
    Order,
    SessionKey,
    Underlying,
    UnderlyingTerms,
    perpetual,
)
from state.operations import (
    L1,
    Close,
    Fill,
    Operation,
    Oracle,
    OracleSignature,
    OrderOp,
    OrderTerms,
    Transfer,
    Withdraw,
    hash_digest,
    hash_domain,
)
from state.process_inbox import Message, MessageType, encode_amount
from state.tree import (
    GLOBALS_KEY,
    Collection,
    LeafKey,
    account_key,
    build_tree,
    get_collection,
    get_depth,
    leaf_key,
    order_key,
    underlying_key,
)
from tests.contracts.court import Court
from tests.evm import Outcome
from tests.world import CHAIN_ID, GENESIS_TIME, ROLLUP, PlayedStep, build_params, get_address

GAS_MAX, BYTES_MAX = 8_400_000, 110 * 1024
AROUND_VERIFIER = 700_000
"""Gas: the frame hashes, the walk over a frame and the call of the judge (contracts/README.md), and what prove stores."""

LISTED = 64  # underlyings that a rollup may list
NOW = GENESIS_TIME + 1_000_000
BUYER, SELLER, SLOT = 0xAAAAAA, 0x555555, 0x155
KEY = SigningKey(bytes(32))
SIGNERS = tuple(PrivateKey(bytes([n + 1]) * 32) for n in range(5))
DOMAIN = hash_domain(CHAIN_ID, ROLLUP)
TRADED = 40
PRICE = PRICE_MAX // 2


def build_account(sign: int) -> Account:
    """Every key, every collateral, and as many positions as there may be, each of another underlying."""
    return Account(
        owner=bytes(range(20)),
        sequence=NEVER - 1,
        epoch=2**32 - 1,
        cash=2**111,
        keys=tuple(SessionKey(bytes([n]) * 32, 7, NEVER) for n in range(KEYS_MAX - 1))
        + (SessionKey(KEY.verify_key.encode(), 7, NEVER),),
        collateral=tuple((asset, 2**95) for asset in range(1, ASSETS_MAX)),
        positions=tuple((perpetual(LISTED - 1 - 23 + 3 * n), sign * (QUANTITY_MAX // 2)) for n in range(7)),
    )


def build_state() -> dict[LeafKey, bytes]:
    """All collections in use, and beside every leaf that matters a neighbour at every level of its path."""
    params = build_params(
        oracle_threshold=5,
        oracle_signers=tuple(get_address(key) for key in SIGNERS),
        assets=(AssetTerms(QUOTE_UNDERLYING, 0, 1, 1), *(AssetTerms(n, 1, 3, 1) for n in range(1, ASSETS_MAX))),
        underlyings=(UnderlyingTerms(100_001, 60_000),) * LISTED,
    )
    now = Globals(NOW, 1, 1, 5, bytes(32), 0, bytes(32), 0x55555555, 2**24 - 1, LISTED, ASSETS_MAX, 0, 0)
    order = Order(1, 1, 1, 2**32 - 1, NEVER, FLAG_REDUCE_ONLY, PRICE, QUANTITY_MAX, 10**6, 0, ((perpetual(TRADED), 1),))
    leaves = {
        GLOBALS_KEY: now.encode(),
        leaf_key(Collection.PARAMS, 0): params.encode(),
        account_key(BUYER): build_account(-1).encode(),
        account_key(SELLER): build_account(1).encode(),
        order_key(BUYER, SLOT): order.encode(),
        order_key(SELLER, SLOT): replace(order, flags=FLAG_SELL | FLAG_REDUCE_ONLY).encode(),
        leaf_key(Collection.EXPIRIES, 5): b"neighbour",
        leaf_key(Collection.OUTBOX, 0x55555554): b"neighbour",
    }
    quote = Underlying(b"symbol", NOW - 5, PRICE, PRICE, -(2**54), NOW - 100_000, -(2**43) + 1, 2**60)
    leaves.update({underlying_key(n): quote.encode() for n in range(LISTED)})
    leaves.update({leaf_key(Collection.ASSETS, n): Asset(2**95, fees=2**90).encode() for n in range(ASSETS_MAX)})
    for key in (*leaves, leaf_key(Collection.OUTBOX, 0x55555555)):
        depth = get_depth(key) - 3
        for level in range(depth):
            neighbour = LeafKey(((key >> level) ^ 1) << level)
            if get_collection(neighbour) == get_collection(key):
                leaves.setdefault(neighbour, b"neighbour")
    return leaves


LEAVES = build_state()
TREE = build_tree(LEAVES.items())


def sign(op: OrderOp | Transfer | Withdraw) -> OrderOp | Transfer | Withdraw:
    return replace(op, signature=KEY.sign(hash_digest(DOMAIN, op)).signature)


def sign_reading() -> Oracle:
    bare = Oracle(9, TRADED, NOW, PRICE, PRICE, 31, ())
    digest = hash_digest(DOMAIN, bare)
    signed = [key.sign_recoverable(digest, hasher=None) for key in SIGNERS]
    return replace(bare, signatures=tuple(OracleSignature(s[:32], s[32:64], s[64] + 27) for s in signed))


TERMS = OrderTerms(BUYER, SLOT, 9, 1, 2**32 - 1, NEVER, 0, PRICE, 7, 10**6, 0, ((perpetual(TRADED), 1),))
OPS: dict[str, Operation] = {
    "order": sign(OrderOp(9, 9, TERMS, KEYS_MAX - 1, bytes(64))),
    "oracle": sign_reading(),
    "fill": Fill(9, BUYER, SLOT, SELLER, SLOT, PRICE, 1000),
    "transfer": sign(Transfer(9, BUYER, NEVER, SELLER, ASSETS_MAX - 1, 1000, KEYS_MAX - 1, bytes(64))),
    "withdraw": sign(Withdraw(9, BUYER, NEVER, 0, 1000, KEYS_MAX - 1, bytes(64))),
    "close": Close(),
    "l1": L1(9, 0),
}
CASES: list[tuple[str, Ground]] = [
    *[("fill", check_ground(code)) for code in Code if 801 <= code <= 820],
    *[("transfer", check_ground(code)) for code in Code if 901 <= code <= 909],
    *[("withdraw", check_ground(code)) for code in Code if 1001 <= code <= 1008],
    *[("order", check_ground(code)) for code in Code if 601 <= code <= 611],
    *[("oracle", check_ground(code)) for code in Code if 501 <= code <= 507],
    *[("close", check_ground(code)) for code in Code if 201 <= code <= 205],
    *[(name, EFFECT) for name in OPS],
]
FORCED = Message(MessageType.FORCE_WITHDRAW, bytes(range(20)), 1, BUYER, encode_amount(ASSETS_MAX - 1, 1000))


@pytest.fixture(scope="module")
def court() -> Court:
    court = Court("verify_batch", "verify_market", "verify_fill", "verify_account")
    assert not court.inbox.send("append", FORCED.encode()).reverted
    return court


def test_every_ground_fits(court: Court) -> None:
    """Whatever the ground, against the fullest state that there can be, its proof fits gas and calldata."""
    header = replace(
        draft_header(index=1, parent=bytes(32), generation=1, pre_root=TREE.root, time_from=NOW, position_from=0),
        inbox_cursor=1,
        step_count=9,
    )
    context = StepContext(header, 4, DOMAIN, lambda index: FORCED.encode())
    frames = (random.Random(1).randbytes(FRAME_BYTES_MAX),) * FRAMES_MAX
    costs: dict[str, tuple[int, int]] = {}
    for name, ground in CASES:
        op = OPS[name].encode()
        here = context.at(8) if name == "close" else context
        witness = build_witness(LEAVES, TREE, here, op, ground)
        outcome: Outcome = court.call(
            PlayedStep(here, LEAVES, TREE.root, op, bytes(32), None), ground, witness.encode()
        )  # type: ignore[arg-type]
        assert not outcome.reverted, f"{name} {ground}: {outcome.reason}"
        proof = Proof(BatchData(header.encode(), frames), 0, 0, ground, witness).encode()
        gas = 21_000 + max(16 * len(proof) + outcome.execution_gas + AROUND_VERIFIER, 64 * len(proof))
        costs[f"{name} {ground}"] = gas, len(proof)

    for case, cost in sorted(costs.items(), key=lambda item: -item[1][0])[:12]:
        print(case, cost)
    assert max(gas for gas, _ in costs.values()) <= GAS_MAX
    assert max(size for _, size in costs.values()) + 132 <= BYTES_MAX
