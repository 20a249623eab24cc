"""The rollup contract as typed calls, views and events (contracts/rollup.vy).

A `Call` is what a transaction does; node/transactions.py signs and sends it. The ABI is written down here, so that a
node needs no compiler; a test holds it against the compiled contract.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from node.errors import CallReverted, L1Inconsistent, L1Refused, WrongContract
from node.keys import format_address
from node.l1 import L1, Call, decode_values, encode_call
from sequencer.derivation import DerivationError, L1Cursor, derive_events
from state.l1_events import L1Event
from state.operations import Oracle, Surface, hash_domain
from state.process_inbox import MESSAGE_HEAD_BYTES, MessageType
from state.process_relay import encode_reading

MESSAGE_BYTES_PER_FEE = 256
"""A message costs its fee once for so many bytes, or a part of them."""

ETH = bytes(20)
"""Stands for ether where a token's address is asked for."""


class Signature(NamedTuple):
    """Argument and result types of one function."""

    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()


TERMS_TYPE = "(uint256,uint256,uint256,uint256,uint256,uint256,uint256,uint256)"
BATCH_TYPE = "(bytes32,bytes32,uint256,uint256,uint256,uint256,uint256,address,uint256)"

ABI: dict[str, Signature] = {
    "deposit": Signature(("uint256", "uint64", "uint32")),
    "register_key": Signature(("uint32", "bytes32", "uint8", "uint64")),
    "force_withdraw": Signature(("uint32", "uint16", "uint64")),
    "cancel_all": Signature(("uint32",)),
    "force_close": Signature(("uint32", "bool")),
    "force_liquidate": Signature(("uint32",)),
    "take": Signature(("uint32", "uint64", "uint32", "uint32", "uint64", "uint64")),
    "relay": Signature(("bool", "bytes")),
    "post_bond": Signature(),
    "take_slot": Signature(),
    "evict": Signature(),
    "leave_slot": Signature(),
    "withdraw_bond": Signature(),
    "submit_batch": Signature(("bytes",)),
    "prove": Signature(("uint256", "bytes")),
    "contradict": Signature(("bytes",)),
    "finalise": Signature(("uint256",)),
    "claim": Signature(("uint256", "bytes", "uint256", "bytes32[]", "uint256")),
    "transfer_claim": Signature(("uint256", "bytes", "address")),
    "collect": Signature(("address",)),
    "wind_down": Signature(("bytes",)),
    "DOMAIN": Signature((), ("bytes32",)),
    "JUDGE": Signature((), ("address",)),
    "RECEIPTS": Signature((), ("address",)),
    "WIND_DOWN": Signature((), ("address",)),
    "GOVERNOR": Signature((), ("address",)),
    "TERMS": Signature((), (TERMS_TYPE,)),
    "assets": Signature(("uint256",), ("(address,uint256,uint256)",)),
    "custody": Signature(("uint256",), ("uint256",)),
    "inbox_count": Signature((), ("uint256",)),
    "accumulator": Signature(("uint256",), ("bytes32",)),
    "message_time": Signature(("uint256",), ("uint256",)),
    "tip": Signature((), ("uint256",)),
    "final_index": Signature((), ("uint256",)),
    "generation": Signature((), ("uint256",)),
    "last_submitter": Signature((), ("address",)),
    "last_rollback": Signature((), ("uint256",)),
    "slot_holder": Signature((), ("address",)),
    "bond_of": Signature(("address",), ("uint256",)),
    "required_bond": Signature((), ("uint256",)),
    "is_silent": Signature((), ("bool",)),
    "batches": Signature(("uint256",), (BATCH_TYPE,)),
    "wound_down_at": Signature((), ("uint256",)),
    "claimed": Signature(("uint256",), ("bool",)),
    "get_claim_holder": Signature(("uint256", "bytes"), ("address",)),
    "balance_of": Signature(("address", "address"), ("uint256",)),
}
"""Function -> types, for all that a node uses."""

TOKEN_ABI: dict[str, Signature] = {
    "balanceOf": Signature(("address",), ("uint256",)),
    "allowance": Signature(("address", "address"), ("uint256",)),
    "approve": Signature(("address", "uint256")),
    "decimals": Signature((), ("uint8",)),
}
"""What a node uses of an ERC-20."""


class Terms(NamedTuple):
    """Fixed at deployment: seconds, but wei for bond and fee."""

    challenge_window: int
    silence_limit: int
    inbox_deadline: int
    time_lag_max: int
    bond: int
    message_fee: int
    wind_down_limit: int
    registration_period: int


class BridgedAsset(NamedTuple):
    """An asset on its L1 side. `unit` is base units of the token in one unit of the rollup."""

    token: bytes
    unit: int
    deposit_max: int


class PostedBatch(NamedTuple):
    """What the contract keeps of a living batch; times in seconds."""

    hash: bytes
    root: bytes
    submitted_at: int
    time: int
    inbox_cursor: int
    generation: int
    position_to: int
    submitter: bytes
    duty_at: int


@dataclass(frozen=True, slots=True)
class Rollup:
    """One rollup on one L1. Views read the latest block. `first_block` is one before all its logs, where known."""

    l1: L1
    address: bytes
    first_block: int | None = None

    # Identity

    def get_domain(self) -> bytes:
        """What every signature of this rollup is bound to."""
        return hash_domain(self.l1.get_chain_id(), self.address)

    def check_identity(self) -> None:
        """Ask whether a Keel rollup of this protocol version stands at the address. Raises WrongContract."""
        text = format_address(self.address)
        if not self.l1.get_code(self.address):
            raise WrongContract(
                f"no contract at {text} on chain {self.l1.get_chain_id()}: give the rollup's address as `keel deploy` "
                "printed it, and an L1 that has it"
            )
        try:
            domain = self.view("DOMAIN")
        except (CallReverted, L1Refused, WrongContract) as error:
            raise WrongContract(f"{text} is not a Keel rollup: it has no DOMAIN; give the rollup's address") from error
        if domain != self.get_domain():
            raise WrongContract(
                f"{text} is not a Keel rollup of this version: its domain is {domain.hex()[:16]}..., and should be "
                f"{self.get_domain().hex()[:16]}...; use the release of keel that deployed it"
            )

    # Views

    def view(self, name: str, *values: Any) -> Any:
        """Call a view of the contract by name; a tuple where it returns a struct. Raises WrongContract on no answer."""
        return call_view(self.l1, self.address, name, ABI[name], values)

    def get_terms(self) -> Terms:
        """What was fixed at deployment."""
        return Terms(*self.view("TERMS"))

    def get_governor(self) -> bytes | None:
        """The contract by which parameters may change; None when nothing ever does."""
        address: bytes = self.view("GOVERNOR")
        return address if any(address) else None

    def get_asset(self, asset: int) -> BridgedAsset:
        """The L1 side of an asset. Raises CallReverted when it is not listed."""
        return BridgedAsset(*self.view("assets", asset))

    def get_batch(self, index: int) -> PostedBatch | None:
        """None above the tip, and for a batch that died."""
        batch = PostedBatch(*self.view("batches", index))
        return batch if any(batch.hash) else None

    def get_slot_holder(self) -> bytes | None:
        """Who may submit ordinary batches; None while anyone bonded may."""
        holder: bytes = self.view("slot_holder")
        return holder if any(holder) else None

    # Events

    def read_events(self, cursor: L1Cursor, first: int, last: int) -> tuple[L1Cursor, tuple[L1Event, ...]]:
        """Events in blocks `first` to `last`, which follow those that made `cursor`, and the cursor after them.

        Every batch is checked against the hash in its event. Raises L1Inconsistent when the logs cannot be right.
        """
        logs = self.l1.get_logs(self.address, first, last)
        try:
            return derive_events(cursor, self.address, logs)
        except DerivationError as error:
            raise L1Inconsistent(f"the L1 endpoint contradicts itself: {error}; {_ADVICE}") from error

    # Calls

    def deposit(self, asset: int, amount: int, account: int, message_fee: int, terms: BridgedAsset) -> Call:
        """Deposit units; account 0 opens one. An ERC-20 must be approved first (`approve`)."""
        base_units = amount * terms.unit if terms.token == ETH else 0
        return self._call("deposit", asset, amount, account, value=message_fee + base_units)

    def register_key(self, account: int, public_key: bytes, scope: int, expiry: int, message_fee: int) -> Call:
        """Give an account a session key; expiry 0 takes it away."""
        return self._call("register_key", account, public_key, scope, expiry, value=message_fee)

    def force_withdraw(self, account: int, asset: int, amount: int, message_fee: int) -> Call:
        """Withdraw units without the sequencer's consent."""
        return self._call("force_withdraw", account, asset, amount, value=message_fee)

    def cancel_all(self, account: int, message_fee: int) -> Call:
        """Kill every order that the account has signed."""
        return self._call("cancel_all", account, value=message_fee)

    def force_close(self, account: int, is_on: bool, message_fee: int) -> Call:
        """Put the account up for sale after a delay, or no more."""
        return self._call("force_close", account, is_on, value=message_fee)

    def force_liquidate(self, account: int, message_fee: int) -> Call:
        """Put an account that is short of margin up for auction."""
        return self._call("force_liquidate", account, value=message_fee)

    def take(
        self,
        account: int,
        sequence: int,
        target: int,
        slice_ppm: int,
        discount_min: int,
        valid_until: int,
        message_fee: int,
    ) -> Call:
        """Bid for a slice of an account that is up for auction."""
        terms = (account, sequence, target, slice_ppm, discount_min, valid_until)
        return self._call("take", *terms, value=message_fee)

    def relay(self, reading: Oracle | Surface, message_fee: int) -> Call:
        """Hand on a signed reading."""
        kind, payload = encode_reading(reading)
        fee = compute_message_fee(len(payload), message_fee)
        return self._call("relay", kind is MessageType.SURFACE, payload, value=fee)

    def post_bond(self, wei: int) -> Call:
        """Add to the sender's bond."""
        return self._call("post_bond", value=wei)

    def take_slot(self) -> Call:
        """Become the one who submits ordinary batches."""
        return self._call("take_slot")

    def evict(self) -> Call:
        """Open the slot of a silent holder."""
        return self._call("evict")

    def leave_slot(self) -> Call:
        """Give up the slot; the bond stays until the last batch is final."""
        return self._call("leave_slot")

    def withdraw_bond(self) -> Call:
        """Credit the sender's bond to be collected, and leave the slot."""
        return self._call("withdraw_bond")

    def submit_batch(self, batch: bytes) -> Call:
        """Append a batch to the chain."""
        return self._call("submit_batch", batch)

    def prove(self, index: int, proof: bytes) -> Call:
        """Convict a pending batch."""
        return self._call("prove", index, proof)

    def contradict(self, proof: bytes) -> Call:
        """Convict a key of receipts that contradict each other, or a batch of its own."""
        return self._call("contradict", proof)

    def finalise(self, index: int) -> Call:
        """Make every batch up to `index` final."""
        return self._call("finalise", index)

    def claim(self, outbox_index: int, leaf: bytes, mask: int, siblings: Sequence[bytes], batch: int) -> Call:
        """Credit a withdrawal, proved against the root of a final batch, to its holder."""
        return self._call("claim", outbox_index, leaf, mask, list(siblings), batch)

    def transfer_claim(self, outbox_index: int, leaf: bytes, to: bytes) -> Call:
        """Hand a claim on to another address."""
        return self._call("transfer_claim", outbox_index, leaf, to)

    def collect(self, token: bytes) -> Call:
        """Take what stands to the sender's credit in a token, or in ETH."""
        return self._call("collect", token)

    def wind_down(self, hashed: bytes) -> Call:
        """End the rollup. `hashed` is header and frame hashes of the last final batch, if it is a feed that is dead."""
        return self._call("wind_down", hashed)

    def approve(self, token: bytes, base_units: int) -> Call:
        """Let the rollup take so much of the sender's token."""
        data = encode_call("approve", TOKEN_ABI["approve"].inputs, (self.address, base_units))
        return Call(token, data, label="approve")

    def get_token_balance(self, token: bytes, holder: bytes) -> int:
        """Base units held, of ether too."""
        if token == ETH:
            return self.l1.get_balance(holder)
        return int(call_view(self.l1, token, "balanceOf", TOKEN_ABI["balanceOf"], (holder,)))

    def get_units_per_token(self, asset: BridgedAsset) -> int:
        """Units of the rollup in one whole token, or one ether; 1 where a whole token has no such number."""
        decimals = (
            18 if asset.token == ETH else int(call_view(self.l1, asset.token, "decimals", TOKEN_ABI["decimals"], ()))
        )
        whole, rest = divmod(10**decimals, asset.unit)
        return whole if whole and not rest else 1

    def get_allowance(self, token: bytes, holder: bytes) -> int:
        """Base units that the rollup may take from the holder."""
        return int(call_view(self.l1, token, "allowance", TOKEN_ABI["allowance"], (holder, self.address)))

    def _call(self, name: str, *values: Any, value: int = 0) -> Call:
        return Call(self.address, encode_call(name, ABI[name].inputs, values), value, name)


_ADVICE = (
    "use another endpoint, since this one may have pruned old logs, or leave l1.first_block out if it lies behind the "
    "rollup's deployment"
)


def compute_message_fee(payload_bytes: int, message_fee: int) -> int:
    """Wei for a message with so long a payload; a long one costs more than one fee."""
    return -(-(MESSAGE_HEAD_BYTES + payload_bytes) // MESSAGE_BYTES_PER_FEE) * message_fee


def call_view(l1: L1, contract: bytes, name: str, signature: Signature, values: Sequence[Any]) -> Any:
    """What a view of a contract answers. Raises WrongContract when it does not."""
    answer = l1.call(Call(contract, encode_call(name, signature.inputs, values), label=name))
    try:
        (value,) = decode_values(signature.outputs, answer)
    except ValueError as error:
        raise WrongContract(
            f"{format_address(contract)} does not answer {name}(): is this the right address?"
        ) from error
    return value
