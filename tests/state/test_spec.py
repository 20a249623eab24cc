"""state/SPEC.md says what the code does: its tables are read and executed.

What each check and effect reads is shown on the stories of `tests.stories`: the table's letters become leaf keys, and
these are what the recording ledger saw, in its order.
"""

import itertools
import re
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest

from state import constants
from state.batches import HEADER_BYTES, Frame, Header, Step, encode_step
from state.codes import Code, Kind, MessageCode
from state.leaves import (
    Account,
    Asset,
    AssetTerms,
    Globals,
    Instrument,
    Order,
    Params,
    SessionKey,
    Underlying,
    UnderlyingTerms,
    Withdrawal,
)
from state.operations import (
    L1,
    Cancel,
    Fill,
    Oracle,
    OracleSignature,
    OrderOp,
    OrderTerms,
    Tick,
    Transfer,
    Withdraw,
)
from state.process_inbox import Message, MessageType, encode_amount, encode_key
from state.transition import PROCESSES
from state.tree import DEPTHS, Collection

PROJECT = Path(__file__).resolve().parents[2]
SPEC = (PROJECT / "state" / "SPEC.md").read_text()
CONTRACT_CONSTANTS = (PROJECT / "contracts" / "constants.vy").read_text()


def read_table(heading: str) -> list[list[str]]:
    """The rows of the first table below a heading."""
    _, _, below = SPEC.partition(f"\n{heading}\n")
    assert below, heading
    lines = itertools.dropwhile(lambda line: not line.startswith("|"), below.splitlines())
    table = itertools.takewhile(lambda line: line.startswith("|"), lines)
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in table][2:]


# Numbers


@pytest.mark.parametrize(("name", "value", "meaning"), read_table("## 1. Constants"))
def test_constants(name: str, value: str, meaning: str) -> None:
    """Every number of the text is the code's, and the contract's, under the same name."""
    assert getattr(constants, name) == int(value)
    declared = re.search(rf"^{name}: constant\(u?int256\) = ([\d_*+ -]+)", CONTRACT_CONSTANTS, re.MULTILINE)
    assert declared, f"contracts/constants.vy has no {name}"
    assert eval(declared[1], {}) == int(value)


def test_no_constant_is_left_out() -> None:
    """The code has no number that the text does not name."""
    named = {row[0] for row in read_table("## 1. Constants")}
    assert named == {name for name in dir(constants) if name.isupper()}


def test_collections() -> None:
    """Collections, their numbers and depths are the tree's and the contract's."""
    rows = [(name, int(number), int(depth)) for name, number, depth, _ in read_table("## 2. The tree")]
    assert rows == [(c.name.lower(), int(c), DEPTHS[c]) for c in Collection]
    for name, number, _ in rows:
        assert f"\n{name.upper()}: constant(uint256) = {number}\n" in CONTRACT_CONSTANTS
    assert f"DEPTHS: constant(uint256[8]) = {list(DEPTHS)}" in CONTRACT_CONSTANTS


def test_kinds() -> None:
    """The numbers of ops are the enumeration, and the contract's."""
    rows = [(name, int(number)) for name, number, _ in read_table("## 5. Operations")]
    assert rows == [(kind.name.lower(), int(kind)) for kind in Kind]
    for name, number in rows:
        assert f"\n{name.upper()}: constant(uint256) = {number}\n" in CONTRACT_CONSTANTS


# Layouts: a value whose fields all differ is encoded by the code and, field by field, by the table


class Filler:
    """Gives every field a number of its own, so that two fields in each other's place would show."""

    def __init__(self) -> None:
        self.count = 0

    def fill(self, kind: str) -> Any:
        """A value of a type of the text: u64, i128, b32."""
        self.count += 1
        letter, size = kind[0], int(kind[1:])
        if letter == "b":
            return bytes([self.count]) * size
        value = self.count * 0x0101010101010101010101010101010101010101 & ((1 << size - 1) - 1)
        return -value if letter == "i" else value


def encode_as_told(kind: str, value: Any) -> bytes:
    """The bytes of a value of a type of the text."""
    letter, size = kind[0], int(kind[1:])
    if letter == "b":
        assert len(value) == size
        return bytes(value)
    return int(value).to_bytes(size // 8, signed=letter == "i")


def split_fields(text: str) -> list[tuple[str, str]]:
    """`name type, name type` as pairs; a repeated group in parentheses stays whole."""
    parts = re.findall(r"(\w+) (\w+ x \([^)]*\)|popcount\(\w+\) x \([^)]*\)|[uib]\d+)", text)
    assert parts, text
    return parts


GROUPS: dict[str, Any] = {
    "keys": SessionKey,
    "collateral": lambda asset, amount: (asset, amount),
    "positions": lambda instrument, quantity: (Instrument(*instrument), quantity),
    "legs": lambda instrument, ratio: (Instrument(*instrument), ratio),
    "assets": AssetTerms,
    "underlyings": UnderlyingTerms,
    "signatures": OracleSignature,
}
COUNTED = {
    "key_count": "keys",
    "collateral_count": "collateral",
    "position_count": "positions",
    "leg_count": "legs",
    "asset_entries": "assets",
    "underlying_entries": "underlyings",
    "oracle_count": "oracle_signers",
}
REPEATS = 2


class Layout:
    """A list of fields of the text, filled with values: `values` for the code's constructor, `encoded` by the text."""

    def __init__(self, rows: list[tuple[str, str]]) -> None:
        filler = Filler()
        self.values: dict[str, Any] = {}
        self.encoded = b""
        for name, kind in rows:
            if name in COUNTED:
                self.encoded += encode_as_told(kind, REPEATS)
            elif name == "signer_mask":
                self.values[name] = (1 << REPEATS) - 1
                self.encoded += encode_as_told(kind, self.values[name])
            elif name == "oracle_signers":
                self.values[name] = tuple(filler.fill("b20") for _ in range(REPEATS))
                self.encoded += b"".join(self.values[name]).ljust(int(kind[1:]), b"\0")
            elif " x " in kind:
                self._repeat(filler, name, kind)
            else:
                self.values[name] = filler.fill(kind)
                self.encoded += encode_as_told(kind, self.values[name])

    def _repeat(self, filler: Filler, name: str, kind: str) -> None:
        """A counted group: `key_count x (public_key b32, scope u8)`."""
        members = split_fields(kind.partition(" x ")[2])
        items = []
        for _ in range(REPEATS):
            values = [self._fill_member(filler, member, kind) for member, kind in members]
            items.append(GROUPS[name](*values))
        self.values[name] = tuple(items)

    def _fill_member(self, filler: Filler, member: str, kind: str) -> Any:
        if member == "instrument":
            layout = Layout([(row[0], row[1]) for row in read_table("### instrument")])
            self.encoded += layout.encoded
            return layout.values.values()
        value = filler.fill(kind)
        self.encoded += encode_as_told(kind, value)
        return value


LEAVES = {
    "globals": Globals,
    "account": Account,
    "instrument": Instrument,
    "order": Order,
    "underlying": Underlying,
    "params": Params,
    "outbox": Withdrawal,
    "asset": Asset,
    "header": Header,
}


@pytest.mark.parametrize("heading", LEAVES)
def test_layouts(heading: str) -> None:
    """Every field of a leaf, and of the header, stands where the table says in its width and sign; no other does."""
    rows = [(row[0], row[1]) for row in read_table(f"### {heading}")]
    layout, kind = Layout(rows), LEAVES[heading]
    names = [field.name for field in fields(kind)] if is_dataclass(kind) else list(kind._fields)
    assert sorted(layout.values) == sorted(names)
    assert kind(**layout.values).encode() == layout.encoded


def test_header_length() -> None:
    """The header has as many bytes as the proof's table says."""
    layout = Layout([(row[0], row[1]) for row in read_table("### header")])
    assert len(layout.encoded) == HEADER_BYTES == 228


def test_frame_layout() -> None:
    """A frame is its head, then each step with its length, op and root."""
    rows = [(row[0], row[1]) for row in read_table("### frame")]
    assert rows[-1] == ("steps", "count x (length u16, op, post_root b32)")
    layout = Layout(rows[:-1])
    steps = tuple(Step(bytes([count]) * count, bytes([count]) * 32) for count in range(1, 4))
    told = b"".join(len(op).to_bytes(2) + op + root for op, root in steps)
    frame = Frame(layout.values["pre_root"], layout.values["first_index"], steps)
    assert frame.encode() == layout.encoded[:-2] + len(steps).to_bytes(2) + told
    assert b"".join(encode_step(step) for step in steps) == told


OPERATIONS = {
    "tick": Tick,
    "l1": L1,
    "oracle": Oracle,
    "order": OrderOp,
    "cancel": Cancel,
    "fill": Fill,
    "transfer": Transfer,
    "withdraw": Withdraw,
}


@pytest.mark.parametrize(("name", "number", "told"), read_table("## 5. Operations"))
def test_operation_layouts(name: str, number: str, told: str) -> None:
    """An op is its kind and its fields in the table's order; what stands between brackets is what is signed."""
    if not told:
        assert PROCESSES[Kind(int(number))] is not None
        return
    before, _, rest = told.partition("[")
    signed = rest.partition("]")[0]
    layout = Layout(split_fields(told))
    values = dict(layout.values)
    op: Any
    if name == "order":
        terms = OrderTerms(**{field.name: values.pop(field.name) for field in fields(OrderTerms)})
        op = OrderOp(terms=terms, **values)
    else:
        op = OPERATIONS[name](**values)
    assert op.encode() == bytes([int(number)]) + layout.encoded
    if signed:
        start = 1 + len(Layout(split_fields(before)).encoded)
        end = start + len(Layout(split_fields(signed)).encoded)
        assert op.encode()[start:end] == op.encode_signed()


# Codes


def test_checks_are_the_codes() -> None:
    """The table of checks is the enumeration, line by line."""
    assert [(int(row[0]), row[1]) for row in read_table("## 6. Checks")] == [(int(c), c.name) for c in Code]


def test_checks_stand_in_order_of_precedence() -> None:
    """Behind check 0, which decoding is, each kind has its codes in rising order, none left out."""
    for kind, process in PROCESSES.items():
        listed = [code for code, _ in process.checks]
        assert listed == [code for code in Code if code // 100 == kind and code % 100]
        assert [code % 100 for code in listed] == list(range(1, len(listed) + 1))


def test_message_codes() -> None:
    """The table of message codes is the enumeration, but for the one that says that all went well."""
    table = read_table("| cancel_all | 5 | | G, A(account) |")
    assert [(int(row[0]), row[1]) for row in table] == [(int(c), c.name) for c in MessageCode if c]


def test_message_layouts() -> None:
    """A message is its head and the payload of its type."""
    head = re.search(r"`message = type u8 \|\| (.*?) \|\| payload`", SPEC)
    assert head
    layout = Layout(split_fields(head[1].replace(" || ", ", ")))
    assert Message(9, payload=b"rest", **layout.values).encode() == b"\x09" + layout.encoded + b"rest"
    payloads = {row[0]: (int(row[1]), row[2]) for row in read_table("## 9. L1 messages")}
    assert {name: number for name, (number, _) in payloads.items()} == {t.name.lower(): t for t in MessageType}
    for name in ("deposit", "force_withdraw"):
        amount = Layout(split_fields(payloads[name][1]))
        assert encode_amount(**amount.values) == amount.encoded
    key = Layout(split_fields(payloads["register_key"][1]))
    assert encode_key(SessionKey(**key.values)) == key.encoded
    assert payloads["cancel_all"][1] == ""
