"""Who is short of margin, or no longer: every account looked at once per price.

The seam of the keeper: an account's margin needs nothing but its leaf and the prices, so that other machines may look
at other accounts, and only the answer, a list of accounts, has to be brought together.
"""

from collections.abc import Mapping

from state.leaves import Account
from state.ledger import Ledger
from state.process_liquidate import is_margin_bad
from state.valuation import compute_account_margin, read_quotes


class AccountSweep:
    """One account after the other."""

    def find_changed(self, ledger: Ledger, accounts: Mapping[int, Account]) -> list[int]:
        """Accounts whose auction should begin or end at the prices that the ledger shows."""
        params, time = ledger.get_params(), ledger.get_globals().time
        changed = []
        for index, account in accounts.items():
            margin = compute_account_margin(account, read_quotes(ledger, account, params), time, params)
            is_bad = is_margin_bad(margin.maintenance, margin.quote_equity, params)
            if is_bad == (account.liquidation_from == 0):
                changed.append(index)
        return changed
