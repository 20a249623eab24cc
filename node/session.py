"""A wallet's trading side: ops signed with a session key, sent to a sequencer's gateway, answered by its receipt.

    async with open_client(host, port) as client:
        session = await open_session(client, domain, key, owner)
        answer = await session.order(perpetual(0), size=-5, price=17_250_000)

A receipt is checked before it is believed: it must be over the very op that was sent, signed by the sequencer that the
session expects. It is the sequencer's word that the op stands in its log, and is worth keeping.
"""

import time
from dataclasses import dataclass, replace
from typing import TypeVar

from node.client import Client
from node.errors import NodeError
from node.keys import Ed25519Key, format_address
from sequencer.requests import build_request
from state.codec import Value
from state.leaves import (
    FLAG_SELL,
    Account,
    Expiry,
    Globals,
    Instrument,
    Params,
    Underlying,
    decode_account,
    decode_expiry,
    decode_globals,
    decode_params,
    decode_underlying,
)
from state.operations import Cancel, OrderOp, OrderTerms, Take, Transfer, Withdraw, hash_digest
from state.receipts import SignedReceipt, decode_receipt

SEQUENCE_PLAUSIBLE_MAX = 1 << 62
ORDER_SECONDS = 600
MAX_FEE_PPM = 10_000

Signed = TypeVar("Signed", OrderOp, Cancel, Transfer, Withdraw, Take)


class SessionError(NodeError):
    """The account, the key or the sequencer's answer is not what the session needs."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The sequencer has taken an op: its receipt, how many lots of an order traded at once, and what was asked."""

    receipt: SignedReceipt
    filled: int
    request: bytes


class Session:
    """One account, its session key, and a gateway. Use `open_session`."""

    def __init__(
        self, client: Client, domain: bytes, key: Ed25519Key, account: int, sequencer: bytes | None = None
    ) -> None:
        """`sequencer` is the address whose receipts count; None takes any signature for one."""
        self._client = client
        self._domain = domain
        self._key = key
        self._sequencer = sequencer
        self.account = account

    # Ops

    async def order(
        self,
        instrument: Instrument,
        size: int,
        price: int,
        *,
        slot: int = 0,
        flags: int = 0,
        seconds: int = ORDER_SECONDS,
        max_fee_ppm: int = MAX_FEE_PPM,
    ) -> Answer:
        """Buy `size` lots, or sell -`size`, at `price` quote units a lot or better; replaces what lives in the slot.

        The order dies `seconds` after the present, the chain's or the clock's, whichever is earlier.
        Raises SessionError, MethodError, GatewayUnreachable.
        """
        state, account = await self.get_globals(), await self.get_account()
        terms = OrderTerms(
            account=self.account,
            slot=slot,
            counter=_draw_counter(),
            generation=state.generation,
            epoch=account.epoch,
            # A sequencer that shows a time to come would hold an order that never dies.
            valid_until=min(state.time, int(time.time())) + seconds,
            flags=flags | (FLAG_SELL if size < 0 else 0),
            price=price,
            size=abs(size),
            max_fee_ppm=max_fee_ppm,
            counterparty=0,
            legs=((instrument, 1),),
        )
        return await self._send(OrderOp(0, 0, terms, self._find_key(account), bytes(64)))

    async def cancel(self, slot: int = 0) -> Answer:
        """Kill whatever was ordered in a slot so far."""
        state, account = await self.get_globals(), await self.get_account()
        key_index = self._find_key(account)
        return await self._send(Cancel(0, self.account, slot, _draw_counter(), state.generation, key_index, bytes(64)))

    async def transfer(self, to: int, asset: int, amount: int) -> Answer:
        """Move units of an asset to another account."""
        account = await self.get_account()
        sequence, key_index = _get_next_sequence(account), self._find_key(account)
        return await self._send(Transfer(0, self.account, sequence, to, asset, amount, key_index, bytes(64)))

    async def withdraw(self, asset: int, amount: int) -> Answer:
        """Move units of an asset to the outbox, to be claimed on L1 when the batch is final."""
        account = await self.get_account()
        sequence, key_index = _get_next_sequence(account), self._find_key(account)
        return await self._send(Withdraw(0, self.account, sequence, asset, amount, key_index, bytes(64)))

    async def bid(self, target: int, slice_ppm: int, discount_min: int, seconds: int = ORDER_SECONDS) -> Answer:
        """Take over a slice of an account that is up for auction, at least `discount_min` quote units under its value.

        Raises SessionError, MethodError, GatewayUnreachable.
        """
        state, account = await self.get_globals(), await self.get_account()
        return await self._send(
            Take(
                position=0,
                equity=0,
                maintenance=0,
                value=0,
                relief=0,
                account=self.account,
                sequence=_get_next_sequence(account),
                target=target,
                slice_ppm=slice_ppm,
                discount_min=discount_min,
                valid_until=min(state.time, int(time.time())) + seconds,
                key_index=self._find_key(account),
                signature=bytes(64),
            )
        )

    async def _send(self, bare: Signed) -> Answer:
        digest = hash_digest(self._domain, bare)
        op: Signed = replace(bare, signature=self._key.sign(digest))
        request = build_request(op)
        return self._check_answer(digest, request, await self._client.call("submit", request))

    def _check_answer(self, digest: bytes, request: bytes, answer: Value) -> Answer:
        if not isinstance(answer, list) or len(answer) != 2:
            raise SessionError("the gateway's answer is no receipt: is it a sequencer's?")
        data, filled = answer
        receipt = decode_receipt(data) if isinstance(data, bytes) else None
        if receipt is None or not isinstance(filled, int):
            raise SessionError("the gateway's answer is no receipt: is it a sequencer's?")
        signer = receipt.recover(self._domain)
        if receipt.body.op_digest != digest or signer is None:
            raise SessionError("the receipt is not for what was sent: do not rely on this sequencer")
        if self._sequencer is not None and signer != self._sequencer:
            raise SessionError(
                f"the receipt is signed by {format_address(signer)}, and {format_address(self._sequencer)} holds the "
                "slot: it binds nobody"
            )
        return Answer(receipt, filled, request)

    # Reads, as the sequencer shows them

    async def get_account(self) -> Account:
        """The account as it stands. Raises SessionError when there is none."""
        account = decode_account(_expect_bytes(await self._client.call("account", self.account)))
        if account is None:
            raise SessionError(f"there is no account {self.account}: deposit first, and wait for it to be taken")
        return account

    async def get_globals(self) -> Globals:
        """Time, generation and cursors."""
        return await fetch_globals(self._client)

    def _find_key(self, account: Account) -> int:
        for index, key in enumerate(account.keys):
            if key.public_key == self._key.public_key:
                return index
        raise SessionError(
            f"account {self.account} does not know the session key {self._key.public_key.hex()[:16]}...: run "
            "`keel wallet register-key`, and wait for it to be taken"
        )


async def open_session(
    client: Client, domain: bytes, key: Ed25519Key, owner: bytes, account: int = 0, sequencer: bytes | None = None
) -> Session:
    """A session for an account of an L1 address: the named one, or its only one. Raises SessionError."""
    if account == 0:
        account = await find_account(client, owner)
    return Session(client, domain, key, account, sequencer)


async def find_account(client: Client, owner: bytes) -> int:
    """The only account of an owner. Raises SessionError when there is none, or more than one."""
    found = await client.call("accounts_of", owner)
    if not isinstance(found, list) or not found:
        raise SessionError(f"{format_address(owner)} has no account yet: deposit first, and wait for it to be taken")
    if len(found) > 1:
        raise SessionError(f"{format_address(owner)} has accounts {', '.join(map(str, found))}: name one by --account")
    (account,) = found
    if not isinstance(account, int):
        raise SessionError("the gateway names an account that is no number")
    return account


async def fetch_globals(client: Client) -> Globals:
    """Time, generation and cursors, as a gateway shows them."""
    found = decode_globals(_expect_bytes(await client.call("globals")))
    if found is None:
        raise SessionError("the gateway shows no state yet: try again when it has started")
    return found


async def fetch_params(client: Client) -> Params:
    """The active parameters."""
    found = decode_params(_expect_bytes(await client.call("params")))
    if found is None:
        raise SessionError("the gateway shows no parameters: is it a Keel node?")
    return found


async def fetch_underlyings(client: Client) -> list[Underlying]:
    """Every listed underlying, in order."""
    found = await client.call("underlyings")
    leaves = [decode_underlying(_expect_bytes(leaf)) for leaf in found] if isinstance(found, list) else []
    return [leaf for leaf in leaves if leaf is not None]


async def fetch_expiry(client: Client, underlying: int, expiry: int) -> Expiry | None:
    """An expiry's reading; None when it has none yet."""
    return decode_expiry(_expect_bytes(await client.call("expiry", underlying, expiry)))


def _expect_bytes(value: Value) -> bytes:
    if not isinstance(value, bytes):
        raise SessionError("the gateway answers with something else than a leaf: is it a Keel node?")
    return value


def _get_next_sequence(account: Account) -> int:
    """Sequences only rise: whoever shows a wallet one near the end would have it sign its account's last op."""
    if account.sequence >= SEQUENCE_PLAUSIBLE_MAX:
        raise SessionError(
            f"the gateway shows a sequence of {account.sequence}, which no account comes to: do not rely on it, and "
            "leave through L1 if need be"
        )
    return account.sequence + 1


def _draw_counter() -> int:
    """One that rises from order to order without being remembered: microseconds since the epoch."""
    return time.time_ns() // 1_000
