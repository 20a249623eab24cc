"""The development L1 behind the face of the in-process EVM, for what only a whole node says.

That is gas as it is paid, with every slot cold at the start of a transaction and a floor under calldata (EIP-7623), and
accounts that delegate to code (EIP-7702).
"""

from typing import Any

from eth_abi import decode
from eth_utils import to_checksum_address
from eth_utils.abi import get_abi_input_types

from node.anvil import Anvil, RequestError
from node.contracts import Artifact
from tests.evm import ERROR_SELECTOR, SENDER, TRANSACTION_GAS_LIMIT, Contract, Evm, Outcome
from tests.evm import _encode_arguments as encode_arguments


class L1Evm(Evm):
    """As much of Evm as `Chain` uses; transactions are real ones of impersonated accounts, and logs are not kept."""

    def __init__(self, anvil: Anvil) -> None:
        self._anvil = anvil
        anvil.request("anvil_autoImpersonateAccount", True)
        self.set_balance(SENDER, 10**24)

    @property
    def timestamp(self) -> int:
        """Seconds of the latest block; the next one's are not lower."""
        return int(self._anvil.request("eth_getBlockByNumber", "latest", False)["timestamp"], 16)

    def set_block(self, *, timestamp: int | None = None, number: int | None = None) -> None:
        """Mine a block of that time."""
        assert timestamp is not None
        assert number is None
        self._anvil.request("evm_setNextBlockTimestamp", timestamp)
        self._anvil.request("evm_mine")

    def set_balance(self, address: str, wei: int) -> None:
        self._anvil.request("anvil_setBalance", address, hex(wei))

    def get_balance(self, address: str) -> int:
        return int(self._anvil.request("eth_getBalance", address, "latest"), 16)

    def get_code(self, address: str) -> bytes:
        return bytes.fromhex(self._anvil.request("eth_getCode", address, "latest")[2:])

    def deploy_artifact(
        self,
        artifact: Artifact,
        *arguments: Any,
        sender: str = SENDER,
        value: int = 0,
        gas: int = TRANSACTION_GAS_LIMIT,
    ) -> Contract:
        """Deploy in a transaction of its own."""
        constructor: dict[str, Any] = next(
            (entry for entry in artifact.abi if entry["type"] == "constructor"), {"inputs": []}
        )
        assert len(get_abi_input_types({"type": "function", "name": "", "inputs": constructor["inputs"]})) == len(
            arguments
        )
        code = artifact.bytecode + encode_arguments(constructor, arguments, artifact.name)
        receipt = self._send({"from": sender, "value": hex(value), "gas": hex(gas), "data": "0x" + code.hex()})
        assert receipt["status"] == "0x1", f"deployment of {artifact.name}"
        return Contract(self, to_checksum_address(receipt["contractAddress"]), artifact, int(receipt["gasUsed"], 16))

    def transact(
        self, to: str, calldata: bytes, *, sender: str = SENDER, value: int = 0, gas: int = TRANSACTION_GAS_LIMIT
    ) -> tuple[Outcome, tuple[()]]:
        """Send and wait for the receipt; what is returned, or why not, comes from the same call made just before."""
        call = {
            "from": sender,
            "to": to,
            "value": hex(value),
            "gas": hex(gas),
            "data": "0x" + calldata.hex(),
            "maxFeePerGas": hex(10**10),
        }
        returned, reason = b"", None
        try:
            returned = bytes.fromhex(self._anvil.request("eth_call", call, "latest")[2:])
        except RequestError as error:
            data = bytes.fromhex((error.data or "0x")[2:])
            reason = decode(["string"], data[4:])[0] if data[:4] == ERROR_SELECTOR else data.hex()
        receipt = self._send(call)
        assert (receipt["status"] == "0x1") == (reason is None)
        return Outcome(returned, reason, int(receipt["gasUsed"], 16), calldata), ()

    def checkpoint(self) -> Any:
        return self._anvil.request("evm_snapshot")

    def restore(self, checkpoint: Any) -> None:
        assert self._anvil.request("evm_revert", checkpoint)

    def _send(self, call: dict[str, str]) -> dict[str, str]:
        """One block a transaction; its receipt is there when the answer is."""
        transaction_hash = self._anvil.request("eth_sendTransaction", call)
        receipt: dict[str, str] | None = None
        while receipt is None:
            receipt = self._anvil.request("eth_getTransactionReceipt", transaction_hash)
        return receipt
