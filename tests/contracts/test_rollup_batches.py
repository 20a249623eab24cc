"""What submit_batch lets in: a chain of batches that agree with their parents, with the L1 and within themselves."""

import random
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from state.batches import BatchData, Frame, Header, Step, decode_batch, decode_frame, decode_header
from state.constants import AMOUNT_MAX, BATCH_BYTES_MAX, FRAME_BYTES_MAX, FRAMES_MAX
from state.genesis import Genesis
from state.leaves import QUOTE_UNDERLYING, AssetTerms
from tests.contracts.rollup_chain import (
    DEADLINE,
    ETH,
    GENESIS_ROOT,
    LAG,
    Chain,
    address,
    change_header,
)
from tests.evm import Reverted
from tests.world import LISTINGS, RULES, build_params

FULL = BATCH_BYTES_MAX * 3 // 4


@pytest.fixture
def chain() -> Chain:
    """A slot's holder two batches into a chain: messages taken, positions passed, three messages waiting."""
    chain = Chain()
    holder = chain.holder("holder")
    chain.send_messages(5, chain.person("user"))
    chain.post(holder, take=1, positions=7)
    chain.wait(50)
    chain.post(holder, b"\x03", take=1, positions=9)
    chain.wait(50)
    return chain


HOLDER = address("holder")

HEADER_LIES: dict[str, tuple[Callable[[Header], dict[str, Any]], str]] = {
    "of another version": (lambda h: {"version": h.version + 1}, "version"),
    "with data elsewhere": (lambda h: {"data_kind": 1}, "data kind"),
    "with an unknown flag": (lambda h: {"flags": 2}, "flags"),
    "with an unknown flag beside rescue": (lambda h: {"flags": 3}, "flags"),
    "that skips an index": (lambda h: {"index": h.index + 1}, "index"),
    "in place of its parent": (lambda h: {"index": h.index - 1}, "index"),
    "of another parent": (lambda h: {"parent": bytes(32)}, "parent"),
    "from another root": (lambda h: {"pre_root": bytes(32)}, "pre root"),
    "of a generation to come": (lambda h: {"generation": h.generation + 1}, "generation"),
    "of a generation gone by": (lambda h: {"generation": h.generation - 1}, "generation"),
    "with time lost before it": (lambda h: {"time_from": h.time_from + 1}, "time from"),
    "with time told twice": (lambda h: {"time_from": h.time_from - 1}, "time from"),
    "that goes back in time": (lambda h: {"time": h.time_from - 1}, "time"),
    "ahead of the L1": (lambda h: {"time": h.time + 1}, "time"),
    "that skips positions": (lambda h: {"position_from": h.position_from + 1}, "position from"),
    "that repeats positions": (lambda h: {"position_from": h.position_from - 1}, "position from"),
    "that goes back in the log": (lambda h: {"position_to": h.position_from - 1}, "position to"),
    "that leaps in the log": (lambda h: {"position_to": h.position_from + 2**32 + 1}, "position to"),
    "that gives messages back": (lambda h: {"inbox_cursor": h.inbox_cursor - 1}, "cursor"),
    "that takes messages to come": (lambda h: {"inbox_cursor": h.inbox_cursor + 4}, "cursor"),
    "that took other messages": (lambda h: {"inbox_hash": bytes(32)}, "inbox hash"),
    "with the cursor off its hash": (lambda h: {"inbox_cursor": h.inbox_cursor + 1}, "inbox hash"),
    "to another root": (lambda h: {"post_root": bytes(32)}, "post root"),
    "with a step too few": (lambda h: {"step_count": h.step_count - 1}, "step count"),
    "with a step too many": (lambda h: {"step_count": h.step_count + 1}, "step count"),
}


@pytest.mark.parametrize("lie", HEADER_LIES)
def test_header_is_held_to_its_parent_and_the_l1(chain: Chain, lie: str) -> None:
    """A batch that is right but for one field of its header is refused for that field."""
    batch = chain.draft(HOLDER)
    make, reason = HEADER_LIES[lie]
    changed = change_header(batch, **make(decode_header(batch.header)))

    assert chain.refuse("submit_batch", changed.encode(), sender=HOLDER) == f"rollup: {reason}"
    chain.do("submit_batch", batch.encode(), sender=HOLDER)


@pytest.mark.parametrize("changes", [{"log_hash": b"\x07" * 32}, {"oracle_time": 2**64 - 1}])
def test_what_the_steps_claim_is_left_to_proofs(chain: Chain, changes: dict[str, Any]) -> None:
    """The log hash and the oracle time are claims of the step `close`, so any value gets in."""
    chain.do("submit_batch", change_header(chain.draft(HOLDER), **changes).encode(), sender=HOLDER)


def test_bounds_of_the_header_are_inclusive(chain: Chain) -> None:
    """The largest leap in the log passes with all messages and the latest time, none at all with the parent's time."""
    chain.post(HOLDER, take=3, positions=2**32)

    chain.post(HOLDER, positions=0, time=chain.evm.timestamp)


def fill_batch(chain: Chain, size: int) -> BatchData:
    """A batch of exactly so many bytes, as of now."""
    ops = [b"\x06" * 1000] * (size // 1034 - 1)
    missing = size - len(chain.draft(HOLDER, *ops, frame_bytes=FRAME_BYTES_MAX).encode())
    for new_frame_bytes in (0, 42):  # the op that fills the rest may need a frame of its own
        rest = b"\x06" * (missing - 34 - new_frame_bytes)
        batch = chain.draft(HOLDER, *ops, rest[:1000], frame_bytes=FRAME_BYTES_MAX)
        if len(batch.encode()) == size:
            return batch
    raise AssertionError("no batch of this size")


def test_time_may_lag_only_behind_a_backlog(chain: Chain) -> None:
    """A small batch must be recent to the second; one of three quarters of the size need not be."""
    small, below, full = chain.draft(HOLDER), fill_batch(chain, FULL - 1), fill_batch(chain, FULL)
    chain.wait(LAG)
    assert not chain.rollup.read("submit_batch", small.encode(), sender=HOLDER).reverted
    chain.wait(1)

    assert chain.refuse("submit_batch", small.encode(), sender=HOLDER) == "rollup: late"
    assert chain.refuse("submit_batch", below.encode(), sender=HOLDER) == "rollup: late"
    chain.do("submit_batch", full.encode(), sender=HOLDER)


def encode_frames(batch: BatchData, frames: list[bytes]) -> bytes:
    return BatchData(batch.header, tuple(frames)).encode()


def change_frame(number: int, **changes: Any) -> Callable[[BatchData], bytes]:
    """A batch in which one frame's head says something else."""

    def change(batch: BatchData) -> bytes:
        frames = list(batch.frames)
        frame = decode_frame(frames[number])
        assert frame is not None
        frames[number] = replace(frame, **changes).encode()
        return encode_frames(batch, frames)

    return change


FRAME_LIES: dict[str, tuple[Callable[[BatchData], bytes], str]] = {
    "with no frame": (lambda b: b.header, "size"),
    "with half a header": (lambda b: b.header[:100], "size"),
    "with a length torn off": (lambda b: b.encode() + b"\0\0", "frame length"),
    "with a frame torn off": (lambda b: b.encode()[:-1], "frame length"),
    "with a byte behind": (lambda b: b.encode() + b"\0", "frame length"),
    "with an empty frame behind": (lambda b: b.encode() + bytes(4 + 73), "frame length"),
    "with a frame below any step": (lambda b: encode_frames(b, [b.frames[0][:72], *b.frames[1:]]), "frame length"),
    "with a frame above the bound": (
        lambda b: encode_frames(b, [b.frames[0] + bytes(FRAME_BYTES_MAX)]),
        "frame length",
    ),
    "that begins elsewhere": (change_frame(0, pre_root=bytes(32)), "frame root"),
    "broken between frames": (change_frame(1, pre_root=bytes(32)), "frame root"),
    "that begins at a later step": (change_frame(0, first_index=1), "first index"),
    "that counts a step twice": (change_frame(1, first_index=1), "first index"),
    "with frames out of order": (lambda b: encode_frames(b, [*b.frames[::-1]]), "frame root"),
    "with a frame left out": (lambda b: encode_frames(b, [b.frames[0], *b.frames[2:]]), "frame root"),
    "with its last frame left out": (lambda b: encode_frames(b, [*b.frames[:-1]]), "post root"),
    "with a frame of no steps": (
        lambda b: encode_frames(b, [b.frames[0][:36] + bytes(2) + b.frames[0][38:], *b.frames[1:]]),
        "count",
    ),
}


@pytest.mark.parametrize("lie", FRAME_LIES)
def test_frames_are_held_to_each_other(chain: Chain, lie: str) -> None:
    """Frames of honest lengths follow each other without a gap in roots or steps, up to the last byte."""
    batch = chain.draft(HOLDER, *[b"\x06" * 100] * 9, frame_bytes=500)
    assert len(batch.frames) == 3
    make, reason = FRAME_LIES[lie]

    assert chain.refuse("submit_batch", make(batch), sender=HOLDER) == f"rollup: {reason}"
    chain.do("submit_batch", batch.encode(), sender=HOLDER)


def test_frame_is_at_most_8_kib(chain: Chain) -> None:
    """A frame of exactly the bound passes, one byte more does not."""
    for last_op, reason in ((644, None), (645, "rollup: frame length")):
        batch = chain.draft(HOLDER, *[b"\x06" * 1024] * 7, b"\x06" * last_op, frame_bytes=10_000)
        assert len(batch.frames[0]) == FRAME_BYTES_MAX + last_op - 644
        assert chain.rollup.read("submit_batch", batch.encode(), sender=HOLDER).reason == reason


def test_frames_are_at_most_64(chain: Chain) -> None:
    """Sixty-four of the smallest frames pass, one more does not."""
    batch = chain.draft(HOLDER, *[b"\x06"] * 62, frame_bytes=73)
    more = chain.draft(HOLDER, *[b"\x06"] * 63, frame_bytes=73)
    assert (len(batch.frames), len(more.frames)) == (FRAMES_MAX, FRAMES_MAX + 1)

    assert chain.refuse("submit_batch", more.encode(), sender=HOLDER) == "rollup: frames"
    chain.do("submit_batch", batch.encode(), sender=HOLDER)
    assert chain.read("batches", 3)[0] == batch.batch_hash


def test_batch_is_at_most_110_kib(chain: Chain) -> None:
    """A batch of exactly the bound fits a transaction twice over, one byte more is no batch."""
    batch = fill_batch(chain, BATCH_BYTES_MAX)
    outcome = chain.rollup.read("submit_batch", batch.encode(), sender=HOLDER)

    assert not outcome.reverted
    assert 2 * outcome.budgeted_gas < 16_777_216
    assert chain.refuse("submit_batch", batch.encode() + b"\0", sender=HOLDER) == ""


def test_torn_bytes_are_refused_as_the_node_refuses_them(chain: Chain, seed: int) -> None:
    """Whatever bytes are cut, doubled or flipped, the contract takes no batch that the node cannot cut into frames."""
    rng = random.Random(seed)
    honest = chain.draft(HOLDER, *[b"\x06" * 100] * 9, frame_bytes=500).encode()
    taken = 0
    for _ in range(150):
        data = bytearray(honest)
        at = rng.randrange(len(data))
        match rng.randrange(4):
            case 0:
                del data[at:]
            case 1:
                del data[at : at + rng.randrange(1, 40)]
            case 2:
                data[at:at] = rng.randbytes(rng.randrange(1, 40))
            case 3:
                data[at] ^= 1 << rng.randrange(8)
        outcome = chain.rollup.read("submit_batch", bytes(data), sender=HOLDER)
        if not outcome.reverted:
            taken += 1
            batch = decode_batch(bytes(data))
            assert batch is not None
            assert outcome.events[0].arguments["batch_hash"] == batch.batch_hash
            roots = [(frame[:32], frame[-32:]) for frame in batch.frames]
            assert all(one[1] == other[0] for one, other in pairwise(roots))
    assert 0 < taken < 150  # flips within steps pass: they are what proofs are for


def test_batch_of_noise_within_steps_is_taken(chain: Chain) -> None:
    """The contract never looks inside steps: a frame that cannot be parsed gets in, to be convicted."""
    honest = chain.draft(HOLDER, b"\x06" * 100)
    noise = bytearray(honest.frames[0])
    noise[38:40] = b"\xff\xff"

    chain.do("submit_batch", BatchData(honest.header, (bytes(noise),)).encode(), sender=HOLDER)


def test_calldata_has_one_encoding(chain: Chain) -> None:
    """A reader may take the batch from byte 68 on: an offset, a tail or missing padding of other shape is refused."""
    batch = chain.draft(HOLDER, root=bytes(32)).encode()
    honest = chain.rollup.encode_call("submit_batch", batch)
    selector, length, data = honest[:4], honest[36:68], honest[68:]
    shifted = selector + (64).to_bytes(32) + bytes(32) + length + data
    # The last word is zero, and what calldata lacks the EVM reads as zeros: as long as the honest one, and as valid.
    hidden = shifted[:-32]
    for calldata in (shifted, hidden, honest + bytes(32), honest + b"\0", honest[:-1]):
        outcome, _ = chain.evm.transact(chain.rollup.address, calldata, sender=HOLDER)
        assert outcome.reason == "rollup: calldata"

    outcome, _ = chain.evm.transact(chain.rollup.address, honest, sender=HOLDER)

    assert outcome.reason is None


RELAY = """
rollup: address

@deploy
@payable
def __init__(_rollup: address):
    self.rollup = _rollup
    raw_call(_rollup, method_id("post_bond()"), value=msg.value)

@external
def relay(data: Bytes[4096]):
    raw_call(self.rollup, data)
"""


def test_contract_cannot_submit(chain: Chain) -> None:
    """Data that a contract passes on does not lie open in the transaction, so a bonded contract is refused."""
    relay = chain.evm.deploy_source(RELAY, chain.rollup.address, value=10**18)
    data = chain.rollup.encode_call("submit_batch", chain.draft(relay.address).encode())

    assert relay.send("relay", data, sender=HOLDER).reason == "rollup: caller"


def test_batch_is_kept_as_it_was_submitted(chain: Chain) -> None:
    """What later batches and proofs are held to is the header, the hash over all frames, and L1's own clock."""
    batch = chain.draft(HOLDER, *[b"\x06" * 100] * 40, take=2)
    header = decode_header(batch.header)
    outcome = chain.do("submit_batch", batch.encode(), sender=HOLDER)

    assert chain.read("tip") == 3
    hash_, root, submitted_at, time, cursor, generation, position_to, submitter, duty_at = chain.read("batches", 3)
    assert hash_ == batch.batch_hash
    assert root == header.post_root
    assert submitted_at == duty_at == chain.evm.timestamp
    assert (time, cursor, generation, position_to) == (header.time, 4, 1, header.position_to)
    assert submitter == HOLDER
    assert outcome.events[0].name == "BatchSubmitted"
    assert outcome.events[0].arguments == {
        "index": 3,
        "submitter": HOLDER,
        "batch_hash": batch.batch_hash,
        "post_root": header.post_root,
        "generation": 1,
    }


def test_another_submitter_raises_the_generation_and_restarts_positions() -> None:
    """While the slot is open two people take turns: each turn is a new generation whose log begins at 0."""
    chain = Chain()
    alice, bob = chain.bonded("alice"), chain.bonded("bob")
    for turn, who in enumerate((alice, bob, alice), start=1):
        chain.post(who, positions=5)
        index = chain.post(who, positions=5)
        assert chain.read("batches", index)[5:7] == (turn, 10)

    stale = change_header(chain.draft(bob), position_from=10, position_to=15)
    assert chain.refuse("submit_batch", stale.encode(), sender=bob) == "rollup: position from"


def test_overdue_messages_must_be_taken(chain: Chain) -> None:
    """A batch that leaves a message beyond its deadline is refused; to the second it may still wait."""
    chain.wait(DEADLINE - 100)
    assert not chain.rollup.read("submit_batch", chain.draft(HOLDER).encode(), sender=HOLDER).reverted
    chain.wait(1)

    assert chain.refuse("submit_batch", chain.draft(HOLDER).encode(), sender=HOLDER) == "rollup: overdue"
    assert chain.refuse("submit_batch", chain.draft(HOLDER, take=2).encode(), sender=HOLDER) == "rollup: overdue"
    chain.post(HOLDER, take=3)


def test_sixty_four_messages_are_enough(chain: Chain) -> None:
    """A flood is worked off sixty-four at a time: sixty-three are too few while more are overdue."""
    chain.send_messages(70, chain.person("user"))
    chain.wait(DEADLINE + 1)

    assert chain.refuse("submit_batch", chain.draft(HOLDER, take=63).encode(), sender=HOLDER) == "rollup: overdue"
    chain.post(HOLDER, take=64)
    chain.post(HOLDER, take=9)


def test_final_batches_stand_under_their_window(chain: Chain) -> None:
    """A batch is final when its window has passed, and its ancestors with it; never sooner, never twice."""
    assert chain.refuse("finalise", 1) == "rollup: window"
    chain.wait(10_000 - 51)
    assert chain.refuse("finalise", 2) == "rollup: window"
    chain.wait(1)
    assert chain.refuse("finalise", 3) == "rollup: not pending"
    assert chain.refuse("finalise", 0) == "rollup: not pending"
    assert chain.do("finalise", 2).events[0].arguments == {"index": 2}

    assert chain.read("final_index") == 2
    assert chain.refuse("finalise", 2) == "rollup: not pending"
    assert chain.refuse("finalise", 1) == "rollup: not pending"


GENESIS, ASSETS, TERMS = 0, 6, 7
LISTED = (AssetTerms(QUOTE_UNDERLYING, 0, 0, 0, 1, 1),)
DEPLOYMENT_FAULTS: dict[str, tuple[Callable[[list[Any]], None], str]] = {
    "a byte behind the genesis": (lambda a: a.__setitem__(GENESIS, a[GENESIS] + b"\0"), "genesis length"),
    "an asset without terms": (lambda a: a.__setitem__(ASSETS, a[ASSETS] * 2), "genesis assets"),
    "more underlyings than a proof can read": (
        lambda a: a.__setitem__(GENESIS, Genesis(build_params(assets=LISTED), RULES, LISTINGS * 17, 0).encode()),
        "genesis underlyings",
    ),
    "a time to come": (lambda a: a.__setitem__(GENESIS, a[GENESIS][:-8] + b"\xff" * 8), "genesis time"),
    "a judge without code": (lambda a: a.__setitem__(2, address("nobody")), "judge"),
    "receipts without code": (lambda a: a.__setitem__(3, address("nobody")), "receipts"),
    "a wind-down without code": (lambda a: a.__setitem__(4, address("nobody")), "wind down"),
    "an asset without unit": (lambda a: a.__setitem__(ASSETS, [(ETH, 0, 1)]), "asset unit"),
    "a unit that could overflow": (lambda a: a.__setitem__(ASSETS, [(ETH, 2**128, 1)]), "asset unit"),
    "a deposit above all amounts": (lambda a: a.__setitem__(ASSETS, [(ETH, 1, 2**63)]), "deposit max"),
    "no window": (lambda a: a.__setitem__(TERMS, (0, *a[TERMS][1:])), "terms"),
    "a window without end": (lambda a: a.__setitem__(TERMS, (2**32, *a[TERMS][1:])), "terms"),
    "no deadline": (lambda a: a.__setitem__(TERMS, (*a[TERMS][:2], 0, *a[TERMS][3:])), "terms"),
    "silence before lateness": (lambda a: a.__setitem__(TERMS, (9, 5, 9, 6, 1, 1, 23, 9)), "terms"),
    "no bond": (lambda a: a.__setitem__(TERMS, (9, 5, 9, 5, 0, 1, 23, 9)), "terms"),
    "an end before a rescue": (lambda a: a.__setitem__(TERMS, (9, 5, 9, 5, 1, 1, 22, 9)), "terms"),
    "no end": (lambda a: a.__setitem__(TERMS, (9, 5, 9, 5, 1, 1, 2**32, 9)), "terms"),
    "registration shorter than a window": (lambda a: a.__setitem__(TERMS, (9, 5, 9, 5, 1, 1, 23, 8)), "terms"),
    "registration without end": (lambda a: a.__setitem__(TERMS, (9, 5, 9, 5, 1, 1, 23, 2**32)), "terms"),
}


@pytest.mark.parametrize("fault", DEPLOYMENT_FAULTS)
def test_constructor_refuses_what_could_not_be_mended(fault: str) -> None:
    """Nothing can be changed later, so a genesis at odds with its assets, or terms at odds, is never deployed."""
    chain = Chain()
    arguments: list[Any] = [
        chain.genesis.encode(),
        GENESIS_ROOT,
        chain.judge.address,
        chain.receipts.address,
        chain.wind_down.address,
        ETH,
        [chain.read("assets", 0)],
        chain.read("TERMS"),
    ]
    chain.evm.deploy("rollup", *arguments)
    change, reason = DEPLOYMENT_FAULTS[fault]
    change(arguments)

    with pytest.raises(Reverted, match=f"rollup: {reason}$"):
        chain.evm.deploy("rollup", *arguments)


def test_constructor_takes_what_is_at_its_bounds() -> None:
    """A genesis of this very second, sixty-four underlyings, the largest unit and amounts, and all times alike."""
    chain = Chain()
    genesis = Genesis(build_params(assets=LISTED), RULES, LISTINGS * 16, chain.evm.timestamp)
    assets, terms = [(ETH, 2**128 - 1, AMOUNT_MAX)], (2**32 - 9, 7, 1, 7, 1, 0, 2**32 - 1, 2**32 - 1)
    judges = chain.judge.address, chain.receipts.address, chain.wind_down.address, ETH
    rollup = chain.evm.deploy("rollup", genesis.encode(), GENESIS_ROOT, *judges, assets, terms)

    assert rollup.read("batches", 0).value[3] == chain.evm.timestamp
    assert rollup.read("TERMS").value == terms


def test_genesis_is_the_first_final_batch() -> None:
    """Batch 0 is the genesis: its hash is the first parent, its root final at once."""
    chain = Chain()

    assert chain.read("batches", 0)[:4] == (
        chain.genesis.batch_hash,
        GENESIS_ROOT,
        chain.evm.timestamp,
        chain.genesis.time,
    )
    assert chain.read("final_index") == chain.read("tip") == 0
    assert chain.read("batches", 1) == (bytes(32), bytes(32), 0, 0, 0, 0, 0, address(""), 0)


def test_step_of_a_draft_is_a_step_of_the_node() -> None:
    """The batches of these tests are such as the node parses: the drafts are no language of their own."""
    chain = Chain()
    batch = chain.draft(chain.bonded("alice"), b"\x06", frame_bytes=73)
    frames = [decode_frame(frame) for frame in batch.frames]

    assert decode_batch(batch.encode()) == batch
    assert [frame.steps[0].op for frame in frames if isinstance(frame, Frame)] == [b"\x01", b"\x06", b"\x02"]
    assert all(isinstance(step, Step) for frame in frames if frame for step in frame.steps)
