# pragma version 0.4.3
# pragma optimize gas
"""
@title Rollup: funds, inbox, batches and bonds
@notice Keeps what users deposit, the messages that they send, the batches that claim what became of both, and the
        bonds that answer for the claims. A batch is final when its challenge window has passed and nobody has
        convicted it; one false step, shown to the judge, kills it and all that was built on it.

        Nobody owns this contract: no pause, no upgrade. Parameters alone may move, by the message of a governor, if
        there is one, whom contracts/governor.vy bounds.

@dev `submit_batch` checks all that is cheap and never looks inside a step; what it does not check, a step claims, and
     a claimed step can be refuted. Rules and layouts: state/SPEC.md sections 4 and 9.
     Money leaves by `collect` alone (pull payment), after every effect.
     Batches above `tip` are dead: their entries stay until they are overwritten, and nothing reads them.
     Mirrors the parsing in state/batches.py.
@custom:security Ether backs bonds, fees and deposits at once. `custody` bounds what claims may take of each asset, so
     that even a false root that became final could not reach a bond.
"""
import constants

interface Token:
    def balanceOf(holder: address) -> uint256: view
    def transfer(to: address, amount: uint256) -> bool: nonpayable
    def transferFrom(holder: address, to: address, amount: uint256) -> bool: nonpayable

interface Judge:
    def judge(domain: bytes32, batch_hash: bytes32, proof: Bytes[constants.PROOF_BYTES_MAX]) -> bool: view

interface Receipts:
    def find_signer(domain: bytes32, proof: Bytes[CONTRADICTION_BYTES_MAX]) -> address: view


interface Governor:
    def NOTICE() -> uint256: view


BATCH_BYTES_FULL: constant(uint256) = constants.BATCH_BYTES_MAX * 3 // 4  # from here on a batch works off a backlog
FRAME_BYTES_MIN: constant(uint256) = 73
GENESIS_BYTES_MAX: constant(uint256) = 8_192
LISTING_BYTES: constant(uint256) = 29
CONTRADICTION_BYTES_MAX: constant(uint256) = 24_576
# Check 205 reads them all: so many fit one proof.
UNDERLYINGS_LISTED_MAX: constant(uint256) = 64
MESSAGE_HEAD_BYTES: constant(uint256) = 33  # type, sender, time, account
PAYLOAD_BYTES_MAX: constant(uint256) = constants.MESSAGE_BYTES_MAX - MESSAGE_HEAD_BYTES
# A message costs its fee once for so many bytes, or a part of them.
MESSAGE_BYTES_PER_FEE: constant(uint256) = 256
NOTICE_MIN: constant(uint256) = 30 * 86_400
# So many messages are enough, though others be overdue: a flood cannot make every batch oversize.
MESSAGES_PER_BATCH_MIN: constant(uint256) = 64

DATA_IN_CALLDATA: constant(uint256) = 0
RESCUE: constant(uint256) = 1

DEPOSIT: constant(uint8) = 1
REGISTER_KEY: constant(uint8) = 2
FORCE_WITHDRAW: constant(uint8) = 3
CANCEL_ALL: constant(uint8) = 5
FORCE_CLOSE: constant(uint8) = 6
FORCE_LIQUIDATE: constant(uint8) = 7
TAKE: constant(uint8) = 8
READING: constant(uint8) = 9
SURFACE: constant(uint8) = 10
PARAMS: constant(uint8) = 11
# Of a surface that five have signed, which is the longest reading.
READING_BYTES_MAX: constant(uint256) = 416

# A batch hash is one over its header and the hashes of its frames.
HASHED_BYTES_MAX: constant(uint256) = constants.HEADER_BYTES + 32 * constants.FRAMES_MAX

OUTBOX_LEAF_BYTES: constant(uint256) = 34
OUTBOX_DEPTH: constant(uint256) = 32
OUTBOX_PATH: constant(uint256) = OUTBOX_DEPTH + 3

ETH: constant(address) = empty(address)
# Burning is a credit to this address: nobody can collect for it, and no call can fail on the way.
BURNED: constant(address) = 0x000000000000000000000000000000000000dEaD


struct Asset:
    token: address  # ETH or an ERC-20
    unit: uint256  # base units of the token in one unit of the rollup
    deposit_max: uint256  # units, of one deposit

struct Terms:
    challenge_window: uint256  # seconds from submission to finality
    silence_limit: uint256  # seconds after which the slot's holder may be evicted
    inbox_deadline: uint256  # seconds after which a message is overdue
    time_lag_max: uint256  # seconds that the time of a batch may lie in the past
    bond: uint256  # wei
    message_fee: uint256  # wei, of a message for each 256 bytes that it has begun
    wind_down_limit: uint256  # seconds without a batch, or without a reading, after which it all ends
    registration_period: uint256  # seconds from that end to the payment of claims

struct Batch:
    hash: bytes32
    root: bytes32
    submitted_at: uint256  # L1 time
    time: uint256  # L2 time
    inbox_cursor: uint256
    generation: uint256
    position_to: uint256
    submitter: address
    duty_at: uint256  # when the slot's holder last left no overdue message, in this batch or before

struct StoredBatch:
    hash: bytes32
    root: bytes32
    clocks: uint256  # submitted_at u64, duty_at u64, time u64, inbox_cursor u64
    origin: uint256  # position_to u64, generation u32, submitter b20

struct Header:
    version: uint256
    data_kind: uint256
    flags: uint256
    index: uint256
    parent: bytes32
    generation: uint256
    pre_root: bytes32
    post_root: bytes32
    step_count: uint256
    inbox_cursor: uint256
    inbox_hash: bytes32
    time_from: uint256
    time: uint256
    position_from: uint256
    position_to: uint256


DOMAIN: public(immutable(bytes32))
JUDGE: public(immutable(address))
RECEIPTS: public(immutable(address))
WIND_DOWN: public(immutable(address))
GOVERNOR: public(immutable(address))  # empty: nothing ever changes
TERMS: public(immutable(Terms))

assets: public(DynArray[Asset, constants.ASSETS_MAX])
custody: public(HashMap[uint256, uint256])  # asset -> units deposited and not yet claimed

inbox_count: public(uint256)
accumulator: public(HashMap[uint256, bytes32])  # number of messages -> hash chain over them
message_time: public(HashMap[uint256, uint256])  # message -> L1 time of its arrival

tip: public(uint256)  # index of the last batch that lives
final_index: public(uint256)
generation: public(uint256)
last_submitter: public(address)
last_rollback: public(uint256)  # L1 time
stored_batches: HashMap[uint256, StoredBatch]

slot_holder: public(address)  # empty: the slot is open
slot_taken_at: public(uint256)
has_served: public(bool)  # the holder has left no overdue message since he took the slot
bond_of: public(HashMap[address, uint256])
last_batch_of: public(HashMap[address, uint256])
bond_doubled_until: public(uint256)

wound_down_at: public(uint256)  # L1 time; 0: not
claimed: public(HashMap[uint256, bool])  # outbox index
claim_holder: HashMap[bytes32, address]  # sha256(outbox index, leaf) -> who bought the claim
balance_of: public(HashMap[address, HashMap[address, uint256]])  # token -> holder -> base units to collect


event Genesis:
    genesis: Bytes[GENESIS_BYTES_MAX]
    genesis_root: bytes32

event Message:
    index: indexed(uint256)
    message: Bytes[constants.MESSAGE_BYTES_MAX]

event BondPosted:
    submitter: indexed(address)
    bond: uint256

event SlotTaken:
    holder: indexed(address)

event SlotOpened:
    holder: indexed(address)

event BatchSubmitted:
    index: indexed(uint256)
    submitter: indexed(address)
    batch_hash: bytes32
    post_root: bytes32
    generation: uint256

event Convicted:
    index: indexed(uint256)
    prover: indexed(address)
    submitter: address
    generation: uint256
    reward: uint256

event Contradicted:
    signer: indexed(address)
    prover: indexed(address)
    reward: uint256

event Finalised:
    index: indexed(uint256)

event WoundDown:
    index: indexed(uint256)

event PaidOut:
    asset: indexed(uint256)
    to: indexed(address)
    amount: uint256

event ClaimTransferred:
    outbox_index: indexed(uint256)
    to: indexed(address)

event Claimed:
    outbox_index: indexed(uint256)
    holder: indexed(address)
    token: address
    amount: uint256


@deploy
def __init__(
    genesis: Bytes[GENESIS_BYTES_MAX],
    genesis_root: bytes32,
    judge: address,
    receipts: address,
    wind_down: address,
    governor: address,
    assets: DynArray[Asset, constants.ASSETS_MAX],
    terms: Terms,
):
    """
    @notice Fixes everything that will ever be fixed; of parameters, the first version. Batch 0 is the genesis, final at
            once.
    @param genesis `length u16 || params leaf || length u16 || rules leaf || asset_count u8 || underlying_count u16 ||
           underlying_count x (symbol b8, basket_count u8, basket b20) || time u64`.
    @param governor A contracts/governor.vy, or nobody
    @param genesis_root Root of the state that `genesis` describes; anyone can recompute it from the event.
    """
    assert judge.is_contract, "rollup: judge"
    assert receipts.is_contract, "rollup: receipts"
    assert wind_down.is_contract, "rollup: wind down"
    rules_at: uint256 = 2 + convert(slice(genesis, 0, 2), uint256)
    counts_at: uint256 = rules_at + 2 + convert(slice(genesis, rules_at, 2), uint256)
    asset_count: uint256 = convert(slice(genesis, counts_at, 1), uint256)
    underlying_count: uint256 = convert(slice(genesis, counts_at + 1, 2), uint256)
    assert len(genesis) == counts_at + 3 + LISTING_BYTES * underlying_count + 8, "rollup: genesis length"
    assert asset_count == len(assets), "rollup: genesis assets"
    assert underlying_count <= UNDERLYINGS_LISTED_MAX, "rollup: genesis underlyings"
    time: uint256 = convert(slice(genesis, len(genesis) - 8, 8), uint256)
    assert time <= block.timestamp, "rollup: genesis time"
    for asset: Asset in assets:
        # The bound keeps `amount * unit` of a claim from overflowing.
        assert asset.unit > 0 and asset.unit < 2**128, "rollup: asset unit"
        assert asset.deposit_max <= constants.AMOUNT_MAX, "rollup: deposit max"
    for seconds: uint256 in [terms.challenge_window, terms.silence_limit, terms.inbox_deadline, terms.time_lag_max]:
        assert seconds > 0 and seconds < 2**32, "rollup: terms"
    # As long as a batch may lag, its holder may be quiet.
    assert terms.time_lag_max <= terms.silence_limit and terms.bond > 0, "rollup: terms"
    # Before it ends, messages become overdue, rescuers may step in, and what they post can become final.
    rescued: uint256 = terms.inbox_deadline + terms.silence_limit + terms.challenge_window
    assert terms.wind_down_limit >= rescued and terms.wind_down_limit < 2**32, "rollup: terms"
    # Whoever watches within the window is in time to register.
    assert terms.registration_period >= terms.challenge_window, "rollup: terms"
    assert terms.registration_period < 2**32, "rollup: terms"
    self._check_governor(governor, terms)

    DOMAIN = sha256(concat(b"keel/1", convert(chain.id, bytes32), convert(self, bytes20)))
    JUDGE = judge
    RECEIPTS = receipts
    WIND_DOWN = wind_down
    GOVERNOR = governor
    TERMS = terms
    self.assets = assets
    self._store(
        0,
        Batch(
            hash=sha256(genesis),
            root=genesis_root,
            submitted_at=block.timestamp,
            time=time,
            inbox_cursor=0,
            generation=0,
            position_to=0,
            submitter=empty(address),
            duty_at=block.timestamp,
        ),
    )
    log Genesis(genesis=genesis, genesis_root=genesis_root)


# ---------------------------------------------------------------- Inbox


@external
@payable
@nonreentrant
def deposit(asset: uint256, amount: uint64, account: uint32):
    """
    @notice Moves `amount` units of `asset` into custody and sends the deposit message.
    @param account Whom to credit; 0 opens an account of the sender's. A deposit that cannot be credited comes back
           through the outbox.
    @dev An ERC-20 is trusted for nothing but its own balances: what arrived must be exactly what was named, so a token
         that keeps a fee, or lies about success, deposits nothing. The lock keeps a token's callback from letting one
         arrival count for two deposits.
    """
    assert asset < len(self.assets), "rollup: asset"
    terms: Asset = self.assets[asset]
    units: uint256 = convert(amount, uint256)
    assert units > 0 and units <= terms.deposit_max, "rollup: amount"
    base_units: uint256 = units * terms.unit
    if terms.token == ETH:
        assert msg.value == TERMS.message_fee + base_units, "rollup: value"
    else:
        assert msg.value == TERMS.message_fee, "rollup: value"
        before: uint256 = staticcall Token(terms.token).balanceOf(self)
        assert extcall Token(terms.token).transferFrom(
            msg.sender, self, base_units, default_return_value=True
        ), "rollup: transfer"
        received: uint256 = staticcall Token(terms.token).balanceOf(self) - before
        assert received == base_units, "rollup: received"
    self.custody[asset] += units
    self._enqueue(DEPOSIT, account, concat(convert(convert(asset, uint16), bytes2), convert(amount, bytes8)))


@external
@payable
def register_key(account: uint32, public_key: bytes32, scope: uint8, expiry: uint64):
    """
    @notice Asks that the account take a session key, or drop it when `expiry` is 0.
    """
    assert msg.value == TERMS.message_fee, "rollup: value"
    self._enqueue(REGISTER_KEY, account, concat(public_key, convert(scope, bytes1), convert(expiry, bytes8)))


@external
@payable
def force_withdraw(account: uint32, asset: uint16, amount: uint64):
    """
    @notice Asks for a withdrawal that no sequencer can refuse.
    """
    assert msg.value == TERMS.message_fee, "rollup: value"
    self._enqueue(FORCE_WITHDRAW, account, concat(convert(asset, bytes2), convert(amount, bytes8)))


@external
@payable
def cancel_all(account: uint32):
    """
    @notice Asks that every order which the account has signed so far be dead.
    """
    assert msg.value == TERMS.message_fee, "rollup: value"
    self._enqueue(CANCEL_ALL, account, b"")


@external
@payable
def force_close(account: uint32, is_on: bool):
    """
    @notice Asks that the account be put up for sale after a delay, or no more: the way out when nobody trades with it.
    """
    assert msg.value == TERMS.message_fee, "rollup: value"
    self._enqueue(FORCE_CLOSE, account, b"\x01" if is_on else b"\x00")


@external
@payable
def force_liquidate(account: uint32):
    """
    @notice Asks that an account which is short of margin be put up for auction, whoever holds it.
    """
    assert msg.value == TERMS.message_fee, "rollup: value"
    self._enqueue(FORCE_LIQUIDATE, account, b"")


@external
@payable
def take(
    account: uint32,
    sequence: uint64,
    target: uint32,
    slice_ppm: uint32,
    discount_min: uint64,
    valid_until: uint64,
):
    """
    @notice Asks to take over a slice of an account that is up for auction, on the terms that a signed bid has.
    """
    assert msg.value == TERMS.message_fee, "rollup: value"
    self._enqueue(
        TAKE,
        account,
        concat(
            convert(sequence, bytes8),
            convert(target, bytes4),
            convert(slice_ppm, bytes4),
            convert(discount_min, bytes8),
            convert(valid_until, bytes8),
        ),
    )


@external
@payable
def relay(is_surface: bool, reading: Bytes[READING_BYTES_MAX]):
    """
    @notice Hands on a reading that the oracle signers have signed, whoever sends it.
    @param reading The bytes of an oracle or a surface op from its signed fields on
    """
    assert msg.value == self._get_fee(len(reading)), "rollup: value"
    self._enqueue(SURFACE if is_surface else READING, 0, reading)


@external
@payable
def govern(kind: uint8, payload: Bytes[PAYLOAD_BYTES_MAX]):
    """
    @notice Lets the governor's contract send what it alone may send: parameters, which it has checked.
    """
    assert msg.sender == GOVERNOR, "rollup: governor"
    assert kind == PARAMS, "rollup: kind"
    assert msg.value == self._get_fee(len(payload)), "rollup: value"
    self._enqueue(kind, 0, payload)


# ---------------------------------------------------------------- Bonds and the slot


@external
@payable
def post_bond():
    """
    @notice Adds to the sender's bond, which must then reach the required one.
    """
    assert self.wound_down_at == 0, "rollup: wound down"
    bond: uint256 = self.bond_of[msg.sender] + msg.value
    assert bond >= self._get_required_bond(), "rollup: bond"
    self.bond_of[msg.sender] = bond
    log BondPosted(submitter=msg.sender, bond=bond)


@external
def take_slot():
    """
    @notice Makes the bonded sender the one who submits ordinary batches, while the slot is open.
    """
    assert self.wound_down_at == 0, "rollup: wound down"
    assert self.slot_holder == empty(address), "rollup: slot"
    assert self.bond_of[msg.sender] >= self._get_required_bond(), "rollup: bond"
    self.slot_holder = msg.sender
    self.slot_taken_at = block.timestamp
    self.has_served = False
    log SlotTaken(holder=msg.sender)


@external
def evict():
    """
    @notice Opens the slot of a silent holder. A tenth of the bond burns and the next holder's must be double for one
            challenge window, so that to squat costs.
    """
    assert self.slot_holder != empty(address) and self._is_silent(), "rollup: not silent"
    self._dismiss()


@external
def leave_slot():
    """
    @notice Gives up the slot. The bond stays until the last batch is final; then it can be withdrawn.
    """
    assert msg.sender == self.slot_holder, "rollup: holder"
    self._leave_slot()


@external
def withdraw_bond():
    """
    @notice Credits the sender's whole bond to be collected, and gives up the slot.
    @dev After a rollback the sender's last batch may be dead and an earlier one still pending; then the bond waits
         until the chain is final up to the lower of tip and that index. Late for an innocent, never early for a liar.
    """
    assert min(self.last_batch_of[msg.sender], self.tip) <= self.final_index, "rollup: pending"
    if msg.sender == self.slot_holder:
        self._leave_slot()
    bond: uint256 = self.bond_of[msg.sender]
    self.bond_of[msg.sender] = 0
    self.balance_of[ETH][msg.sender] += bond


# ---------------------------------------------------------------- Batches


@external
def submit_batch(batch: Bytes[constants.BATCH_BYTES_MAX]):
    """
    @notice Appends a batch to the chain. The sender's bond answers for it until it is final.
    @param batch `header || n x (frame_length u32 || frame)`.
    """
    assert self.wound_down_at == 0, "rollup: wound down"
    # The data must lie open in a transaction of its own, in the one encoding that every reader expects.
    assert msg.sender == tx.origin and not msg.sender.is_contract, "rollup: caller"
    assert len(msg.data) == 68 + (len(batch) + 31) // 32 * 32, "rollup: calldata"
    assert convert(slice(msg.data, 4, 32), uint256) == 32, "rollup: calldata"
    assert len(batch) > constants.HEADER_BYTES, "rollup: size"

    header_bytes: Bytes[constants.HEADER_BYTES] = slice(batch, 0, constants.HEADER_BYTES)
    header: Header = self._decode_header(header_bytes)
    parent: Batch = self._load(self.tip)
    is_rescuer: bool = self._check_submitter(header)
    self._check_header(header, parent)
    assert block.timestamp <= header.time + TERMS.time_lag_max or len(batch) >= BATCH_BYTES_FULL, "rollup: late"
    is_duty_done: bool = self._check_inbox(header, parent)

    root: bytes32 = header.pre_root
    step_count: uint256 = 0
    frame_count: uint256 = 0
    frame_hashes: bytes32[constants.FRAMES_MAX] = empty(bytes32[constants.FRAMES_MAX])
    offset: uint256 = constants.HEADER_BYTES
    for number: uint256 in range(constants.FRAMES_MAX):
        if offset == len(batch):
            break
        assert offset + 4 + FRAME_BYTES_MIN <= len(batch), "rollup: frame length"
        length: uint256 = convert(slice(batch, offset, 4), uint256)
        offset += 4
        assert length >= FRAME_BYTES_MIN and length <= constants.FRAME_BYTES_MAX, "rollup: frame length"
        assert offset + length <= len(batch), "rollup: frame length"
        assert convert(slice(batch, offset, 32), bytes32) == root, "rollup: frame root"
        first_index: uint256 = convert(slice(batch, offset + 32, 4), uint256)
        assert first_index == step_count, "rollup: first index"
        count: uint256 = convert(slice(batch, offset + 36, 2), uint256)
        assert count > 0, "rollup: count"
        root = convert(slice(batch, offset + length - 32, 32), bytes32)
        frame_hashes[number] = sha256(slice(batch, offset, length))
        step_count += count
        frame_count += 1
        offset += length
    assert offset == len(batch), "rollup: frames"
    assert root == header.post_root, "rollup: post root"
    assert step_count == header.step_count, "rollup: step count"

    batch_hash: bytes32 = sha256(concat(header_bytes, slice(abi_encode(frame_hashes), 0, 32 * frame_count)))
    # A batch with the duty undone, or done by a rescuer, leaves the holder as silent as before.
    duty_at: uint256 = block.timestamp if is_duty_done and not is_rescuer else parent.duty_at
    if is_duty_done and not is_rescuer and not self.has_served:
        self.has_served = True
    self._append(header, batch_hash, duty_at)


@external
def prove(index: uint256, proof: Bytes[constants.PROOF_BYTES_MAX]):
    """
    @notice Shows that a step of a pending batch is false. The batch and its descendants die, its submitter's bond is
            slashed: half to the sender, half burned. (Only the burned half deters: a liar can convict himself.)
    @dev One call, to the judge, which can change nothing; a bad witness makes it revert, and that revert comes through.
         Batches on top were submitted by others too: they die, but their submitters keep their bonds.
    @param proof fraud_proofs/SPEC.md section 2.
    """
    assert index > self.final_index and index <= self.tip, "rollup: not pending"
    batch: Batch = self._load(index)
    assert staticcall Judge(JUDGE).judge(DOMAIN, batch.hash, proof), "rollup: not shown"

    self.tip = index - 1
    self.generation += 1
    self.last_rollback = block.timestamp
    reward: uint256 = self._slash(batch.submitter)
    log Convicted(
        index=index, prover=msg.sender, submitter=batch.submitter, generation=self.generation, reward=reward
    )


@external
def contradict(proof: Bytes[CONTRADICTION_BYTES_MAX]):
    """
    @notice Shows that a key signed a receipt against another of its receipts, or against a batch of its own, pending or
            final. Its bond is slashed as by `prove`; no batch dies, for what they hold may be true all the same.
    @dev One call, which can change nothing. A contradiction does not age, and takes a bond that is posted again too.
    @param proof fraud_proofs/SPEC.md section 5.
    """
    signer: address = staticcall Receipts(RECEIPTS).find_signer(DOMAIN, proof)
    assert self.bond_of[signer] > 0, "rollup: bond"
    reward: uint256 = self._slash(signer)
    log Contradicted(signer=signer, prover=msg.sender, reward=reward)


@external
def finalise(index: uint256):
    """
    @notice Makes every batch up to `index` final. Submit times never fall along the chain, so the last one decides.
    """
    assert index > self.final_index and index <= self.tip, "rollup: not pending"
    assert block.timestamp >= self._load(index).submitted_at + TERMS.challenge_window, "rollup: window"
    self.final_index = index
    log Finalised(index=index)


# ---------------------------------------------------------------- Wind-down


@external
def wind_down(hashed: Bytes[HASHED_BYTES_MAX]):
    """
    @notice Ends the rollup for ever when no batch has lived for too long, or a feed with open interest was silent for
            too long as of the last final batch. Pending batches die; contracts/wind_down.vy pays by the last root.
    @dev What can be final must be, first: nobody chooses an older root by his moment. And the feed's silence is told by
         a final batch alone, within it. [Else one false header ends everything.] The slot's holder leaves as ever, so
         that his bond is neither stuck nor anybody's to evict.
    @param hashed `header || frame hashes` of the last final batch, whose hash is that batch's; of no use, and best left
           empty, when it is batches that are missing.
    """
    assert self.wound_down_at == 0, "rollup: wound down"
    last: uint256 = self.final_index
    if self.tip > last:
        # Submit times never fall along the chain.
        due_at: uint256 = self._load(last + 1).submitted_at + TERMS.challenge_window
        assert block.timestamp < due_at, "rollup: finalise first"
    if block.timestamp <= self._load(self.tip).submitted_at + TERMS.wind_down_limit:
        # The genesis has no header, and its bytes must not pass for one.
        assert last > 0 and sha256(hashed) == self.stored_batches[last].hash, "rollup: not silent"
        time: uint256 = convert(slice(hashed, 164, 8), uint256)
        oracle_time: uint256 = convert(slice(hashed, 220, 8), uint256)
        assert time > oracle_time + TERMS.wind_down_limit, "rollup: not silent"
    if self.slot_holder != empty(address):
        self._leave_slot()
    self.tip = last
    self.wound_down_at = block.timestamp
    log WoundDown(index=last)


@external
def pay_out(asset: uint256, units: uint256, to: address):
    """
    @notice Credits what the contract that winds down has found somebody to be owed.
    @dev Bounded by custody, as claims are.
    """
    assert msg.sender == WIND_DOWN and self.wound_down_at > 0, "rollup: wind down"
    terms: Asset = self.assets[asset]
    self.custody[asset] -= units
    self.balance_of[terms.token][to] += units * terms.unit
    log PaidOut(asset=asset, to=to, amount=units * terms.unit)


# ---------------------------------------------------------------- Claims


@external
def claim(
    outbox_index: uint256,
    leaf: Bytes[OUTBOX_LEAF_BYTES],
    mask: uint256,
    siblings: DynArray[bytes32, OUTBOX_PATH],
    index: uint256,
):
    """
    @notice Credits a withdrawal to its holder, whoever asks. An outbox index pays once.
    @param leaf `owner b20 || asset u16 || amount u64 || account u32`.
    @param mask Bit i: the sibling at level i, from the leaf upward, is given; else it is an empty subtree.
    @param index A final batch, whose root holds the leaf.
    """
    assert index <= self.final_index, "rollup: not final"
    assert not self.claimed[outbox_index], "rollup: claimed"
    assert outbox_index < 2**OUTBOX_DEPTH and len(leaf) == OUTBOX_LEAF_BYTES, "rollup: leaf"
    root: bytes32 = self._compute_outbox_root(outbox_index, leaf, mask, siblings)
    assert root == self.stored_batches[index].root, "rollup: path"
    fields: uint256 = convert(extract32(leaf, 2), uint256)  # the last 18 bytes of owner, asset, amount, account
    asset: uint256 = (fields >> 96) & (2**16 - 1)
    units: uint256 = (fields >> 32) & (2**64 - 1)
    terms: Asset = self.assets[asset]
    holder: address = self._get_claim_holder(outbox_index, leaf)

    self.claimed[outbox_index] = True
    self.custody[asset] -= units
    self.balance_of[terms.token][holder] += units * terms.unit
    log Claimed(outbox_index=outbox_index, holder=holder, token=terms.token, amount=units * terms.unit)


@external
def transfer_claim(outbox_index: uint256, leaf: Bytes[OUTBOX_LEAF_BYTES], to: address):
    """
    @notice Hands a claim on, so that a provider of liquidity can pay the withdrawal before it is final.
    @dev Nothing is proved here: the buyer must know that the leaf will stand in a final root. The entry is bound to
         the leaf's bytes, so one made for another leaf is worth nothing.
    """
    assert len(leaf) == OUTBOX_LEAF_BYTES and to != empty(address), "rollup: leaf"
    assert not self.claimed[outbox_index], "rollup: claimed"
    assert msg.sender == self._get_claim_holder(outbox_index, leaf), "rollup: holder"
    self.claim_holder[self._hash_claim(outbox_index, leaf)] = to
    log ClaimTransferred(outbox_index=outbox_index, to=to)


@external
@nonreentrant
def collect(token: address):
    """
    @notice Pays the sender what stands to his credit in a token; the empty address means ether.
    @dev The lock is the one of `deposit`: nothing leaves while an arrival is measured.
    """
    amount: uint256 = self.balance_of[token][msg.sender]
    self.balance_of[token][msg.sender] = 0
    if token == ETH:
        raw_call(msg.sender, b"", value=amount)
    else:
        assert extcall Token(token).transfer(msg.sender, amount, default_return_value=True), "rollup: transfer"


# ---------------------------------------------------------------- Views


@external
@view
def batches(index: uint256) -> Batch:
    """
    @notice A living batch; all zero above the tip.
    """
    return self._load(index) if index <= self.tip else empty(Batch)


@external
@view
def required_bond() -> uint256:
    """
    @notice Wei that `post_bond` and `take_slot` ask for; to submit, TERMS.bond is enough.
    """
    return self._get_required_bond()


@external
@view
def is_silent() -> bool:
    """
    @notice Whether the holder of the slot may be evicted and rescue batches are taken from others.
    """
    return self._is_silent()


@external
@view
def get_claim_holder(outbox_index: uint256, leaf: Bytes[OUTBOX_LEAF_BYTES]) -> address:
    """
    @notice Who would be paid if this leaf stood in a final root.
    """
    return self._get_claim_holder(outbox_index, leaf)


# ---------------------------------------------------------------- Internal: inbox


@internal
@view
def _check_governor(governor: address, terms: Terms):
    """
    @notice Whoever hears of a version when it is sent has a month to ask, is heard, and is paid before it counts; and a
            rollup that hears nobody has ended before.
    """
    if governor == empty(address):
        return
    notice: uint256 = NOTICE_MIN + terms.challenge_window + terms.inbox_deadline + terms.wind_down_limit
    assert staticcall Governor(governor).NOTICE() >= notice, "rollup: notice"


@internal
def _enqueue(kind: uint8, account: uint32, payload: Bytes[PAYLOAD_BYTES_MAX]):
    """
    @notice Chains a message of the sender's into the inbox and passes on its fee, which the caller has checked.
    """
    assert self.wound_down_at == 0, "rollup: wound down"
    message: Bytes[constants.MESSAGE_BYTES_MAX] = concat(
        convert(kind, bytes1),
        convert(msg.sender, bytes20),
        convert(convert(block.timestamp, uint64), bytes8),
        convert(account, bytes4),
        payload,
    )
    index: uint256 = self.inbox_count
    self.accumulator[index + 1] = sha256(concat(self.accumulator[index], sha256(message)))
    self.message_time[index] = block.timestamp
    self.inbox_count = index + 1
    holder: address = self.slot_holder
    self.balance_of[ETH][holder if holder != empty(address) else BURNED] += self._get_fee(len(payload))
    log Message(index=index, message=message)


@internal
@view
def _get_fee(payload_bytes: uint256) -> uint256:
    """
    @notice Wei that a message costs: its fee for each 256 bytes that it has begun, since all of them are posted, proved
            and kept. Those of a fixed length are shorter.
    """
    return TERMS.message_fee * ((MESSAGE_HEAD_BYTES + payload_bytes - 1) // MESSAGE_BYTES_PER_FEE + 1)


@internal
@view
def _is_overdue(index: uint256) -> bool:
    """
    @notice Whether a message has waited too long; a rollback lets every message wait anew.
    """
    since: uint256 = max(self.message_time[index], self.last_rollback)
    return index < self.inbox_count and block.timestamp > since + TERMS.inbox_deadline


# ---------------------------------------------------------------- Internal: bonds and the slot


@internal
@view
def _get_required_bond() -> uint256:
    return 2 * TERMS.bond if block.timestamp < self.bond_doubled_until else TERMS.bond


@internal
@view
def _is_silent() -> bool:
    """
    @notice Whether the holder took the slot, and last did the inbox duty on the chain that lives, too long ago.
    """
    duty_at: uint256 = self._load(self.tip).duty_at
    return block.timestamp > max(duty_at, self.slot_taken_at) + TERMS.silence_limit


@internal
def _leave_slot():
    """
    @notice Opens the slot for its holder, who pays as if evicted when silent, or not having served since he took it.
            [Else a squatter leaves just before he is silent and takes the slot again: a new clock for nothing.]
    """
    if self._is_silent() or not self.has_served:
        self._dismiss()
    else:
        self._open_slot()


@internal
def _dismiss():
    """
    @notice Opens the slot at its holder's cost.
    """
    penalty: uint256 = self.bond_of[self.slot_holder] // 10
    self.bond_of[self.slot_holder] -= penalty
    self._burn(penalty)
    self.bond_doubled_until = block.timestamp + TERMS.challenge_window
    self._open_slot()


@internal
def _open_slot():
    log SlotOpened(holder=self.slot_holder)
    self.slot_holder = empty(address)


@internal
def _slash(submitter: address) -> uint256:
    """
    @notice Takes a whole bond, half for the sender and half to be burned, and opens the slot if it was his.
    @return The sender's half, in wei.
    """
    bond: uint256 = self.bond_of[submitter]
    reward: uint256 = bond // 2
    self.bond_of[submitter] = 0
    self.balance_of[ETH][msg.sender] += reward
    self._burn(bond - reward)
    if submitter == self.slot_holder:
        self._open_slot()
    return reward


@internal
def _burn(amount: uint256):
    self.balance_of[ETH][BURNED] += amount


# ---------------------------------------------------------------- Internal: batches


@internal
@view
def _check_submitter(header: Header) -> bool:
    """
    @notice Bonded, and the slot's holder; or anyone bonded while the slot is open; or with a rescue batch while the
            holder is silent.
    @return Whether it is the last of these.
    """
    assert self.bond_of[msg.sender] >= TERMS.bond, "rollup: bond"
    holder: address = self.slot_holder
    is_rescuer: bool = msg.sender != holder and holder != empty(address)
    if is_rescuer:
        assert header.flags == RESCUE and self._is_silent(), "rollup: slot"
    return is_rescuer


@internal
@view
def _check_header(header: Header, parent: Batch):
    """
    @notice All that the header must have in common with its parent and with the L1.
    """
    assert header.version == constants.PROTOCOL_VERSION, "rollup: version"
    assert header.data_kind == DATA_IN_CALLDATA, "rollup: data kind"
    assert header.flags <= RESCUE, "rollup: flags"
    assert header.index == self.tip + 1, "rollup: index"
    assert header.parent == parent.hash, "rollup: parent"
    assert header.pre_root == parent.root, "rollup: pre root"
    is_other: bool = msg.sender != self.last_submitter
    assert header.generation == self.generation + convert(is_other, uint256), "rollup: generation"
    assert header.time_from == parent.time, "rollup: time from"
    assert header.time >= parent.time and header.time <= block.timestamp, "rollup: time"
    position_from: uint256 = parent.position_to if header.generation == parent.generation else 0
    assert header.position_from == position_from, "rollup: position from"
    assert header.position_to >= position_from, "rollup: position to"
    assert header.position_to - position_from <= constants.POSITIONS_PER_BATCH_MAX, "rollup: position to"


@internal
@view
def _check_inbox(header: Header, parent: Batch) -> bool:
    """
    @notice The cursor moves forward over messages that exist, past all that are overdue or at least past 64.
    @return Whether no overdue message is left: only then the holder's silence ends. [Else a holder could flood his
            own inbox, whose fees are his, and stay in the slot with 64 messages a batch.]
    """
    assert header.inbox_cursor >= parent.inbox_cursor, "rollup: cursor"
    assert header.inbox_cursor <= self.inbox_count, "rollup: cursor"
    assert header.inbox_hash == self.accumulator[header.inbox_cursor], "rollup: inbox hash"
    is_duty_done: bool = not self._is_overdue(header.inbox_cursor)
    is_enough: bool = header.inbox_cursor - parent.inbox_cursor >= MESSAGES_PER_BATCH_MIN
    assert is_duty_done or is_enough, "rollup: overdue"
    return is_duty_done


@internal
def _append(header: Header, batch_hash: bytes32, duty_at: uint256):
    """
    @notice Makes the sender's batch the tip.
    """
    self._store(
        header.index,
        Batch(
            hash=batch_hash,
            root=header.post_root,
            submitted_at=block.timestamp,
            time=header.time,
            inbox_cursor=header.inbox_cursor,
            generation=header.generation,
            position_to=header.position_to,
            submitter=msg.sender,
            duty_at=duty_at,
        ),
    )
    self.tip = header.index
    self.generation = header.generation
    self.last_submitter = msg.sender
    self.last_batch_of[msg.sender] = header.index
    log BatchSubmitted(
        index=header.index,
        submitter=msg.sender,
        batch_hash=batch_hash,
        post_root=header.post_root,
        generation=header.generation,
    )


@internal
def _store(index: uint256, batch: Batch):
    """
    @notice Four words of storage; every number was held below its width when it was checked.
    """
    self.stored_batches[index] = StoredBatch(
        hash=batch.hash,
        root=batch.root,
        clocks=batch.submitted_at << 192 | batch.duty_at << 128 | batch.time << 64 | batch.inbox_cursor,
        origin=batch.position_to << 192 | batch.generation << 160 | convert(batch.submitter, uint256),
    )


@internal
@view
def _load(index: uint256) -> Batch:
    stored: StoredBatch = self.stored_batches[index]
    return Batch(
        hash=stored.hash,
        root=stored.root,
        submitted_at=stored.clocks >> 192,
        time=stored.clocks >> 64 & (2**64 - 1),
        inbox_cursor=stored.clocks & (2**64 - 1),
        generation=stored.origin >> 160 & (2**32 - 1),
        position_to=stored.origin >> 192,
        submitter=convert(stored.origin & (2**160 - 1), address),
        duty_at=stored.clocks >> 128 & (2**64 - 1),
    )


@internal
@pure
def _decode_header(data: Bytes[constants.HEADER_BYTES]) -> Header:
    """
    @notice What submission reads of a header; the log hash and the oracle time it leaves to the steps.
    """
    head: uint256 = convert(extract32(data, 0), uint256)  # version u16, data_kind u8, flags u8, index u64, ...
    counts: uint256 = convert(extract32(data, 112), uint256)  # step_count u32, inbox_cursor u64, ...
    clocks: uint256 = convert(extract32(data, 156), uint256)  # time_from, time, position_from, position_to, u64 each
    return Header(
        version=head >> 240,
        data_kind=head >> 232 & (2**8 - 1),
        flags=head >> 224 & (2**8 - 1),
        index=head >> 160 & (2**64 - 1),
        parent=extract32(data, 12),
        generation=convert(extract32(data, 44), uint256) >> 224,
        pre_root=extract32(data, 48),
        post_root=extract32(data, 80),
        step_count=counts >> 224,
        inbox_cursor=counts >> 160 & (2**64 - 1),
        inbox_hash=extract32(data, 124),
        time_from=clocks >> 192,
        time=clocks >> 128 & (2**64 - 1),
        position_from=clocks >> 64 & (2**64 - 1),
        position_to=clocks & (2**64 - 1),
    )


# ---------------------------------------------------------------- Internal: claims


@internal
@pure
def _hash_claim(outbox_index: uint256, leaf: Bytes[OUTBOX_LEAF_BYTES]) -> bytes32:
    return sha256(concat(convert(outbox_index, bytes32), leaf))


@internal
@view
def _get_claim_holder(outbox_index: uint256, leaf: Bytes[OUTBOX_LEAF_BYTES]) -> address:
    """
    @notice Who bought the claim, or the leaf's owner.
    """
    holder: address = self.claim_holder[self._hash_claim(outbox_index, leaf)]
    if holder == empty(address):
        return convert(convert(extract32(leaf, 0), uint256) >> 96, address)
    return holder


@internal
@pure
def _compute_outbox_root(
    outbox_index: uint256, leaf: Bytes[OUTBOX_LEAF_BYTES], mask: uint256, siblings: DynArray[bytes32, OUTBOX_PATH]
) -> bytes32:
    """
    @notice Folds a leaf of the outbox up to the state root.
    @dev The fold of state/tree.py compute_root. No node on the way is zero, so two empty halves cannot meet.
    """
    assert mask >> OUTBOX_PATH == 0, "rollup: path"
    node: bytes32 = sha256(concat(convert(convert(constants.OUTBOX, uint8), bytes1), leaf))
    name: uint256 = (8 | constants.OUTBOX) << OUTBOX_DEPTH | outbox_index
    used: uint256 = 0
    for level: uint256 in range(OUTBOX_PATH):
        sibling: bytes32 = empty(bytes32)
        if mask >> level & 1 == 1:
            sibling = siblings[used]
            used += 1
        node = sha256(concat(sibling, node)) if name & 1 == 1 else sha256(concat(node, sibling))
        name >>= 1
    assert used == len(siblings), "rollup: path"
    return node
