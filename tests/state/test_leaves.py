"""state/leaves.py: every leaf's bytes give the leaf back, and no other bytes pass for one."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from state.constants import ACCOUNT_UNDERLYINGS_MAX, ASSETS_MAX, KEYS_MAX, LEGS_MAX, POSITIONS_MAX, UNDERLYINGS_MAX
from state.leaves import (
    Account,
    Asset,
    AssetTerms,
    LeafError,
    Order,
    SessionKey,
    UnderlyingTerms,
    decode_account,
    decode_asset,
    decode_expiry,
    decode_globals,
    decode_instrument,
    decode_order,
    decode_params,
    decode_underlying,
    decode_withdrawal,
    perpetual,
    read_epoch,
    read_key,
)
from tests import strategies
from tests.world import build_params

Decoder = Callable[[bytes], Any]

KINDS: dict[str, tuple[st.SearchStrategy[Any], Decoder]] = {
    "globals": (strategies.globals_leaves, decode_globals),
    "account": (strategies.accounts, decode_account),
    "order": (strategies.order_leaves, decode_order),
    "underlying": (strategies.underlyings, decode_underlying),
    "expiry": (strategies.expiries, decode_expiry),
    "params": (strategies.params_leaves, decode_params),
    "outbox": (strategies.withdrawals, decode_withdrawal),
    "asset": (strategies.assets, decode_asset),
}
kinds = pytest.mark.parametrize("kind", KINDS)


@kinds
@given(data=st.data())
def test_round_trip(kind: str, data: st.DataObject) -> None:
    """A leaf is its bytes: encoding and decoding lose nothing, whatever the fields hold."""
    strategy, decode = KINDS[kind]
    leaf = data.draw(strategy)
    assert decode(leaf.encode()) == leaf


@kinds
def test_empty_bytes_are_no_leaf(kind: str) -> None:
    """Nothing stands where nothing was written."""
    assert KINDS[kind][1](b"") is None


@kinds
@given(data=st.data())
def test_other_lengths_are_refused(kind: str, data: st.DataObject) -> None:
    """One byte more or less than a leaf has is a broken invariant, not a leaf."""
    strategy, decode = KINDS[kind]
    encoded = data.draw(strategy).encode()
    for wrong in (encoded[:-1], encoded + b"\0", encoded[:1]):
        with pytest.raises(LeafError):
            decode(wrong)


@kinds
@given(st.data())
def test_decoding_is_canonical(kind: str, data: st.DataObject) -> None:
    """Whatever decodes encodes to the same bytes, but for what stands behind the last signer or component."""
    strategy, decode = KINDS[kind]
    encoded = bytearray(data.draw(strategy).encode())
    encoded[data.draw(st.integers(0, len(encoded) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        leaf = decode(bytes(encoded))
    except LeafError:
        return
    if kind in ("params", "underlying"):
        leaf = decode(leaf.encode())
    assert decode(leaf.encode()) == leaf
    assert kind in ("params", "underlying") or leaf.encode() == encoded


@given(strategies.instruments, strategies.instruments)
def test_instruments_order_as_their_bytes(one: object, other: object) -> None:
    """Sorting instruments sorts their ids, so that Python and the contract keep positions in one order."""
    assert (one < other) == (one.encode() < other.encode())  # type: ignore[operator, attr-defined]
    assert decode_instrument(one.encode()) == one  # type: ignore[attr-defined]


def test_an_account_tells_what_it_holds() -> None:
    """Positions and collateral are found by name, and what is not held is 0."""
    account = Account(bytes(20), collateral=((1, 7),), positions=((perpetual(2), -5), (perpetual(3), 9)))
    assert [account.get_position(perpetual(u)) for u in (1, 2, 3)] == [0, -5, 9]
    assert [account.get_collateral(asset) for asset in (1, 2)] == [7, 0]


@given(strategies.accounts)
def test_keys_and_epoch_are_read_off_the_bytes(account: Account) -> None:
    """Without decoding the rest, and none beyond the last."""
    data = account.encode()
    assert read_epoch(data) == account.epoch
    assert tuple(read_key(data, index) for index in range(len(account.keys))) == account.keys
    assert read_key(data, len(account.keys)) is None
    assert read_key(b"", 0) is None


def test_an_order_knows_its_side() -> None:
    """The lowest flag sells."""
    assert not Order(1, flags=6).is_sell
    assert Order(1, flags=7).is_sell


def test_no_leaf_can_be_read_as_a_node() -> None:
    """A node is hashed from 64 bytes, a leaf from its own after one more: no leaf of any counts has 63."""
    keys = [(SessionKey(bytes(32), 1, 1),) * count for count in range(KEYS_MAX + 1)]
    collateral = [((1, 1),) * count for count in range(ASSETS_MAX)]
    positions = [((perpetual(0), 1),) * count for count in range(POSITIONS_MAX + 2)]
    accounts = {len(Account(bytes(20), keys=k, collateral=c).encode()) for k in keys for c in collateral}
    lengths = {length + 20 * len(held) for length in accounts for held in positions}
    lengths |= {len(Order(1, legs=((perpetual(0), 1),) * count).encode()) for count in range(LEGS_MAX + 1)}
    assets = [(AssetTerms(0, 0, 0, 0, 1, 1),) * count for count in range(ASSETS_MAX + 1)]
    underlyings = [(UnderlyingTerms(1, 1),) * count for count in range(UNDERLYINGS_MAX + 1)]
    params = {len(build_params(assets=a, underlyings=()).encode()) for a in assets}
    lengths |= {length + 8 * len(terms) for length in params for terms in underlyings}
    lengths |= {125, 64, 34, len(Asset().encode())}
    assert 63 not in lengths
    assert ACCOUNT_UNDERLYINGS_MAX <= POSITIONS_MAX
