"""`keel governor`: which parameters are active, which come and when; and for whoever has the key, to propose others."""

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from node.command_options import Chain, add_chain_options, add_key_option
from node.keys import format_address, parse_address

if TYPE_CHECKING:
    from node.governance import Governance
    from node.l1 import Call
    from state.proposals import Version

DESCRIPTION = """\
Parameters change by a governor's proposal alone, a month and more after it was sent, and within what
contracts/README.md calls fences. Where a rollup has no governor they never change.

  keel governor show --config exchange                  what is active, what comes, and when
  keel governor propose changes.toml --key governor.json
  keel governor hand-over 0x... --key governor.json     name an heir
  keel governor take-over --key heir.json
  keel governor renounce --key governor.json            burn the key

A file of changes names fields as `show --all` does:

  [params]
  taker_fee_ppm = 600
  [rules.tiers.1]
  minimum_equity = 900_000_000_000"""


def add_parser(commands: Any) -> None:
    """`keel governor` and its verbs."""
    parser = commands.add_parser(
        "governor",
        help="which parameters come and when; propose others",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    show = _add_verb(verbs, "show", "what is active, what comes, when, and what it changes", run_show)
    show.add_argument("--all", action="store_true", help="every field of the active version too")
    propose = _add_verb(verbs, "propose", "send the next version", run_propose)
    propose.add_argument("changes", type=Path, metavar="FILE", help="a TOML file of the fields that change")
    propose.add_argument("--days", type=int, default=0, metavar="N", help="so many days after the notice (default: 0)")
    hand_over = _add_verb(verbs, "hand-over", "name who may take the key over", run_hand_over)
    hand_over.add_argument("heir", metavar="ADDRESS")
    _add_verb(verbs, "take-over", "become the governor, if you were named", run_take_over)
    _add_verb(verbs, "renounce", "burn the key: nothing changes any more", run_renounce)


def _add_verb(verbs: Any, name: str, summary: str, run: Any) -> Any:
    parser = verbs.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
    add_chain_options(parser)
    add_key_option(parser)
    parser.set_defaults(run=run)
    return parser


def run_show(arguments: argparse.Namespace) -> int:
    """`keel governor show`."""
    from node.governance import Governance, list_version_fields
    from state.proposals import decode_version

    governance = Governance(Chain(arguments).rollup)
    standing, holder = governance.read(), governance.get_governor()
    print(f"governor   {'nobody: the key is burned' if holder is None else format_address(holder)}")
    print(f"notice     {governance.view('NOTICE')} s")
    print(f"active     version {standing.active.number}")
    if arguments.all:
        for path, value in list_version_fields(standing.active.version).items():
            print(f"  {path} = {value}")
    if standing.waiting is not None:
        _show_coming("waiting", standing.active.version, standing.waiting.number, standing.waiting.version)
    for proposal in standing.sent:
        version = decode_version(proposal.params, proposal.rules)
        assert version is not None, "the governor's contract lets nothing else pass"
        _show_coming("in the inbox", standing.active.version, proposal.version, version)
    if standing.waiting is None and not standing.sent:
        print("coming     nothing")
    return 0


def _show_coming(where: str, active: "Version", number: int, version: "Version") -> None:
    from node.governance import list_differences

    print(f"coming     version {number}, {where}, from {format_day(version.params.active_from)}")
    for path, before, after in list_differences(active, version):
        if path != "params.active_from":
            print(f"  {path}: {before} -> {after}")


def run_propose(arguments: argparse.Namespace) -> int:
    """`keel governor propose`."""
    from node.governance import Governance, change_fields, read_changes

    chain = Chain(arguments)
    governance = Governance(chain.rollup)
    standing = governance.read()
    version = change_fields(standing.active.version, read_changes(arguments.changes))
    proposal = governance.draft(standing, version, arguments.days)
    _send(chain, governance.propose(standing, proposal))
    print(f"proposed version {proposal.version}; the sequencer takes it from the inbox, then it waits for its day:")
    print("  keel governor show")
    return 0


def run_hand_over(arguments: argparse.Namespace) -> int:
    """`keel governor hand-over`."""
    chain, governance = _open(arguments)
    _send(chain, governance.hand_over(parse_address(arguments.heir, "ADDRESS")))
    print("named; the key is handed over when the heir says `keel governor take-over`")
    return 0


def run_take_over(arguments: argparse.Namespace) -> int:
    """`keel governor take-over`."""
    chain, governance = _open(arguments)
    _send(chain, governance.take_over())
    print("you are the governor")
    return 0


def run_renounce(arguments: argparse.Namespace) -> int:
    """`keel governor renounce`."""
    chain, governance = _open(arguments)
    _send(chain, governance.renounce())
    print("renounced: what is active, or waits, stays for ever")
    return 0


def _open(arguments: argparse.Namespace) -> "tuple[Chain, Governance]":
    from node.governance import Governance

    chain = Chain(arguments)
    return chain, Governance(chain.rollup)


def _send(chain: Chain, call: "Call") -> None:
    from node.transactions import require_mined

    with chain.open_sender() as sender:
        require_mined(sender.send(call))


def format_day(seconds: int) -> str:
    """A time of the chain, for people."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def describe_coming(chain: Chain) -> str:
    """One line for `keel status`: whether parameters are about to change, by the log of the governor's contract."""
    from node.governance import Governance

    if chain.rollup.get_governor() is None:
        return "fixed for ever: there is no governor"
    coming = Governance(chain.rollup).find_coming()
    if coming is None:
        return "no other version is coming"
    return f"version {coming.number} from {format_day(coming.active_from)}: see `keel governor show`"
