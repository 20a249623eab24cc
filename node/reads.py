"""What every gateway answers from a state: accounts, orders, underlyings, withdrawals, globals, as canonical leaves.

A client decodes leaves with the same code that the state is made of. Whoever re-executes L1 also answers with paths,
by which a leaf is checked against a root that the contract keeps, and claimed.
"""

from bisect import bisect_left
from collections.abc import Callable, Mapping

from fraud_proofs.replica import Replica
from node.gateway import ARGUMENT_WRONG, Method, MethodError, take_bytes, take_int
from state.codec import Value
from state.constants import ACCOUNTS_MAX, RULES_OFFSET, SLOTS_PER_ACCOUNT, UNDERLYINGS_MAX
from state.leaves import decode_account, decode_withdrawal
from state.ledger import Ledger
from state.tree import DEPTHS, Collection, LeafKey, account_key, expiry_key, leaf_key, order_key, underlying_key

Leaves = Mapping[LeafKey, bytes]

# Whoever pays for them may open accounts without end, and an answer must fit a frame.
ANSWERED_MAX = 1000
WITHDRAWALS_MAX = 1 << DEPTHS[Collection.OUTBOX]


class _Owned:
    """Indices of leaves of one kind by owner. Such leaves are only added; a rollback takes back the last ones."""

    def __init__(self, first: int, get_owner: Callable[[int], bytes | None]) -> None:
        """`first` is the lowest index in use; `get_owner` tells whose a leaf is, None where there is none."""
        self._first = first
        self._get_owner = get_owner
        self._owners: list[bytes | None] = []
        self._indices: dict[bytes | None, list[int]] = {}

    def find(self, owner: bytes, count: int) -> list[int]:
        """Of the leaves below `count`, the owner's, in order."""
        known = self._first + len(self._owners)
        if known > count or (self._owners and self._owners[-1] != self._get_owner(known - 1)):
            self._owners.clear()
            self._indices.clear()
            known = self._first
        for index in range(known, count):
            found = self._get_owner(index)
            self._owners.append(found)
            self._indices.setdefault(found, []).append(index)
        return self._indices.get(owner, [])


def build_read_methods(get_leaves: Callable[[], Leaves]) -> dict[str, Method]:
    """Methods by name, each over the state as it stands when it is called."""

    def get_account_owner(index: int) -> bytes | None:
        account = decode_account(get_leaves().get(account_key(index), b""))
        return None if account is None else account.owner

    def get_withdrawal_owner(index: int) -> bytes | None:
        withdrawal = decode_withdrawal(get_leaves().get(leaf_key(Collection.OUTBOX, index), b""))
        return None if withdrawal is None else withdrawal.owner

    accounts, withdrawals = _Owned(1, get_account_owner), _Owned(0, get_withdrawal_owner)

    async def get_account(arguments: list[Value]) -> Value:
        """[account] -> account leaf, empty when there is none."""
        return get_leaves().get(account_key(take_int(arguments, 0, "account", ACCOUNTS_MAX)), b"")

    async def find_accounts(arguments: list[Value]) -> Value:
        """[owner address] -> the accounts that it owns, the first ANSWERED_MAX of them."""
        count = Ledger(get_leaves()).get_globals().account_count
        return list(accounts.find(take_bytes(arguments, 0, "owner", 20), count)[:ANSWERED_MAX])

    async def get_withdrawal(arguments: list[Value]) -> Value:
        """[index in the outbox] -> withdrawal leaf, empty when there is none."""
        return get_leaves().get(leaf_key(Collection.OUTBOX, take_int(arguments, 0, "index", WITHDRAWALS_MAX)), b"")

    async def find_withdrawals(arguments: list[Value]) -> Value:
        """[owner address, first index] -> indices of its withdrawals from there on, the first ANSWERED_MAX of them."""
        count, first = Ledger(get_leaves()).get_globals().outbox_count, take_int(arguments, 1, "first", WITHDRAWALS_MAX)
        found = withdrawals.find(take_bytes(arguments, 0, "owner", 20), count)
        return list(found[bisect_left(found, first) :][:ANSWERED_MAX])

    async def get_order(arguments: list[Value]) -> Value:
        """[account, slot] -> order leaf."""
        account = take_int(arguments, 0, "account", ACCOUNTS_MAX)
        return get_leaves().get(order_key(account, take_int(arguments, 1, "slot", SLOTS_PER_ACCOUNT)), b"")

    return {
        "account": get_account,
        "accounts_of": find_accounts,
        "withdrawal": get_withdrawal,
        "withdrawals_of": find_withdrawals,
        "order_slot": get_order,
    } | _build_market_methods(get_leaves)


def _build_market_methods(get_leaves: Callable[[], Leaves]) -> dict[str, Method]:
    """What is nobody's own: prices, time, rules."""

    async def get_underlying(arguments: list[Value]) -> Value:
        """[underlying] -> underlying leaf."""
        return get_leaves().get(underlying_key(take_int(arguments, 0, "underlying", UNDERLYINGS_MAX)), b"")

    async def get_underlyings(arguments: list[Value]) -> Value:
        """[] -> every underlying's leaf, in order."""
        if arguments:
            raise MethodError(ARGUMENT_WRONG, "underlyings: no argument is needed")
        count = Ledger(get_leaves()).get_globals().underlying_count
        return [get_leaves().get(underlying_key(index), b"") for index in range(count)]

    async def get_expiry(arguments: list[Value]) -> Value:
        """[underlying, expiry in seconds] -> expiry leaf, empty when nothing is listed on it."""
        underlying = take_int(arguments, 0, "underlying", UNDERLYINGS_MAX)
        return get_leaves().get(expiry_key(underlying, take_int(arguments, 1, "expiry", 1 << 32)), b"")

    async def get_globals(arguments: list[Value]) -> Value:
        """[] -> globals leaf."""
        return Ledger(get_leaves()).get_globals().encode()

    async def get_params(arguments: list[Value]) -> Value:
        """[] -> the active parameters' leaf."""
        return Ledger(get_leaves()).get_params().encode()

    async def get_rules(arguments: list[Value]) -> Value:
        """[] -> the active rules of margin, as their leaf."""
        version = Ledger(get_leaves()).get_globals().params_version
        return get_leaves().get(leaf_key(Collection.PARAMS, RULES_OFFSET + version), b"")

    return {
        "underlying": get_underlying,
        "underlyings": get_underlyings,
        "expiry": get_expiry,
        "globals": get_globals,
        "params": get_params,
        "rules": get_rules,
    }


def build_proof_methods(get_replica: Callable[[], Replica]) -> dict[str, Method]:
    """What a replica of L1 answers beside the state: its batches, and leaves with paths.

    A path leads to the root of the last good batch, whose index stands beside it: L1 takes it when that batch is final,
    and ever after.
    """

    def prove(key: LeafKey) -> Value:
        state = get_replica().state
        path = state.tree.prove(key)
        siblings: list[Value] = list(path.siblings)
        return [state.leaves.get(key, b""), path.mask, siblings, get_replica().tip]

    async def get_batch(arguments: list[Value]) -> Value:
        """[index] -> [batch hash, root after it, whether it is final] of a good batch; nil where there is none."""
        index, replica = take_int(arguments, 0, "index"), get_replica()
        if index not in replica.roots:
            return None
        return [replica.batch_hashes[index], replica.roots[index], index <= replica.final]

    async def prove_withdrawal(arguments: list[Value]) -> Value:
        """[index in the outbox] -> [leaf, mask, siblings, batch], as `claim` takes them."""
        return prove(leaf_key(Collection.OUTBOX, take_int(arguments, 0, "index", WITHDRAWALS_MAX)))

    async def prove_account(arguments: list[Value]) -> Value:
        """[account] -> [leaf, mask, siblings, batch]."""
        return prove(account_key(take_int(arguments, 0, "account", ACCOUNTS_MAX)))

    return {"batch": get_batch, "withdrawal_proof": prove_withdrawal, "account_proof": prove_account}
