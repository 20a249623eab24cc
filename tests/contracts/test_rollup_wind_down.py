"""How a rollup ends: who may end it and when, what dies with it, and what goes on."""

import hashlib

import pytest

from state.batches import BatchData, decode_header
from tests.contracts.rollup_chain import (
    BOND,
    BURNED,
    ETH,
    FEE,
    GENESIS_ROOT,
    LIMIT,
    SILENCE,
    WINDOW,
    Chain,
    address,
    change_header,
)
from tests.contracts.test_rollup_claims import OWNER, TOKEN_UNIT, Outbox, encode_withdrawal

HOLDER = address("holder")
STRANGER = address("stranger")


@pytest.fixture
def chain() -> Chain:
    """A rollup with a holder who has posted nothing."""
    chain = Chain()
    chain.holder("holder")
    return chain


def list_hashed(batch: BatchData) -> bytes:
    """What the hash of a batch is one over."""
    return batch.header + b"".join(hashlib.sha256(frame).digest() for frame in batch.frames)


def post_reading(chain: Chain, oracle_age: int) -> int:
    """A batch whose oldest reading is so many seconds old; its index."""
    draft = chain.draft(HOLDER)
    batch = change_header(draft, oracle_time=decode_header(draft.header).time - oracle_age)
    chain.do("submit_batch", batch.encode(), sender=HOLDER)
    index = decode_header(batch.header).index
    chain.posted[index] = batch
    return index


def test_nothing_ends_while_batches_come(chain: Chain) -> None:
    """The clock runs from the last batch that lives, and to the second."""
    chain.wait(LIMIT - 1)
    chain.post(HOLDER)
    chain.wait(WINDOW)
    chain.do("finalise", 1)
    chain.wait(LIMIT - WINDOW)
    assert chain.refuse("wind_down", b"") == "rollup: not silent"
    chain.wait(1)
    outcome = chain.do("wind_down", b"", sender=STRANGER)

    assert outcome.events[-1].arguments == {"index": 1}
    assert chain.read("wound_down_at") == chain.evm.timestamp
    assert chain.refuse("wind_down", b"") == "rollup: wound down"


def test_a_rollup_without_a_batch_ends_at_its_genesis(chain: Chain) -> None:
    """Deposits that nobody ever took must come back too."""
    chain.wait(LIMIT + 1)
    chain.do("wind_down", b"")

    assert chain.read("batches", chain.read("final_index"))[1] == GENESIS_ROOT


def test_what_can_be_final_is_final_first(chain: Chain) -> None:
    """Nobody makes an older root the last one by coming before `finalise`."""
    chain.post(HOLDER)
    chain.wait(LIMIT + 1)
    assert chain.refuse("wind_down", b"") == "rollup: finalise first"
    chain.do("finalise", 1)
    chain.do("wind_down", b"")


def test_a_convicted_batch_does_not_keep_it_alive(chain: Chain) -> None:
    """Whoever posts a false batch to put the end off has put it off until the conviction."""
    chain.wait(LIMIT + 1)
    false = chain.post(HOLDER, b"\x00")
    assert chain.refuse("wind_down", b"") == "rollup: not silent"
    chain.convict(false, chain.person("prover"))
    chain.do("wind_down", b"")


def test_a_dead_feed_ends_it_though_batches_come(chain: Chain) -> None:
    """The last final header tells that open interest has had no price for too long."""
    late, later = post_reading(chain, LIMIT), post_reading(chain, LIMIT + 1)
    pending = chain.post(HOLDER)
    hashed = [list_hashed(chain.posted[index]) for index in (late, later, pending)]
    for header in hashed:
        assert chain.refuse("wind_down", header) == "rollup: not silent"
    chain.wait(WINDOW)
    chain.do("finalise", late)
    assert chain.refuse("wind_down", hashed[0]) == "rollup: finalise first"
    chain.do("finalise", later)
    chain.evm.set_block(timestamp=chain.evm.timestamp - 1)
    for header in (b"", hashed[0], hashed[2], hashed[1][:-1], hashed[1] + bytes(32)):
        assert chain.refuse("wind_down", header) == "rollup: not silent"
    chain.do("wind_down", hashed[1])

    assert chain.read("tip") == chain.read("final_index") == later
    assert chain.read("batches", pending)[1] == bytes(32)


def test_a_reading_at_its_limit_does_not_end_it(chain: Chain) -> None:
    """One second more would."""
    index = post_reading(chain, LIMIT)
    chain.wait(WINDOW)
    chain.do("finalise", index)

    assert chain.refuse("wind_down", list_hashed(chain.posted[index])) == "rollup: not silent"


def test_the_genesis_is_no_header(chain: Chain) -> None:
    """Its bytes hash to the hash of batch 0, and still say nothing of a feed."""
    genesis = chain.genesis.encode()
    assert hashlib.sha256(genesis).digest() == chain.read("batches", 0)[0]
    assert chain.refuse("wind_down", genesis) == "rollup: not silent"


def test_nothing_new_comes_after_the_end(chain: Chain) -> None:
    """No message, deposit, bond, holder, batch, conviction or finality."""
    pending = post_reading(chain, LIMIT + 1)
    chain.wait(WINDOW)
    chain.do("finalise", pending)
    false = chain.post(HOLDER, b"\x00")
    batch = chain.draft(HOLDER).encode()
    proof = chain.prove_unknown_kind(false)
    chain.do("wind_down", list_hashed(chain.posted[pending]))
    person = chain.person("person")
    for function, arguments, value in [
        ("deposit", (0, 10, 0), FEE + 10 * 10**10),
        ("cancel_all", (1,), FEE),
        ("post_bond", (), BOND),
        ("take_slot", (), 0),
        ("submit_batch", (batch,), 0),
    ]:
        assert chain.refuse(function, *arguments, sender=person, value=value) == "rollup: wound down"
    chain.wait(WINDOW)
    assert chain.refuse("finalise", false) == "rollup: not pending"
    assert chain.refuse("prove", false, proof) == "rollup: not pending"


def test_bonds_come_back(chain: Chain) -> None:
    """The silent holder leaves at the usual price, a bystander whose batch died pays nothing, and nobody is evicted."""
    chain.post(HOLDER)
    chain.wait(WINDOW)
    chain.do("finalise", 1)
    chain.bonded("bystander")
    chain.wait(LIMIT)
    chain.do("wind_down", b"")
    assert chain.read("slot_holder") == ETH
    assert chain.refuse("evict") == "rollup: not silent"
    for name, left in (("holder", BOND - BOND // 10), ("bystander", BOND)):
        chain.do("withdraw_bond", sender=address(name))
        assert chain.read("balance_of", ETH, address(name)) == left
        chain.do("collect", ETH, sender=address(name))
    assert chain.read("balance_of", ETH, BURNED) == BOND // 10


def test_a_holder_who_serves_leaves_for_nothing(chain: Chain) -> None:
    """A feed's silence is not his fault."""
    index = post_reading(chain, LIMIT + 1)
    chain.wait(WINDOW)
    chain.do("finalise", index)
    chain.post(HOLDER)
    chain.do("wind_down", list_hashed(chain.posted[index]))

    assert chain.read("bond_of", HOLDER) == BOND
    assert chain.read("slot_holder") == ETH


def test_withdrawals_are_claimed_after_the_end() -> None:
    """A final withdrawal is paid to whoever holds it, sold before the end or after it, once."""
    outbox = Outbox({0: encode_withdrawal(), 1: encode_withdrawal(amount=50)})
    chain, buyer = outbox.chain, address("buyer")
    final = outbox.post()
    chain.do("transfer_claim", 0, outbox.leaves[0], buyer, sender=OWNER)
    chain.wait(LIMIT + 1)
    chain.do("finalise", final)
    chain.do("wind_down", b"")
    chain.do("transfer_claim", 1, outbox.leaves[1], buyer, sender=OWNER)
    for index in range(2):
        chain.do("claim", *outbox.arguments(index, final))
        assert chain.refuse("claim", *outbox.arguments(index, final)) == "rollup: claimed"
    assert chain.read("balance_of", outbox.token.address, buyer) == 150 * TOKEN_UNIT
    chain.do("collect", outbox.token.address, sender=buyer)


def test_only_the_wind_down_pays_out(chain: Chain) -> None:
    """Nobody else ever, and it not before the end."""
    chain.do("deposit", 0, 10, 0, sender=chain.person("user"), value=FEE + 10 * 10**10)
    assert chain.refuse("pay_out", 0, 1, STRANGER, sender=STRANGER) == "rollup: wind down"
    chain.wait(max(LIMIT, SILENCE) + 1)
    chain.do("wind_down", b"")
    assert chain.refuse("pay_out", 0, 1, STRANGER, sender=STRANGER) == "rollup: wind down"
    assert chain.refuse("pay_out", 0, 1, STRANGER, sender=HOLDER) == "rollup: wind down"
