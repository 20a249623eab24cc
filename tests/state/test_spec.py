"""state/SPEC.md says what the code does: its tables are read and executed.

What each check and effect reads is shown on the stories of `tests.stories`: the table's letters become leaf keys, and
these are what the recording ledger saw, in its order.
"""

import itertools
import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import astuple, fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest

from risk.parameter_sets import make_keel
from state import constants
from state.batches import HEADER_BYTES, Frame, Header, Step, encode_step
from state.codes import Code, Kind, MessageCode
from state.context import is_passed
from state.leaves import (
    Account,
    Asset,
    AssetTerms,
    Expiry,
    Globals,
    Instrument,
    Order,
    Params,
    SessionKey,
    Underlying,
    UnderlyingTerms,
    Withdrawal,
)
from state.ledger import Ledger, Slot
from state.operations import (
    L1,
    Bid,
    Cancel,
    Deleverage,
    Fill,
    Index,
    Interest,
    Liquidate,
    Oracle,
    OracleSignature,
    OrderOp,
    OrderTerms,
    Relay,
    Settle,
    Surface,
    Take,
    Tick,
    Transfer,
    Withdraw,
    decode_operation,
)
from state.process_bid import encode_bid, read_take
from state.process_deleverage import compute_value, find_first
from state.process_inbox import (
    Message,
    MessageType,
    Proposal,
    decode_message,
    decode_proposal,
    encode_amount,
    encode_close,
    encode_key,
)
from state.process_relay import decode_reading
from state.process_take import compute_bidder
from state.proposals import RANGES
from state.rules import encode_rules
from state.slices import cut_slice
from state.transition import PROCESSES
from state.tree import (
    DEPTHS,
    GLOBALS_KEY,
    Collection,
    LeafKey,
    account_key,
    expiry_key,
    leaf_key,
    order_key,
    underlying_key,
)
from tests.stories import MESSAGE_STORIES, STORIES, Story, set_scene
from tests.world import Attempt

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


LAST_MESSAGE = (
    "| params | 11 | version u16, previous_params_hash b32, previous_rules_hash b32, params_length u16, params, "
    "rules_length u16, rules | G, P, R, next P, next R; reading stops where it fails |"
)
"""The row behind which the table of message codes comes."""

GROUPS: dict[str, Any] = {
    "keys": SessionKey,
    "collateral": lambda asset, amount: (asset, amount),
    "positions": lambda instrument, quantity: (Instrument(*instrument), quantity),
    "legs": lambda instrument, ratio: (Instrument(*instrument), ratio),
    "assets": AssetTerms,
    "underlyings": UnderlyingTerms,
    "basket": lambda underlying, weight_ppm: (underlying, weight_ppm),
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
    "basket_count": "basket",
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
            elif name == "instrument":
                self.values[name] = Instrument(*self._fill_instrument())
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
        if kind[0].isdigit():  # so many places, whether there is something or not
            self.encoded += bytes((int(kind[0]) - REPEATS) * sum(int(member[1:]) // 8 for _, member in members))

    def _fill_member(self, filler: Filler, member: str, kind: str) -> Any:
        if member == "instrument":
            return self._fill_instrument()
        value = filler.fill(kind)
        self.encoded += encode_as_told(kind, value)
        return value

    def _fill_instrument(self) -> Any:
        """The fields of an instrument, in its table's order."""
        layout = Layout([(row[0], row[1]) for row in read_table("### instrument")])
        self.encoded += layout.encoded
        return layout.values.values()


LEAVES: dict[str, Any] = {
    "globals": Globals,
    "account": Account,
    "instrument": Instrument,
    "order": Order,
    "underlying": Underlying,
    "expiry": Expiry,
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


def test_rules_layout() -> None:
    """Every number of the rules stands where the table says: the parts of a set, then its tiers and scenarios."""
    rows = {name: kind for name, kind, _ in read_table("### rules")}
    keel = make_keel()
    parts = {name: getattr(keel, name) for name in rows if hasattr(keel, name)}
    times = (keel.steps_ms[1], keel.wing_width, keel.settlement_window_ms, keel.reference_tenor_ms)
    told = bytes([len(keel.scenarios), len(keel.tiers)])
    for name, kind in rows.items():
        members = kind[kind.index("(") + 1 : -1].split(", ") if "(" in kind else []
        if name == "times":
            assert members == ["later_ms", "wing_width", "settlement_window_ms", "reference_tenor_ms"]
            told += struct.pack(">4q", *times)
        elif " x " in kind:
            for item in parts[name]:
                values = [getattr(item, field.name) for field in fields(item)]
                if name == "scenarios":
                    values = [*values[:3], values[3] | values[4] << 1]
                kinds = [member.split()[1] for member in members]
                told += b"".join(encode_as_told(one, value) for one, value in zip(kinds, values, strict=True))
        elif members:
            assert members == [field.name.removesuffix("_q38") for field in fields(parts[name])]
            told += b"".join(int(value).to_bytes(8, signed=True) for value in astuple(parts[name]))
    assert encode_rules(keel) == told


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
    "surface": Surface,
    "index": Index,
    "settle": Settle,
    "liquidate": Liquidate,
    "take": Take,
    "deleverage": Deleverage,
    "bid": Bid,
    "relay": Relay,
    "interest": Interest,
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
    table = read_table(LAST_MESSAGE)
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
    close = Layout(split_fields(payloads["force_close"][1]))
    assert encode_close(True) == bytes([True] * len(close.encoded))
    told = payloads["params"][1]
    hashes = Layout(split_fields(told.partition(", params_length")[0]))
    proposal = Proposal(**hashes.values, params=b"leaf", rules=b"the other")
    assert proposal.encode() == hashes.encoded + b"\0\x04leaf" + b"\0\x09the other"
    assert decode_proposal(proposal.encode()) == proposal
    assert told.endswith("params_length u16, params, rules_length u16, rules")
    assert (payloads["cancel_all"][1], payloads["force_liquidate"][1]) == ("", "")
    bid = Layout(split_fields(payloads["take"][1]))
    assert encode_bid(**bid.values) == bid.encoded


def test_ranges_of_a_governor() -> None:
    """What a governor may propose is what the code says."""
    _, _, below = SPEC.partition("**Versions of parameters.**")
    rows = re.findall(r"^\| (\w+) \| (\d+) \| (\d+) \|$", below.partition("## 10.")[0], re.MULTILINE)
    assert {name: (int(least), int(most)) for name, least, most in rows} == RANGES


# Reads


class Reader:
    """Turns the letters of a "reads" cell into leaf keys, for one op in one state, as far as they are asked for."""

    def __init__(self, attempt: Attempt) -> None:
        self.ledger = Ledger(attempt.leaves)
        op = decode_operation(attempt.op)
        assert op is not None
        self.op: Any = op.terms if isinstance(op, OrderOp) else op
        self.asset = getattr(op, "asset", 0)
        self.amount = getattr(op, "amount", 0)
        self.target = getattr(op, "account", 0)
        if isinstance(op, L1 | Bid | Relay) and op.index == self.ledger.get_globals().inbox_cursor:
            self._take_message(attempt.context.get_message(op.index))

    def _take_message(self, data: bytes) -> None:
        message = decode_message(data)
        self.target = message.account
        if isinstance(self.op, Bid) and message.type == MessageType.TAKE:
            self.op = read_take(self.op, message)
        if isinstance(self.op, Relay) and message.type != MessageType.TAKE:
            self.op = decode_reading(message, self.op.position)
        if message.type in (MessageType.DEPOSIT, MessageType.FORCE_WITHDRAW):
            self.asset, self.amount = int.from_bytes(message.payload[:2]), int.from_bytes(message.payload[2:])
        if message.type == MessageType.DEPOSIT and message.account == 0:
            self.target = self.ledger.get_globals().account_count

    def read(self, cell: str) -> Iterator[LeafKey]:
        """The keys, in order; each once."""
        tokens = re.findall(
            r"\b(next P|next R|[GPRX]|exhibit)\b|([AOUES]\([^)]*\) \.\. U\([^)]*\)|M\*\([^)]*\)|[AOUES]\([^)]*\))", cell
        )
        for letter, inner in tokens:
            yield from self._resolve(letter or inner)

    def _resolve(self, token: str) -> Iterator[LeafKey]:
        state = self.ledger.get_globals()
        name = token[token.find("(") + 1 : -1]
        if token == "G":
            yield GLOBALS_KEY
        elif token == "P":
            yield leaf_key(Collection.PARAMS, state.params_version)
        elif token == "R":
            yield leaf_key(Collection.PARAMS, constants.RULES_OFFSET + state.params_version)
        elif token in ("next P", "next R"):
            offset = 0 if token == "next P" else constants.RULES_OFFSET
            version = state.params_version + 1
            yield from [leaf_key(Collection.PARAMS, offset + version)] if version < constants.RULES_OFFSET else []
        elif token == "X":
            yield leaf_key(Collection.OUTBOX, state.outbox_count)
        elif token == "exhibit":
            yield from self._list_exhibit()
        elif ".." in token:
            yield from map(underlying_key, range(state.underlying_count))
        elif token[0] == "M":
            yield from self._list_needed(name)
        elif token[0] == "A":
            account = self._get_account(name)
            yield from [account_key(account)] if 1 <= account < constants.ACCOUNTS_MAX else []
        elif token[0] == "O":
            yield order_key(self._get_account(name.split(",")[0]), self._get_slot(name))
        elif token[0] == "U":
            yield from map(underlying_key, self._list_underlyings(name))
        elif token[0] == "E":
            yield from (expiry_key(*pair) for pair in self._list_expiries(name))
        else:
            yield leaf_key(Collection.ASSETS, self.asset if name == "asset" else int(name))

    def _get_account(self, name: str) -> int:
        is_given = name == "account" or (name == "target" and not isinstance(self.op, Take))
        return self.target if is_given else int(getattr(self.op, name))

    def _get_slot(self, name: str) -> int:
        return int(getattr(self.op, "slot" if name == "account, slot" else f"{name}_slot"))

    def _get_legs(self) -> list[Instrument]:
        """What an order names, a fill trades, or a deleverage closes."""
        if isinstance(self.op, Deleverage):
            return [self.op.instrument]
        is_fill = isinstance(self.op, Fill)
        order = self.ledger.require_order(Slot(self.op.buyer, self.op.buyer_slot)) if is_fill else self.op
        return [instrument for instrument, _ in order.legs]

    def _list_underlyings(self, name: str) -> list[int]:
        if name == "instrument":
            return [self._get_legs()[0].underlying]
        if name == "components":
            return [component for component, _ in self.ledger.require_underlying(self.op.underlying).basket]
        if name == "positions":
            held = [instrument for instrument, _ in self.ledger.require_account(self.op.bankrupt).positions]
        elif name == "settled":
            held = self._list_expired(lambda expiry: expiry.settlement > 0)
        elif name == "slice":
            target = self.ledger.require_account(self.op.target)
            held = [instrument for instrument, _ in cut_slice(target, self.op.slice_ppm).positions]
        else:
            return [self.op.underlying]
        return sorted({instrument.underlying for instrument in held})

    def _list_expiries(self, name: str) -> list[tuple[int, int]]:
        if name == "op":
            return [(self.op.underlying, self.op.expiry)]
        named = self._list_expired(lambda expiry: True) if name == "expired" else self._get_legs()
        return sorted({(instrument.underlying, instrument.expiry) for instrument in named if instrument.expiry})

    def _list_expired(self, holds: Callable[[Expiry], bool]) -> list[Instrument]:
        """What an account holds whose time has come, as far as its expiry is such a one."""
        now = self.ledger.get_globals().time
        held = [instrument for instrument, _ in self.ledger.require_account(self.target).positions]
        due = [instrument for instrument in held if 0 < instrument.expiry <= now]
        return [one for one in due if holds(self.ledger.require_expiry(one.underlying, one.expiry))]

    def _list_exhibit(self) -> list[LeafKey]:
        """Whoever is first in the queue on the counterparty's side; it has been read where that is the counterparty."""
        op = self.op
        value = compute_value(self.ledger, op, self.ledger.require_underlying(op.instrument.underlying))
        held = self.ledger.require_account(op.counterparty).get_position(op.instrument)
        first = find_first(self.ledger, op.instrument, value, held)
        return [] if first is None or first.account == op.counterparty else [account_key(first.account)]

    def _list_needed(self, name: str) -> list[LeafKey]:
        """M* of an account; of what leaves one, nothing when prices are not needed."""
        params, state = self.ledger.get_params(), self.ledger.get_globals()
        if name == "account after":
            account = compute_bidder(self.ledger, self.op)
        else:
            account = self.ledger.require_account(self._get_account(name.partition(", ")[0]))
        leaves_account = isinstance(self.op, Transfer | Withdraw) or self.amount
        if leaves_account and not account.positions and account.cash - (self.amount if self.asset == 0 else 0) >= 0:
            return []
        held = [instrument for instrument, _ in account.positions]
        held += self._get_legs() if name.endswith(", legs") else []
        needed = {instrument.underlying for instrument in held}
        needed |= {params.assets[asset].underlying for asset, _ in account.collateral}
        dated = {(instrument.underlying, instrument.expiry) for instrument in held if instrument.expiry}
        rules = leaf_key(Collection.PARAMS, constants.RULES_OFFSET + state.params_version)
        return [rules, *map(underlying_key, sorted(needed)), *(expiry_key(*pair) for pair in sorted(dated))]


CHECK_READS = {Code(int(row[0])): row[2] for row in read_table("## 6. Checks")}
EFFECT_READS = {row[0]: row[1] for row in read_table("## 7. Effects")}
MESSAGE_READS = {int(row[1]): row[3] for row in read_table("## 9. L1 messages")}
MESSAGE_RULES = {int(row[0]): row[2] for row in read_table(LAST_MESSAGE)}


def list_reads(attempt: Attempt, code: Code) -> list[LeafKey]:
    """What the one check reads, in order."""
    ledger, context, op = set_scene(attempt)
    check = dict(PROCESSES[op.kind].checks)[code]
    is_passed(check, ledger, context, op)
    return list(ledger.reads)


@pytest.mark.parametrize("story", [s for s in STORIES if s.code % 100], ids=lambda story: story.name)
def test_checks_read_what_the_table_says(story: Story) -> None:
    """A check that passes reads all leaves of its row in the row's order; one that fails may stop early."""
    refused, accepted = story.tell()
    code = Code(story.code)
    read = list_reads(accepted, code)
    assert read == list(Reader(accepted).read(CHECK_READS[code]))
    read = list_reads(refused, code)
    assert read == list(itertools.islice(Reader(refused).read(CHECK_READS[code]), len(read)))


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
def test_effects_read_what_the_table_says(story: Story) -> None:
    """The effects of a valid op read the leaves of its row in the row's order, and write among them."""
    _, accepted = story.tell()
    ledger, context, op = set_scene(accepted)
    PROCESSES[op.kind].apply_effects(ledger, context, op)
    if not isinstance(op, L1 | Bid | Relay):
        assert list(ledger.reads) == list(Reader(accepted).read(EFFECT_READS[op.kind.name.lower()]))
    assert ledger.writes.keys() <= ledger.reads.keys()


@pytest.mark.parametrize("story", MESSAGE_STORIES, ids=lambda story: story.name)
def test_messages_read_what_the_table_says(story: Story) -> None:
    """A message that takes effect reads its row; one that does not reads as far as its code's row says."""
    for attempt in story.tell():
        ledger, context, op = set_scene(attempt)
        receipt = PROCESSES[op.kind].apply_effects(ledger, context, op)
        kind = context.get_message(op.index)[0]  # type: ignore[union-attr]
        cell = MESSAGE_READS.get(kind, "G")
        rule = MESSAGE_RULES.get(receipt.message_code, "")
        if "reads G alone" in rule:
            cell = "G"
        elif "X only when refunded" in cell and "refund" not in rule:
            cell = cell.replace("X only when refunded", "")
        read, told = list(ledger.reads), Reader(attempt).read(cell)
        if receipt.message_code and "reading stops where it fails" in cell:
            told = itertools.islice(told, len(read))
        assert read == list(told)
