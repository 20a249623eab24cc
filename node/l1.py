"""The L1 edge: JSON-RPC endpoints, blocks, logs, calls, and signing. The only file that knows web3.

    l1 = L1(["http://127.0.0.1:8545"])
    l1.get_block("finalized").number
    await in_thread(l1.get_block, "finalized")             # the same beside other trio tasks

Everything here blocks, and raises nothing but kinds of L1Error (node/errors.py). Addresses and hashes are bytes, times
are seconds, ether is counted in wei. Of several endpoints a quorum must agree on every fact: heights, blocks, logs,
transactions, what calls return (node/endpoint_quorum.py). Transactions go to all of them.
"""

import functools
import json
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

import trio
from eth_abi import decode, encode
from eth_account import Account
from eth_hash.auto import keccak
from eth_utils import to_checksum_address
from web3 import HTTPProvider, Web3
from web3.exceptions import BlockNotFound, ContractLogicError, TransactionNotFound, Web3Exception, Web3RPCError
from web3.types import BlockData, BlockIdentifier, LogReceipt, TxParams

from node.endpoint_quorum import EndpointQuorum, QuorumCounters
from node.errors import CallReverted, HistoryPruned, L1Behind, L1Error, L1Refused, L1Unavailable, WrongChain
from node.logs import Log
from sequencer.derivation import BATCH_SUBMITTED, RawLog

TRANSACTION_GAS_MAX = 16_777_216
"""EIP-7825: no transaction may ask for more."""

LOG_RANGE_MAX = 2_000
"""Blocks of one eth_getLogs; halved as often as an endpoint refuses."""

CONCURRENT_REQUESTS = 8

ERROR_SELECTOR = bytes.fromhex("08c379a0")  # Error(string)
PANIC_SELECTOR = bytes.fromhex("4e487b71")  # Panic(uint256)

LOOPBACK = {"127.0.0.1", "localhost", "::1"}

_NO_ANSWER = (OSError, LookupError, TypeError, ValueError, AttributeError, Web3Exception)
"""What an endpoint causes that is not reached, or whose answer is not what JSON-RPC lays down."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Block:
    """A block of the L1; `base_fee` in wei a gas."""

    number: int
    hash: bytes
    time: int
    base_fee: int


@dataclass(frozen=True, slots=True)
class Call:
    """What a transaction does: whom it calls (None: creates a contract), with which data and wei; `label` names it."""

    to: bytes | None
    data: bytes
    value: int = 0
    label: str = "call"


@dataclass(frozen=True, slots=True)
class TransactionFields:
    """An EIP-1559 transaction before it is signed; fees in wei a gas."""

    chain_id: int
    nonce: int
    to: bytes | None
    data: bytes
    value: int
    gas: int
    max_fee: int
    priority_fee: int


@dataclass(frozen=True, slots=True)
class SignedTransaction:
    """What is broadcast, and the hash under which the L1 knows it."""

    raw: bytes
    hash: bytes


@dataclass(frozen=True, slots=True)
class TransactionReceipt:
    """What became of a mined transaction; `contract` is the address that it created."""

    hash: bytes
    block: int
    is_success: bool
    gas_used: int
    gas_price: int
    contract: bytes | None


_FoundLog = tuple[RawLog, bytes]
"""A log without what it does not say itself, and the hash of its transaction."""


class L1:
    """One chain behind one or more endpoints, of which a quorum must agree on facts."""

    def __init__(
        self,
        urls: Sequence[str],
        *,
        chain_id: int | None = None,
        quorum: int = 1,
        timeout_seconds: float = 10,
        log: Log | None = None,
    ) -> None:
        """`chain_id` is what every endpoint must serve; None takes the first answer for it. Alarms go to the log."""
        self._chain = _ChainId(chain_id)
        self._endpoints = [_Endpoint(url, timeout_seconds, self._chain) for url in urls]
        self._quorum = EndpointQuorum(self._endpoints, quorum, log)

    @property
    def urls(self) -> list[str]:
        """The endpoints as they were given."""
        return [endpoint.url for endpoint in self._endpoints]

    @property
    def counters(self) -> QuorumCounters:
        """What endpoints did wrong."""
        return self._quorum.counters

    def get_chain_id(self) -> int:
        """Of the chain that the endpoints serve."""
        if self._chain.value is None:
            self._quorum.ask_any("eth_chainId", lambda web3: web3.eth.chain_id)
        return cast(int, self._chain.value)

    def check_endpoints(self) -> None:
        """Ask every endpoint for its chain now, not when it is needed. Silence is forgiven. Raises WrongChain."""
        for endpoint in self._endpoints:
            with suppress(L1Refused, L1Unavailable):
                endpoint.ask("eth_chainId", lambda web3: web3.eth.chain_id)

    # Blocks and accounts

    def get_block(self, block: int | str = "latest") -> Block:
        """By number, or "latest" or "finalized": then the highest that a quorum has reached."""
        pinned = self._pin(block)
        at = cast(BlockIdentifier, pinned)
        return self._quorum.agree(f"block {pinned}", lambda web3: _read_block(web3.eth.get_block(at)))

    def get_balance(self, address: bytes) -> int:
        """Wei."""
        owner, at = to_checksum_address(address), cast(BlockIdentifier, self._pin("latest"))
        return self._quorum.agree("balance", lambda web3: web3.eth.get_balance(owner, at))

    def get_nonce(self, address: bytes, block: int | str = "latest") -> int:
        """How many transactions of the account are mined up to a block."""
        owner, at = to_checksum_address(address), cast(BlockIdentifier, block)
        return self._quorum.agree_height("nonce", lambda web3: web3.eth.get_transaction_count(owner, at))

    def get_code(self, address: bytes, block: int | str = "latest") -> bytes:
        """What stands at an address; empty for anything but a contract."""
        owner, at = to_checksum_address(address), cast(BlockIdentifier, self._pin(block))
        return self._quorum.agree("code", lambda web3: bytes(web3.eth.get_code(owner, at)))

    def find_birth(self, address: bytes) -> int:
        """The first block that may hold logs of a contract, found by halving.

        An endpoint that has forgotten old state leaves some blocks undecided: then it is an earlier one, never later.
        """
        low, high = 0, self.get_block().number
        while low < high:
            middle = (low + high) // 2
            try:
                has_code = bool(self.get_code(address, middle))
            except L1Refused:
                has_code = True
            low, high = (low, middle) if has_code else (middle + 1, high)
        return low

    def _pin(self, block: int | str) -> int | str:
        """A tag as the number of a block that a quorum has: each of them has another head."""
        if self._quorum.needed == 1 or isinstance(block, int) or block == "pending":
            return block
        at = cast(BlockIdentifier, block)
        return self._quorum.agree_height(f"{block} block", lambda web3: int(web3.eth.get_block(at)["number"]))

    # Logs

    def get_logs(self, address: bytes, first: int, last: int) -> list[RawLog]:
        """Every log of a contract in blocks `first` to `last`, in order; a batch's with its transaction's input."""
        logs: list[RawLog] = []
        span = LOG_RANGE_MAX
        while first <= last:
            end = min(last, first + span - 1)
            try:
                found = self._get_logs_at_once(address, first, end)
            except (HistoryPruned, L1Behind):
                raise
            except (L1Refused, L1Unavailable):
                # Too wide a range, or too many logs in it, is refused by some, and by others in vain waited for.
                if first == end:
                    raise
                span = (end - first + 1) // 2
                continue
            logs.extend(self._complete_log(log) for log in found)
            first = end + 1
        return logs

    def _get_logs_at_once(self, address: bytes, first: int, last: int) -> list[_FoundLog]:
        what = f"logs of blocks {first} to {last}"
        wanted = {"address": to_checksum_address(address), "fromBlock": first, "toBlock": last}
        return self._quorum.agree(what, lambda web3: _read_logs(web3.eth.get_logs(cast(Any, wanted))))

    def _complete_log(self, found: _FoundLog) -> RawLog:
        """Add what a log does not say: the time of a batch's block and the data in its transaction."""
        log, transaction = found
        if log.topics[:1] != (BATCH_SUBMITTED,):
            return log
        time = self.get_block(log.block).time
        what = f"batch data in transaction 0x{transaction.hex()} of block {log.block}"
        calldata = self._quorum.agree(what, lambda web3: _read_input(web3, transaction))
        return log._replace(time=time, calldata=calldata)

    # Calls

    def call(self, call: Call, sender: bytes | None = None, block: int | str = "latest") -> bytes:
        """What a call would return, with as much gas as a transaction may have. Raises CallReverted."""
        fields, at = _call_fields(call, sender), cast(BlockIdentifier, self._pin(block))
        return self._quorum.agree(call.label, lambda web3: bytes(web3.eth.call(fields, at)))

    def estimate_gas(self, call: Call, sender: bytes) -> int:
        """What the call would use as a transaction: one's estimate, but that it reverts takes a quorum.

        Raises CallReverted.
        """
        fields = _call_fields(call, sender)
        return self._quorum.agree(call.label, lambda web3: web3.eth.estimate_gas(fields), lambda gas: "succeeds")

    # Transactions

    def get_priority_fee(self) -> int:
        """Wei a gas that the endpoint thinks will do on top of the base fee."""
        return self._quorum.ask_any("priority fee", lambda web3: web3.eth.max_priority_fee)

    def broadcast(self, signed: SignedTransaction) -> None:
        """Hand a transaction to every endpoint; one that already knows it is no error.

        Raises L1Refused only when each endpoint answered and refused: then nobody has it.
        """
        self._quorum.tell_all("broadcast", lambda web3: web3.eth.send_raw_transaction(signed.raw), _is_known_already)

    def get_receipt(self, transaction: bytes) -> TransactionReceipt | None:
        """None until it is mined as a quorum sees it."""
        return self._quorum.find("receipt", lambda web3: _read_receipt(web3, transaction))

    def is_known(self, transaction: bytes) -> bool:
        """Whether an endpoint holds a transaction, mined or waiting."""
        return any(self._list_holders(transaction))

    def _list_holders(self, transaction: bytes) -> Iterator[bool]:
        """Endpoint by endpoint whether it holds a transaction. Raises L1Unavailable when none answers."""
        troubles: list[L1Error] = []
        for endpoint in self._endpoints:
            try:
                yield endpoint.ask("transaction", lambda web3: _is_known(web3, transaction))
            except (L1Refused, L1Unavailable) as error:
                troubles.append(error)
        if len(troubles) == len(self._endpoints):
            raise troubles[0]


@dataclass(slots=True)
class _ChainId:
    """What every endpoint must serve; the first answer sets it where nobody has."""

    value: int | None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def check(self, url: str, found: int) -> None:
        with self.lock:
            if self.value is None:
                self.value = found
        if found != self.value:
            raise WrongChain(f"{url} serves chain {found}, not {self.value}: give the right URL")


class _Endpoint:
    """One URL and its client."""

    def __init__(self, url: str, timeout_seconds: float, chain: _ChainId) -> None:
        self.url = url
        parts = urlsplit(url)
        # The rest of a provider's URL is often a key.
        self.name = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        self._chain = chain
        self._is_checked = False
        options: dict[str, Any] = {"timeout": timeout_seconds}
        if parts.hostname in LOOPBACK:
            # Loopback is never behind a proxy, whatever the environment says of others.
            options["proxies"] = {"http": None, "https": None}
        self.web3 = Web3(HTTPProvider(url, request_kwargs=options, exception_retry_configuration=None))

    def ask(self, what: str, request: Callable[[Web3], T]) -> T:
        """Raises CallReverted, HistoryPruned and others of L1Refused, L1Behind and others of L1Unavailable, WrongChain.

        Before its first answer counts, it must serve the chain of the others.
        """
        try:
            if not self._is_checked:
                self._chain.check(self.name, self.web3.eth.chain_id)
                self._is_checked = True
            return request(self.web3)
        except ContractLogicError as error:
            raise CallReverted(what, _decode_reason(error)) from error
        except BlockNotFound as error:
            raise L1Behind(f"{what}: {self.name} does not know that block") from error
        except TransactionNotFound as error:
            raise HistoryPruned(f"{what}: {self.name} does not have it any more; {_KEEPER}") from error
        except Web3RPCError as error:
            text = _read_rpc_message(error)
            if _PRUNED.search(text):
                raise HistoryPruned(f"{what}: {self.name} has pruned it ({text}); {_KEEPER}") from error
            raise L1Refused(f"{what}: {self.name} refuses: {text}") from error
        except _NO_ANSWER as error:
            reason = _hide(str(error), self.url, self.name)[:80]
            raise L1Unavailable(f"{self.name} ({type(error).__name__}: {reason})") from error


_PRUNED = re.compile(r"prune|missing trie node|historical state|history (?:is )?(?:not|un)|state .*not available", re.I)
_KEEPER = "add an endpoint that keeps the history of the rollup: logs, transactions and receipts since its deployment"


def _hide(text: str, url: str, name: str) -> str:
    """Errors of the HTTP library quote URL or path."""
    return text.replace(url, name).replace(urlsplit(url).path, "/") if urlsplit(url).path.strip("/") else text


_LIMITER = trio.CapacityLimiter(CONCURRENT_REQUESTS)


async def in_thread(function: Callable[..., T], *arguments: Any, **options: Any) -> T:
    """Run something that blocks on the L1 beside other tasks.

    A cancelled caller goes on at once: a read is then lost, and a transaction is in its journal.
    """
    run = functools.partial(function, *arguments, **options)
    return await trio.to_thread.run_sync(run, limiter=_LIMITER, abandon_on_cancel=True)


# ABI and signatures


def encode_call(name: str, types: Sequence[str], values: Sequence[Any]) -> bytes:
    """Calldata: selector and arguments. Raises ValueError for a value that its type cannot hold."""
    return keccak(f"{name}({','.join(types)})".encode())[:4] + encode_values(types, values)


def encode_values(types: Sequence[str], values: Sequence[Any]) -> bytes:
    """ABI-encoded arguments; addresses as bytes."""
    return encode(types, values)


def decode_values(types: Sequence[str], data: bytes) -> tuple[Any, ...]:
    """ABI-decoded values, addresses as bytes. Raises ValueError when the data holds less."""
    try:
        values = decode(types, data)
    except Exception as error:  # eth_abi's errors have no common root but this
        raise ValueError(f"not {','.join(types)}: 0x{data.hex()}") from error
    return tuple(_to_bytes(kind, value) for kind, value in zip(types, values, strict=True))


def _to_bytes(kind: str, value: Any) -> Any:
    """The library gives addresses as text; here they are bytes, also within a flat tuple."""
    if kind == "address":
        return bytes.fromhex(value[2:])
    if kind.startswith("("):
        return tuple(_to_bytes(part, item) for part, item in zip(kind[1:-1].split(","), value, strict=True))
    return value


def sign_transaction(key: bytes, fields: TransactionFields) -> SignedTransaction:
    """Sign with a 32-byte secp256k1 secret. The same fields always give the same bytes."""
    transaction = {
        "type": 2,
        "chainId": fields.chain_id,
        "nonce": fields.nonce,
        "data": fields.data,
        "value": fields.value,
        "gas": fields.gas,
        "maxFeePerGas": fields.max_fee,
        "maxPriorityFeePerGas": fields.priority_fee,
    }
    if fields.to is not None:
        transaction["to"] = to_checksum_address(fields.to)
    signed = Account.sign_transaction(transaction, key)
    return SignedTransaction(bytes(signed.raw_transaction), bytes(signed.hash))


def _call_fields(call: Call, sender: bytes | None) -> TxParams:
    """Without a gas price: then no balance is needed to ask."""
    fields: dict[str, Any] = {"data": call.data, "value": call.value, "gas": TRANSACTION_GAS_MAX}
    if call.to is not None:
        fields["to"] = to_checksum_address(call.to)
    if sender is not None:
        fields["from"] = to_checksum_address(sender)
    return cast(TxParams, fields)


# Answers as values: whatever is missing or of the wrong type in them raises, and counts as no answer


def _read_block(found: BlockData) -> Block:
    return Block(found["number"], bytes(found["hash"]), found["timestamp"], found.get("baseFeePerGas", 0))


def _read_logs(found: Sequence[LogReceipt]) -> list[_FoundLog]:
    logs = []
    for log in found:
        address, topics = bytes.fromhex(log["address"][2:]), tuple(bytes(topic) for topic in log["topics"])
        raw = RawLog(address, topics, bytes(log["data"]), int(log["blockNumber"]), int(log["logIndex"]))
        logs.append((raw, bytes(log["transactionHash"])))
    return sorted(logs, key=lambda one: (one[0].block, one[0].log_index))


def _read_input(web3: Web3, transaction: bytes) -> bytes:
    return bytes(web3.eth.get_transaction(cast(Any, transaction))["input"])


def _read_receipt(web3: Web3, transaction: bytes) -> TransactionReceipt | None:
    try:
        found = web3.eth.get_transaction_receipt(cast(Any, transaction))
    except TransactionNotFound:
        return None
    contract = found.get("contractAddress")
    return TransactionReceipt(
        hash=transaction,
        block=found["blockNumber"],
        is_success=found["status"] == 1,
        gas_used=found["gasUsed"],
        gas_price=found["effectiveGasPrice"],
        contract=bytes.fromhex(contract[2:]) if contract else None,
    )


def _is_known(web3: Web3, transaction: bytes) -> bool:
    try:
        web3.eth.get_transaction(cast(Any, transaction))
    except TransactionNotFound:
        return False
    return True


# Errors


def _is_known_already(refused: L1Refused) -> bool:
    text = str(refused).lower()
    return "already known" in text or "already imported" in text


def _decode_reason(error: ContractLogicError) -> str:
    """The contract's text; for another kind of revert its data, for none what the endpoint says."""
    data = bytes.fromhex(error.data[2:]) if isinstance(error.data, str) and error.data.startswith("0x") else b""
    try:
        if data[:4] == ERROR_SELECTOR:
            return str(decode(["string"], data[4:])[0])
        if data[:4] == PANIC_SELECTOR:
            return f"panic 0x{int.from_bytes(data[4:36]):02x}"
    except Exception:  # a contract may revert with anything
        return f"0x{data.hex()}"
    if data:
        return f"0x{data.hex()}"
    return (error.message or "").removeprefix("execution reverted").strip(": ,")


def _read_rpc_message(error: Web3RPCError) -> str:
    """The endpoint's own words."""
    answered = error.rpc_response.get("error") if error.rpc_response else None
    if isinstance(answered, dict):
        return str(answered.get("message", json.dumps(answered)))
    return str(error.message)
