"""Witnesses for contracts/wind_down.vy: leaves of the last final state, each with its path (SPEC.md section 3)."""

from collections.abc import Mapping

from fraud_proofs.witness import NO_SCENARIOS, Witness, build_leaves
from state.ledger import Ledger
from state.tree import LeafKey, Tree
from state.wind_down import value_account


def build_opening_witness(leaves: Mapping[LeafKey, bytes], tree: Tree) -> bytes:
    """For `open`: globals, and the books of every asset."""
    ledger = Ledger(leaves)
    for asset in range(ledger.get_globals().asset_count):
        ledger.require_asset(asset)
    return _encode(tree, ledger)


def build_settlement_witness(leaves: Mapping[LeafKey, bytes], tree: Tree, account: int) -> bytes:
    """For `register` and `claim`: the account, and what its value needs. Raises SubjectMissing."""
    ledger = Ledger(leaves)
    value_account(ledger, account)
    return _encode(tree, ledger)


def _encode(tree: Tree, ledger: Ledger) -> bytes:
    entries = tuple(build_leaves(tree, ledger.reads, {}))
    if ledger.exhibit_at is None:
        return Witness(entries).encode()
    return Witness(entries, scenarios=NO_SCENARIOS, scenarios_at=ledger.exhibit_at).encode()
