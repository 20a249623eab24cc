"""The contract that pays everybody once a rollup has ended, as typed calls and views (contracts/wind_down.vy)."""

from dataclasses import dataclass
from typing import Any, NamedTuple

from node.l1 import Call, encode_call
from node.rollup import Rollup, Signature, call_view

WIND_DOWN_ABI: dict[str, Signature] = {
    "open": Signature(("address", "bytes")),
    "register": Signature(("address", "uint256", "bytes")),
    "claim": Signature(("address", "uint256", "bytes")),
    "refund": Signature(("address", "uint256", "bytes")),
    "endings": Signature(("address",), ("(bytes32,uint256,uint256,uint256)",)),
    "pools": Signature(("address", "uint256"), ("(uint256,uint256,int256,uint256,uint256)",)),
    "is_settled": Signature(("address", "uint256"), ("bool",)),
    "is_refunded": Signature(("address", "uint256"), ("bool",)),
}
"""Function -> types, for all that a node uses."""


class PostedEnding(NamedTuple):
    """What the contract keeps of a rollup. `registered_until` is L1 time, 0 before the books were opened."""

    root: bytes
    inbox_cursor: int
    asset_count: int
    registered_until: int


@dataclass(frozen=True, slots=True)
class WindDown:
    """One rollup's part of the contract that the rollup names."""

    rollup: Rollup
    address: bytes

    def get_ending(self) -> PostedEnding:
        """All zeros before the books were opened."""
        return PostedEnding(*self._view("endings"))

    def count_left(self, asset: int) -> int:
        """Units of the last final custody that nobody has been paid yet; only once the books are open."""
        left: int = self._view("pools", asset)[1]
        return left

    def is_settled(self, account: int) -> bool:
        """Whether an account was registered or paid."""
        return bool(self._view("is_settled", account))

    def is_refunded(self, message: int) -> bool:
        """Whether a deposit has come back."""
        return bool(self._view("is_refunded", message))

    def open(self, witness: bytes) -> Call:
        """Open the books of the rollup, which has ended."""
        return self._call("open", witness)

    def register(self, account: int, witness: bytes) -> Call:
        """Count in what an account owes."""
        return self._call("register", account, witness)

    def claim(self, account: int, witness: bytes) -> Call:
        """Credit the owner of an account what it is owed."""
        return self._call("claim", account, witness)

    def refund(self, index: int, message: bytes) -> Call:
        """Credit the sender of a deposit that no final batch has taken."""
        return self._call("refund", index, message)

    def _view(self, name: str, *values: Any) -> Any:
        arguments = (self.rollup.address, *values)
        return call_view(self.rollup.l1, self.address, name, WIND_DOWN_ABI[name], arguments)

    def _call(self, name: str, *values: Any) -> Call:
        arguments = (self.rollup.address, *values)
        return Call(self.address, encode_call(name, WIND_DOWN_ABI[name].inputs, arguments), 0, name)


def find_wind_down(rollup: Rollup) -> WindDown:
    """The contract that the rollup obeys."""
    return WindDown(rollup, rollup.view("WIND_DOWN"))
