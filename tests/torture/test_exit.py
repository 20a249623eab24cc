"""The node is killed in the middle of trading and never comes back; everybody leaves, positions and all."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from node.anvil import run_anvil
from node.exit import Exit
from node.wallet import Wallet
from state.ledger import Ledger
from state.wind_down import Ending
from tests.torture.campaign import Campaign
from tests.torture.load import trade
from tests.torture.site import DOLLARS, PRICE, TERMS, Site, build_site, feed_oracle, keep_no_process

PEOPLE = 3
BATCHES = 4
SECONDS_MAX = 120


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A rollup with everything behind it, and people who have no account yet."""
    with run_anvil(block_seconds=1) as anvil:
        site = build_site(tmp_path / "site", anvil, PEOPLE)
        with keep_no_process(site):
            site.add_role("sequencer")
            site.add_role("oracle")
            yield site


async def trade_and_die(site: Site, seed: int) -> None:
    """Everybody trades until some batches with trades are on L1; then the power is cut."""
    campaign = Campaign(site, seed, hits=1, deadline=time.monotonic() + SECONDS_MAX, say=print)
    with trio.fail_after(SECONDS_MAX):
        await campaign.restart()
        await site.roles["oracle"].start()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(feed_oracle, site.roles["oracle"], (PRICE,))
            await site.open_accounts()
            await site.wait_until_open()
            for number, person in enumerate(site.people):
                nursery.start_soon(trade, site, person, campaign.kept, seed + number)
            while campaign.kept.filled == 0:  # noqa: ASYNC110
                await trio.sleep(0.05)
            enough = site.rollup.view("tip") + BATCHES
            while site.rollup.view("tip") < enough:  # noqa: ASYNC110
                await trio.sleep(0.2)
            for role in site.roles.values():
                await role.kill()
            nursery.cancel_scope.cancel()


def wait(site: Site, seconds: int) -> None:
    """Let L1 time pass."""
    site.anvil.request("evm_increaseTime", seconds)
    site.anvil.request("evm_mine")


def leave(site: Site, wallet: Wallet) -> Exit:
    """What one person does at a time, as `keel wallet exit` does it."""
    leaving = Exit(site.rollup, wallet.sender, print)
    leaving.end()
    leaving.open()
    leaving.refund_deposits()
    if leaving.is_registering():
        leaving.register_debtors()
    else:
        leaving.claim(leaving.list_own_accounts())
    wallet.collect(site.rollup.get_asset(0).token)
    return leaving


@pytest.mark.slow
async def test_everybody_gets_out_with_his_positions(site: Site, seed: int) -> None:
    """Of what was deposited all is paid but what belongs to nobody, to the last unit of the rule."""
    await trade_and_die(site, seed)
    wallets = [person.wallet for person in site.people]
    wait(site, TERMS.wind_down_limit + 1)
    for wallet in wallets:
        leaving = leave(site, wallet)
    leaves = leaving.final.replica.state.leaves
    held = dict(Ledger(leaves).peek_accounts())
    assert any(account.positions for account in held.values()), "nobody held a position when it ended"
    wait(site, TERMS.registration_period)
    for wallet in wallets:
        leave(site, wallet)

    twin, dollar = Ending(leaves), site.rollup.get_asset(0).token
    for account, _ in twin.list_debtors():
        twin.register(account)
    debtors = list(twin.settled)
    for account, state in held.items():
        paid = [] if account in debtors else twin.claim(account)
        assert site.rollup.get_token_balance(dollar, state.owner) == sum(payment.units for payment in paid)
    kept = twin.pools[0].left
    assert site.rollup.get_token_balance(dollar, site.rollup.address) == site.rollup.view("custody", 0) == kept
    paid_out = sum(site.rollup.get_token_balance(dollar, wallet.address) for wallet in wallets)
    assert paid_out + kept == PEOPLE * DOLLARS
