"""The state before the first batch, from bytes that L1 keeps (SPEC.md section 3; contracts/rollup.vy logs them)."""

import hashlib
import struct
from dataclasses import dataclass

from state.constants import ASSETS_MAX, NEVER, ORACLE_SIGNERS_MAX, PPM, UNDERLYINGS_MAX
from state.leaves import QUOTE_UNDERLYING, Asset, Globals, LeafError, Params, Underlying, decode_params
from state.tree import GLOBALS_KEY, Collection, LeafKey, leaf_key, underlying_key

_TAIL = struct.Struct(">BH")


@dataclass(frozen=True, slots=True)
class Genesis:
    """What an operator chooses: parameters, assets, underlyings by symbol, and the time at which the chain starts."""

    params: Params
    symbols: tuple[bytes, ...]
    time: int

    def encode(self) -> bytes:
        """`length u16 || params || asset_count u8 || underlying_count u16 || symbols || time u64`."""
        params = self.params.encode()
        tail = _TAIL.pack(len(self.params.assets), len(self.symbols))
        symbols = b"".join(symbol.ljust(8, b"\0") for symbol in self.symbols)
        return len(params).to_bytes(2) + params + tail + symbols + self.time.to_bytes(8)

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
            underlying_count=len(self.symbols),
            asset_count=len(self.params.assets),
            params_version=0,
            cancel_only_until=NEVER,
        )
        leaves = {GLOBALS_KEY: state.encode(), leaf_key(Collection.PARAMS, 0): self.params.encode()}
        for index in range(len(self.params.assets)):
            leaves[leaf_key(Collection.ASSETS, index)] = Asset().encode()
        for index, symbol in enumerate(self.symbols):
            leaves[underlying_key(index)] = Underlying(symbol.ljust(8, b"\0")).encode()
        return leaves


def decode_genesis(data: bytes) -> Genesis:
    """From the bytes that L1 keeps. Raises LeafError when they are not a genesis."""
    params_end = 2 + int.from_bytes(data[:2])
    params = decode_params(data[2:params_end])
    if params is None or len(data) < params_end + _TAIL.size:
        raise LeafError("genesis: no parameters")
    _, underlying_count = _TAIL.unpack_from(data, params_end)
    symbols_at = params_end + _TAIL.size
    symbols_end = symbols_at + 8 * underlying_count
    symbols = tuple(data[at : at + 8] for at in range(symbols_at, symbols_end, 8))
    genesis = Genesis(params, symbols, int.from_bytes(data[symbols_end:]))
    if genesis.encode() != data:
        raise LeafError("genesis: bytes and counts disagree")
    if not is_sound(genesis):
        raise LeafError("genesis: parameters under which the rules are not defined")
    return genesis


def is_sound(genesis: Genesis) -> bool:
    """Whether every rule is defined under these parameters: nothing divides by zero or names what is not there."""
    params, count = genesis.params, len(genesis.symbols)
    quote, *others = params.assets or (None,)
    return (
        1 <= len(params.assets) <= ASSETS_MAX
        and 1 <= count <= UNDERLYINGS_MAX
        and len(params.underlyings) == count
        and quote is not None
        and (quote.underlying, quote.haircut_ppm, quote.units_per_lot) == (QUOTE_UNDERLYING, 0, 1)
        and all(asset.underlying < count and asset.units_per_lot > 0 and asset.haircut_ppm <= PPM for asset in others)
        and params.funding_period > 0
        and 1 <= params.oracle_threshold <= len(params.oracle_signers) <= ORACLE_SIGNERS_MAX
        and all(terms.initial_ppm <= PPM and terms.maintenance_ppm <= terms.initial_ppm for terms in params.underlyings)
        and genesis.time < 1 << 62
    )
