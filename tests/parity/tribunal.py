"""The contracts as they are deployed: a rollup, its judge, all verifiers; proofs in, rulings out.

The rollup is the real one, so its inbox answers the verifiers and its domain is what people sign under. One batch is
posted for real. Most disputes here are about batches that no honest parent would let the rollup accept, or of which
there are thousands; therefore the commitment of the posted batch is replaced in storage, and `prove` asked.
"""

import functools
from enum import Enum

from eth_hash.auto import keccak

from state.batches import BatchData, Header, Step, pack_frames
from state.constants import AMOUNT_MAX, PROTOCOL_VERSION
from state.genesis import Genesis
from state.process_bid import decode_bid
from state.process_inbox import Message, MessageType, decode_message, hash_accumulator
from tests.contracts.court import deploy_with_needs
from tests.contracts.rollup_chain import BOND, ETH, FEE, TERMS, place_governor
from tests.evm import SENDER, Contract, Evm, Outcome
from tests.world import GENESIS_TIME, LISTINGS, RULES, build_params

NOT_SHOWN = "rollup: not shown"
STORAGE_SLOTS = 200
"""More than the rollup's own variables take."""


class Ruling(Enum):
    """What becomes of a proof."""

    FRAUD = "fraud"
    NOT_SHOWN = "not shown"
    BAD_WITNESS = "bad witness"


class Tribunal:
    """A rollup of its own, with an empty inbox, on an L1 whose time is GENESIS_TIME, and then that of each message."""

    def __init__(self, asset_count: int = 3) -> None:
        self.evm = Evm(timestamp=GENESIS_TIME)
        self.genesis = genesis = build_genesis(asset_count)
        self.rollup = deploy_rollup(self.evm, deploy_judge(self.evm), genesis)
        self._messages: list[bytes] = []
        self._accumulator = bytes(32)
        self._commitments = self._find_mapping(0, genesis.batch_hash)
        self._accumulators: int | None = None
        self._post(genesis.batch_hash)
        self._posted: bytes | None = None

    @property
    def address(self) -> bytes:
        """Of the rollup, 20 bytes."""
        return bytes.fromhex(self.rollup.address[2:])

    def _find_mapping(self, key: int, word: bytes) -> int:
        """Number of the storage variable that maps `key` to `word`."""
        for number in range(STORAGE_SLOTS):
            if self.evm.read_storage(self.rollup.address, _hash_slot(number, key)) == int.from_bytes(word):
                return number
        raise LookupError("no mapping of the rollup holds this word")

    # Batches

    def _post(self, parent: bytes) -> None:
        """Submit batch 1; what stands in it does not matter."""
        steps = [Step(b"\x01", bytes(32)), Step(b"\x02", bytes(32))]
        header = Header(
            version=PROTOCOL_VERSION,
            data_kind=0,
            flags=0,
            index=1,
            parent=parent,
            generation=1,
            pre_root=bytes(32),
            post_root=bytes(32),
            step_count=len(steps),
            inbox_cursor=0,
            inbox_hash=bytes(32),
            time_from=GENESIS_TIME,
            time=GENESIS_TIME,
            position_from=0,
            position_to=0,
            log_hash=bytes(32),
            oracle_time=0,
        )
        frames = tuple(frame.encode() for frame in pack_frames(bytes(32), steps))
        bonded = self.rollup.send("post_bond", value=BOND)
        posted = self.rollup.send("submit_batch", BatchData(header.encode(), frames).encode())
        assert bonded.reason is None and posted.reason is None, posted.reason  # noqa: PT018

    def rule(self, batch_hash: bytes, proof: bytes) -> Ruling:
        """What `prove` says of a pending batch with this hash."""
        reason = self.prove(batch_hash, proof).reason
        if reason is None:
            return Ruling.FRAUD
        return Ruling.NOT_SHOWN if reason == NOT_SHOWN else Ruling.BAD_WITNESS

    def prove(self, batch_hash: bytes, proof: bytes) -> Outcome:
        """The call as it is; nothing remains of it but the hash of the batch."""
        if batch_hash != self._posted:
            slot = _hash_slot(self._commitments, 1)
            self.evm.write_storage(self.rollup.address, slot, int.from_bytes(batch_hash))
            self._posted = batch_hash
        return self.rollup.read("prove", 1, proof)

    # The inbox

    def take_message(self, data: bytes) -> None:
        """Put a message in the inbox by the call that makes it.

        One that no call makes, of an unknown type or asset, is written over the accumulator of a harmless one: the
        verifiers know what becomes of it, though the rollup lets it in under no name.
        """
        index = len(self._messages)
        message = decode_message(data)
        self.evm.set_block(timestamp=message.time)
        outcome = send_message(self.evm, self.rollup, message)
        if outcome.reason is not None:
            assert message.type == MessageType.DEPOSIT, outcome.reason
            outcome = self.rollup.send("cancel_all", 0, sender=SENDER, value=FEE)
        # What goes through the governor logs nothing under the address that was called.
        made = outcome.events[-1].arguments["message"] if outcome.events else data
        before = self._accumulator
        if made != data:
            self._replace_accumulator(index, hash_accumulator(before, made), hash_accumulator(before, data))
        self._messages.append(data)
        self._accumulator = hash_accumulator(before, data)
        assert self.rollup.read("accumulator", index + 1).value == self._accumulator

    def _replace_accumulator(self, index: int, old: bytes, new: bytes) -> None:
        if self._accumulators is None:
            self._accumulators = self._find_mapping(index + 1, old)
        slot = _hash_slot(self._accumulators, index + 1)
        self.evm.write_storage(self.rollup.address, slot, int.from_bytes(new))


@functools.cache
def _hash_slot(variable: int, key: int) -> int:
    """Where a mapping of the rollup keeps an entry."""
    return int.from_bytes(keccak(variable.to_bytes(32) + key.to_bytes(32)))


def build_genesis(asset_count: int) -> Genesis:
    """Of a rollup with this many assets; what stands in it is nowhere asked for here."""
    params = build_params()
    terms = (params.assets[0], *[params.assets[1]] * (asset_count - 1))
    return Genesis(build_params(assets=terms), RULES, LISTINGS, GENESIS_TIME)


def deploy_judge(evm: Evm) -> str:
    """The judge and all verifiers; its address."""
    return deploy_with_needs(evm, "judge", {}).address


def deploy_rollup(evm: Evm, judge: str, genesis: Genesis, genesis_root: bytes = bytes(32)) -> Contract:
    """A rollup whose assets are all ether, by the wei."""
    assets = [(ETH, 1, AMOUNT_MAX)] * len(genesis.params.assets)
    receipts = evm.deploy("receipts").address
    # Nobody winds down here, so what would value accounts is any contract.
    wind_down = evm.deploy("wind_down", receipts).address
    governor = place_governor(evm).address
    needs = judge, receipts, wind_down, governor
    return evm.deploy("rollup", genesis.encode(), genesis_root, *needs, assets, TERMS)


def send_message(evm: Evm, rollup: Contract, message: Message) -> Outcome:
    """What the sender of a message does to send it; its time must be the L1's."""
    function, arguments, value = _find_call(message)
    sender = "0x" + message.sender.hex()
    evm.set_balance(sender, 10**24)
    fee = FEE * (1 + (len(message.encode()) - 1) // 256)
    if message.type == MessageType.PARAMS:
        return place_governor(evm).send("govern", rollup.address, *arguments, sender=SENDER, value=fee)
    return rollup.send(function, *arguments, sender=sender, value=fee + value)


def _find_call(message: Message) -> tuple[str, tuple[object, ...], int]:
    """The function of the rollup that makes such a message, its arguments and the wei that it moves."""
    payload = message.payload
    asset, amount = int.from_bytes(payload[:2]), int.from_bytes(payload[2:10])
    match message.type:
        case MessageType.DEPOSIT:
            return "deposit", (asset, amount, message.account), amount
        case MessageType.FORCE_WITHDRAW:
            return "force_withdraw", (message.account, asset, amount), 0
        case MessageType.FORCE_CLOSE:
            return "force_close", (message.account, bool(payload[0])), 0
        case MessageType.FORCE_LIQUIDATE:
            return "force_liquidate", (message.account,), 0
        case MessageType.REGISTER_KEY:
            key = payload[:32], payload[32], int.from_bytes(payload[33:])
            return "register_key", (message.account, *key), 0
        case MessageType.TAKE:
            return "take", (message.account, *decode_bid(payload)), 0
        case MessageType.READING | MessageType.SURFACE:
            return "relay", (message.type == MessageType.SURFACE, payload), 0
        case MessageType.PARAMS:
            return "govern", (message.type, payload), 0
        case _:
            return "cancel_all", (message.account,), 0
