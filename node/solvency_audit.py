"""Reserves against liabilities, derived from L1 by whoever asks (`keel audit`)."""

from fraud_proofs.replica import ForeignContract, Replica
from fraud_proofs.solvency import Solvency, examine_solvency
from node.errors import WrongContract
from node.event_reader import EventReader
from node.rollup import ETH, BridgedAsset, Rollup
from node.wind_down import find_wind_down
from state.leaves import decode_withdrawal
from state.ledger import Ledger
from state.tree import Collection, leaf_key


def audit(rollup: Rollup, worst: int) -> int:
    """Derive, add up, print; 0 when all that is owed is there. Raises L1Error, WrongContract."""
    replica = derive(rollup)
    solvency = examine_solvency(replica.state.leaves)
    print(f"state after batch {replica.tip}, of which {replica.final} are final; root {replica.state.tree.root.hex()}")
    if replica.wrong is not None:
        print(f"batch {replica.wrong} is WRONG: run `keel watchtower` to convict it; what follows is the state before")
    are_covered = [print_asset(rollup, replica, solvency, asset) for asset in range(len(solvency.assets))]
    print_accounts(solvency, worst)
    for departure in solvency.departures:
        print(f"INVARIANT BROKEN: {departure}")
    return 0 if all(are_covered) and not solvency.departures and replica.wrong is None else 1


def derive(rollup: Rollup) -> Replica:
    """The state that L1's data gives. Raises WrongContract, L1Error."""
    replica = Replica(rollup.get_domain())
    try:
        for event in EventReader(rollup).read().events:
            replica.apply(event)
    except ForeignContract as error:
        raise WrongContract(f"this rollup cannot be followed: {error}") from error
    return replica


def count_unclaimed(rollup: Rollup, replica: Replica, asset: int) -> int:
    """Units that have left the state and not yet the contract, or not yet its credits."""
    leaves, unclaimed = replica.state.leaves, 0
    for index in range(Ledger(leaves).get_globals().outbox_count):
        withdrawal = decode_withdrawal(leaves.get(leaf_key(Collection.OUTBOX, index), b""))
        if withdrawal is not None and withdrawal.asset == asset and not rollup.view("claimed", index):
            unclaimed += withdrawal.amount
    return unclaimed


def print_asset(rollup: Rollup, replica: Replica, solvency: Solvency, asset: int) -> bool:
    """One asset's lines; whether the contract holds what is owed."""
    report, terms = solvency.assets[asset], rollup.get_asset(asset)
    unclaimed = count_unclaimed(rollup, replica, asset)
    books, ending = report.books, find_wind_down(rollup)
    unpaid = ending.count_left(asset) if ending.get_ending().registered_until else books.custody
    owed, holdings = (unpaid + unclaimed) * terms.unit, get_holdings(rollup, terms)
    print(f"asset {asset}, in units:")
    print(f"  custody {books.custody}, unclaimed withdrawals {unclaimed}; accounts hold {report.claims}")
    if unpaid != books.custody:
        print(f"  the rollup has ended, and of custody {unpaid} are not paid out yet")
    print(f"  house cash {books.house_cash}, fund {books.fund}, fees {books.fees}, bad debt {books.bad_debt}")
    print(f"  the contract holds {holdings // terms.unit}: {'enough' if holdings >= owed else 'TOO LITTLE'}")
    return holdings >= owed


def get_holdings(rollup: Rollup, terms: BridgedAsset) -> int:
    """Base units of an asset that the contract holds; of ether bonds and fees are among them."""
    if terms.token == ETH:
        return rollup.l1.get_balance(rollup.address)
    return rollup.get_token_balance(terms.token, rollup.address)


def print_accounts(solvency: Solvency, worst: int) -> None:
    """Those with the least maintenance surplus, quote units."""
    print(f"accounts at risk: {len(solvency.accounts)}; owed beyond all they have: {-solvency.negative_equity}")
    for account in solvency.accounts[:worst]:
        note = ", in auction" if account.is_in_auction else ""
        print(
            f"  account {account.account}: equity {account.equity}, above initial margin {account.initial}, "
            f"above maintenance {account.maintenance}{note}"
        )
