"""What hypothesis draws: leaves, headers, ops and frames over the whole range of every field."""

from hypothesis import strategies as st

from state.batches import Frame, Header, Step
from state.codes import Kind
from state.constants import (
    ACCOUNTS_MAX,
    AMOUNT_MAX,
    ASSETS_MAX,
    FEE_PPM_MAX,
    KEYS_MAX,
    ORACLE_SIGNERS_MAX,
    PRICE_MAX,
    QUANTITY_MAX,
    SLOTS_PER_ACCOUNT,
    UNDERLYINGS_MAX,
)
from state.leaves import (
    Account,
    Asset,
    AssetTerms,
    Globals,
    Instrument,
    Order,
    Params,
    SessionKey,
    Underlying,
    UnderlyingTerms,
    Withdrawal,
    perpetual,
)
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
)


def unsigned(bits: int) -> st.SearchStrategy[int]:
    """Any u of this width, its ends often."""
    return st.one_of(st.integers(0, (1 << bits) - 1), st.sampled_from((0, 1, (1 << bits) - 1)))


def signed(bits: int) -> st.SearchStrategy[int]:
    """Any i of this width, its ends often."""
    end = 1 << bits - 1
    return st.one_of(st.integers(-end, end - 1), st.sampled_from((-end, -1, 0, end - 1)))


def within(low: int, high: int) -> st.SearchStrategy[int]:
    """From `low` to `high`, both often."""
    return st.one_of(st.integers(low, high), st.sampled_from((low, high)))


def raw(count: int) -> st.SearchStrategy[bytes]:
    """Exactly so many bytes."""
    return st.binary(min_size=count, max_size=count)


u8, u16, u32, u40, u64, u128 = (unsigned(bits) for bits in (8, 16, 32, 40, 64, 128))
i8, i64, i128 = (signed(bits) for bits in (8, 64, 128))

# Leaves

instruments = st.builds(Instrument, u16, u32, u8, u40)
legs = st.lists(st.tuples(instruments, i8), max_size=4).map(tuple)
globals_leaves = st.builds(Globals, u64, u64, u32, u64, raw(32), u64, raw(32), u64, u32, u16, u8, u16, u64)
accounts = st.builds(
    Account,
    owner=raw(20),
    sequence=u64,
    epoch=u32,
    tier=u8,
    cash=i128,
    keys=st.lists(st.builds(SessionKey, raw(32), u8, u64), max_size=3).map(tuple),
    collateral=st.lists(st.tuples(u16, u128), max_size=3).map(tuple),
    positions=st.lists(st.tuples(instruments, i64), max_size=3).map(tuple),
)
order_leaves = st.builds(Order, u64, u64, u32, u32, u64, u8, i64, u64, u32, u32, legs)
underlyings = st.builds(Underlying, raw(8), u64, u64, u64, i64, u64, i64, u64)
params_leaves = st.builds(
    Params,
    u8,
    st.lists(raw(20), max_size=ORACLE_SIGNERS_MAX).map(tuple),
    *[u32] * 6,
    u64,
    *[u32] * 3,
    assets=st.lists(st.builds(AssetTerms, u16, u32, u64, u64), max_size=3).map(tuple),
    underlyings=st.lists(st.builds(UnderlyingTerms, u32, u32), max_size=3).map(tuple),
)
withdrawals = st.builds(Withdrawal, raw(20), u16, u64, u32)
assets = st.builds(Asset, u128, i128, i128, i128, u128)

# Ops

_account = within(1, ACCOUNTS_MAX - 1)
_slot = within(0, SLOTS_PER_ACCOUNT - 1)
_asset = within(0, ASSETS_MAX - 1)
_amount = within(1, AMOUNT_MAX)
_price = within(1, PRICE_MAX)
_quantity = within(1, QUANTITY_MAX)
_counter = within(1, (1 << 64) - 1)
_key_index = within(0, KEYS_MAX - 1)
_underlying = within(0, UNDERLYINGS_MAX - 1)


@st.composite
def oracles(draw: st.DrawFn) -> Oracle:
    """A reading with as many signatures as its mask has bits."""
    mask = draw(st.integers(1, 31))
    signatures = tuple(OracleSignature(draw(raw(32)), draw(raw(32)), draw(u8)) for _ in range(mask.bit_count()))
    return Oracle(draw(u64), draw(_underlying), draw(u64), draw(_price), draw(_price), mask, signatures)


order_terms = st.builds(
    OrderTerms,
    account=_account,
    slot=_slot,
    counter=_counter,
    generation=u32,
    epoch=u32,
    valid_until=u64,
    flags=within(0, 7),
    price=_price,
    size=_quantity,
    max_fee_ppm=within(0, FEE_PPM_MAX),
    counterparty=within(0, ACCOUNTS_MAX - 1),
    legs=_underlying.map(lambda underlying: ((perpetual(underlying), 1),)),
)
operations_by_kind: dict[Kind, st.SearchStrategy[Operation]] = {
    Kind.OPEN: st.just(Open()),
    Kind.CLOSE: st.just(Close()),
    Kind.TICK: st.builds(Tick, u64, u64),
    Kind.L1: st.builds(L1, u64, u64),
    Kind.ORACLE: oracles(),
    Kind.ORDER: st.builds(OrderOp, u64, u64, order_terms, _key_index, raw(64)),
    Kind.CANCEL: st.builds(Cancel, u64, _account, _slot, _counter, u32, _key_index, raw(64)),
    Kind.FILL: st.builds(Fill, u64, _account, _slot, _account, _slot, _price, _quantity),
    Kind.TRANSFER: st.builds(Transfer, u64, _account, u64, _account, _asset, _amount, _key_index, raw(64)),
    Kind.WITHDRAW: st.builds(Withdraw, u64, _account, u64, _asset, _amount, _key_index, raw(64)),
}
operations = st.one_of(*operations_by_kind.values())

# Batches

headers = st.builds(
    Header, u16, u8, u8, u64, raw(32), u32, raw(32), raw(32), u32, u64, raw(32), u64, u64, u64, u64, raw(32), u64
)
steps = st.builds(Step, st.one_of(operations.map(lambda op: op.encode()), st.binary(min_size=1, max_size=40)), raw(32))
frames = st.builds(Frame, raw(32), u32, st.lists(steps, min_size=1, max_size=4).map(tuple))
