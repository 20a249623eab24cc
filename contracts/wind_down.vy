# pragma version 0.4.3
"""
@title Wind-down: everybody is paid by the last final root
@notice Once `rollup.wind_down` has ended a rollup: anyone opens its books, debtors are registered by anyone for a time,
        and then every account is paid by a proof of its own leaf. Positions count at their marks in the last final
        state, at its own time. Who owes quote units pays with collateral at the last prices; what cannot be covered is
        shared by all who are owed, at one factor. Deposits that no final batch has taken go back to their senders.

        It holds no money: the rollup credits what this contract says, and `collect` pays it.
@dev Any number of rollups may name this contract, and each says in every call which it is: what is kept is kept by
     rollup, and what a false one answers concerns nobody else.
     Claims add up by the conservation of state/SPEC.md section 3: what accounts are owed, less what they owe, is
     custody - fund - fees + bad debt, since positions of one instrument add up to nothing and what has settled stands
     in house_cash; rounding makes claims less, by a unit at most for each expiry that an account holds. Insurance fund
     and fees are paid to nobody: they are there for those who are owed.
     Sums stay below 2**136 and products below 2**240.
     Mirrors state/wind_down.py.
"""
import accounts
import assets
import constants
import globals
import margins
import witness as witnesses

initializes: margins

DEPOSIT: constant(uint256) = 1
DEPOSIT_BYTES: constant(uint256) = 43  # type u8, sender b20, time u64, account u32, asset u16, amount u64

# As rollup.vy has them.
struct Terms:
    challenge_window: uint256
    silence_limit: uint256
    inbox_deadline: uint256
    time_lag_max: uint256
    bond: uint256
    message_fee: uint256
    wind_down_limit: uint256
    registration_period: uint256

struct Batch:
    hash: bytes32
    root: bytes32
    submitted_at: uint256
    time: uint256
    inbox_cursor: uint256
    generation: uint256
    position_to: uint256
    submitter: address
    duty_at: uint256

interface Rollup:
    def wound_down_at() -> uint256: view
    def final_index() -> uint256: view
    def batches(index: uint256) -> Batch: view
    def TERMS() -> Terms: view
    def accumulator(count: uint256) -> bytes32: view
    def pay_out(asset: uint256, units: uint256, to: address): nonpayable

# What is kept of a rollup.
struct Ending:
    root: bytes32  # the last final one
    inbox_cursor: uint256  # messages that it has taken
    asset_count: uint256
    registered_until: uint256  # L1 time; 0: not opened

# What is kept of one of its assets, in units.
struct Pool:
    custody: uint256  # under the last final root
    left: uint256  # of that, not yet paid
    total: int256  # what is owed to accounts, less what accounts owe that were not registered
    pot: uint256  # seized from debtors, for those who are owed quote units
    pot_left: uint256  # of that, not yet paid

# An account at the last marks.
struct Valued:
    account: accounts.Account
    claim: int256  # quote units: cash and all positions; below 0 for a debtor
    collateral: int256  # what it is worth, quote units


endings: public(HashMap[address, Ending])  # rollup
pools: public(HashMap[address, HashMap[uint256, Pool]])  # rollup, asset
is_settled: public(HashMap[address, HashMap[uint256, bool]])  # rollup, account: registered or paid
is_refunded: public(HashMap[address, HashMap[uint256, bool]])  # rollup, message


event Opened:
    rollup: indexed(address)
    registered_until: uint256

event Registered:
    rollup: indexed(address)
    account: indexed(uint256)
    debt: uint256

event Settled:
    rollup: indexed(address)
    account: indexed(uint256)
    claim: int256
    paid: uint256

event Refunded:
    rollup: indexed(address)
    message: indexed(uint256)


@deploy
def __init__(margin: address):
    """
    @param margin The deployed contracts/margin.vy
    """
    margins.__init__(margin)


# ---------------------------------------------------------------- The course


@external
def open(rollup: address, witness: Bytes[constants.WITNESS_BYTES_MAX]):
    """
    @notice Reads the books of a rollup that has ended, and begins the time in which debtors are registered.
    @dev That time begins here and not before, so that nobody is late because nobody has opened.
    @param witness G, then every asset's leaf
    """
    assert self.endings[rollup].registered_until == 0, "wind down: open"
    assert staticcall Rollup(rollup).wound_down_at() > 0, "wind down: not ended"
    last: Batch = staticcall Rollup(rollup).batches(staticcall Rollup(rollup).final_index())
    leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    at: uint256 = 0
    leaf, at = witnesses._read(witness, 0, last.root, constants.GLOBALS, 0)
    asset_count: uint256 = globals._decode_globals(leaf).asset_count
    for asset: uint256 in range(asset_count, bound=constants.ASSETS_MAX):
        leaf, at = witnesses._read(witness, at, last.root, constants.ASSETS, asset)
        books: assets.Asset = assets._decode_asset(leaf)
        self.pools[rollup][asset] = Pool(
            custody=books.custody, left=books.custody, total=self._compute_total(books), pot=0, pot_left=0
        )
    witnesses._finish(witness, at)
    terms: Terms = staticcall Rollup(rollup).TERMS()
    registered_until: uint256 = block.timestamp + terms.registration_period
    self.endings[rollup] = Ending(
        root=last.root,
        inbox_cursor=last.inbox_cursor,
        asset_count=asset_count,
        registered_until=registered_until,
    )
    log Opened(rollup=rollup, registered_until=registered_until)


@external
def register(rollup: address, account: uint256, witness: Bytes[constants.WITNESS_BYTES_MAX]):
    """
    @notice Counts in what an account owes, takes the share of its collateral that covers it, and credits its owner the
            rest. Anyone may, and whoever is owed something should: a debt that nobody registers lets the first be paid
            at the cost of the last.
    @param witness A(account), and where prices are needed G, P, M*(account), which exhibits any scenarios
    """
    ending: Ending = self.endings[rollup]
    assert block.timestamp < ending.registered_until, "wind down: not open"
    valued: Valued = self._begin(rollup, ending, account, witness)
    assert valued.claim < 0, "wind down: owes nothing"
    debt: uint256 = convert(-valued.claim, uint256)
    self.pools[rollup][0].total += convert(debt, int256)
    self._settle_debtor(rollup, valued, debt, True)
    log Registered(rollup=rollup, account=account, debt=debt)


@external
def claim(rollup: address, account: uint256, witness: Bytes[constants.WITNESS_BYTES_MAX]):
    """
    @notice Credits the owner of an account what it is owed, once and after registration has ended, whoever asks. Of a
            debtor that nobody has registered no less is taken, but nobody gains by it any more.
    @param witness As in `register`
    """
    ending: Ending = self.endings[rollup]
    assert ending.registered_until > 0 and block.timestamp >= ending.registered_until, "wind down: not yet"
    valued: Valued = self._begin(rollup, ending, account, witness)
    paid: uint256 = 0
    if valued.claim < 0:
        self._settle_debtor(rollup, valued, convert(-valued.claim, uint256), False)
    else:
        paid = self._settle_creditor(rollup, ending.asset_count, valued)
    log Settled(rollup=rollup, account=account, claim=valued.claim, paid=paid)


@external
def refund(rollup: address, index: uint256, message: Bytes[DEPOSIT_BYTES]):
    """
    @notice Credits the sender of a deposit that no final batch has taken, once, whoever asks.
    @dev What it credits is beside the custody of the last final root: no account has it. The message's fee was spent
         when it was sent.
    """
    ending: Ending = self.endings[rollup]
    assert ending.registered_until > 0 and index >= ending.inbox_cursor, "wind down: taken"
    assert not self.is_refunded[rollup][index], "wind down: refunded"
    before: bytes32 = staticcall Rollup(rollup).accumulator(index)
    after: bytes32 = staticcall Rollup(rollup).accumulator(index + 1)
    assert after == sha256(concat(before, sha256(message))), "wind down: message"
    assert len(message) == DEPOSIT_BYTES, "wind down: no deposit"
    assert convert(slice(message, 0, 1), uint256) == DEPOSIT, "wind down: no deposit"
    sender: address = convert(convert(slice(message, 1, 20), bytes20), address)
    asset: uint256 = convert(slice(message, 33, 2), uint256)
    amount: uint256 = convert(slice(message, 35, 8), uint256)

    self.is_refunded[rollup][index] = True
    log Refunded(rollup=rollup, message=index)
    extcall Rollup(rollup).pay_out(asset, amount, sender)


# ---------------------------------------------------------------- One account


@internal
def _begin(
    rollup: address, ending: Ending, account: uint256, witness: Bytes[constants.WITNESS_BYTES_MAX]
) -> Valued:
    """
    @notice The account as it is settled, which happens once.
    """
    assert not self.is_settled[rollup][account], "wind down: settled"
    self.is_settled[rollup][account] = True
    return self._value(ending.root, account, witness)


@internal
@view
def _value(root: bytes32, account: uint256, witness: Bytes[constants.WITNESS_BYTES_MAX]) -> Valued:
    """
    @notice What the account is owed or owes, and what its collateral is worth, at the prices and the time of the state,
            however old. Without positions and debts no price is needed.
    @dev Whoever holds a position has the leaves that price it: no rule takes them away.
    """
    leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    at: uint256 = 0
    leaf, at = witnesses._read(witness, 0, root, constants.ACCOUNTS, account)
    assert len(leaf) > 0, "wind down: no account"
    held: accounts.Account = accounts._decode_account(leaf)
    if held.position_count == 0 and (held.cash >= 0 or held.collateral_count == 0):
        witnesses._finish(witness, at)
        return Valued(account=held, claim=held.cash, collateral=0)
    state_leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    params_leaf: Bytes[constants.LEAF_BYTES_MAX] = b""
    state_leaf, at = witnesses._read(witness, at, root, constants.GLOBALS, 0)
    state: globals.Globals = globals._decode_globals(state_leaf)
    params_leaf, at = witnesses._read(witness, at, root, constants.PARAMS, state.params_version)
    found: margins.Found = margins._compute(
        witness, at, state.time, state.params_version, params_leaf, leaf, leaf, False
    )
    assert found.root == root and not found.is_missing, "leaf"
    witnesses._finish(witness, found.end)
    return Valued(
        account=held,
        claim=found.before.quote_equity,
        collateral=found.before.equity - found.before.quote_equity,
    )


@internal
def _settle_debtor(rollup: address, valued: Valued, debt: uint256, is_in_time: bool):
    """
    @notice Seizes what covers the debt and credits the owner what is left of his collateral.
    """
    for i: uint256 in range(valued.account.collateral_count, bound=constants.ASSETS_MAX):
        held: accounts.Collateral = valued.account.collateral[i]
        pool: Pool = self.pools[rollup][held.asset]
        seized: uint256 = self._compute_seized_ceil(held.amount, debt, convert(valued.collateral, uint256))
        if is_in_time:
            # What lacks of an asset lacks of what is seized of it as well.
            there: uint256 = self._compute_share_floor(seized, pool.custody, pool.total)
            self.pools[rollup][held.asset].pot += there
            self.pools[rollup][held.asset].pot_left += there
        kept: uint256 = self._compute_share_floor(held.amount - seized, pool.custody, pool.total)
        self._pay(rollup, held.asset, kept, valued.account.owner)


@internal
def _settle_creditor(rollup: address, asset_count: uint256, valued: Valued) -> uint256:
    """
    @notice Credits the owner his share of the quote units and of every pot, and his collateral.
    @return Quote units paid
    """
    owner: address = valued.account.owner
    quote: Pool = self.pools[rollup][0]
    owed: uint256 = convert(valued.claim, uint256)
    paid: uint256 = self._pay(rollup, 0, self._compute_share_floor(owed, quote.custody, quote.total), owner)
    for asset: uint256 in range(1, asset_count, bound=constants.ASSETS_MAX):
        pool: Pool = self.pools[rollup][asset]
        amount: uint256 = accounts._get_collateral(valued.account, asset)
        if amount == 0 and (owed == 0 or pool.pot_left == 0):
            continue
        units: uint256 = self._compute_share_floor(amount, pool.custody, pool.total)
        if owed > 0:
            # Pots are there for the quote units that lack: shares in them are those of the quote claims.
            part: uint256 = min(self._compute_pot_share_floor(owed, pool.pot, quote.total), pool.pot_left)
            self.pools[rollup][asset].pot_left -= part
            units += part
        self._pay(rollup, asset, units, owner)
    return paid


@internal
def _pay(rollup: address, asset: uint256, units: uint256, to: address) -> uint256:
    """
    @notice Has the rollup credit units, as far as they are there: withdrawals and refunds stay covered.
    @return Units credited
    """
    left: uint256 = self.pools[rollup][asset].left
    paid: uint256 = min(units, left)
    if paid > 0:
        self.pools[rollup][asset].left = left - paid
        extcall Rollup(rollup).pay_out(asset, paid, to)
    return paid


# ---------------------------------------------------------------- Arithmetic


@internal
@pure
def _compute_total(books: assets.Asset) -> int256:
    """
    @notice What is owed to accounts of an asset, less what accounts owe.
    """
    return convert(books.custody, int256) + convert(books.bad_debt, int256) - books.fund - books.fees


@internal
@pure
def _compute_share_floor(owed: uint256, custody: uint256, total: int256) -> uint256:
    """
    @notice What is paid on a claim: all of it where custody covers the total.
    """
    if convert(custody, int256) >= total:
        return owed
    return owed * custody // convert(total, uint256)


@internal
@pure
def _compute_pot_share_floor(owed: uint256, pot: uint256, total: int256) -> uint256:
    """
    @notice The part of a pot that goes with a claim of quote units; where debts were left out, at most all of it.
    """
    if convert(owed, int256) >= total:
        return pot
    return pot * owed // convert(total, uint256)


@internal
@pure
def _compute_seized_ceil(amount: uint256, debt: uint256, worth: uint256) -> uint256:
    """
    @notice What is taken of a collateral to cover a debt, when all that the debtor has is `worth` quote units.
    """
    if debt >= worth:
        return amount
    return (amount * debt + worth - 1) // worth
