"""The state before the first batch, from bytes that L1 keeps (SPEC.md section 3; contracts/rollup.vy logs them)."""

import hashlib
import struct
from dataclasses import dataclass
from typing import NamedTuple

from risk.parameter_bounds import check_parameters
from risk.parameters import Parameters
from state.constants import (
    ASSETS_MAX,
    BASKET_MAX,
    NEVER,
    ORACLE_SIGNERS_MAX,
    PPM,
    RULES_OFFSET,
    UNDERLYINGS_MAX,
)
from state.leaves import (
    QUOTE_UNDERLYING,
    Asset,
    Globals,
    LeafError,
    Params,
    Underlying,
    decode_basket,
    decode_params,
    encode_basket,
)
from state.rules import SCENARIOS_MAX, TIERS_MAX, decode_rules, encode_rules
from state.tree import GLOBALS_KEY, Collection, LeafKey, leaf_key, underlying_key

_TAIL = struct.Struct(">BH")
_LISTING = struct.Struct(">8sB20s")
CORRELATION_ONE = 1 << 20


class Listing(NamedTuple):
    """An underlying as an operator lists it: its symbol, and what it is made of where it is a basket."""

    symbol: bytes
    basket: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Genesis:
    """What an operator chooses: parameters, rules of margin, assets, underlyings, and the time at which the chain
    starts."""

    params: Params
    rules: Parameters
    listings: tuple[Listing, ...]
    time: int

    def encode(self) -> bytes:
        """`length u16 || params || length u16 || rules || asset_count u8 || underlying_count u16 || underlying_count x
        (symbol b8, basket_count u8, basket b20) || time u64`."""
        params, rules = self.params.encode(), encode_rules(self.rules)
        parts = [len(params).to_bytes(2), params, len(rules).to_bytes(2), rules]
        parts.append(_TAIL.pack(len(self.params.assets), len(self.listings)))
        parts += [_LISTING.pack(one.symbol, len(one.basket), encode_basket(one.basket)) for one in self.listings]
        return b"".join((*parts, self.time.to_bytes(8)))

    @property
    def symbols(self) -> tuple[bytes, ...]:
        """Of every underlying, in order, without padding."""
        return tuple(listing.symbol.rstrip(b"\0") for listing in self.listings)

    @property
    def batch_hash(self) -> bytes:
        """The parent of batch 1."""
        return hashlib.sha256(self.encode()).digest()

    def build_leaves(self) -> dict[LeafKey, bytes]:
        """Every leaf of the first state."""
        state = Globals(
            time=self.time,
            batch=0,
            generation=0,
            next_position=0,
            log_hash=bytes(32),
            inbox_cursor=0,
            inbox_hash=bytes(32),
            outbox_count=0,
            account_count=1,
            underlying_count=len(self.listings),
            asset_count=len(self.params.assets),
            params_version=0,
            cancel_only_until=NEVER,
        )
        leaves = {
            GLOBALS_KEY: state.encode(),
            leaf_key(Collection.PARAMS, 0): self.params.encode(),
            leaf_key(Collection.PARAMS, RULES_OFFSET): encode_rules(self.rules),
        }
        for index in range(len(self.params.assets)):
            leaves[leaf_key(Collection.ASSETS, index)] = Asset().encode()
        for index, listing in enumerate(self.listings):
            underlying = Underlying(listing.symbol.ljust(8, b"\0"), basket=listing.basket)
            leaves[underlying_key(index)] = underlying.encode()
        return leaves


def decode_genesis(data: bytes) -> Genesis:
    """From the bytes that L1 keeps. Raises LeafError when they are not a genesis."""
    params_bytes, at = _cut(data, 0)
    rules_bytes, at = _cut(data, at)
    params, rules = decode_params(params_bytes), decode_rules(rules_bytes)
    if params is None or rules is None or len(data) < at + _TAIL.size:
        raise LeafError("genesis: no parameters")
    _, underlying_count = _TAIL.unpack_from(data, at)
    at += _TAIL.size
    end = at + _LISTING.size * underlying_count
    if len(data) != end + 8:
        raise LeafError("genesis: bytes and counts disagree")
    listings = tuple(
        Listing(symbol.rstrip(b"\0"), decode_basket(count, basket))
        for symbol, count, basket in _LISTING.iter_unpack(data[at:end])
    )
    genesis = Genesis(params, rules, listings, int.from_bytes(data[end:]))
    if genesis.encode() != data:
        raise LeafError("genesis: bytes and counts disagree")
    if not is_sound(genesis):
        raise LeafError("genesis: parameters under which the rules are not defined")
    return genesis


def _cut(data: bytes, at: int) -> tuple[bytes, int]:
    """What stands at `at` behind its length, and where it ends."""
    end = at + 2 + int.from_bytes(data[at : at + 2])
    return data[at + 2 : end], end


def is_sound(genesis: Genesis) -> bool:
    """Whether every rule is defined under these parameters: nothing divides by zero or names what is not there."""
    params, count = genesis.params, len(genesis.listings)
    return (
        1 <= count <= UNDERLYINGS_MAX
        and len(params.underlyings) == count
        and all(terms.correlation_q20 <= CORRELATION_ONE for terms in params.underlyings)
        and are_assets_sound(params, count)
        and (params.peg_underlying < count or params.peg_underlying == QUOTE_UNDERLYING)
        and params.active_from == 0
        and params.funding_period > 0
        and params.auction_seconds > 0
        and 1 <= params.oracle_threshold <= len(params.oracle_signers) <= ORACLE_SIGNERS_MAX
        and all(is_basket_sound(listing, genesis.listings) for listing in genesis.listings)
        and check_parameters(genesis.rules) is None
        and len(genesis.rules.scenarios) <= SCENARIOS_MAX
        and len(genesis.rules.tiers) <= TIERS_MAX
        and genesis.time < 1 << 62
    )


def are_assets_sound(params: Params, underlying_count: int) -> bool:
    """Whether asset 0 is the quote and every other one is priced, and never counts for more than it is worth."""
    if not 1 <= len(params.assets) <= ASSETS_MAX:
        return False
    quote, *others = params.assets
    return (
        quote.underlying == QUOTE_UNDERLYING
        and (quote.maintenance_haircut_ppm, quote.initial_haircut_ppm, quote.units_per_lot) == (0, 0, 1)
        and all(
            asset.underlying < underlying_count
            and asset.units_per_lot > 0
            and asset.maintenance_haircut_ppm + asset.initial_haircut_ppm <= PPM
            and asset.confidence_threshold_ppm <= PPM
            for asset in others
        )
    )


def is_basket_sound(listing: Listing, listings: tuple[Listing, ...]) -> bool:
    """Whether a basket is made of listed underlyings that are none themselves, each once and with a weight."""
    components = [component for component, _ in listing.basket]
    return (
        len(components) <= BASKET_MAX
        and len(dict.fromkeys(components)) == len(components)
        and all(component < len(listings) and not listings[component].basket for component in components)
        and all(weight_ppm > 0 for _, weight_ppm in listing.basket)
    )
