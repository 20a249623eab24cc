"""What hypothesis draws: leaves, headers, ops and frames over the whole range of every field."""

from math import gcd

from hypothesis import strategies as st

from state.batches import Frame, Header, Step
from state.codes import Kind, MessageCode
from state.constants import (
    ACCOUNTS_MAX,
    AMOUNT_MAX,
    ASSETS_MAX,
    BASKET_MAX,
    EXPIRY_SECOND_OF_DAY,
    EXPIRY_STEP,
    FEE_PPM_MAX,
    KEYS_MAX,
    LEGS_MAX,
    ORACLE_SIGNERS_MAX,
    PPM,
    PRICE_MAX,
    QUANTITY_MAX,
    RATIO_MAX,
    SLOTS_PER_ACCOUNT,
    UNDERLYINGS_MAX,
)
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
    future,
    perpetual,
    put,
)
from state.operations import (
    BID_CODES,
    BID_CODES_BEFORE_DEAL,
    BID_CODES_WITHOUT_CLAIMS,
    L1,
    NO_ACTIVE,
    Bid,
    Cancel,
    Close,
    Deleverage,
    Fill,
    Index,
    Interest,
    Liquidate,
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

instruments = st.builds(Instrument, u16, u32, u40, u8)
legs = st.lists(st.tuples(instruments, i8), max_size=4).map(tuple)
globals_leaves = st.builds(Globals, u64, u64, u32, u64, raw(32), u64, raw(32), u64, u32, u16, u8, u16, u64)
accounts = st.builds(
    Account,
    owner=raw(20),
    sequence=u64,
    epoch=u32,
    tier=u8,
    liquidation_from=u64,
    close_from=u64,
    interest_from=u64,
    cash=i128,
    keys=st.lists(st.builds(SessionKey, raw(32), u8, u64), max_size=3).map(tuple),
    collateral=st.lists(st.tuples(u16, u128), max_size=3).map(tuple),
    positions=st.lists(st.tuples(instruments, i64), max_size=3).map(tuple),
)
order_leaves = st.builds(Order, u64, u64, u32, u32, u64, u8, i64, u64, u32, u32, legs)
baskets = st.lists(st.tuples(u8, u32), max_size=BASKET_MAX).map(tuple)
underlyings = st.builds(
    Underlying, raw(8), u64, u64, u64, u32, u32, u32, i64, u64, i64, u64, u64, st.one_of(st.just(()), baskets)
)
expiries = st.builds(Expiry, u64, u64, *[i64] * 6, u32, u128, u128, u64)
params_leaves = st.builds(
    Params,
    u8,
    st.lists(raw(20), max_size=ORACLE_SIGNERS_MAX).map(tuple),
    *[u32] * 9,
    u64,
    *[u32] * 6,
    u64,
    u16,
    u32,
    u64,
    assets=st.lists(st.builds(AssetTerms, u16, u32, u32, u32, u64, u64), max_size=3).map(tuple),
    underlyings=st.lists(st.builds(UnderlyingTerms, u32, u64), max_size=3).map(tuple),
)
withdrawals = st.builds(Withdrawal, raw(20), u16, u64, u32)
assets = st.builds(Asset, u128, i128, i128, i128, u128)

# Ops

_CODES_OF_DEALS = [code for code in BID_CODES if code not in (*BID_CODES_BEFORE_DEAL, MessageCode.BID_BIDDER_SHORT)]
_active = st.just(NO_ACTIVE) | raw(8)
_account = within(1, ACCOUNTS_MAX - 1)
_slot = within(0, SLOTS_PER_ACCOUNT - 1)
_asset = within(0, ASSETS_MAX - 1)
_amount = within(1, AMOUNT_MAX)
_price = within(1, PRICE_MAX - 1)
_net_price = within(1 - PRICE_MAX, PRICE_MAX - 1)
_ppm = within(0, PPM)
_quantity = within(1, QUANTITY_MAX)
_counter = within(1, (1 << 64) - 1)
_key_index = within(0, KEYS_MAX - 1)
_underlying = within(0, UNDERLYINGS_MAX - 1)


_day = within(0, (1 << 32) // EXPIRY_STEP - 1)
expiry_times = _day.map(lambda day: day * EXPIRY_STEP + EXPIRY_SECOND_OF_DAY)
strikes = st.builds(lambda digits, zeros: digits * 10**zeros, within(1, 999), within(0, 9))


def list_instruments(underlying: int) -> st.SearchStrategy[Instrument]:
    """Anything that could be listed on an underlying."""
    own = st.just(underlying)
    return st.one_of(
        own.map(perpetual),
        st.builds(future, own, expiry_times),
        st.builds(put, own, expiry_times, strikes),
        st.builds(call, own, expiry_times, strikes),
    )


@st.composite
def signatures_of_mask(draw: st.DrawFn) -> tuple[int, tuple[OracleSignature, ...]]:
    """A mask, and as many signatures as it has bits."""
    mask = draw(st.integers(1, 31))
    return mask, tuple(OracleSignature(draw(raw(32)), draw(raw(32)), draw(u8)) for _ in range(mask.bit_count()))


@st.composite
def oracles(draw: st.DrawFn) -> Oracle:
    """A reading of an underlying."""
    prices = (draw(_price), draw(_price), draw(_ppm), draw(_ppm), draw(within(1, 20 * PPM)))
    return Oracle(*(draw(u64), draw(_underlying), draw(u64), *prices, *draw(signatures_of_mask())))


@st.composite
def surfaces(draw: st.DrawFn) -> Surface:
    """A reading of an expiry."""
    expiry = draw(expiry_times)
    shape = (
        draw(within(-(1 << 38), 1 << 38)),
        draw(within(1 - (1 << 46), (1 << 46) - 1)),
        draw(within(0, (1 << 42) - 1)),
        draw(within(1 - (1 << 38), (1 << 38) - 1)),
        draw(within(1 - (1 << 46), (1 << 46) - 1)),
        draw(within(1, (1 << 46) - 1)),
    )
    where = (draw(u64), draw(_underlying), expiry, draw(within(0, expiry)), draw(within(0, (1 << 112) - 1)))
    return Surface(*(*where, draw(_price), *shape, draw(_ppm), *draw(signatures_of_mask())))


@st.composite
def order_legs(draw: st.DrawFn) -> tuple[tuple[Instrument, int], ...]:
    """One leg, or up to LEGS_MAX in order, the first bought, in lowest terms."""
    traded = st.lists(list_instruments(draw(_underlying)), min_size=1, max_size=LEGS_MAX, unique=True)
    instruments = sorted(draw(traded))
    if len(instruments) == 1:
        return ((instruments[0], 1),)
    ratio = within(-RATIO_MAX, RATIO_MAX).filter(bool)
    ratios = [draw(within(1, RATIO_MAX)), *(draw(ratio) for _ in instruments[1:])]
    divisor = gcd(*ratios)
    return tuple((one, ratio // divisor) for one, ratio in zip(instruments, ratios, strict=True))


@st.composite
def orders(draw: st.DrawFn) -> OrderTerms:
    """Any terms that a user may sign."""
    legs = draw(order_legs())
    return OrderTerms(
        account=draw(_account),
        slot=draw(_slot),
        counter=draw(_counter),
        generation=draw(u32),
        epoch=draw(u32),
        valid_until=draw(u64),
        flags=draw(within(0, 7)),
        price=draw(_price if len(legs) == 1 else _net_price),
        size=draw(_quantity),
        max_fee_ppm=draw(within(0, FEE_PPM_MAX)),
        counterparty=draw(within(0, ACCOUNTS_MAX - 1)),
        legs=legs,
    )


order_terms = orders()
operations_by_kind: dict[Kind, st.SearchStrategy[Operation]] = {
    Kind.OPEN: st.just(Open()),
    Kind.CLOSE: st.just(Close()),
    Kind.TICK: st.builds(Tick, u64, u64),
    Kind.L1: st.builds(L1, u64, u64, st.none() | raw(8)),
    Kind.ORACLE: oracles(),
    Kind.ORDER: st.builds(OrderOp, u64, u64, order_terms, _key_index, raw(64)),
    Kind.CANCEL: st.builds(Cancel, u64, _account, _slot, _counter, u32, _key_index, raw(64)),
    Kind.FILL: st.builds(Fill, u64, _account, _slot, _account, _slot, _net_price, _quantity, _active, _active),
    Kind.TRANSFER: st.builds(Transfer, u64, _account, u64, _account, _asset, _amount, _key_index, raw(64)),
    Kind.WITHDRAW: st.builds(Withdraw, u64, _account, u64, _asset, _amount, _key_index, raw(64)),
    Kind.SURFACE: surfaces(),
    Kind.INDEX: st.builds(Index, u64, _underlying),
    Kind.SETTLE: st.builds(Settle, u64, _account),
    Kind.LIQUIDATE: st.builds(Liquidate, u64, _account, i128, i128, i128, _active),
    Kind.TAKE: st.builds(
        Take,
        *(u64, i128, i128, i128, u128, _account, u64, _account, within(1, PPM), u64, u64, _key_index, raw(64)),
        *(_active, _active),
    ),
    Kind.DELEVERAGE: st.builds(
        Deleverage,
        *(u64, _account, _account, _underlying.flatmap(list_instruments), _quantity, i128, i128, u128),
        *(within(0, PRICE_MAX - 1), _active),
    ),
    Kind.BID: st.one_of(
        st.builds(Bid, u64, u64, st.sampled_from(BID_CODES_WITHOUT_CLAIMS), *[st.just(0)] * 4),
        st.builds(
            Bid, u64, u64, st.just(MessageCode.BID_SLICE_UNHEDGES), i128, i128, i128, st.just(0), _active, _active
        ),
        st.builds(Bid, u64, u64, st.sampled_from(_CODES_OF_DEALS), i128, i128, i128, u128, _active, _active),
        st.builds(
            Bid, u64, u64, st.just(MessageCode.BID_BIDDER_SHORT), i128, i128, i128, u128, _active, _active, _active
        ),
    ),
    Kind.RELAY: st.builds(Relay, u64, u64),
    Kind.INTEREST: st.builds(Interest, u64, _account, i128),
}
operations = st.one_of(*operations_by_kind.values())

# Batches

headers = st.builds(
    Header, u16, u8, u8, u64, raw(32), u32, raw(32), raw(32), u32, u64, raw(32), u64, u64, u64, u64, raw(32), u64
)
steps = st.builds(Step, st.one_of(operations.map(lambda op: op.encode()), st.binary(min_size=1, max_size=40)), raw(32))
frames = st.builds(Frame, raw(32), u32, st.lists(steps, min_size=1, max_size=4).map(tuple))
