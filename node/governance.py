"""Parameters that may change: what is active, what waits, what is on its way, and how a governor proposes.

    governance = Governance(rollup)
    standing = governance.read()
    for path, before, after in list_differences(standing.active.version, standing.waiting.version): ...
    proposal = governance.draft(standing, change_fields(standing.active.version, changes), days=0)
    require_mined(sender.send(governance.propose(proposal)))

All of it is derived from L1 by re-execution. A field has a path, as in "params.taker_fee_ppm" or
"rules.tiers.0.minimum_equity".
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from eth_hash.auto import keccak

from node.chain_follower import ChainFollower
from node.errors import NodeError
from node.keys import format_address
from node.l1 import Call, encode_call
from node.rollup import Rollup, Signature, call_view, compute_message_fee
from node.toml_fields import read_toml
from state.constants import RULES_OFFSET
from state.leaves import LeafError
from state.ledger import Ledger
from state.process_inbox import MessageType, Proposal, decode_message, decode_proposal
from state.proposals import POSTPONEMENT_MAX, Version, find_refusal
from state.rules import decode_rules, encode_rules
from state.tree import Collection, leaf_key

GOVERNOR_ABI: dict[str, Signature] = {
    "propose": Signature(("address", "uint256", "bytes", "bytes", "bytes", "bytes")),
    "hand_over": Signature(("address",)),
    "take_over": Signature(),
    "renounce": Signature(),
    "governor": Signature((), ("address",)),
    "heir": Signature((), ("address",)),
    "NOTICE": Signature((), ("uint256",)),
}
"""Function -> types, for all that a node uses."""

PROPOSED = keccak(b"Proposed(address,uint256,uint256)")
MINING_SECONDS = 3_600
"""A proposal whose day is so much later than need be is still in time when it is mined."""

DAY = 86_400


Value = int | tuple[bytes, ...]


class GovernanceError(NodeError):
    """What was asked cannot be proposed, or there is nobody who could."""


@dataclass(frozen=True, slots=True)
class NumberedVersion:
    """A version and its number."""

    number: int
    version: Version


@dataclass(frozen=True, slots=True)
class Standing:
    """The active version; the one that waits for its day, if one does; and proposals in the inbox that no batch has
    taken yet."""

    active: NumberedVersion
    waiting: NumberedVersion | None
    sent: tuple[Proposal, ...]


class Coming(NamedTuple):
    """A version that was proposed, and the time from which it counts."""

    number: int
    active_from: int


class Governance:
    """The governor's contract of one rollup. Raises GovernanceError when it has none."""

    def __init__(self, rollup: Rollup) -> None:
        self.rollup = rollup
        address = rollup.get_governor()
        if address is None:
            raise GovernanceError("this rollup has no governor: its parameters never change")
        self.address = address

    def get_governor(self) -> bytes | None:
        """Whose key it is; None when it was renounced."""
        holder: bytes = self.view("governor")
        return holder if any(holder) else None

    def view(self, name: str) -> Any:
        """A view of the contract."""
        return call_view(self.rollup.l1, self.address, name, GOVERNOR_ABI[name], ())

    def read(self) -> Standing:
        """Re-execute the chain. Raises L1Error, WrongContract."""
        follower = ChainFollower(self.rollup)
        follower.advance()
        return read_standing(Ledger(follower.replica.state.leaves), follower.replica.messages)

    def find_coming(self) -> "Coming | None":
        """The last proposal for this rollup whose day has not come, by the contract's own log."""
        l1, now = self.rollup.l1, self.rollup.l1.get_block()
        birth = self.rollup.first_block
        first = l1.find_birth(self.rollup.address) if birth is None else birth
        place = bytes(12) + self.rollup.address
        logs = [log for log in l1.get_logs(self.address, first, now.number) if log.topics[:2] == (PROPOSED, place)]
        coming = [Coming(int.from_bytes(log.topics[2]), int.from_bytes(log.data)) for log in logs]
        return coming[-1] if coming and coming[-1].active_from > now.time else None

    def draft(self, standing: Standing, version: Version, days: int) -> Proposal:
        """The version as the next one, active so many days after the notice. Raises GovernanceError."""
        notice, now = int(self.view("NOTICE")), self.rollup.l1.get_block().time
        if not 0 <= days * DAY <= POSTPONEMENT_MAX - MINING_SECONDS:
            most = (POSTPONEMENT_MAX - MINING_SECONDS) // DAY
            raise GovernanceError(f"a version may wait for at most {most} days more than the notice")
        active = standing.active
        params = replace(version.params, active_from=now + notice + MINING_SECONDS + days * DAY)
        refusal = find_refusal(active.version, Version(params, version.rules))
        if refusal is not None:
            raise GovernanceError(f"the contract would refuse this: {FENCE_TEXTS[refusal]} (contracts/README.md)")
        try:
            leaves = params.encode(), encode_rules(version.rules)
        except LeafError as error:
            raise GovernanceError(str(error)) from error
        params_hash, rules_hash = (hashlib.sha256(leaf).digest() for leaf in encode_version(active.version))
        return Proposal(active.number + 1, params_hash, rules_hash, *leaves)

    def propose(self, standing: Standing, proposal: Proposal) -> Call:
        """Send it, with the fee for its length."""
        fee = compute_message_fee(len(proposal.encode()), self.rollup.get_terms().message_fee)
        leaves = (*encode_version(standing.active.version), proposal.params, proposal.rules)
        return self._call("propose", self.rollup.address, proposal.version, *leaves, value=fee)

    def hand_over(self, heir: bytes) -> Call:
        """Name who may take the key over."""
        return self._call("hand_over", heir)

    def take_over(self) -> Call:
        """Become the governor, if named."""
        return self._call("take_over")

    def renounce(self) -> Call:
        """Burn the key."""
        return self._call("renounce")

    def _call(self, name: str, *values: Any, value: int = 0) -> Call:
        return Call(self.address, encode_call(name, GOVERNOR_ABI[name].inputs, values), value, name)


FENCE_TEXTS = {
    "range": "a number of the parameters is out of its range",
    "debt": "quote_debt_max may move by a quarter",
    "peg": "what a dollar is may not change",
    "signers": "a majority of different signers must sign, and the new ones must be fewer than the threshold",
    "assets": "an asset keeps its underlying and its unit, and a haircut moves by at most 100000 ppm",
    "underlyings": "an underlying may not go, and its correlation is at most 2^20",
    "shape": "scenarios and tiers keep their number and their kinds",
    "quarter": "a number of the rules may move by a quarter of itself",
    "rules": "a number of the rules is out of the range in which they are defined",
    "margin": "margin would be lower than the band, or than its floor",
}
"""What a fence asks, in words."""


def encode_version(version: Version) -> tuple[bytes, bytes]:
    """Both leaves."""
    return version.params.encode(), encode_rules(version.rules)


def read_standing(ledger: Ledger, messages: Sequence[bytes]) -> Standing:
    """What a state says of its parameters, and the inbox behind it."""
    state = ledger.get_globals()
    active = NumberedVersion(state.params_version, Version(ledger.get_params(), ledger.get_rules()))
    number = state.params_version + 1
    waiting, params = None, ledger.get_next_params()
    if params is not None:
        rules = decode_rules(ledger.get(leaf_key(Collection.PARAMS, RULES_OFFSET + number)))
        assert rules is not None, "parameters are written with their rules"
        waiting = NumberedVersion(number, Version(params, rules))
    taken = [decode_message(messages[index]) for index in range(state.inbox_cursor, len(messages))]
    sent = [decode_proposal(message.payload) for message in taken if message.type == MessageType.PARAMS]
    return Standing(active, waiting, tuple(sent))


# Fields by path


def list_fields(value: Any, path: str) -> Iterator[tuple[str, int | str]]:
    """Every number and every address under a path, in order; names and sources of rules are for people."""
    if is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            yield from list_fields(getattr(value, field.name), f"{path}.{field.name}")
    elif hasattr(value, "_fields"):
        for name in value._fields:
            yield from list_fields(getattr(value, name), f"{path}.{name}")
    elif isinstance(value, tuple):
        for number, one in enumerate(value):
            yield from list_fields(one, f"{path}.{number}")
    elif isinstance(value, bytes):
        yield path, format_address(value)
    elif isinstance(value, int):
        yield path, int(value)


def list_version_fields(version: Version) -> dict[str, int | str]:
    """Path -> value."""
    return dict(list_fields(version.params, "params")) | dict(list_fields(version.rules, "rules"))


def list_differences(before: Version, after: Version) -> list[tuple[str, int | str | None, int | str | None]]:
    """Path, old and new value of each field in which two versions differ; None where one has no such field."""
    old, new = list_version_fields(before), list_version_fields(after)
    return [(path, old.get(path), new.get(path)) for path in old | new if old.get(path) != new.get(path)]


def read_changes(path: Path) -> dict[str, Value]:
    """Path of a field -> value, from a TOML file; a list of addresses is one value. Raises ConfigError."""
    changes: dict[str, Value] = {}
    table = read_toml(path, "write the fields that change, as `keel governor --help` shows")
    for name, value in table.take_leaves():
        if isinstance(value, int) and not isinstance(value, bool):
            changes[name] = value
        elif isinstance(value, list) and all(isinstance(one, str) for one in value):
            changes[name] = tuple(table.parse_address(name, one) for one in value)
        else:
            raise table.refuse(name, f"{value!r} will not do; write an integer, or a list of addresses")
    return changes


def change_fields(version: Version, changes: Mapping[str, Value]) -> Version:
    """The version with other values at these paths. Raises GovernanceError for a path that is none."""
    for path, value in changes.items():
        part, *rest = path.split(".")
        if part not in Version._fields:
            raise GovernanceError(f"{path}: a path begins with params or rules")
        version = version._replace(**{part: change_field(getattr(version, part), rest, value, path)})
    return version


def change_field(container: Any, rest: list[str], value: Value, path: str) -> Any:
    """One value with what stands at the rest of the path changed. Raises GovernanceError."""
    if not rest:
        is_list = isinstance(container, tuple) and not hasattr(container, "_fields")
        if not (isinstance(value, int) if isinstance(container, int) else is_list and isinstance(value, tuple)):
            raise GovernanceError(f"{path}: this is not what can be changed to {value!r}; name a field below it")
        try:
            return type(container)(value)
        except ValueError as error:
            raise GovernanceError(f"{path}: {error}") from error
    name, *deeper = rest
    if isinstance(container, tuple) and not hasattr(container, "_fields"):
        if not name.isdigit() or int(name) >= len(container):
            raise GovernanceError(f"{path}: there are {len(container)}, numbered from 0")
        changed = change_field(container[int(name)], deeper, value, path)
        return (*container[: int(name)], changed, *container[int(name) + 1 :])
    known = container._fields if hasattr(container, "_fields") else [f.name for f in fields(container)]
    if name not in known:
        raise GovernanceError(f"{path}: no {name}; known here: {', '.join(known)}")
    changed = {name: change_field(getattr(container, name), deeper, value, path)}
    return container._replace(**changed) if hasattr(container, "_replace") else replace(container, **changed)
