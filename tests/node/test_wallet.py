"""A wallet deposits, leaves by both doors, and proves its claims from what it derived itself."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from node import cli
from node.errors import CallReverted, L1Error, WrongContract
from node.keys import Ed25519Key, Secp256k1Key
from node.oracle_role import draft_reading, sign_reading
from node.oracle_source import Price
from node.wallet import Wallet, WalletError
from sequencer.requests import build_request
from state.batches import BatchData, decode_frame, decode_header
from state.constants import NEVER
from state.leaves import SessionKey, perpetual
from state.operations import OrderOp, OrderTerms, Withdraw, hash_digest
from tests.node.clerk import Clerk
from tests.node.town import DOLLAR, ETHER_ASSET, TERMS, Town, open_town
from tests.world import ORACLE_KEYS, SYMBOLS

SESSION = Ed25519Key(bytes([8]) * 32)
MILLION = 1_000_000
PRICE, FALLEN = 17 * MILLION, 13_500_000
LOTS = 4_000
"""So many that the fall leaves who bought them short of margin, and not of everything."""


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with open_town(tmp_path_factory.mktemp("wallet")) as running:
        yield running


@pytest.fixture(scope="module")
def clerk(town: Town, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clerk]:
    with Clerk(town, tmp_path_factory.mktemp("clerk")) as running:
        yield running


@pytest.fixture
def wallet(town: Town, request: pytest.FixtureRequest) -> Wallet:
    """Everybody here acts in one test only."""
    return Wallet(town.rollup, town.open_sender(request.node.name))


def sign_withdrawal(town: Town, account: int, amount: int, asset: int = ETHER_ASSET) -> bytes:
    bare = Withdraw(0, account, 1, asset, amount, 0, bytes(64))
    signature = SESSION.sign(hash_digest(town.rollup.get_domain(), bare))
    return build_request(replace(bare, signature=signature))


def test_a_deposit_is_found_in_the_inbox(town: Town, wallet: Wallet) -> None:
    """Ether goes with the message; of a token just what is deposited is approved."""
    town.give_dollars("test_a_deposit_is_found_in_the_inbox", 100 * MILLION)
    before = town.rollup.view("inbox_count")

    first = wallet.deposit(DOLLAR, 60 * MILLION)
    second = wallet.deposit(DOLLAR, 40 * MILLION)
    third = wallet.deposit(ETHER_ASSET, 10**9)

    assert [first.index, second.index, third.index] == [before, before + 1, before + 2]
    assert town.rollup.get_token_balance(town.dollar, wallet.address) == 0
    assert town.rollup.get_allowance(town.dollar, wallet.address) == 0
    assert town.rollup.view("custody", DOLLAR) >= 100 * MILLION


def test_what_cannot_be_deposited_is_refused_before_it_costs(town: Town, wallet: Wallet) -> None:
    """An amount out of bounds, an asset that is not listed, tokens that are not there."""
    for amount in (0, -1, 10**15 + 1):
        with pytest.raises(WalletError, match="from 1 to 1000000000000000 units"):
            wallet.deposit(ETHER_ASSET, amount)
    with pytest.raises(CallReverted):
        wallet.deposit(9, 1)
    with pytest.raises(L1Error, match="token: balance"):
        wallet.deposit(DOLLAR, MILLION)
    with pytest.raises(WalletError, match="amount: 0 units"):
        wallet.force_withdraw(1, ETHER_ASSET, 0)


def test_a_whole_life(town: Town, clerk: Clerk, wallet: Wallet) -> None:
    """Deposit, key, withdrawal by signature and by force, finality, claim; and nothing is paid twice."""
    wallet.deposit(ETHER_ASSET, 10**9)
    clerk.take_messages()
    clerk.post()
    ((account, held),) = wallet.read_state().find_accounts(wallet.address)
    assert held.get_collateral(ETHER_ASSET) == 10**9
    wallet.register_key(account, SessionKey(SESSION.public_key, 7, NEVER))
    clerk.take_messages()
    clerk.take(sign_withdrawal(town, account, 3 * 10**8))
    wallet.force_withdraw(account, ETHER_ASSET, 2 * 10**8)
    clerk.take_messages()
    clerk.post()

    early = wallet.read_final_state()
    assert wallet.list_claims(early) == []
    with pytest.raises(WalletError, match="withdrawal 0 does not stand in a final batch"):
        wallet.claim(early, 0)

    clerk.finalise()
    final = wallet.read_final_state()
    claims = wallet.list_claims(final)
    assert [final.require_withdrawal(index).amount for index in claims] == [3 * 10**8, 2 * 10**8]
    for index in claims:
        wallet.claim(final, index)
    assert wallet.list_claims(final) == []
    with pytest.raises(CallReverted, match="rollup: claimed"):
        wallet.claim(final, claims[0])
    before = town.l1.get_balance(wallet.address)
    assert wallet.get_credit(bytes(20)) == 5 * 10**17
    mined = wallet.collect(bytes(20))
    assert mined is not None
    assert town.l1.get_balance(wallet.address) == before + 5 * 10**17 - mined.gas_used * mined.gas_price
    assert wallet.collect(bytes(20)) is None


def test_a_bought_claim_pays_its_buyer(town: Town, clerk: Clerk, wallet: Wallet) -> None:
    """Whoever holds the claim is credited; the seller's list no longer shows it, and he cannot sell it again."""
    buyer = Wallet(town.rollup, town.open_sender("buyer"))
    wallet.deposit(ETHER_ASSET, 10**9)
    clerk.take_messages()
    clerk.post()
    ((account, _),) = wallet.read_state().find_accounts(wallet.address)
    wallet.force_withdraw(account, ETHER_ASSET, 10**8)
    clerk.take_messages()
    clerk.post()
    clerk.finalise()
    final = wallet.read_final_state()
    (index,) = wallet.list_claims(final)
    leaf = final.require_withdrawal(index)

    wallet.transfer_claim(index, leaf, buyer.address)
    assert wallet.list_claims(final) == []
    with pytest.raises(CallReverted, match="rollup: holder"):
        wallet.transfer_claim(index, leaf, wallet.address)
    buyer.claim(final, index)

    assert wallet.get_credit(bytes(20)) == 0
    assert buyer.get_credit(bytes(20)) == 10**17


def test_cancel_all_raises_the_epoch(clerk: Clerk, wallet: Wallet) -> None:
    """Through L1, without a session key."""
    wallet.deposit(ETHER_ASSET, 10**8)
    clerk.take_messages()
    clerk.post()
    ((account, _),) = wallet.read_state().find_accounts(wallet.address)
    wallet.cancel_all(account)
    clerk.take_messages()
    clerk.post()

    ((_, held),) = wallet.read_state().find_accounts(wallet.address)
    assert held.epoch == 1


def test_cancel_all_kills_what_rests_and_what_stands(town: Town, clerk: Clerk) -> None:
    """An order in the book, and the rest of one that is on the chain, trade no more once the message is taken."""
    alice, bob = (Wallet(town.rollup, town.open_sender(name)) for name in ("alice", "bob"))
    buyer, seller = (open_account(town, clerk, wallet) for wallet in (alice, bob))
    # The generation's first tick may be this one; the next is past its cancel-only interval.
    for seconds in (1, 20):
        town.pass_time(seconds)
        clerk.take_messages()
    for underlying in (0, 1):
        clerk.take(sign_price(town, clerk, underlying))
    clerk.take(sign_order(town, buyer, 10, slot=0))
    assert clerk.take(sign_order(town, seller, -4, slot=0)).filled == 4
    clerk.take(sign_order(town, buyer, 5, slot=1))

    alice.cancel_all(buyer)
    clerk.take_messages()

    assert clerk.take(sign_order(town, seller, -15, slot=1)).filled == 0
    clerk.post()
    ((_, held),) = alice.read_state().find_accounts(alice.address)
    assert held.positions == ((perpetual(0), 4),)


def open_account(town: Town, clerk: Clerk, wallet: Wallet) -> int:
    """A funded account with a session key."""
    wallet.deposit(ETHER_ASSET, 10**10)
    clerk.take_messages()
    clerk.post()
    ((account, _),) = wallet.read_state().find_accounts(wallet.address)
    wallet.register_key(account, SessionKey(SESSION.public_key, 7, NEVER))
    clerk.take_messages()
    return account


def test_a_bid_through_l1_needs_no_consent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Half of what a ruined account holds is its bidder's, by the command alone, once the message is taken."""
    with open_town(tmp_path) as town, Clerk(town, tmp_path / "data") as clerk:
        alice, bob = (Wallet(town.rollup, town.open_sender(name)) for name in ("alice", "bob"))
        seller, buyer = (open_account(town, clerk, wallet) for wallet in (alice, bob))
        for seconds in (1, 20):
            town.pass_time(seconds)
            clerk.take_messages()
        for underlying in (0, 1):
            clerk.take(sign_price(town, clerk, underlying))
        clerk.take(sign_order(town, seller, -LOTS, slot=0))
        assert clerk.take(sign_order(town, buyer, LOTS, slot=0)).filled == LOTS
        town.pass_time(1)
        clerk.take_messages()
        clerk.take(sign_price(town, clerk, 0, FALLEN))
        alice.force_liquidate(buyer)
        clerk.take_messages()
        town.pass_time(60)
        where = ["--l1", town.anvil.url, "--rollup", town.deployment.rollup, "--key", str(tmp_path / "alice.json")]

        bid = ["wallet", "bid", str(buyer), "--account", str(seller), "--percent", "50", "--discount", "1"]
        assert cli.main([*bid, "--through-l1", *where]) == 0
        clerk.take_messages()
        clerk.post()

        index = town.rollup.view("inbox_count") - 1
        told = capsys.readouterr().out
        assert f"bid for account {buyer}: message {index}, " in told
        assert f"must take it within {TERMS.inbox_deadline} s" in told
        held = {wallet.address: wallet.read_state().find_accounts(wallet.address)[0][1] for wallet in (alice, bob)}
        assert held[alice.address].positions == ((perpetual(0), LOTS // 2 - LOTS),)
        assert held[bob.address].positions == ((perpetual(0), LOTS // 2),)
        assert held[alice.address].sequence == 1


def sign_price(town: Town, clerk: Clerk, underlying: int, price: int = PRICE) -> bytes:
    """A reading of state time."""
    signers = [(place, Secp256k1Key(key.secret)) for place, key in enumerate(ORACLE_KEYS)]
    now = clerk.core.engine.globals.time
    reading = draft_reading(underlying, Price(SYMBOLS[underlying].decode(), price, price), now)
    return build_request(sign_reading(town.rollup.get_domain(), reading, signers))


def sign_order(town: Town, account: int, size: int, slot: int) -> bytes:
    """The first order of a slot, of generation 1 and epoch 0."""
    flags, leg = (1 if size < 0 else 0), (perpetual(0), 1)
    terms = OrderTerms(account, slot, 1, 1, 0, NEVER - 1, flags, PRICE, abs(size), 10_000, 0, (leg,))
    bare = OrderOp(0, 0, terms, 0, bytes(64))
    return build_request(replace(bare, signature=SESSION.sign(hash_digest(town.rollup.get_domain(), bare))))


def test_a_false_root_that_became_final_is_not_believed(tmp_path: Path) -> None:
    """If nobody convicts a lie in time, the wallet says so instead of proving against it."""
    with open_town(tmp_path) as town, Clerk(town, tmp_path / "data") as clerk:
        wallet = Wallet(town.rollup, town.open_sender("alice"))
        wallet.deposit(ETHER_ASSET, 10**9)
        clerk.take_messages()
        clerk.post(lie_about_root(clerk.seal()))
        clerk.finalise()

        with pytest.raises(WrongContract, match="batch 1 became final with a false root"):
            wallet.read_final_state()


def lie_about_root(batch: BatchData) -> BatchData:
    """The same batch with another root after its last step."""
    header = replace(decode_header(batch.header), post_root=b"\7" * 32)
    last = decode_frame(batch.frames[-1])
    assert last is not None
    lied = replace(last, steps=(*last.steps[:-1], last.steps[-1]._replace(post_root=b"\7" * 32)))
    return BatchData(header.encode(), (*batch.frames[:-1], lied.encode()))
