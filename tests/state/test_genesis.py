"""state/genesis.py: the first state from the bytes that L1 keeps."""

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from risk.parameter_sets import make_keel
from risk.parameters import Parameters
from state.constants import NEVER, RULES_OFFSET
from state.genesis import Genesis, Listing, decode_genesis
from state.leaves import AssetTerms, LeafError, UnderlyingTerms, decode_asset, decode_globals, decode_underlying
from state.tree import GLOBALS_KEY, Collection, build_tree, get_collection, get_index, leaf_key, underlying_key
from tests.world import GENESIS_TIME, LISTINGS, MIXED_LISTINGS, QUOTE_TERMS, RULES, SYMBOLS, World, build_params

GENESIS = Genesis(build_params(), RULES, LISTINGS, GENESIS_TIME)
QUOTE = QUOTE_TERMS


def test_genesis_is_its_bytes() -> None:
    """What L1 logs gives the genesis back, symbols padded to eight bytes."""
    decoded = decode_genesis(GENESIS.encode())
    assert decoded.encode() == GENESIS.encode()
    assert decoded.symbols == SYMBOLS
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
        {"assets": (QUOTE, AssetTerms(1, 0, 0, 0, 0, 0))},
        {"assets": (QUOTE, AssetTerms(4, 0, 0, 0, 1, 0))},
        {"assets": (QUOTE, AssetTerms(1, 600_000, 400_001, 0, 1, 0))},
        {"assets": (QUOTE, AssetTerms(1, 0, 0, 1_000_001, 1, 0))},
        {"auction_seconds": 0},
        {"peg_underlying": 4},
        {"active_from": 1},
        {"underlyings": (UnderlyingTerms((1 << 20) + 1, 1),) * 4},
        {"assets": (QUOTE,) * 17},
        {"underlyings": (UnderlyingTerms(1, 1),) * 3},
    ],
)
def test_parameters_without_meaning_are_refused(changes: dict[str, object]) -> None:
    """Where a rule would divide by zero or name what is not there, there is no chain to begin."""
    with pytest.raises(LeafError):
        decode_genesis(Genesis(build_params(**changes), RULES, LISTINGS, GENESIS_TIME).encode())


@pytest.mark.parametrize(
    "basket",
    [((1, 0),), ((4, 1),), ((64, 1),), ((1, 1), (1, 1)), ((3, 1),)],
    ids=["no weight", "not listed", "far from listed", "twice the same", "of a basket"],
)
def test_baskets_without_meaning_are_refused(basket: tuple[tuple[int, int], ...]) -> None:
    """A basket is made of listed underlyings that are none, each once and with a weight."""
    own = Listing(b"OWN", ((0, 1),))
    with pytest.raises(LeafError):
        decode_genesis(Genesis(build_params(), RULES, (Listing(b"X", basket), *LISTINGS[1:3], own), 0).encode())


@pytest.mark.parametrize(
    "rules", [replace(RULES, scenarios=RULES.scenarios * 17), replace(RULES, tiers=RULES.tiers * 5)]
)
def test_rules_beyond_their_bounds_are_refused(rules: Parameters) -> None:
    """A proof values 32 scenarios at most, and tries four tiers."""
    with pytest.raises(LeafError):
        decode_genesis(Genesis(build_params(), rules, LISTINGS, 0).encode())


def test_rules_and_baskets_are_in_the_bytes() -> None:
    """The rules of margin come back but for their name, and every basket's components."""
    params = build_params(underlyings=(build_params().underlyings[0],) * len(MIXED_LISTINGS))
    decoded = decode_genesis(Genesis(params, make_keel(), MIXED_LISTINGS, GENESIS_TIME).encode())
    assert replace(decoded.rules, name="keel", source=make_keel().source) == make_keel()
    assert decoded.listings == MIXED_LISTINGS


def test_the_first_state() -> None:
    """Globals, parameters, rules, every asset and underlying, and nobody; cancel-only until the first tick."""
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
        (Collection.PARAMS, RULES_OFFSET),
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
