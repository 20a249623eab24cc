"""What every gateway answers from a state: accounts, orders, underlyings, globals, as their canonical leaves.

A client decodes leaves with the same code that the state is made of, and may ask for a path to check them by.
"""

from collections.abc import Callable, Mapping

from node.gateway import ARGUMENT_WRONG, Method, MethodError, take_bytes, take_int
from state.codec import Value
from state.constants import ACCOUNTS_MAX, SLOTS_PER_ACCOUNT, UNDERLYINGS_MAX
from state.leaves import decode_account
from state.ledger import Ledger
from state.tree import LeafKey, account_key, order_key, underlying_key

Leaves = Mapping[LeafKey, bytes]

# Whoever pays for them may open accounts without end, and an answer must fit a frame.
ACCOUNTS_ANSWERED_MAX = 1000


def build_read_methods(get_leaves: Callable[[], Leaves]) -> dict[str, Method]:
    """Methods by name, each over the state as it stands when it is called."""
    owners: dict[bytes, list[int]] = {}
    known = 1

    async def get_account(arguments: list[Value]) -> Value:
        """[account] -> account leaf, empty when there is none."""
        return get_leaves().get(account_key(take_int(arguments, 0, "account", ACCOUNTS_MAX)), b"")

    async def find_accounts(arguments: list[Value]) -> Value:
        """[owner address] -> the accounts that it owns, the first ACCOUNTS_ANSWERED_MAX of them."""
        nonlocal known
        owner = take_bytes(arguments, 0, "owner", 20)
        count = Ledger(get_leaves()).get_globals().account_count
        if count < known:
            owners.clear()
            known = 1
        for index in range(known, count):
            account = decode_account(get_leaves().get(account_key(index), b""))
            if account is not None:
                owners.setdefault(account.owner, []).append(index)
        known = count
        return list(owners.get(owner, [])[:ACCOUNTS_ANSWERED_MAX])

    async def get_order(arguments: list[Value]) -> Value:
        """[account, slot] -> order leaf."""
        account = take_int(arguments, 0, "account", ACCOUNTS_MAX)
        return get_leaves().get(order_key(account, take_int(arguments, 1, "slot", SLOTS_PER_ACCOUNT)), b"")

    async def get_underlying(arguments: list[Value]) -> Value:
        """[underlying] -> underlying leaf."""
        return get_leaves().get(underlying_key(take_int(arguments, 0, "underlying", UNDERLYINGS_MAX)), b"")

    async def get_underlyings(arguments: list[Value]) -> Value:
        """[] -> every underlying's leaf, in order."""
        if arguments:
            raise MethodError(ARGUMENT_WRONG, "underlyings: no argument is needed")
        count = Ledger(get_leaves()).get_globals().underlying_count
        return [get_leaves().get(underlying_key(index), b"") for index in range(count)]

    async def get_globals(arguments: list[Value]) -> Value:
        """[] -> globals leaf."""
        return Ledger(get_leaves()).get_globals().encode()

    async def get_params(arguments: list[Value]) -> Value:
        """[] -> the active parameters' leaf."""
        return Ledger(get_leaves()).get_params().encode()

    return {
        "account": get_account,
        "accounts_of": find_accounts,
        "order_slot": get_order,
        "underlying": get_underlying,
        "underlyings": get_underlyings,
        "globals": get_globals,
        "params": get_params,
    }
