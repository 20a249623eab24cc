"""An in-process EVM for parity tests: deploy a contract, call it through its ABI, read value, gas and reason.

    evm = Evm(timestamp=1_700_000_000)
    margin = evm.deploy("margin")
    assert margin.read("compute_equity", leaf).value == compute_equity(leaf)

`send` keeps its effects, `read` undoes them. Gas is exact for what reads no storage, or storage that nothing has
touched. But the engine keeps slots that a deployment or a send touched warm, and their original values old, so
that a later call pays too little for them: published figures of such calls come from the development L1.

The rules are Cancun's, for which the contracts are built. Of the later ones EIP-7825's cap on the gas of a
transaction is the default limit; EIP-7623's calldata floor is not charged (see `Outcome.budgeted_gas`).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eth_abi import decode, encode
from eth_utils import to_checksum_address
from eth_utils.abi import (
    event_abi_to_log_topic,
    function_abi_to_4byte_selector,
    get_abi_input_types,
    get_abi_output_types,
)
from pyrevm import EVM, BlockEnv, CfgEnv, Env, Log

from node.contracts import MAX_RUNTIME_SIZE, Artifact, compile_contract, compile_source

TRANSACTION_GAS_LIMIT = 16_777_216
"""EIP-7825: no transaction may ask for more."""

SENDER = "0x" + "a1" * 20
"""Who sends unless a test says otherwise: an account without code and with 10^24 wei.

A sender is always `tx.origin` and, for the contract it calls, `msg.sender`; the two differ only behind a
contract that calls on, and an account with code cannot send (EIP-3607), here as on a chain.
"""

ERROR_SELECTOR = bytes.fromhex("08c379a0")  # Error(string), what `assert cond, "reason"` reverts with

REVERT = re.compile(r"Revert \{ gas_used: (?P<gas>\d+), output: 0x(?P<output>[0-9a-f]*) \}")
HALT = re.compile(r"Halt \{ reason: (?P<reason>.*), gas_used: (?P<gas>\d+) \}")


class Reverted(AssertionError):
    """A value was asked of a call that reverted."""


class Refused(ValueError):
    """The transaction would never have entered a block: no funds, too much gas, a sender with code."""


@dataclass(frozen=True)
class Event:
    """A decoded log: the event's name and its arguments by name."""

    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What one transaction did.

    `reason` is None on success; for a revert it is the contract's text ("" if it gave none), for an
    exceptional halt the engine's name of it. `gas_used` is what the sender pays: intrinsic gas too, less refunds.
    """

    returned: Any
    reason: str | None
    gas_used: int
    calldata: bytes
    events: tuple[Event, ...] = ()

    @property
    def reverted(self) -> bool:
        return self.reason is not None

    @property
    def value(self) -> Any:
        """The decoded return value: bare if there is one, a tuple if several, None if none."""
        if self.reason is not None:
            raise Reverted(f"reverted: {self.reason or '(no reason given)'}, after {self.gas_used} gas")
        return self.returned

    @property
    def execution_gas(self) -> int:
        """Gas beyond the 21,000 of any transaction and the 16 or 4 of each calldata byte."""
        zeros = self.calldata.count(0)
        return self.gas_used - 21_000 - 16 * (len(self.calldata) - zeros) - 4 * zeros

    @property
    def budgeted_gas(self) -> int:
        """What the protocol reckons with: every byte as a non-zero one, under the calldata floor to come."""
        return 21_000 + max(16 * len(self.calldata) + self.execution_gas, 64 * len(self.calldata))


class Evm:
    """One chain of Cancun rules with EIP-170 on and gas free of charge."""

    def __init__(self, *, timestamp: int = 1_700_000_000, number: int = 1, chain_id: int = 31_337) -> None:
        self._block: dict[str, Any] = {"timestamp": timestamp, "number": number}
        self._engine = EVM(
            env=Env(cfg=CfgEnv(chain_id=chain_id, limit_contract_code_size=MAX_RUNTIME_SIZE)),
            spec_id="CANCUN",
        )
        self.set_block()
        self.set_balance(SENDER, 10**24)

    @property
    def timestamp(self) -> int:
        """Seconds; what `block.timestamp` gives."""
        return self._block["timestamp"]

    def set_block(self, *, timestamp: int | None = None, number: int | None = None) -> None:
        """Change what the next transactions see of their block; what is not named stays."""
        changes = {"timestamp": timestamp, "number": number}
        self._block |= {key: value for key, value in changes.items() if value is not None}
        self._engine.set_block_env(BlockEnv(**self._block))

    def set_balance(self, address: str, wei: int) -> None:
        self._engine.set_balance(address, wei)

    def get_balance(self, address: str) -> int:
        return self._engine.get_balance(address)

    def get_code(self, address: str) -> bytes:
        return bytes(self._engine.get_code(address) or b"")

    def read_storage(self, address: str, slot: int) -> int:
        return self._engine.storage(address, slot)

    def write_storage(self, address: str, slot: int, word: int) -> None:
        """Put a word where no call would: what no checkpoint undoes."""
        self._engine.insert_account_storage(address, slot, word)

    def deploy(self, name: str, *arguments: Any, sender: str = SENDER, value: int = 0) -> "Contract":
        """Deploy `contracts/<name>.vy`."""
        return self.deploy_artifact(compile_contract(name), *arguments, sender=sender, value=value)

    def deploy_source(self, source: str, *arguments: Any, sender: str = SENDER, value: int = 0) -> "Contract":
        """Deploy Vyper text."""
        return self.deploy_artifact(compile_source(source), *arguments, sender=sender, value=value)

    def deploy_artifact(self, artifact: Artifact, *arguments: Any, sender: str = SENDER, value: int = 0) -> "Contract":
        """Deploy under the transaction gas cap and EIP-170; raises Reverted if that fails."""
        constructor: Any = next((e for e in artifact.abi if e["type"] == "constructor"), {"inputs": []})
        code = artifact.bytecode + _encode_arguments(constructor, arguments, f"{artifact.name}.__init__")
        try:
            address = self._engine.deploy(sender, code, value, TRANSACTION_GAS_LIMIT)
        except RuntimeError as error:
            reason = _read_failure(error, code).reason
            raise Reverted(f"deploying {artifact.name}, {artifact.runtime_size} bytes: {reason}") from None
        assert self._engine.result is not None
        return Contract(self, to_checksum_address(address), artifact, self._engine.result.gas_used)

    def transact(
        self,
        to: str,
        calldata: bytes,
        *,
        sender: str = SENDER,
        value: int = 0,
        gas: int = TRANSACTION_GAS_LIMIT,
    ) -> tuple[Outcome, Sequence[Log]]:
        """Send raw calldata; the outcome's value is raw too.

        More gas than the cap is for measuring by how much something does not fit.
        """
        # Transient storage lives for one transaction; the engine would keep it.
        self._engine.reset_transient_storage()
        try:
            output = self._engine.message_call(sender, to, calldata, value, gas)
        except RuntimeError as error:
            return _read_failure(error, calldata), ()
        result = self._engine.result
        assert result is not None
        return Outcome(bytes(output), None, result.gas_used, calldata), result.logs

    def checkpoint(self) -> Any:
        """Remember the state for `restore`; checkpoints nest."""
        return self._engine.snapshot()

    def restore(self, checkpoint: Any) -> None:
        """Undo everything since the checkpoint, warmth of storage included."""
        self._engine.revert(checkpoint)


class Contract:
    """A deployed contract. Functions go by name and are told apart by their number of arguments.

    Structs are tuples, addresses hex strings, bytes are bytes.
    """

    def __init__(self, evm: Evm, address: str, artifact: Artifact, deployment_gas: int) -> None:
        self.address = address
        self.artifact = artifact
        self.deployment_gas = deployment_gas
        self._evm = evm
        events: list[Any] = [entry for entry in artifact.abi if entry["type"] == "event"]
        self._events = {event_abi_to_log_topic(entry): entry for entry in events}

    @property
    def code_size(self) -> int:
        """Bytes of code on chain."""
        # The engine answers with 33 zero bytes behind the code, where a last PUSH may read.
        return len(self._evm.get_code(self.address)) - 33

    def send(self, function: str, *arguments: Any, **options: Any) -> Outcome:
        """Call and keep the effects. Options: sender, value (wei), gas."""
        entry = self._find_function(function, len(arguments))
        calldata = self.encode_call(function, *arguments)
        outcome, logs = self._evm.transact(self.address, calldata, **options)
        if outcome.reverted:
            return outcome
        values = decode(get_abi_output_types(entry), outcome.returned)
        returned = values if len(values) > 1 else next(iter(values), None)
        events = tuple(self._decode_event(log) for log in logs if log.address.lower() == self.address.lower())
        return Outcome(returned, None, outcome.gas_used, calldata, events)

    def read(self, function: str, *arguments: Any, **options: Any) -> Outcome:
        """Call and undo the effects; slots that were cold stay cold."""
        checkpoint = self._evm.checkpoint()
        try:
            return self.send(function, *arguments, **options)
        finally:
            self._evm.restore(checkpoint)

    def encode_call(self, function: str, *arguments: Any) -> bytes:
        """The calldata of a call."""
        entry = self._find_function(function, len(arguments))
        return function_abi_to_4byte_selector(entry) + _encode_arguments(entry, arguments, function)

    def _find_function(self, name: str, arity: int) -> Any:
        overloads = [e for e in self.artifact.abi if e["type"] == "function" and e["name"] == name]
        for entry in overloads:
            if len(entry["inputs"]) == arity:
                return entry
        known = " or ".join(str(len(entry["inputs"])) for entry in overloads)
        taken = f"takes {known} arguments" if known else "does not exist"
        raise LookupError(f"{self.artifact.name}.{name} {taken}; asked with {arity}")

    def _decode_event(self, log: Log) -> Event:
        """Read an event whose indexed arguments are single words, as ours are."""
        topics, data = log.data
        entry = self._events[bytes(topics[0])]
        in_data = iter(decode(_list_types([i for i in entry["inputs"] if not i["indexed"]]), data))
        in_topics = iter(topics[1:])
        arguments = {
            i["name"]: decode([i["type"]], bytes(next(in_topics)))[0] if i["indexed"] else next(in_data)
            for i in entry["inputs"]
        }
        return Event(entry["name"], arguments)


def _list_types(inputs: Any) -> list[str]:
    """ABI type strings, structs spelled out as tuples."""
    return get_abi_input_types({"type": "function", "name": "", "inputs": inputs})


def _encode_arguments(entry: Any, arguments: Sequence[Any], where: str) -> bytes:
    types = _list_types(entry["inputs"])
    if len(types) != len(arguments):
        raise TypeError(f"{where} takes {len(types)} arguments, not {len(arguments)}")
    return encode(types, arguments)


def _read_failure(error: RuntimeError, calldata: bytes) -> Outcome:
    """The engine reports failures as text only."""
    text = str(error)
    if match := REVERT.fullmatch(text):
        output = bytes.fromhex(match["output"])
        reason = decode(["string"], output[4:])[0] if output[:4] == ERROR_SELECTOR else output.hex()
        return Outcome(None, reason, int(match["gas"]), calldata)
    if match := HALT.fullmatch(text):
        return Outcome(None, match["reason"], int(match["gas"]), calldata)
    raise Refused(text)
