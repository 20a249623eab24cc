"""A wallet's L1 side: deposits, keys, forced exits, and claims proved from a replica of the wallet's own.

Nothing here trusts a sequencer: what stands on the chain is derived from L1 by re-execution. The side that trades is
node/session.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

from fraud_proofs.replica import ForeignContract, Replica
from node.chain_follower import ChainFollower
from node.errors import NodeError, WrongContract
from node.event_reader import EventReader
from node.l1 import Call
from node.rollup import ETH, BridgedAsset, Rollup, Terms
from node.transactions import Mined, Sender, require_mined
from sequencer.derivation import decode_log
from state.constants import AMOUNT_MAX
from state.l1_events import BatchPosted, Finalised, L1Event, MessageSent
from state.leaves import Account, Params, SessionKey, Withdrawal, decode_account, decode_withdrawal
from state.ledger import Ledger
from state.process_bid import encode_bid
from state.process_inbox import Message, MessageType, encode_amount, encode_key
from state.tree import Collection, Path, account_key, leaf_key


class WalletError(NodeError):
    """What was asked cannot be done with this account, asset or withdrawal."""


@dataclass(frozen=True, slots=True)
class SentMessage:
    """A message on its way to the chain: its place in the inbox, and the transaction that sent it."""

    index: int
    mined: Mined


class BidTerms(NamedTuple):
    """What a bidder asks for; the sequence is above the last that his account has used."""

    sequence: int
    target: int
    slice_ppm: int
    discount_min: int
    valid_until: int


@dataclass(frozen=True, slots=True)
class DerivedState:
    """The chain re-executed from L1, up to its last final batch or to its tip."""

    replica: Replica

    def list_withdrawals(self) -> list[tuple[int, Withdrawal]]:
        """Every leaf of the outbox with its index."""
        count = Ledger(self.replica.state.leaves).get_globals().outbox_count
        return [(index, self.require_withdrawal(index)) for index in range(count)]

    def require_withdrawal(self, index: int) -> Withdrawal:
        """The outbox leaf at an index. Raises WalletError when there is none in a final batch."""
        found = decode_withdrawal(self.replica.state.leaves.get(leaf_key(Collection.OUTBOX, index), b""))
        if found is None:
            raise WalletError(f"withdrawal {index} does not stand in a final batch: wait until its batch is final")
        return found

    def get_params(self) -> Params:
        """The active parameters."""
        return Ledger(self.replica.state.leaves).get_params()

    def get_sequence(self, account: int) -> int:
        """The last sequence that an account has used."""
        return Ledger(self.replica.state.leaves).require_account(account).sequence

    def list_symbols(self) -> list[str]:
        """Of every underlying, in order."""
        ledger = Ledger(self.replica.state.leaves)
        count = ledger.get_globals().underlying_count
        return [ledger.require_underlying(index).symbol.rstrip(b"\0").decode() for index in range(count)]

    def prove_withdrawal(self, index: int) -> Path:
        """Its path to the root of the last final batch."""
        return self.replica.state.tree.prove(leaf_key(Collection.OUTBOX, index))

    def find_accounts(self, owner: bytes) -> list[tuple[int, Account]]:
        """Every account of an L1 address."""
        leaves = self.replica.state.leaves
        count = Ledger(leaves).get_globals().account_count
        held = ((index, decode_account(leaves.get(account_key(index), b""))) for index in range(1, count))
        return [(index, account) for index, account in held if account is not None and account.owner == owner]


class Wallet:
    """One L1 key at one rollup. Blocking; every method that sends waits until it is mined."""

    def __init__(self, rollup: Rollup, sender: Sender) -> None:
        self.rollup = rollup
        self.sender = sender
        self._terms: Terms | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sender.close()

    @property
    def address(self) -> bytes:
        """Who owns what this wallet opens."""
        return self.sender.address

    @property
    def message_fee(self) -> int:
        """Wei that a message costs beside its gas."""
        if self._terms is None:
            self._terms = self.rollup.get_terms()
        return self._terms.message_fee

    # Messages

    def deposit(self, asset: int, amount: int, account: int = 0) -> SentMessage:
        """Deposit units of an asset into an account; 0 opens one. Approves an ERC-20 first. Raises L1Error."""
        bridged = self.rollup.get_asset(asset)
        _check_amount(amount, bridged.deposit_max)
        if bridged.token != ETH:
            self._approve(bridged, amount)
        call = self.rollup.deposit(asset, amount, account, self.message_fee, bridged)
        return self._send_message(call, MessageType.DEPOSIT, account, encode_amount(asset, amount))

    def register_key(self, account: int, key: SessionKey) -> SentMessage:
        """Let a session key sign for the account; expiry 0 takes it away."""
        call = self.rollup.register_key(account, *key, self.message_fee)
        return self._send_message(call, MessageType.REGISTER_KEY, account, encode_key(key))

    def force_withdraw(self, account: int, asset: int, amount: int) -> SentMessage:
        """Withdraw with or without the sequencer's consent."""
        _check_amount(amount, AMOUNT_MAX)
        call = self.rollup.force_withdraw(account, asset, amount, self.message_fee)
        return self._send_message(call, MessageType.FORCE_WITHDRAW, account, encode_amount(asset, amount))

    def cancel_all(self, account: int) -> SentMessage:
        """Kill every order that the account has signed."""
        call = self.rollup.cancel_all(account, self.message_fee)
        return self._send_message(call, MessageType.CANCEL_ALL, account, b"")

    def force_close(self, account: int, is_on: bool) -> SentMessage:
        """Ask that the account be sold after a delay, or no more."""
        call = self.rollup.force_close(account, is_on, self.message_fee)
        return self._send_message(call, MessageType.FORCE_CLOSE, account, bytes([is_on]))

    def force_liquidate(self, account: int) -> SentMessage:
        """Ask that an account which is short of margin, anybody's, be put up for auction."""
        call = self.rollup.force_liquidate(account, self.message_fee)
        return self._send_message(call, MessageType.FORCE_LIQUIDATE, account, b"")

    def bid(self, account: int, terms: BidTerms) -> SentMessage:
        """Bid for a slice of an account that is up for auction, with or without the sequencer's consent."""
        call = self.rollup.take(account, *terms, self.message_fee)
        return self._send_message(call, MessageType.TAKE, account, encode_bid(*terms))

    def _send_message(self, call: Call, kind: MessageType, account: int, payload: bytes) -> SentMessage:
        """Send, and find the message among those of its block; of equal ones the last."""
        mined = require_mined(self.sender.send(call))
        found = None
        for log in self.rollup.l1.get_logs(self.rollup.address, mined.block, mined.block):
            event = decode_log(log)
            if isinstance(event, MessageSent):
                time = int.from_bytes(event.data[21:29])
                if event.data == Message(kind, self.address, time, account, payload).encode():
                    found = SentMessage(event.index, mined)
        if found is None:
            raise WrongContract(f"{call.label} was mined and left no message: is this a Keel rollup?")
        return found

    def _approve(self, bridged: BridgedAsset, amount: int) -> None:
        base_units = amount * bridged.unit
        if self.rollup.get_allowance(bridged.token, self.address) < base_units:
            require_mined(self.sender.send(self.rollup.approve(bridged.token, base_units)))

    # Claims

    def read_final_state(self) -> DerivedState:
        """Re-execute the chain up to its last final batch. Raises L1Error, and WrongContract for a false one."""
        return derive_final_state(self.rollup, EventReader(self.rollup).read().events)

    def read_state(self) -> DerivedState:
        """Re-execute the chain up to its last honest batch: what is not final yet may still die."""
        follower = ChainFollower(self.rollup)
        follower.advance()
        return DerivedState(follower.replica)

    def list_claims(self, final: DerivedState) -> list[int]:
        """Outbox indices of this wallet's own withdrawals that it has neither claimed nor handed on."""
        return [
            index
            for index, withdrawal in final.list_withdrawals()
            if withdrawal.owner == self.address and self._is_claimable(index, withdrawal)
        ]

    def _is_claimable(self, index: int, withdrawal: Withdrawal) -> bool:
        holder = self.rollup.view("get_claim_holder", index, withdrawal.encode())
        return holder == self.address and not self.rollup.view("claimed", index)

    def claim(self, final: DerivedState, index: int) -> Mined:
        """Credit a withdrawal to its holder; `collect` then pays it out."""
        leaf, path = final.require_withdrawal(index), final.prove_withdrawal(index)
        call = self.rollup.claim(index, leaf.encode(), path.mask, path.siblings, final.replica.tip)
        return require_mined(self.sender.send(call))

    def transfer_claim(self, index: int, leaf: Withdrawal, to: bytes) -> Mined:
        """Hand a claim on; only its holder may."""
        return require_mined(self.sender.send(self.rollup.transfer_claim(index, leaf.encode(), to)))

    def contradict(self, proof: bytes) -> Mined:
        """Convict a key of a broken word; half of its bond stands to this wallet's credit then."""
        return require_mined(self.sender.send(self.rollup.contradict(proof)))

    def get_credit(self, token: bytes) -> int:
        """Base units that `collect` would pay now."""
        return int(self.rollup.view("balance_of", token, self.address))

    def collect(self, token: bytes) -> Mined | None:
        """Take what stands to this wallet's credit; None when there is nothing."""
        if not self.get_credit(token):
            return None
        return require_mined(self.sender.send(self.rollup.collect(token)))


def derive_final_state(rollup: Rollup, events: Sequence[L1Event]) -> DerivedState:
    """Re-execute events but for the batches that are not final. Raises WrongContract when a final batch is false."""
    final = max((event.index for event in events if isinstance(event, Finalised)), default=0)
    replica = Replica(rollup.get_domain())
    try:
        for event in events:
            if not isinstance(event, BatchPosted) or event.index <= final:
                replica.apply(event)
    except ForeignContract as error:
        raise WrongContract(f"this rollup cannot be followed: {error}") from error
    batch = rollup.get_batch(replica.tip)
    if replica.tip != final or batch is None or batch.root != replica.state.tree.root:
        raise WrongContract(
            f"batch {replica.tip + 1} became final with a false root: nobody convicted it, and nothing can be proved"
        )
    return DerivedState(replica)


def _check_amount(amount: int, most: int) -> None:
    if not 1 <= amount <= most:
        raise WalletError(f"amount: {amount} units will not do; from 1 to {most} units may be moved at once")
