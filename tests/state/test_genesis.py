"""state/genesis.py: the first state from the bytes that L1 keeps."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from state.constants import NEVER
from state.genesis import Genesis, decode_genesis
from state.leaves import AssetTerms, LeafError, UnderlyingTerms, decode_asset, decode_globals, decode_underlying
from state.tree import GLOBALS_KEY, Collection, build_tree, get_collection, get_index, leaf_key, underlying_key
from tests.world import GENESIS_TIME, SYMBOLS, World, build_params

GENESIS = Genesis(build_params(), SYMBOLS, GENESIS_TIME)
QUOTE = AssetTerms(0xFFFF, 0, 1, 0)


def test_genesis_is_its_bytes() -> None:
    """What L1 logs gives the genesis back, symbols padded to eight bytes."""
    decoded = decode_genesis(GENESIS.encode())
    assert decoded.encode() == GENESIS.encode()
    assert decoded.symbols == tuple(symbol.ljust(8, b"\0") for symbol in SYMBOLS)
    assert (decoded.params, decoded.time) == (GENESIS.params, GENESIS.time)
    assert decoded.batch_hash == hashlib.sha256(GENESIS.encode()).digest()
    assert decoded.build_leaves() == GENESIS.build_leaves()


@given(st.data())
def test_other_bytes_are_refused(data: st.DataObject) -> None:
    """Bytes lost or added anywhere are no genesis; other bytes are another genesis, or none."""
    encoded = GENESIS.encode()
    at = data.draw(st.integers(0, len(encoded) - 1))
    for wrong in (encoded[:at], encoded + b"\0", b""):
        with pytest.raises(LeafError):
            decode_genesis(wrong)
    changed = encoded[:at] + bytes([encoded[at] ^ 1 << data.draw(st.integers(0, 7))]) + encoded[at + 1 :]
    try:
        assert decode_genesis(changed).encode() == changed
    except LeafError:
        return


@pytest.mark.parametrize(
    "changes",
    [
        {"funding_period": 0},
        {"oracle_threshold": 0},
        {"oracle_threshold": 4},
        {"oracle_signers": ()},
        {"assets": ()},
        {"assets": (QUOTE._replace(underlying=0),)},
        {"assets": (QUOTE._replace(units_per_lot=2),)},
        {"assets": (QUOTE, AssetTerms(1, 0, 0, 0))},
        {"assets": (QUOTE, AssetTerms(4, 0, 1, 0))},
        {"assets": (QUOTE, AssetTerms(1, 1_000_001, 1, 0))},
        {"assets": (QUOTE,) * 17},
        {"underlyings": (UnderlyingTerms(1, 1),) * 3},
    ],
)
def test_parameters_without_meaning_are_refused(changes: dict[str, object]) -> None:
    """Where a rule would divide by zero or name what is not there, there is no chain to begin."""
    with pytest.raises(LeafError):
        decode_genesis(Genesis(build_params(**changes), SYMBOLS, GENESIS_TIME).encode())


def test_the_first_state() -> None:
    """Globals, one version of parameters, every asset and underlying, and nobody; cancel-only until the first tick."""
    leaves = GENESIS.build_leaves()
    state = decode_globals(leaves[GLOBALS_KEY])
    assert state is not None
    assert (state.time, state.batch, state.generation, state.next_position) == (GENESIS_TIME, 0, 0, 0)
    assert (state.account_count, state.underlying_count, state.asset_count) == (1, 4, 2)
    assert (state.cancel_only_until, state.params_version) == (NEVER, 0)
    where = sorted((get_collection(key), get_index(key)) for key in leaves)
    assert where == [
        (Collection.GLOBALS, 0),
        *[(Collection.UNDERLYINGS, i) for i in range(4)],
        (Collection.PARAMS, 0),
        (Collection.ASSETS, 0),
        (Collection.ASSETS, 1),
    ]
    underlying, asset = (
        decode_underlying(leaves[underlying_key(1)]),
        decode_asset(leaves[leaf_key(Collection.ASSETS, 1)]),
    )
    assert underlying is not None
    assert asset is not None
    assert (underlying.symbol, underlying.oracle_time, underlying.mark) == (b"ETH\0\0\0\0\0", 0, 0)
    assert (asset.custody, asset.fees) == (0, 0)


def test_the_root_of_the_first_state() -> None:
    """The root that a world starts from is that of the genesis leaves."""
    assert World().genesis_root == build_tree(GENESIS.build_leaves().items()).root
