"""Exchanges for benches: a real L1, a real `keel sequencer` process, and signed requests.

`open_exchange` has 100 000 accounts. So many cannot deposit within a bench's minute: they are written into the
sequencer's data folder as if they had. The L1 knows nothing of them and takes no batch on top of them: every batch is
sealed, kept and offered again and again, none is posted, and the bytes that may wait for the L1 are bounded for it by
UNPOSTED_BYTES_MAX. `open_funded_exchange` has few accounts, and all of them have deposited: there batches are posted.
"""

import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from nacl.signing import SigningKey

from node.deploy import write_deployment
from node.framing import FrameReader, encode_frame
from node.init_folder import init_folder
from node.keys import Secp256k1Key, load_ethereum_key
from node.launch import Launch
from node.op_log import LOG_FOLDER, LevelDbLog
from node.sequencer_core import SequencerCore
from node.transactions import require_mined
from sequencer.requests import build_request
from state.codec import Value, decode
from state.constants import NEVER
from state.genesis import Genesis
from state.leaves import Account, SessionKey, perpetual
from state.ledger import Ledger
from state.operations import Cancel, OrderOp, OrderTerms, Transfer, hash_digest
from state.store import Store
from state.tree import LeafKey, account_key
from tests.node.town import DOLLAR, TERMS, Town, build_launch, give_ether, open_town
from tests.world import LISTINGS, RULES, build_params

ACCOUNTS = 100_000
PRICE = 17_000_000
CASH = 10**12
READY_SECONDS_MAX = 60
UNPOSTED_BYTES_MAX = 1_000_000_000
SLOTS = 4


def get_key(account: int) -> SigningKey:
    """An account's session key."""
    return SigningKey(account.to_bytes(32))


def build_leaves(genesis: Genesis, now: int) -> dict[LeafKey, bytes]:
    """The first state, with every account in it and a fresh price."""
    leaves = genesis.build_leaves()
    ledger = Ledger(dict(leaves))
    ledger.put_globals(replace(ledger.get_globals(), account_count=ACCOUNTS + 1))
    books = ledger.require_asset(0)
    ledger.put_asset(0, replace(books, custody=ACCOUNTS * CASH))
    reading = replace(ledger.require_underlying(0), oracle_time=now, spot=PRICE, mark=PRICE, index_time=now)
    ledger.put_underlying(0, reading)
    leaves.update(ledger.writes)
    for account in range(1, ACCOUNTS + 1):
        key = SessionKey(get_key(account).verify_key.encode(), 7, NEVER)
        leaves[account_key(account)] = Account(owner=account.to_bytes(20), cash=CASH, keys=(key,)).encode()
    return leaves


@dataclass
class People:
    """Signs what a market's people send: 60 % orders, 30 % cancels or replaces, 10 % transfers."""

    domain: bytes
    random: random.Random
    counters: dict[tuple[int, int], int] = field(default_factory=dict)
    sequences: dict[int, int] = field(default_factory=dict)
    used: list[tuple[int, int]] = field(default_factory=list)

    def draw(self) -> tuple[int, bytes]:
        """(account, request bytes)."""
        roll = self.random.random()
        account, slot = self.random.randrange(1, ACCOUNTS + 1), self.random.randrange(SLOTS)
        if roll >= 0.9:
            return account, self._transfer(account)
        if roll >= 0.6 and self.used:
            account, slot = self.random.choice(self.used)
        if roll >= 0.75:
            return account, self._cancel(account, slot)
        self.used.append((account, slot))
        is_sell = self.random.random() < 0.5
        # Most rest beside the market; one in twenty is willing to cross it.
        away = self.random.randrange(-10, 190) * 1000
        price = PRICE + away if is_sell else PRICE - away
        return account, self.order(account, slot, is_sell, price, self.random.randrange(1, 100))

    def _count(self, account: int, slot: int) -> int:
        counter = self.counters[account, slot] = self.counters.get((account, slot), 0) + 1
        return counter

    def order(self, account: int, slot: int, is_sell: bool, price: int, size: int) -> bytes:
        """A signed request; its counter is one above the last of its slot."""
        terms = OrderTerms(
            account,
            slot,
            self._count(account, slot),
            1,
            0,
            NEVER - 1,
            int(is_sell),
            price,
            size,
            10_000,
            0,
            ((perpetual(0), 1),),
        )
        return self._sign(OrderOp(0, 0, terms, 0, bytes(64)))

    def _cancel(self, account: int, slot: int) -> bytes:
        return self._sign(Cancel(0, account, slot, self._count(account, slot), 1, 0, bytes(64)))

    def _transfer(self, account: int) -> bytes:
        sequence = self.sequences[account] = self.sequences.get(account, 0) + 1
        return self._sign(Transfer(0, account, sequence, account % ACCOUNTS + 1, 0, 1000, 0, bytes(64)))

    def _sign(self, bare: OrderOp | Cancel | Transfer) -> bytes:
        signature = get_key(bare.account).sign(hash_digest(self.domain, bare)).signature
        return build_request(replace(bare, signature=signature))


@dataclass
class Exchange:
    """A deployed rollup, a filled data folder, and the sequencer's process when it runs."""

    folder: Path
    domain: bytes
    operator: Secp256k1Key
    port: int
    process: subprocess.Popen[bytes] | None = None

    @contextmanager
    def open_core(self, unposted_bytes_max: int) -> Iterator[SequencerCore]:
        """The sequencer's engine on its data folder, while its process does not run."""
        data = self.folder / "data"
        with Store(data) as store, Store(data / LOG_FOLDER) as log_store:
            yield SequencerCore(store, self.domain, unposted_bytes_max, log=LevelDbLog(log_store))

    def start(self) -> float:
        """Start the sequencer; seconds until it answers."""
        began = time.perf_counter()
        with (self.folder / "sequencer.log").open("ab") as log:
            command = [sys.executable, "-m", "node.cli", "sequencer", "--config", str(self.folder)]
            self.process = subprocess.Popen(command, stderr=log, env=os.environ)
        while time.perf_counter() - began < READY_SECONDS_MAX:
            assert self.process.poll() is None, self.read_log()
            try:
                self.ask("status")
            except OSError:
                time.sleep(0.02)
                continue
            return time.perf_counter() - began
        raise TimeoutError(self.read_log())

    def read_cpu_seconds(self) -> float:
        """What the sequencer's own process has computed so far, its threads together; its helpers are not in it."""
        assert self.process is not None
        tasks = Path(f"/proc/{self.process.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9

    def kill(self) -> None:
        """As a power cut would."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def ask(self, method: str, *arguments: Value) -> Value:
        """One call on a connection of its own."""
        reader = FrameReader()
        with socket.create_connection(("127.0.0.1", self.port), timeout=READY_SECONDS_MAX) as stream:
            stream.sendall(encode_frame([1, method, *arguments]))
            while not (bodies := reader.feed(stream.recv(1 << 16))):
                pass
        answer = decode(bodies[0])
        assert isinstance(answer, list)
        assert answer[1] == 0, answer
        return answer[2]

    def wait_until_open(self) -> None:
        """Until the new generation takes more than cancels."""
        while True:
            status = self.ask("status")
            assert isinstance(status, list)
            if int(status[3]) >= int(status[4]):  # type: ignore[arg-type]
                return
            time.sleep(0.05)

    def read_log(self) -> str:
        """The end of what the sequencer wrote."""
        return (self.folder / "sequencer.log").read_text()[-3000:]


@contextmanager
def open_exchange() -> Iterator[Exchange]:
    """A deployment of its own, its accounts in the data folder; nothing runs yet but the L1."""
    now = int(time.time())
    launch = build_bench_launch(now)
    with (
        TemporaryDirectory(prefix="keel-bench-") as name,
        open_town(Path(name), launch, block_seconds=1) as town,
        settle_exchange(town, unposted_bytes_max=UNPOSTED_BYTES_MAX) as exchange,
    ):
        with exchange.open_core(1) as core:
            leaves = build_leaves(launch.genesis, now)
            core.restart(leaves, generation=1, index=0, parent=launch.genesis.batch_hash)
        yield exchange


@contextmanager
def open_funded_exchange(accounts: int) -> Iterator[tuple[Exchange, Town]]:
    """So many accounts with CASH each and the keys of `get_key`, by deposits that the L1 holds; settings as shipped.

    The L1 makes a block a second from then on.
    """
    launch = build_bench_launch(int(time.time()))
    with TemporaryDirectory(prefix="keel-bench-") as name, open_town(Path(name), launch) as town:
        owner, rollup = town.open_sender("owner"), town.rollup
        dollars = rollup.get_asset(DOLLAR)
        town.give_dollars("owner", accounts * CASH)
        calls = [rollup.approve(town.dollar, accounts * CASH)]
        for account in range(1, accounts + 1):
            key = get_key(account).verify_key.encode()
            calls.append(rollup.deposit(DOLLAR, CASH, 0, TERMS.message_fee, dollars))
            calls.append(rollup.register_key(account, key, 7, NEVER, TERMS.message_fee))
        for call in calls:
            require_mined(owner.send(call))
        town.anvil.request("evm_setAutomine", False)
        town.anvil.request("evm_setIntervalMining", 1)
        with settle_exchange(town) as exchange:
            yield exchange, town


def build_bench_launch(now: int) -> Launch:
    """A rollup that takes more than cancels a second after its generation has begun."""
    return replace(build_launch(), genesis=Genesis(build_params(cancel_only_interval=1), RULES, LISTINGS, now))


@contextmanager
def settle_exchange(town: Town, **changes: int) -> Iterator[Exchange]:
    """A folder as `keel init` makes it but for free ports and `changes`; the process that it may get is killed."""
    folder = town.folder / "exchange"
    init_folder(folder, town.anvil.url)
    port, metrics_port = find_free_ports(2)
    text = (folder / "keel.toml").read_text()
    text = text.replace("port = 7401", f"port = {port}")
    for name, value in {"metrics_port": metrics_port, **changes}.items():
        text = re.sub(rf"(?m)^{name} = \w+", f"{name} = {value}", text)
    (folder / "keel.toml").write_text(text)
    write_deployment(town.deployment, folder / "deployment.json")
    operator = load_ethereum_key(folder / "keys" / "l1.json")
    give_ether(town.anvil, operator, 1_000)
    exchange = Exchange(folder, town.rollup.get_domain(), operator, port)
    try:
        yield exchange
    finally:
        exchange.kill()


def find_free_ports(count: int) -> list[int]:
    """Ports of the loopback that nobody holds now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
