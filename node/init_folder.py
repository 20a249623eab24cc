"""`keel init`: a folder with a commented configuration, the terms of a rollup to come, and fresh keys."""

from pathlib import Path

from node.config import FILE
from node.errors import ConfigError
from node.keys import Ed25519Key, Key, Secp256k1Key, create_key, format_address

ORACLE_KEYS = 3

CONFIG_TEXT = """\
# Configuration of one Keel folder. Paths are relative to this file; every key may be left out but l1.urls.

[l1]
urls = ["{url}"]       # several, of different operators: none is trusted alone
# quorum = 2                            # so many must agree on what L1 says; by default more than half
# chain_id = 31337                      # refuse endpoints of any other chain
# rollup = "0x..."                      # by default the one that `keel deploy` noted in deployment.json
# first_block = 0                       # of the rollup's deployment; found by itself when left out
fee_cap_gwei = 500                      # never offer more for a gas
bump_after_blocks = 3                   # offer more for a transaction that has waited so long
poll_seconds = 1

[keys]                                  # mode 0600, and worth a backup
l1 = "keys/l1.json"                     # pays on L1, submits batches, signs receipts
oracle = ["keys/oracle-1.json", "keys/oracle-2.json", "keys/oracle-3.json"]
wallet = "keys/wallet.json"             # owns accounts and pays for its messages; not the one that submits
session = "keys/session.json"           # the wallet's: signs orders, transfers, withdrawals

[node]
data = "data"                           # the log and the state; only one process may use it
metrics_port = 0                        # Prometheus on 127.0.0.1; 0: none
log = "text"                            # or "json"

[sequencer]
host = "127.0.0.1"
port = 7401
batch_bytes = 90_000                    # seal a batch when it is so large,
batch_seconds = 10                      # or so old
tick_seconds = 1                        # how often state time moves
unposted_bytes_max = 4_000_000          # admit nothing but cancels when so much waits to be posted
account_requests_max = 1_000            # a second, of one account; as many cancels beside them
# tls_certificate = "certificate.pem"   # serve by TLS alone; both files, or neither
# tls_key = "key.pem"

[follower]
host = "127.0.0.1"
port = 7402

[watchtower]
delay_seconds = 0                       # leave a conviction to others for so long

[oracle]
heartbeat_seconds = 20                  # publish a price when the last one is so old,
deviation_ppm = 2_000                   # or it has moved so far
"""

GENESIS_TEXT = """\
# What a rollup is born with. After `keel deploy` it changes only where a governor, if there is one, may propose it.
# Prices are in quote units (a millionth of a dollar) a lot; "ppm" are parts per million; times are seconds.

time = 0                                # when the chain's clock starts; 0: at deployment
# governor = "0x..."                    # who may propose other parameters, a month ahead; nobody unless it is said

[terms]                                 # kept by the contract
challenge_window = 604_800              # a batch is final after so long
silence_limit = 86_400                  # a sequencer that neglects its duty for so long can be evicted
inbox_deadline = 21_600                 # a message from L1 must be taken within this time
time_lag_max = 1_800                    # the clock of a batch may be so far behind the L1's
bond_gwei = 2_000_000_000               # answers for every batch of a submitter; half goes to who convicts it
message_fee_gwei = 100_000              # of a message from L1
wind_down_limit = 1_209_600             # after so long without a batch, or a price, all are paid out and it ends
registration_period = 604_800           # in which debtors are registered before that

[oracle]
threshold = 2                           # signatures that a reading needs
signers = [
{signers}
]
age_max = 60                            # an older reading is not taken
skew_max = 5                            # nor one that is so far ahead
price_age_max = 300                     # new risk needs prices younger than this
guard_ppm = 100_000                     # the farthest that a price may move in a reading, and once more each minute
halt_ppm = 80_000                       # after a move like this nothing may be opened
halt_seconds = 60
peg = "USD"                             # or the symbol that prices the quote asset itself

[margin]
rules = "keel"                          # the scenarios; the others that ship: derive_pm2, deribit_pm, paradex_scan ...

[auction]                               # of accounts that no longer cover their maintenance margin
seconds = 600                           # until the discount is the whole margin that a bidder frees
penalty_ppm = 50_000                    # of that margin, to the insurance fund
close_delay = 86_400                    # a forced close that nobody has met at the marks by then becomes an auction
quote_debt_max = 1_000_000_000_000      # quote units owed against other collateral before it is sold
debt_rate_ppm = 100_000                 # a year, of what an account owes: paid to the insurance fund

[fees]
maker_ppm = 100
taker_ppm = 500
l1_fee = 1_000                          # quote units, each side of a fill
band_ppm = 50_000                       # a trade may be so far from mark
cancel_only_seconds = 600               # after a rollback or a change of sequencer

[funding]
period = 28_800
cap_ppm = 30_000                        # of spot, in one period

[[assets]]                              # the first is the quote dollar
name = "USD"
token = "development"                   # "ETH", the address of an ERC-20, or "development" for one made from nothing
unit = 1                                # base units of the token in one unit here; a dollar has a million units
deposit_max = 1_000_000_000_000_000
create_min = 10_000_000                 # the least that opens an account

[[assets]]
name = "ETH"
token = "ETH"
unit = 1_000_000_000                    # a unit is a gwei
deposit_max = 1_000_000_000_000
create_min = 5_000_000
underlying = "ETH"                      # whose spot it counts at, less the haircut
haircut_ppm = 100_000
initial_haircut_ppm = 50_000            # on top, before new risk
confidence_threshold_ppm = 550_000
units_per_lot = 10_000_000              # a lot of ETH is a hundredth of an ether

[[underlyings]]                         # a lot: 0.001 BTC
symbol = "BTC"
correlation_ppm = 985_000               # how far its losses come together with the others
open_interest_max = 1_000_000_000

[[underlyings]]                         # a lot: 0.01 ETH
symbol = "ETH"
correlation_ppm = 985_000               # how far its losses come together with the others
open_interest_max = 1_000_000_000

[[underlyings]]                         # a lot: 0.01 LTC
symbol = "LTC"
correlation_ppm = 985_000               # how far its losses come together with the others
open_interest_max = 1_000_000_000

[[underlyings]]                         # a lot: 1 XRP
symbol = "XRP"
correlation_ppm = 985_000               # how far its losses come together with the others
open_interest_max = 1_000_000_000

[[underlyings]]                         # an index: no oracle signs it, its price follows from its parts
symbol = "MAJORS"
open_interest_max = 1_000_000_000
basket = ["BTC 500000", "ETH 500000"]
"""


def init_folder(folder: Path, url: str = "http://127.0.0.1:8545") -> dict[str, Key]:
    """Write keel.toml, genesis.toml and keys; gives the keys by file name. Raises ConfigError, never overwrites."""
    for name in (FILE, "genesis.toml", "keys"):
        if (folder / name).exists():
            raise ConfigError(f"{folder / name} exists: `keel init` never overwrites; name another folder")
    keys: dict[str, Key] = {"l1": create_key(folder / "keys" / "l1.json", Secp256k1Key)}
    signers: list[str] = []
    for number in range(1, ORACLE_KEYS + 1):
        key = create_key(folder / "keys" / f"oracle-{number}.json", Secp256k1Key)
        keys[f"oracle-{number}"] = key
        assert isinstance(key, Secp256k1Key)
        signers.append(f'    "{format_address(key.address)}",')
    keys["wallet"] = create_key(folder / "keys" / "wallet.json", Secp256k1Key)
    keys["session"] = create_key(folder / "keys" / "session.json", Ed25519Key)
    try:
        (folder / FILE).write_text(CONFIG_TEXT.format(url=url))
        (folder / "genesis.toml").write_text(GENESIS_TEXT.format(signers="\n".join(signers)))
    except OSError as error:
        raise ConfigError(f"cannot write into {folder}: {error.strerror}") from error
    return keys
