"""What several commands share: the options that name an L1, a rollup and keys, and what is opened from them."""

import argparse
import signal
import ssl
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio

from node.client import GatewayAddress
from node.config import FILE, Config, parse_host_port, read_config
from node.endpoint_quorum import compute_majority
from node.errors import ConfigError
from node.keys import load_ethereum_key, parse_address
from node.logs import Log

if TYPE_CHECKING:
    from node.l1 import L1
    from node.replica_checkpoint import ReplicaCheckpoint
    from node.rollup import Rollup
    from node.transactions import Sender


def add_config_option(parser: argparse.ArgumentParser) -> None:
    """Where the configuration is."""
    parser.add_argument("--config", metavar="FOLDER", type=Path, help=f"folder with a {FILE} (default: this one)")


def add_chain_options(parser: argparse.ArgumentParser) -> None:
    """Which rollup on which L1; each overrides the configuration."""
    add_config_option(parser)
    parser.add_argument(
        "--l1", metavar="URL", action="append", help="L1 endpoint; of several, more than half must agree"
    )
    parser.add_argument(
        "--rollup", metavar="ADDRESS", help="the rollup contract (default: as deployed from the folder)"
    )


def add_gateway_options(parser: argparse.ArgumentParser, what: str = "the sequencer's gateway") -> None:
    """Which gateway, and by which certificate it proves itself."""
    parser.add_argument("--gateway", metavar="HOST:PORT", help=f"{what} (default: as configured)")
    parser.add_argument("--tls", action="store_true", help="speak TLS with it, and trust this system's authorities")
    parser.add_argument("--tls-ca", metavar="FILE", type=Path, help="speak TLS with it; trust these alone")


def add_key_option(parser: argparse.ArgumentParser) -> None:
    """Who pays on L1."""
    parser.add_argument("--key", metavar="FILE", type=Path, help="key file of the L1 account that pays")


@dataclass(frozen=True)
class Chain:
    """What a command works on, opened when it is first used: loading the L1 client takes a second."""

    arguments: argparse.Namespace

    @cached_property
    def config(self) -> Config | None:
        """The folder's configuration; None when no folder was named and this is none."""
        named: Path | None = self.arguments.config
        if named is None and not Path(FILE).exists():
            return None
        return read_config(named or Path())

    def require_config(self) -> Config:
        """The configuration. Raises ConfigError when there is none."""
        if self.config is None:
            raise ConfigError(f"no {FILE} here: name its folder with --config, or make one with `keel init FOLDER`")
        return self.config

    @cached_property
    def l1(self) -> "L1":
        """The L1. Raises ConfigError when nothing names one."""
        from node.l1 import L1

        named: list[str] | None = self._get_option("l1")
        if named is None and self.config is None:
            raise ConfigError(f"no L1: give --l1 URL, or --config FOLDER with a {FILE}")
        config = self.config.l1 if self.config else None
        urls = named or (config.urls if config else ())
        quorum = config.quorum if config and not named else compute_majority(len(urls))
        l1 = L1(urls, chain_id=config.chain_id if config else None, quorum=quorum, log=self.open_log("l1"))
        if len(urls) > 1:
            l1.check_endpoints()
        return l1

    @cached_property
    def rollup(self) -> "Rollup":
        """The rollup, known to be one. Raises ConfigError, L1Error."""
        from node.rollup import Rollup

        l1 = self.l1
        rollup = Rollup(l1, *self._find_rollup())
        rollup.check_identity()
        return rollup

    def get_key_path(self, *, is_wallet: bool = False) -> Path:
        """The key file that was named, else the folder's of the node or of its wallet. Raises ConfigError."""
        named: Path | None = self._get_option("key")
        if named is not None:
            return named
        if self.config is None:
            raise ConfigError(f"no key: give --key FILE, or --config FOLDER with a {FILE}")
        return self.config.keys.wallet if is_wallet else self.config.keys.l1

    def open_sender(self, *, is_wallet: bool = False, path: Path | None = None) -> "Sender":
        """A sender with that key, or the one at `path`; its journal lies beside the key file."""
        from node.transactions import Sender

        path = path or self.get_key_path(is_wallet=is_wallet)
        key = load_ethereum_key(path)
        options = {}
        if self.config is not None:
            limits = self.config.l1
            options = {"fee_cap": limits.fee_cap, "bump_after_blocks": limits.bump_after_blocks}
        return Sender(self.l1, key, path.with_name(path.name + ".nonces"), **options)

    def find_gateway(self) -> GatewayAddress | None:
        """The gateway that was named, else the folder's, whose certificate is then trusted. Raises ConfigError."""
        ours = self.config.sequencer if self.config else None
        named: str | None = self._get_option("gateway")
        if named is not None:
            host, port = parse_host_port(named, "--gateway")
        elif ours is not None:
            host, port = ours.host, ours.port
        else:
            return None
        trusted: Path | None = self._get_option("tls_ca") or (ours.tls_certificate if ours and named is None else None)
        if trusted is not None:
            return GatewayAddress(host, port, _trust(trusted))
        return GatewayAddress(host, port, ssl.create_default_context() if self._get_option("tls") else None)

    def require_gateway(self) -> GatewayAddress:
        """The same. Raises ConfigError when there is none."""
        found = self.find_gateway()
        if found is None:
            raise ConfigError("no gateway: give --gateway HOST:PORT")
        return found

    def open_log(self, role: str) -> Log:
        """Events of a role, in the configured form."""
        return Log(role, is_json=self.config.is_log_json if self.config else False)

    def open_checkpoint(self, role: str, stack: ExitStack) -> "ReplicaCheckpoint | None":
        """Where a role keeps its replica, until `stack` is left; None without a folder. Raises StoreError."""
        from node.replica_checkpoint import ReplicaCheckpoint
        from state.store import Store

        if self.config is None:
            return None
        return ReplicaCheckpoint(stack.enter_context(Store(self.config.data / f"replica-{role}")))

    @property
    def poll_seconds(self) -> float:
        """How often the L1 is looked at."""
        return self.config.l1.poll_seconds if self.config else 1.0

    def _get_option(self, name: str) -> Any:
        return getattr(self.arguments, name, None)

    def _find_rollup(self) -> tuple[bytes, int | None]:
        """Its address, and a block before its first log where one is known."""
        named, config = self._get_option("rollup"), self.config
        if named:
            return parse_address(named, "--rollup"), None
        if config is None:
            raise ConfigError(f"no rollup: give --rollup ADDRESS, or --config FOLDER with a {FILE}")
        if config.l1.rollup is not None:
            return config.l1.rollup, config.l1.first_block
        from node.deploy import read_deployment

        deployment = read_deployment(config.deployment)
        return deployment.address, deployment.first_block


def _trust(certificates: Path) -> ssl.SSLContext:
    """Whoever proves itself by one of these, or by one that these vouch for. Raises ConfigError."""
    try:
        tls = ssl.create_default_context(cafile=certificates)
    except OSError as error:
        raise ConfigError(f"{certificates}: no certificates can be read there: {error.strerror or error}") from error
    # A gateway's own certificate may be among them without the one that signed it.
    tls.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return tls


def run_role(role: Callable[[], Awaitable[None]]) -> int:
    """Run until it ends or a signal comes; then everything is cancelled in order. Answers the exit status."""
    stopped_by: list[int] = []

    async def wait_for_signal(scope: trio.CancelScope) -> None:
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async for number in signals:
                stopped_by.append(number)
                scope.cancel()

    async def run() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait_for_signal, nursery.cancel_scope)
            await role()
            nursery.cancel_scope.cancel()

    trio.run(run)
    return 128 + stopped_by[0] if stopped_by else 0
