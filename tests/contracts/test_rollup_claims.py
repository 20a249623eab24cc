"""How money leaves: a leaf of the outbox under a final root, paid once, to whoever holds it."""

import random

from state.leaves import Withdrawal
from state.tree import Collection, LeafKey, Tree, build_tree, hash_leaf, leaf_key
from tests.contracts import token_zoo
from tests.contracts.rollup_chain import (
    DEPOSIT_MAX,
    ETH,
    ETH_UNIT,
    FEE,
    UNKNOWN,
    WINDOW,
    Chain,
    address,
    compile_once,
)
from tests.evm import Contract, Evm
from tests.world import GENESIS_TIME

OWNER = address("owner")
TOKEN_UNIT = 10


def outbox_key(index: int) -> LeafKey:
    return leaf_key(Collection.OUTBOX, index)


def encode_withdrawal(owner: str = OWNER, asset: int = 0, amount: int = 100) -> bytes:
    return Withdrawal(bytes.fromhex(owner[2:]), asset, amount, 7).encode()


class Outbox:
    """A rollup with a token and ether in custody, and a state tree of which only outbox and globals mean something."""

    def __init__(self, leaves: dict[int, bytes], token_source: str | None = None) -> None:
        evm = Evm(timestamp=GENESIS_TIME + 100)
        depositor = address("depositor")
        if token_source is None:
            self.token: Contract = evm.deploy("token", "Dollar", "USD", 6)
            self.token.send("mint", depositor, 10**30)
        else:
            self.token = evm.deploy_artifact(compile_once(token_source), depositor)
        self.chain = Chain(((self.token.address, TOKEN_UNIT, DEPOSIT_MAX), (ETH, ETH_UNIT, DEPOSIT_MAX)), evm=evm)
        self.chain.holder("operator")
        self.chain.person("depositor")
        if token_source is None:
            self.token.send("approve", self.chain.rollup.address, 2**256 - 1, sender=depositor)
        self.chain.do("deposit", 0, 1000, 0, sender=depositor, value=FEE)
        self.chain.do("deposit", 1, 1000, 0, sender=depositor, value=FEE + 1000 * ETH_UNIT)
        self.leaves = leaves
        self.tree = build_tree(
            [(leaf_key(Collection.GLOBALS, 0), b"globals"), (leaf_key(Collection.ASSETS, 1), b"asset")]
            + [(outbox_key(index), leaf) for index, leaf in leaves.items()]
        )

    def post(self, *ops: bytes) -> int:
        """Post a batch that ends at the tree's root."""
        return self.chain.post(address("operator"), *ops, root=self.tree.root)

    def finalise(self, index: int) -> None:
        self.chain.wait(WINDOW)
        self.chain.do("finalise", index)

    def arguments(self, index: int, batch: int, *, tree: Tree | None = None) -> list[object]:
        """What `claim` takes for an outbox index under a batch."""
        path = (tree or self.tree).prove(outbox_key(index))
        return [index, self.leaves[index], path.mask, list(path.siblings), batch]


def test_withdrawal_is_paid_to_its_owner() -> None:
    """Anybody may make the claim of a final withdrawal; the owner collects token or ether, in base units."""
    outbox = Outbox({0: encode_withdrawal(), 1: encode_withdrawal(asset=1, amount=200)})
    batch = outbox.post()
    outbox.finalise(batch)
    outbox.chain.do("claim", *outbox.arguments(0, batch), sender=address("stranger"))
    outcome = outbox.chain.do("claim", *outbox.arguments(1, batch), sender=OWNER)

    assert outcome.events[0].arguments == {
        "outbox_index": 1,
        "holder": OWNER,
        "token": ETH,
        "amount": 200 * ETH_UNIT,
    }
    assert outbox.chain.read("balance_of", outbox.token.address, OWNER) == 100 * TOKEN_UNIT
    outbox.chain.do("collect", outbox.token.address, sender=OWNER)
    outbox.chain.do("collect", ETH, sender=OWNER)
    assert outbox.token.read("balanceOf", OWNER).value == 100 * TOKEN_UNIT
    assert outbox.chain.evm.get_balance(OWNER) == 200 * ETH_UNIT
    assert (outbox.chain.read("custody", 0), outbox.chain.read("custody", 1)) == (900, 800)


def test_outbox_is_folded_as_the_node_folds_it(seed: int) -> None:
    """In an outbox of any shape every leaf is proved by the node's path, and by no other leaf's."""
    rng = random.Random(seed)
    indices = sorted({0, 2**32 - 1, *(rng.randrange(2 ** rng.randrange(1, 33)) for _ in range(12))})
    outbox = Outbox({index: encode_withdrawal(address(str(index)), amount=1) for index in indices})
    batch = outbox.post()
    outbox.finalise(batch)
    for index, other in zip(indices, indices[1:] + indices[:1], strict=True):
        swapped = [other, outbox.leaves[index], *outbox.arguments(other, batch)[2:]]
        assert outbox.chain.refuse("claim", *swapped) == "rollup: path"
    for index in indices:
        outbox.chain.do("claim", *outbox.arguments(index, batch))
        assert outbox.chain.read("balance_of", outbox.token.address, address(str(index))) == TOKEN_UNIT


def test_claim_is_paid_once() -> None:
    """The same leaf stands in every later root; the outbox index has been paid for all of them."""
    outbox = Outbox({0: encode_withdrawal()})
    first, second = outbox.post(), outbox.post()
    outbox.finalise(second)
    outbox.chain.do("claim", *outbox.arguments(0, first))

    assert outbox.chain.refuse("claim", *outbox.arguments(0, first)) == "rollup: claimed"
    assert outbox.chain.refuse("claim", *outbox.arguments(0, second)) == "rollup: claimed"
    assert outbox.chain.refuse("transfer_claim", 0, outbox.leaves[0], address("x"), sender=OWNER) == "rollup: claimed"


def test_claim_waits_for_finality() -> None:
    """Neither a pending batch nor a batch to come pays, though its root holds the leaf."""
    outbox = Outbox({0: encode_withdrawal()})
    batch = outbox.post()
    outbox.chain.wait(WINDOW)

    assert outbox.chain.refuse("claim", *outbox.arguments(0, batch)) == "rollup: not final"
    assert outbox.chain.refuse("claim", *outbox.arguments(0, 2**256 - 1)) == "rollup: not final"
    assert outbox.chain.refuse("claim", *outbox.arguments(0, 0)) == "rollup: path"


def test_dead_root_pays_nobody() -> None:
    """A withdrawal that stood only in a convicted batch is gone, though the batch's entry was never erased."""
    outbox = Outbox({0: encode_withdrawal()})
    batch = outbox.post(UNKNOWN)
    outbox.chain.convict(batch, outbox.chain.person("prover"))
    outbox.chain.wait(WINDOW)
    assert outbox.chain.refuse("finalise", batch) == "rollup: not pending"
    assert outbox.chain.refuse("claim", *outbox.arguments(0, batch)) == "rollup: not final"

    outbox.chain.bonded("operator")
    replacement = outbox.chain.post(address("operator"), take=2)
    outbox.finalise(replacement)

    assert replacement == batch
    assert outbox.chain.refuse("claim", *outbox.arguments(0, batch)) == "rollup: path"


def test_path_is_exact() -> None:
    """A sibling too few or too many, a bit beyond the root, or any changed bit of leaf or path proves nothing."""
    outbox = Outbox({index: encode_withdrawal(amount=index + 1) for index in range(5)})
    batch = outbox.post()
    outbox.finalise(batch)
    index, leaf, mask, siblings, _ = outbox.arguments(3, batch)
    assert isinstance(leaf, bytes)
    assert isinstance(mask, int)
    assert isinstance(siblings, list)
    flipped = [bytes([siblings[0][0] ^ 1]) + siblings[0][1:], *siblings[1:]]
    wrong = [
        (index, leaf, mask, [*siblings, bytes(32)], "rollup: path"),
        (index, leaf, mask, flipped, "rollup: path"),
        (index, leaf, mask ^ 1, siblings[1:], "rollup: path"),
        (index, leaf, mask | 1 << 35, siblings, "rollup: path"),
        (index, leaf, mask, siblings[:-1], ""),
        (index, leaf[:-1] + b"\x08", mask, siblings, "rollup: path"),
        (index, leaf[:-1], mask, siblings, "rollup: leaf"),
        (2**32 + 3, leaf, mask, siblings, "rollup: leaf"),
        (2**32, leaf, mask, siblings, "rollup: leaf"),
    ]
    for *arguments, reason in wrong:
        assert outbox.chain.refuse("claim", *arguments, batch) == reason

    outbox.chain.do("claim", index, leaf, mask, siblings, batch)


def test_node_is_no_leaf() -> None:
    """Leaves of other collections do not pass for withdrawals: the collection is hashed in, and places are fixed."""
    leaf = encode_withdrawal()
    outbox = Outbox({0: leaf})
    outbox.tree.update({leaf_key(Collection.ORDERS, 0): hash_leaf(leaf_key(Collection.ORDERS, 0), leaf)})
    batch = outbox.post()
    outbox.finalise(batch)
    path = outbox.tree.prove(leaf_key(Collection.ORDERS, 0))

    assert outbox.chain.refuse("claim", 0, leaf, path.mask & (2**35 - 1), list(path.siblings), batch) == "rollup: path"


def test_claim_changes_hands() -> None:
    """The holder sells the claim before it is final, the buyer sells it on, and the last of them is paid."""
    outbox = Outbox({0: encode_withdrawal()})
    leaf, buyer, second = outbox.leaves[0], address("buyer"), address("second")
    chain = outbox.chain
    assert chain.refuse("transfer_claim", 0, leaf, buyer, sender=buyer) == "rollup: holder"
    assert chain.refuse("transfer_claim", 0, leaf, ETH, sender=OWNER) == "rollup: leaf"
    chain.do("transfer_claim", 0, leaf, buyer, sender=OWNER)
    assert chain.refuse("transfer_claim", 0, leaf, OWNER, sender=OWNER) == "rollup: holder"
    chain.do("transfer_claim", 0, leaf, second, sender=buyer)
    assert chain.read("get_claim_holder", 0, leaf) == second

    batch = outbox.post()
    outbox.finalise(batch)
    chain.do("claim", *outbox.arguments(0, batch), sender=OWNER)

    assert chain.read("balance_of", outbox.token.address, second) == 100 * TOKEN_UNIT
    assert chain.read("balance_of", outbox.token.address, OWNER) == 0


def test_claim_on_another_leaf_is_worth_nothing() -> None:
    """A holder entered for an invented leaf, or for the same leaf at another index, is not paid for the real one."""
    outbox = Outbox({0: encode_withdrawal(), 1: encode_withdrawal()})
    thief = address("thief")
    invented = encode_withdrawal(thief, amount=100)
    outbox.chain.do("transfer_claim", 0, invented, thief, sender=thief)
    outbox.chain.do("transfer_claim", 1, outbox.leaves[0], thief, sender=OWNER)
    batch = outbox.post()
    outbox.finalise(batch)
    outbox.chain.do("claim", *outbox.arguments(0, batch))

    assert outbox.chain.read("balance_of", outbox.token.address, OWNER) == 100 * TOKEN_UNIT
    assert outbox.chain.read("get_claim_holder", 1, outbox.leaves[1]) == thief


def test_bonds_are_beyond_a_false_final_root() -> None:
    """Should a false root ever become final, it can take what was deposited of an asset, and not a wei of the bonds."""
    outbox = Outbox({0: encode_withdrawal(asset=1, amount=1000), 1: encode_withdrawal(asset=1, amount=1)})
    batch = outbox.post()
    outbox.finalise(batch)
    outbox.chain.do("claim", *outbox.arguments(0, batch))

    assert outbox.chain.refuse("claim", *outbox.arguments(1, batch)) == ""
    outbox.chain.do("collect", ETH, sender=OWNER)
    outbox.chain.do("withdraw_bond", sender=address("operator"))
    outbox.chain.do("collect", ETH, sender=address("operator"))


def test_unknown_asset_pays_nothing() -> None:
    """A leaf that names an asset which was never listed cannot be claimed."""
    outbox = Outbox({0: encode_withdrawal(asset=2)})
    batch = outbox.post()
    outbox.finalise(batch)

    assert outbox.chain.refuse("claim", *outbox.arguments(0, batch)) == ""


def test_token_that_answers_nothing_is_paid_out() -> None:
    """An old token without a return value pays."""
    outbox = Outbox({0: encode_withdrawal()}, token_zoo.ANSWERS_NOTHING)
    batch = outbox.post()
    outbox.finalise(batch)
    outbox.chain.do("claim", *outbox.arguments(0, batch))
    outbox.chain.do("collect", outbox.token.address, sender=OWNER)

    assert outbox.token.read("balanceOf", OWNER).value == 100 * TOKEN_UNIT


def test_credit_outlives_a_failed_transfer() -> None:
    """A token that will not pay leaves the credit where it was, and stands in nobody else's way."""
    outbox = Outbox({0: encode_withdrawal(), 1: encode_withdrawal(asset=1)}, token_zoo.PAYS_NOBODY)
    batch = outbox.post()
    outbox.finalise(batch)
    outbox.chain.do("claim", *outbox.arguments(0, batch))
    outbox.chain.do("claim", *outbox.arguments(1, batch))

    assert outbox.chain.refuse("collect", outbox.token.address, sender=OWNER) == "rollup: transfer"
    outbox.chain.do("collect", ETH, sender=OWNER)
    assert outbox.chain.read("balance_of", outbox.token.address, OWNER) == 100 * TOKEN_UNIT
