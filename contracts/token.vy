# pragma version 0.4.3
# pragma optimize gas
"""
@title Token: a plain ERC-20 for development networks
@notice Stands in for the dollar where no real one exists: its minter makes it from nothing.
"""
from ethereum.ercs import IERC20

implements: IERC20


MINTER: public(immutable(address))
name: public(String[32])
symbol: public(String[8])
decimals: public(immutable(uint8))

totalSupply: public(uint256)
balanceOf: public(HashMap[address, uint256])
allowance: public(HashMap[address, HashMap[address, uint256]])


@deploy
def __init__(_name: String[32], _symbol: String[8], _decimals: uint8):
    """
    @notice The deployer is the minter, for ever.
    """
    MINTER = msg.sender
    self.name = _name
    self.symbol = _symbol
    decimals = _decimals


@external
def mint(to: address, amount: uint256):
    """
    @notice Makes `amount` base units for `to`; the minter's alone.
    """
    assert msg.sender == MINTER, "token: minter"
    self.totalSupply += amount
    self.balanceOf[to] += amount
    log IERC20.Transfer(sender=empty(address), receiver=to, value=amount)


@external
def approve(spender: address, amount: uint256) -> bool:
    """
    @notice Lets `spender` move up to `amount` of the sender's base units.
    """
    self.allowance[msg.sender][spender] = amount
    log IERC20.Approval(owner=msg.sender, spender=spender, value=amount)
    return True


@external
def transfer(to: address, amount: uint256) -> bool:
    """
    @notice Moves the sender's base units.
    """
    self._move(msg.sender, to, amount)
    return True


@external
def transferFrom(owner: address, to: address, amount: uint256) -> bool:
    """
    @notice Moves the owner's base units within the sender's allowance, which falls by as much.
    """
    allowed: uint256 = self.allowance[owner][msg.sender]
    assert allowed >= amount, "token: allowance"
    self.allowance[owner][msg.sender] = allowed - amount
    self._move(owner, to, amount)
    return True


@internal
def _move(owner: address, to: address, amount: uint256):
    assert self.balanceOf[owner] >= amount, "token: balance"
    self.balanceOf[owner] -= amount
    self.balanceOf[to] += amount
    log IERC20.Transfer(sender=owner, receiver=to, value=amount)
