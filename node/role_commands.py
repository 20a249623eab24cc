"""The commands that make, run and watch a rollup: init, deploy, sequencer, follower, watchtower, oracle, status."""

import argparse
import os
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import trio

from node.amounts import ETHER
from node.client import GatewayAddress, GatewayUnreachable, open_client
from node.command_options import (
    Chain,
    add_chain_options,
    add_config_option,
    add_gateway_options,
    add_key_option,
    run_role,
)
from node.config import SequencerConfig, parse_host_port
from node.errors import CallReverted, ConfigError, NodeError
from node.governor_commands import describe_coming
from node.init_folder import init_folder
from node.keys import Ed25519Key, format_address, load_ethereum_key
from state.codec import Value


def add_parsers(commands: Any) -> None:
    """Every command of this file."""
    _add_init_parser(commands)
    _add_deploy_parser(commands)
    _add_sequencer_parser(commands)
    _add_follower_parser(commands)
    _add_watchtower_parser(commands)
    _add_oracle_parser(commands)
    _add_status_parser(commands)


def _add_parser(commands: Any, name: str, summary: str, text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=summary, description=text, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    return parser


# init


def _add_init_parser(commands: Any) -> None:
    parser = _add_parser(
        commands,
        "init",
        "write a folder with configuration, terms and keys",
        """\
Write FOLDER/keel.toml, FOLDER/genesis.toml and fresh keys in FOLDER/keys. Read both files, change what you must, send
ether to the account that is printed, then `keel deploy --config FOLDER`.

  keel init exchange --l1 https://my-node:8545""",
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--l1", metavar="URL", default="http://127.0.0.1:8545", help="L1 endpoint to write into it")
    parser.set_defaults(run=run_init)


def run_init(arguments: argparse.Namespace) -> int:
    """`keel init`."""
    folder: Path = arguments.folder
    for name, key in init_folder(folder, arguments.l1).items():
        public = key.public_key.hex() if isinstance(key, Ed25519Key) else format_address(key.address)
        print(f"keys/{name}.json  {public}")
    print(f"Now read {folder}/keel.toml and {folder}/genesis.toml, and send ether to the first address.")
    return 0


# deploy


def _add_deploy_parser(commands: Any) -> None:
    parser = _add_parser(
        commands,
        "deploy",
        "put a rollup on the L1",
        """\
Check the terms in genesis.toml against each other, deploy every contract, read them back, and note their addresses in
deployment.json. Takes about 40 million gas.

  keel deploy --config exchange""",
    )
    add_config_option(parser)
    add_key_option(parser)
    parser.add_argument("--genesis", metavar="FILE", type=Path, help="terms of the rollup (default: genesis.toml)")
    parser.set_defaults(run=run_deploy)


def run_deploy(arguments: argparse.Namespace) -> int:
    """`keel deploy`."""
    from node.deploy import deploy, write_deployment
    from node.launch import read_launch

    chain = Chain(arguments)
    config = chain.require_config()
    launch = read_launch(arguments.genesis or config.folder / "genesis.toml")
    with chain.open_sender() as sender:
        sender.settle()
        deployment = deploy(sender, launch, print)
    write_deployment(deployment, config.deployment)
    print(f"rollup {deployment.rollup} on chain {deployment.chain_id}; noted in {config.deployment}")
    return 0


# sequencer


def _add_sequencer_parser(commands: Any) -> None:
    parser = _add_parser(
        commands,
        "sequencer",
        "run the exchange",
        """\
Take orders, match them, keep the log, post batches. Needs the folder's L1 key with the bond and ether for gas; takes
the slot when it is free. After a crash, start it again: it goes on where the log ends.

With --rescue, anybody takes the inbox forward while the slot's holder is silent: deposits, forced withdrawals,
cancel-alls and keys that are overdue, from L1 data alone. Needs an L1 endpoint, the rollup's address, and a key that
never sequenced with the bond and ether for gas; no folder. With --withdraw-bond, the bond comes back to its key once
the last of its batches is final.

  keel sequencer --config exchange
  keel sequencer --rescue --l1 http://127.0.0.1:8545 --rollup 0x... --key rescuer.json
  keel sequencer --withdraw-bond --l1 http://127.0.0.1:8545 --rollup 0x... --key rescuer.json""",
    )
    add_chain_options(parser)
    add_key_option(parser)
    parser.add_argument(
        "--rebond-after-conviction", action="store_true", help="go on after a lost bond; for networks without value"
    )
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument(
        "--rescue", action="store_true", help="take overdue L1 messages for a silent sequencer; from L1 data alone"
    )
    instead.add_argument("--withdraw-bond", action="store_true", help="leave the slot, if held, and collect the bond")
    parser.set_defaults(run=run_sequencer)


def run_sequencer(arguments: argparse.Namespace) -> int:
    """`keel sequencer`."""
    if arguments.rescue:
        return _run_rescuer(Chain(arguments))
    if arguments.withdraw_bond:
        return _withdraw_bond(Chain(arguments))
    from node import sequencer_role
    from node.batch_process import run_batch_process
    from node.op_log import LOG_FOLDER
    from sequencer.batcher import SealRule
    from state.store import Store

    chain = Chain(arguments)
    config = chain.require_config()
    given = config.sequencer
    settings = sequencer_role.SequencerSettings(
        host=given.host,
        port=given.port,
        seal=SealRule(given.batch_bytes, given.batch_seconds),
        poll_seconds=config.l1.poll_seconds,
        tick_seconds=given.tick_seconds,
        unposted_bytes_max=given.unposted_bytes_max,
        requests_waiting_max=given.requests_waiting_max,
        account_requests_max=given.account_requests_max,
        rebond_after_conviction=arguments.rebond_after_conviction,
    )
    log, key, tls = chain.open_log("sequencer"), load_ethereum_key(chain.get_key_path()), _load_tls(given)
    with Store(config.data) as store, chain.open_sender() as sender, ExitStack() as stack:
        kept = chain.open_checkpoint("sequencer", stack)
        log_store = stack.enter_context(Store(config.data / LOG_FOLDER))
        batches = stack.enter_context(run_batch_process())
        sequencer = sequencer_role.Sequencer(
            chain.rollup,
            sender,
            store,
            key.secret,
            settings,
            log,
            log_store=log_store,
            checkpoint=kept,
            open_batcher=batches.open_batcher,
        )
        with _serve_metrics(config.metrics_port, sequencer=sequencer.counters, l1=chain.l1.counters):
            return run_role(lambda: sequencer_role.run_sequencer(sequencer, settings, log, tls=tls))


def _load_tls(given: SequencerConfig) -> ssl.SSLContext | None:
    """What the gateway proves itself by; None to serve in the clear. Raises ConfigError."""
    if given.tls_certificate is None or given.tls_key is None:
        return None
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        tls.load_cert_chain(given.tls_certificate, given.tls_key)
    except OSError as error:
        raise ConfigError(
            f"sequencer.tls_certificate, tls_key: {given.tls_certificate} and {given.tls_key} are no pair that can be "
            f"read: {error}"
        ) from error
    return tls


def _run_rescuer(chain: Chain) -> int:
    """`keel sequencer --rescue`."""
    from node import rescue_role

    log, rollup, settings = chain.open_log("rescuer"), chain.rollup, rescue_role.RescueSettings(chain.poll_seconds)
    with chain.open_sender() as sender:
        return run_role(lambda: rescue_role.run_rescuer(rollup, sender, settings, log))


def _withdraw_bond(chain: Chain) -> int:
    """`keel sequencer --withdraw-bond`."""
    from node.rollup import ETH
    from node.transactions import require_mined

    rollup = chain.rollup
    with chain.open_sender() as sender:
        try:
            require_mined(sender.send(rollup.withdraw_bond()))
        except CallReverted as error:
            if error.reason != "rollup: pending":
                raise
            raise NodeError("the last batch of this key is not final: its bond answers for it until then") from error
        credit = rollup.view("balance_of", ETH, sender.address)
        require_mined(sender.send(rollup.collect(ETH)))
    print(f"collected {credit / ETHER:g} ether")
    return 0


# follower


def _add_follower_parser(commands: Any) -> None:
    parser = _add_parser(
        commands,
        "follower",
        "re-execute the chain and serve reads",
        """\
Derive the chain from L1, trusting nobody, and answer reads of it as a sequencer's gateway does. With --feed, show what
is not posted yet too: copy a sequencer's log, or another follower's copy, hold it against L1, and feed it onward.

  keel follower --l1 http://127.0.0.1:8545 --rollup 0x... --listen 127.0.0.1:7402
  keel follower ... --feed --gateway 127.0.0.1:7401 --data copy""",
    )
    add_chain_options(parser)
    parser.add_argument("--listen", metavar="HOST:PORT", help="where to serve (default: 127.0.0.1:7402)")
    parser.add_argument("--feed", action="store_true", help="copy the feed of a gateway")
    add_gateway_options(parser, "whose feed is copied: the sequencer's gateway, or a follower's")
    parser.add_argument("--data", metavar="FOLDER", type=Path, help="where the copy lies (default: feed, in the data)")
    parser.add_argument("--metrics-port", metavar="PORT", type=int, help="serve Prometheus on 127.0.0.1")
    parser.set_defaults(run=run_follower)


def run_follower(arguments: argparse.Namespace) -> int:
    """`keel follower`."""
    from node import follower_role

    chain = Chain(arguments)
    host, port = (
        ("127.0.0.1", 7402) if chain.config is None else (chain.config.follower.host, chain.config.follower.port)
    )
    if arguments.listen:
        host, port = parse_host_port(arguments.listen, "--listen")
    feed = chain.require_gateway() if arguments.feed else None
    data = arguments.data or (chain.config.data / "feed" if chain.config else None)
    if feed is not None and data is None:
        raise ConfigError("--feed: the copy needs a folder; name one with --data")
    settings = follower_role.FollowerSettings(host, port, chain.poll_seconds, feed, data)
    rollup, log, metrics_port = chain.rollup, chain.open_log("follower"), _get_metrics_port(chain)
    with ExitStack() as stack:

        def start_metrics(_: int, follower: follower_role.Follower) -> None:
            sources = {"follower": follower.counters, "gateway": follower.gateway.counters}
            if follower.copy is not None:
                sources["feed"] = follower.copy.feed.counters
            stack.enter_context(_serve_metrics(metrics_port, **sources))

        kept = chain.open_checkpoint("follower", stack)
        return run_role(
            lambda: follower_role.run_follower(rollup, settings, log, checkpoint=kept, on_start=start_metrics)
        )


# watchtower


def _add_watchtower_parser(commands: Any) -> None:
    parser = _add_parser(
        commands,
        "watchtower",
        "convict every wrong root",
        """\
Re-execute every batch from L1 data alone and convict the first wrong step: half of the liar's bond is the reward. Needs
an L1 endpoint, the rollup's address and a key with ether for one proof; nothing else, and no permission.

  keel watchtower --l1 http://127.0.0.1:8545 --rollup 0x... --key tower.json
  keel watchtower ... --self-test       only show that the judge would convict a wrong step, and exit
  keel watchtower ... --receipts FOLDER hold receipts against the chain too, and slash whoever broke his word; FOLDER
                                        has files that `keel wallet ... --receipts FILE` filled, and may grow
  keel watchtower ... --end             end a rollup to which no batch or price comes any more; register all who owe""",
    )
    add_chain_options(parser)
    add_key_option(parser)
    parser.add_argument("--self-test", action="store_true", help="dry-run a proof of a wrong step, and exit")
    parser.add_argument("--receipts", metavar="PATH", type=Path, help="a file of receipts, or a folder of such files")
    parser.add_argument("--end", action="store_true", help="end a dead rollup, and register its debtors")
    parser.add_argument("--delay", metavar="SECONDS", type=float, help="leave a conviction to others for so long")
    parser.add_argument("--metrics-port", metavar="PORT", type=int, help="serve Prometheus on 127.0.0.1")
    parser.set_defaults(run=run_watchtower)


def run_watchtower(arguments: argparse.Namespace) -> int:
    """`keel watchtower`."""
    from node import watchtower_role

    chain = Chain(arguments)
    delay = arguments.delay
    if delay is None:
        delay = chain.config.watchtower.delay_seconds if chain.config else 0.0
    metrics_port = _get_metrics_port(chain)
    settings = watchtower_role.WatchtowerSettings(chain.poll_seconds, delay, arguments.receipts, arguments.end)
    if arguments.receipts is not None and not arguments.receipts.exists():
        raise ConfigError(f"--receipts: there is no {arguments.receipts}; name a file or a folder that exists")
    log, rollup = chain.open_log("watchtower"), chain.rollup
    with chain.open_sender() as sender, ExitStack() as stack:
        if arguments.self_test:
            tower = watchtower_role.Watchtower(rollup, sender, settings, log)
            tower.check_funds()
            print(tower.self_test())
            return 0

        def start_metrics(tower: watchtower_role.Watchtower) -> None:
            receipts = {} if tower.receipts is None else {"receipts": tower.receipts.counters}
            stack.enter_context(
                _serve_metrics(metrics_port, watchtower=tower.counters, l1=rollup.l1.counters, **receipts)
            )

        kept = chain.open_checkpoint("watchtower", stack)
        return run_role(
            lambda: watchtower_role.run_watchtower(
                rollup, sender, settings, log, checkpoint=kept, on_start=start_metrics
            )
        )


# oracle


def _add_oracle_parser(commands: Any) -> None:
    parser = _add_parser(
        commands,
        "oracle",
        "sign prices and publish them",
        """\
Read lines of JSON from standard input, in quote units a lot, and publish each symbol's latest price when it has moved
enough or its last reading grows old:

  {"symbol": "BTC", "spot": 17000000, "mark": 17010000}

With --through-l1-after SECONDS, the latest of a reading that no batch has brought for so long is relayed through L1,
where the sequencer must take it: for a message's fee and gas each time. Give a sequencer longer than it takes to post.

  my-price-source | keel oracle --config exchange
  my-price-source | keel oracle --config exchange --through-l1-after 600 --l1-key keys/relay.json""",
    )
    add_chain_options(parser)
    add_gateway_options(parser)
    parser.add_argument("--key", metavar="FILE", type=Path, action="append", help="an oracle key; may be repeated")
    parser.add_argument(
        "--through-l1-after", metavar="SECONDS", type=_parse_seconds, help="relay what batches lack for so long"
    )
    parser.add_argument("--l1-key", metavar="FILE", type=Path, help="key file of the L1 account that pays for relays")
    parser.set_defaults(run=run_oracle)


def run_oracle(arguments: argparse.Namespace) -> int:
    """`keel oracle`."""
    from node import oracle_relay, oracle_role

    chain = Chain(arguments)
    config, seconds, paying = chain.require_config(), arguments.through_l1_after, arguments.l1_key
    if (seconds is None) != (paying is None):
        raise ConfigError("--through-l1-after SECONDS relays, and --l1-key FILE pays for it: give both, or neither")
    host, port, tls = chain.require_gateway()
    settings = oracle_role.OracleSettings(
        host, port, config.oracle.heartbeat_seconds, config.oracle.deviation_ppm, tls=tls
    )
    keys = [load_ethereum_key(path) for path in arguments.key or config.keys.oracle]
    log = chain.open_log("oracle")
    oracle = oracle_role.OracleNode(chain.rollup.get_domain(), keys, settings, log)
    with ExitStack() as stack:
        relay: oracle_relay.ReadingRelay | None = None
        if paying is not None:
            sender, patience = stack.enter_context(chain.open_sender(path=paying)), oracle_relay.Patience(seconds)
            checkpoint = chain.open_checkpoint("oracle", stack)
            relay = oracle_relay.ReadingRelay(
                chain.rollup, sender, keys, oracle.sources, oracle.surfaces, settings, patience, log, checkpoint
            )

        async def run() -> None:
            async with trio.lowlevel.FdStream(os.dup(0)) as source, trio.open_nursery() as nursery:
                if relay is not None:
                    nursery.start_soon(relay.run, chain.poll_seconds)
                await oracle.run(oracle_role.read_lines(source))

        return run_role(run)


def _parse_seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} will not do; write a number of seconds above 0, as in 600")
    return seconds


# status


def _add_status_parser(commands: Any) -> None:
    parser = _add_parser(
        commands,
        "status",
        "what stands where",
        """\
What the L1 says of a rollup, and what its sequencer says of itself.

  keel status --config exchange
  keel status --l1 http://127.0.0.1:8545 --rollup 0x... --gateway 127.0.0.1:7401""",
    )
    add_chain_options(parser)
    add_gateway_options(parser, "ask this node too")
    parser.set_defaults(run=run_status)


def run_status(arguments: argparse.Namespace) -> int:
    """`keel status`."""
    chain = Chain(arguments)
    for name, value in _read_l1_status(chain).items():
        print(f"{name:20} {value}")
    gateway = chain.find_gateway()
    if gateway is not None:
        print(f"{'gateway':20} {trio.run(_ask_gateway, gateway)}")
    return 0


def _read_l1_status(chain: Chain) -> dict[str, str]:
    rollup, head, finalized = chain.rollup, chain.l1.get_block(), chain.l1.get_block("finalized")
    terms, holder = rollup.get_terms(), rollup.get_slot_holder()
    tip, final, taken = rollup.view("tip"), rollup.view("final_index"), 0
    batch = rollup.get_batch(tip)
    if batch is not None:
        taken = batch.inbox_cursor
    ended = rollup.view("wound_down_at")
    return {
        **({"ended": f"at L1 time {ended}: be paid with `keel wallet exit`"} if ended else {}),
        "chain": f"{chain.l1.get_chain_id()}, block {head.number}, finalized {finalized.number}",
        "rollup": format_address(rollup.address),
        "batches": f"{tip} posted, {final} final; final after {terms.challenge_window} s",
        "generation": str(rollup.view("generation")),
        "slot": "open" if holder is None else f"{format_address(holder)}{_describe_holder(chain, holder)}",
        "inbox": f"{rollup.view('inbox_count')} messages, {taken} taken",
        "parameters": describe_coming(chain),
        "message fee": f"{terms.message_fee / ETHER:g} ether",
    }


def _describe_holder(chain: Chain, holder: bytes) -> str:
    bond = chain.rollup.view("bond_of", holder)
    silent = ", silent: anyone may evict it" if chain.rollup.view("is_silent") else ""
    return f", bond {bond / ETHER:g} ether{silent}"


async def _ask_gateway(gateway: GatewayAddress) -> str:
    host, port, _ = gateway
    answer: Value = None
    reason: Exception | None = None
    try:
        async with open_client(*gateway) as client:
            answer = await client.call("status")
    except* GatewayUnreachable as group:
        reason = group.exceptions[0]
    if reason is not None:
        return f"nobody answers at {host}:{port}: {reason}"
    if not isinstance(answer, list) or not answer:
        return f"{host}:{port} answers something else than a Keel node"
    names = {
        "sequencer": ("generation", "log position", "time", "cancel-only until", "sealed", "posted", "final"),
        "follower": ("posted", "final", "root", "wrong batch", "feed's generation", "shown up to position", "alarms"),
    }.get(str(answer[0]), ())
    shown = [value.hex()[:16] if isinstance(value, bytes) else str(value) for value in answer[1:]]
    claims = ", ".join(f"{name} {value}" for name, value in zip(names, shown, strict=False))
    return f"{answer[0]!s} at {host}:{port}: {claims}"


# Metrics


def _get_metrics_port(chain: Chain) -> int:
    """As named on the command line, else as configured; 0 for none."""
    named: int | None = chain.arguments.metrics_port
    if named is not None:
        return named
    return chain.config.metrics_port if chain.config else 0


@contextmanager
def _serve_metrics(port: int, **sources: object) -> Iterator[None]:
    """On a port of 127.0.0.1 for the length of a `with` block; 0 serves none."""
    if port == 0:
        yield
        return
    from node.metrics import serve_metrics

    with serve_metrics(port, sources):
        yield
