"""The configuration of one folder: keel.toml, checked whole before anything starts.

Every key but l1.urls has a default that works on one machine; an unknown key is an error, since a misspelt one would be
a default that nobody sees. Paths are relative to the file.
"""

from dataclasses import dataclass
from pathlib import Path

from node.amounts import GWEI
from node.endpoint_quorum import compute_majority
from node.errors import ConfigError
from node.toml_fields import Table, read_toml

FILE = "keel.toml"
PORT_MAX = 65_535
DAY = 86_400


@dataclass(frozen=True, slots=True)
class L1Config:
    """Where the L1 is and how to pay there; the fee cap in wei a gas. `rollup` None: deployment.json says it.

    `quorum` of the endpoints must agree on a fact, by default more than half.
    """

    urls: tuple[str, ...]
    quorum: int
    chain_id: int | None
    rollup: bytes | None
    first_block: int | None
    fee_cap: int
    bump_after_blocks: int
    poll_seconds: float


@dataclass(frozen=True, slots=True)
class KeysConfig:
    """Key files: of the L1 account that submits and signs receipts, of the oracle, of a wallet and its session.

    The wallet's is by default the first; a running node does not share its key with a wallet's commands.
    """

    l1: Path
    oracle: tuple[Path, ...]
    wallet: Path
    session: Path


@dataclass(frozen=True, slots=True)
class SequencerConfig:
    """Where the sequencer serves, and when it seals a batch. Without a certificate it serves in the clear."""

    host: str
    port: int
    batch_bytes: int
    batch_seconds: int
    tick_seconds: float
    unposted_bytes_max: int
    requests_waiting_max: int
    account_requests_max: int
    tls_certificate: Path | None
    tls_key: Path | None


@dataclass(frozen=True, slots=True)
class FollowerConfig:
    """Where the follower serves its reads."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class WatchtowerConfig:
    """Seconds that it leaves to other watchtowers before it convicts."""

    delay_seconds: float


@dataclass(frozen=True, slots=True)
class OracleConfig:
    """When a price becomes a reading on the chain."""

    heartbeat_seconds: float
    deviation_ppm: int


@dataclass(frozen=True, slots=True)
class Config:
    """One folder's configuration. A metrics port of 0 serves no metrics."""

    folder: Path
    data: Path
    metrics_port: int
    is_log_json: bool
    l1: L1Config
    keys: KeysConfig
    sequencer: SequencerConfig
    follower: FollowerConfig
    watchtower: WatchtowerConfig
    oracle: OracleConfig

    @property
    def deployment(self) -> Path:
        """Where `keel deploy` writes its record."""
        return self.folder / "deployment.json"


def read_config(path: Path) -> Config:
    """From a keel.toml, or a folder that has one. Raises ConfigError."""
    file = path / FILE if path.is_dir() else path
    table = read_toml(file, "run `keel init DIR`, or name one with --config")
    folder = file.parent
    node = table.take_table("node")
    config = Config(
        folder=folder,
        data=folder / node.take_text("data", "data"),
        metrics_port=node.take_integer("metrics_port", 0, PORT_MAX, 0),
        is_log_json=node.take_choice("log", ("text", "json"), "text") == "json",
        l1=_read_l1(table.take_table("l1", is_required=True)),
        keys=_read_keys(table.take_table("keys"), folder),
        sequencer=_read_sequencer(table.take_table("sequencer"), folder),
        follower=_read_follower(table.take_table("follower")),
        watchtower=_read_watchtower(table.take_table("watchtower")),
        oracle=_read_oracle(table.take_table("oracle")),
    )
    node.finish()
    table.finish()
    return config


def _read_l1(table: Table) -> L1Config:
    urls = table.take_texts("urls")
    for number, url in enumerate(urls):
        if not url.startswith(("http://", "https://")):
            raise table.refuse(f"urls[{number}]", f'{url!r} will not do; write a URL, as in "http://127.0.0.1:8545"')
        if url in urls[:number]:
            raise table.refuse(f"urls[{number}]", f"{url!r} is given twice; one endpoint is no quorum")
    chain_id = table.take_integer("chain_id", 0, (1 << 63) - 1, 0)
    first_block = table.take_integer("first_block", 0, (1 << 63) - 1, 0)
    config = L1Config(
        urls=tuple(urls),
        quorum=table.take_integer("quorum", 1, max(len(urls), 1), compute_majority(len(urls))),
        chain_id=chain_id or None,
        rollup=table.take_address("rollup"),
        first_block=first_block or None,
        fee_cap=table.take_integer("fee_cap_gwei", 1, 1_000_000, 500) * GWEI,
        bump_after_blocks=table.take_integer("bump_after_blocks", 1, 1_000, 3),
        poll_seconds=table.take_seconds("poll_seconds", 0.05, 3_600, 1),
    )
    table.finish()
    return config


def _read_keys(table: Table, folder: Path) -> KeysConfig:
    l1 = table.take_text("l1", "keys/l1.json")
    keys = KeysConfig(
        l1=folder / l1,
        oracle=tuple(folder / name for name in table.take_texts("oracle", ["keys/oracle.json"])),
        wallet=folder / table.take_text("wallet", l1),
        session=folder / table.take_text("session", "keys/session.json"),
    )
    table.finish()
    return keys


def _read_sequencer(table: Table, folder: Path) -> SequencerConfig:
    config = SequencerConfig(
        host=table.take_text("host", "127.0.0.1"),
        port=table.take_integer("port", 0, PORT_MAX, 7401),
        batch_bytes=table.take_integer("batch_bytes", 1_000, 110_000, 90_000),
        batch_seconds=table.take_integer("batch_seconds", 1, DAY, 10),
        tick_seconds=table.take_seconds("tick_seconds", 0.05, 60, 1),
        unposted_bytes_max=table.take_integer("unposted_bytes_max", 110_000, 1 << 40, 4_000_000),
        requests_waiting_max=table.take_integer("requests_waiting_max", 1, 1 << 24, 20_000),
        account_requests_max=table.take_integer("account_requests_max", 1, 1 << 24, 1_000),
        tls_certificate=table.take_path("tls_certificate", folder),
        tls_key=table.take_path("tls_key", folder),
    )
    if (config.tls_certificate is None) != (config.tls_key is None):
        raise table.refuse("tls_certificate", "and tls_key are two halves: give both, or neither")
    table.finish()
    return config


def _read_follower(table: Table) -> FollowerConfig:
    config = FollowerConfig(table.take_text("host", "127.0.0.1"), table.take_integer("port", 0, PORT_MAX, 7402))
    table.finish()
    return config


def _read_watchtower(table: Table) -> WatchtowerConfig:
    config = WatchtowerConfig(table.take_seconds("delay_seconds", 0, DAY, 0))
    table.finish()
    return config


def _read_oracle(table: Table) -> OracleConfig:
    config = OracleConfig(
        heartbeat_seconds=table.take_seconds("heartbeat_seconds", 0.1, DAY, 20),
        deviation_ppm=table.take_integer("deviation_ppm", 1, 1_000_000, 2_000),
    )
    table.finish()
    return config


def parse_host_port(text: str, name: str) -> tuple[str, int]:
    """`HOST:PORT`. Raises ConfigError naming the option."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdigit() or int(port) > PORT_MAX:
        raise ConfigError(f"{name}: {text!r} will not do; write HOST:PORT, as in 127.0.0.1:7401")
    return host.strip("[]"), int(port)
