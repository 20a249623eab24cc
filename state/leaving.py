"""What may leave an account, by its own key or through L1 (SPEC.md section 8).

Mirrors contracts/margins.vy (judge_leaving).
"""

from state.active_scenarios import Scales, list_tried
from state.leaves import Account
from state.ledger import Ledger, SubjectMissing
from state.valuation import add_balance, compute_account_margin, drop_stale_spots, is_fresh, read_quotes


def needs_prices(account: Account, asset: int, amount: int) -> bool:
    """Whether taking `amount` out of the account can be judged only with prices."""
    cash_after = account.cash - amount if asset == 0 else account.cash
    return bool(account.positions) or cash_after < 0


def is_balance_covered(ledger: Ledger, account: Account, asset: int, amount: int) -> bool:
    """Whether the account owns what it gives away: quote equity for asset 0, else that collateral."""
    params = ledger.get_params()
    if not needs_prices(account, asset, amount):
        return (account.cash if asset == 0 else account.get_collateral(asset)) >= amount
    quotes = read_quotes(ledger, account, params)
    if asset != 0:
        return account.get_collateral(asset) >= amount
    return compute_account_margin(account, quotes, ledger.get_globals().time, params).quote_equity >= amount


def weigh_leaving(ledger: Ledger, account: Account, asset: int, amount: int) -> tuple[Scales, bool]:
    """The account before and after `amount` has left it, and whether its prices are fresh; reads G, P, M*(account).
    Raises SubjectMissing, also where it does not hold as much."""
    params, time = ledger.get_params(), ledger.get_globals().time
    quotes = drop_stale_spots(read_quotes(ledger, account, params), time, params)
    if asset != 0 and account.get_collateral(asset) < amount:
        raise SubjectMissing("collateral")
    after = add_balance(account, asset, -amount)
    return Scales(quotes, time, params, account, after), is_fresh(account, quotes, time, params)


def is_margin_kept(ledger: Ledger, account: Account, asset: int, amount: int) -> bool:
    """Whether the account still covers its initial margin after `amount` has left it. Raises SubjectMissing."""
    if not needs_prices(account, asset, amount):
        return True
    scales, is_priced = weigh_leaving(ledger, account, asset, amount)
    return is_priced and all(scales.compute_after(e.after).initial >= 0 for e in list_tried(ledger, scales))
