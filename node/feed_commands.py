"""`keel audit-matching`: whether a sequencer has matched by price and time, from its feed and L1."""

import argparse
from typing import Any

import trio

from node.command_options import Chain, add_chain_options, add_gateway_options


def add_parser(commands: Any) -> None:
    """`keel audit-matching`."""
    parser = commands.add_parser(
        "audit-matching",
        help="replay a sequencer's matching from its feed",
        description="""\
Replay every order and cancel that a sequencer has accepted in a generation, from a feed of its log and the state that
L1 gives, and hold what was done against price-time priority. Prints the first departure, what was done there and what
should have been done, and exits with 1; with 0 when the log is as it should be, and is the one that L1 commits to.

  keel audit-matching --l1 http://127.0.0.1:8545 --rollup 0x... --gateway 127.0.0.1:7401""",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_chain_options(parser)
    add_gateway_options(parser, "whose feed is audited: the sequencer's gateway, or a follower's")
    parser.add_argument("--generation", metavar="N", type=int, help="which (default: the one that is served now)")
    parser.add_argument("--endless", action="store_true", help="go on with what comes, until a departure")
    parser.set_defaults(run=run_audit_matching)


def run_audit_matching(arguments: argparse.Namespace) -> int:
    """`keel audit-matching`."""
    from node.feed_audit import AuditReport, audit_feed

    chain = Chain(arguments)
    source = chain.require_gateway()

    async def run() -> AuditReport:
        return await audit_feed(
            chain.rollup, source, arguments.generation, is_endless=arguments.endless, poll_seconds=chain.poll_seconds
        )

    report = trio.run(run)
    print(report)
    return 0 if report.departure is None else 1
