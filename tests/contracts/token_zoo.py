"""Tokens that do not do what they say, and a contract that profits if that is believed.

They exist for tests alone. Each is `contracts/token.vy` in shape, with one thing wrong.
"""

PREFIX = """
balanceOf: public(HashMap[address, uint256])

@deploy
def __init__(rich: address):
    self.balanceOf[rich] = 10**30

@internal
def _move(owner: address, to: address, taken: uint256, given: uint256):
    self.balanceOf[owner] -= taken
    self.balanceOf[to] += given
"""

KEEPS_A_FEE = (
    PREFIX
    + """
@external
def transferFrom(owner: address, to: address, amount: uint256) -> bool:
    self._move(owner, to, amount, amount - amount // 100)
    return True
"""
)

GIVES_A_BONUS = (
    PREFIX
    + """
@external
def transferFrom(owner: address, to: address, amount: uint256) -> bool:
    self._move(owner, to, amount, amount + 1)
    return True
"""
)

LIES_ABOUT_SUCCESS = (
    PREFIX
    + """
@external
def transferFrom(owner: address, to: address, amount: uint256) -> bool:
    return True
"""
)

ANSWERS_FALSE = (
    PREFIX
    + """
@external
def transferFrom(owner: address, to: address, amount: uint256) -> bool:
    self._move(owner, to, amount, amount)
    return False
"""
)

PAYS_NOBODY = (
    PREFIX
    + """
@external
def transferFrom(owner: address, to: address, amount: uint256) -> bool:
    self._move(owner, to, amount, amount)
    return True

@external
def transfer(to: address, amount: uint256) -> bool:
    return False
"""
)

ANSWERS_NOTHING = (
    PREFIX
    + """
@external
def transferFrom(owner: address, to: address, amount: uint256):
    self._move(owner, to, amount, amount)

@external
def transfer(to: address, amount: uint256):
    self._move(msg.sender, to, amount, amount)
"""
)

# As ERC-777 does: the owner is called before the balances move, and may do what he likes. Then it moves what is left.
CALLS_THE_OWNER = (
    PREFIX
    + """
interface Owner:
    def before_move(): nonpayable

@external
def give(to: address, amount: uint256):
    self._move(msg.sender, to, amount, amount)

@external
def transferFrom(owner: address, to: address, amount: uint256) -> bool:
    extcall Owner(owner).before_move()
    moved: uint256 = min(amount, self.balanceOf[owner])
    self._move(owner, to, moved, moved)
    return True
"""
)

# Has enough for one deposit, and makes it while another is under way: one arrival then looks like two.
DEPOSITS_WITHIN_A_DEPOSIT = """
interface Rollup:
    def deposit(asset: uint256, amount: uint64, account: uint32): payable

ROLLUP: immutable(address)
AMOUNT: immutable(uint64)
FEE: immutable(uint256)
is_greedy: public(bool)
is_within: bool

@deploy
@payable
def __init__(rollup: address, amount: uint64, fee: uint256):
    ROLLUP = rollup
    AMOUNT = amount
    FEE = fee

@external
def deposit(is_greedy: bool):
    self.is_greedy = is_greedy
    extcall Rollup(ROLLUP).deposit(0, AMOUNT, 0, value=FEE)

@external
def before_move():
    if self.is_greedy and not self.is_within:
        self.is_within = True
        extcall Rollup(ROLLUP).deposit(0, AMOUNT, 0, value=FEE)
"""

# Collects its credit in ether while it deposits.
COLLECTS_WITHIN_A_DEPOSIT = """
interface Rollup:
    def deposit(asset: uint256, amount: uint64, account: uint32): payable
    def collect(token: address): nonpayable

ROLLUP: immutable(address)
FEE: immutable(uint256)

@deploy
@payable
def __init__(rollup: address, fee: uint256):
    ROLLUP = rollup
    FEE = fee

@external
def deposit(amount: uint64):
    extcall Rollup(ROLLUP).deposit(0, amount, 0, value=FEE)

@external
def collect():
    extcall Rollup(ROLLUP).collect(empty(address))

@external
def before_move():
    extcall Rollup(ROLLUP).collect(empty(address))

@external
@payable
def __default__():
    pass
"""
