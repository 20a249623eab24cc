"""An exchange of 100 000 accounts for benches: a real L1, a real `keel sequencer` process, and signed requests.

So many accounts cannot deposit within a bench's minute. They are written into the sequencer's data folder as if they
had. The L1 knows nothing of them and takes no batch on top of them: every batch is sealed, kept and offered again and
again, none is posted, and the bytes that may wait for the L1 are bounded for it by UNPOSTED_BYTES_MAX.
"""

import os
import random
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

from coincurve import PrivateKey
from nacl.signing import SigningKey

from node.deploy import write_deployment
from node.framing import FrameReader, encode_frame
from node.init_folder import init_folder
from node.keys import Secp256k1Key, load_ethereum_key
from node.sequencer_core import SequencerCore
from sequencer.requests import build_request
from state.codec import Value, decode
from state.constants import NEVER
from state.genesis import Genesis
from state.leaves import Account, SessionKey, perpetual
from state.ledger import Ledger
from state.operations import Cancel, OrderOp, OrderTerms, Transfer, hash_digest
from state.store import Store
from state.tree import LeafKey, account_key
from tests.node.town import build_launch, give_ether, open_town
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
        return account, self._order(account, slot)

    def _count(self, account: int, slot: int) -> int:
        counter = self.counters[account, slot] = self.counters.get((account, slot), 0) + 1
        return counter

    def _order(self, account: int, slot: int) -> bytes:
        is_sell = self.random.random() < 0.5
        # Most rest beside the market; one in twenty is willing to cross it.
        away = self.random.randrange(-10, 190) * 1000
        price = PRICE + away if is_sell else PRICE - away
        terms = OrderTerms(
            account,
            slot,
            self._count(account, slot),
            1,
            0,
            NEVER - 1,
            int(is_sell),
            price,
            self.random.randrange(1, 100),
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
    genesis = Genesis(build_params(cancel_only_interval=1), RULES, LISTINGS, now)
    launch = replace(build_launch(), genesis=genesis)
    with TemporaryDirectory(prefix="keel-bench-") as name, open_town(Path(name), launch, block_seconds=1) as town:
        folder = Path(name) / "exchange"
        init_folder(folder, town.anvil.url)
        port, metrics_port = find_free_ports(2)
        text = (folder / "keel.toml").read_text()
        text = text.replace("unposted_bytes_max = 4_000_000", f"unposted_bytes_max = {UNPOSTED_BYTES_MAX}")
        text = text.replace("port = 7401", f"port = {port}")
        text = text.replace("metrics_port = 0", f"metrics_port = {metrics_port}")
        (folder / "keel.toml").write_text(text)
        write_deployment(town.deployment, folder / "deployment.json")
        operator = load_ethereum_key(folder / "keys" / "l1.json")
        give_ether(town.anvil, operator, 1_000)
        rollup = town.rollup
        leaves = build_leaves(genesis, now)
        with Store(folder / "data") as store:
            core = SequencerCore(store, rollup.get_domain(), PrivateKey(operator.secret), 1)
            core.restart(leaves, generation=1, index=0, parent=genesis.batch_hash)
        exchange = Exchange(folder, rollup.get_domain(), operator, port)
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
