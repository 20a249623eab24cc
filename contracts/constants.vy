# pragma version 0.4.3
"""
@title Constants of the protocol
@notice The numbers of state/SPEC.md sections 1, 2 and 5, the grounds of fraud_proofs/SPEC.md, and nothing else.
@dev Mirrors state/constants.py. Collections, kinds and grounds are enumerations there, each where it is used.
"""

PROTOCOL_VERSION: constant(uint256) = 2

TOP_DEPTH: constant(uint256) = 3
ACCOUNTS_MAX: constant(uint256) = 2**24
SLOTS_PER_ACCOUNT: constant(uint256) = 1024
UNDERLYINGS_MAX: constant(uint256) = 64
ASSETS_MAX: constant(uint256) = 16
KEYS_MAX: constant(uint256) = 8
POSITIONS_MAX: constant(uint256) = 64
ACCOUNT_UNDERLYINGS_MAX: constant(uint256) = 8
ACCOUNT_EXPIRIES_MAX: constant(uint256) = 24
LEGS_MAX: constant(uint256) = 4
ORACLE_SIGNERS_MAX: constant(uint256) = 5
BASKET_MAX: constant(uint256) = 4
RATIO_MAX: constant(uint256) = 16

QUANTITY_MAX: constant(uint256) = 2**40
PRICE_MAX: constant(uint256) = 2**44
FUNDING_INDEX_MAX: constant(int256) = 2**56
AMOUNT_MAX: constant(uint256) = 2**63 - 1
CUSTODY_MAX: constant(uint256) = 2**96
CASH_MAX: constant(int256) = 2**112
FEE_PPM_MAX: constant(uint256) = 1_000_000
PPM: constant(uint256) = 1_000_000
NEVER: constant(uint256) = 2**64 - 1

EXPIRY_STEP: constant(uint256) = 86_400
EXPIRY_SECOND_OF_DAY: constant(uint256) = 28_800
EXPIRY_HORIZON: constant(uint256) = 34_560_000
SETTLEMENT_WINDOW: constant(uint256) = 1_800
INTEREST_PERIOD: constant(uint256) = 3_600
INTEREST_SECONDS_MAX: constant(uint256) = 7_200
YEAR_SECONDS: constant(uint256) = 31_536_000
RULES_OFFSET: constant(uint256) = 128

OP_BYTES_MAX: constant(uint256) = 1024
FRAME_BYTES_MAX: constant(uint256) = 8192
FRAMES_MAX: constant(uint256) = 64
BATCH_BYTES_MAX: constant(uint256) = 112_640
POSITIONS_PER_BATCH_MAX: constant(uint256) = 2**32
HEADER_BYTES: constant(uint256) = 228

# Collections of the tree, and the depth of each.
GLOBALS: constant(uint256) = 0
ACCOUNTS: constant(uint256) = 1
ORDERS: constant(uint256) = 2
UNDERLYINGS: constant(uint256) = 3
EXPIRIES: constant(uint256) = 4
PARAMS: constant(uint256) = 5
OUTBOX: constant(uint256) = 6
ASSETS: constant(uint256) = 7
DEPTHS: constant(uint256[8]) = [0, 24, 34, 8, 22, 8, 32, 4]
PATH_LENGTH_MAX: constant(uint256) = 37  # TOP_DEPTH and the deepest collection

# Bytes. The longest leaf is an account as accounts.vy bounds it.
LEAF_BYTES_MAX: constant(uint256) = 2052
WITNESS_BYTES_MAX: constant(uint256) = 49_152
# Header, count and hashes of frames, number, length and bytes of one frame, step, ground, check, witness.
PROOF_BYTES_MAX: constant(uint256) = 228 + 2 + 32 * 64 + 2 + 4 + 8192 + 2 + 1 + 1 + 49_152
MESSAGE_BYTES_MAX: constant(uint256) = 4_096

# Kinds of ops.
OPEN: constant(uint256) = 1
CLOSE: constant(uint256) = 2
TICK: constant(uint256) = 3
L1: constant(uint256) = 4
ORACLE: constant(uint256) = 5
ORDER: constant(uint256) = 6
CANCEL: constant(uint256) = 7
FILL: constant(uint256) = 8
TRANSFER: constant(uint256) = 9
WITHDRAW: constant(uint256) = 10
SURFACE: constant(uint256) = 11
INDEX: constant(uint256) = 12
SETTLE: constant(uint256) = 13
LIQUIDATE: constant(uint256) = 14
TAKE: constant(uint256) = 15
DELEVERAGE: constant(uint256) = 16
BID: constant(uint256) = 17
RELAY: constant(uint256) = 18
INTEREST: constant(uint256) = 19

# Grounds of a proof.
MALFORMED: constant(uint256) = 0
CHECK: constant(uint256) = 1
EFFECT: constant(uint256) = 2
