"""The `keel` command. It only parses and reports: what a command does is in *_commands.py.

Every failure that a person can put right is one sentence on standard error and exit status 1; a wrong command line is
2; a signal is 128 and its number. A traceback is a defect.
"""

import argparse
import importlib
import importlib.util
import sys
from collections.abc import Iterator, Sequence

from node import audit_command, feed_commands, governor_commands, role_commands, wallet_commands
from node.client import GatewayUnreachable
from node.errors import NodeError
from node.gateway import MethodError
from sequencer.oplog import Fenced
from state.leaves import LeafError
from state.signatures import WrongLibrary
from state.store import StoreError

DESCRIPTION = """\
Keel is an optimistic-rollup app-chain node for derivatives. A folder holds one configuration:

  keel init exchange                    write a configuration, terms and keys
  keel deploy --config exchange         put the contracts on the L1 that it names
  keel sequencer --config exchange      run the exchange
  keel watchtower --l1 URL --rollup ADDRESS --key FILE
                                        convict every wrong root; needs no folder
  keel sequencer --rescue --l1 URL --rollup ADDRESS --key FILE
                                        take what users ask through L1 while nobody sequences
  keel wallet --help                    deposit, trade, withdraw, claim
  keel audit-matching --config exchange
                                        whether orders were matched by price and time
  keel status --config exchange         what stands where

Commands take --config FOLDER; in a folder with a keel.toml it can be left out."""


def build_parser() -> argparse.ArgumentParser:
    """The whole command line; each leaf has `run`, a function from its arguments to an exit status."""
    parser = argparse.ArgumentParser(
        prog="keel", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    role_commands.add_parsers(commands)
    wallet_commands.add_parser(commands)
    feed_commands.add_parser(commands)
    audit_command.add_parser(commands)
    governor_commands.add_parser(commands)
    _add_drill_parser(commands)
    if importlib.util.find_spec("node.risk_commands") is not None:
        importlib.import_module("node.risk_commands").add_risk_parser(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and answer its exit status."""
    parsed = build_parser().parse_args(arguments)
    try:
        status: int = parsed.run(parsed)
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        sentence = explain(error)
        if sentence is None:
            raise
        print(f"keel: {sentence}", file=sys.stderr)
        return 1
    return status


def explain(error: BaseException) -> str | None:
    """One sentence for an error that a person can put right; None for a defect."""
    sentences = [_explain_one(leaf) for leaf in _list_leaves(error)]
    known = [sentence for sentence in sentences if sentence is not None]
    return known[0] if known and len(known) == len(sentences) else None


def _explain_one(error: BaseException) -> str | None:
    match error:
        case MethodError():
            return f"the node refuses: {error.text} (code {error.code})"
        case NodeError() | StoreError() | Fenced() | GatewayUnreachable() | WrongLibrary():
            return str(error)
        case LeafError():
            return f"the chain holds what this release cannot read ({error}): use the release that deployed it"
        case OSError():
            where = f": {error.filename}" if error.filename else ""
            return f"{error.strerror or error}{where}"
    return None


def _list_leaves(error: BaseException) -> Iterator[BaseException]:
    """Tasks that ran side by side may fail side by side."""
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            yield from _list_leaves(part)
    else:
        yield error


def _add_drill_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    drill = commands.add_parser("drill", help="check the record of a drill on a development network")
    verbs = drill.add_subparsers(metavar="VERB", required=True)
    verify = verbs.add_parser(
        "verify",
        help="recompute every row of a drill",
        description="Load the L1 state that `make devnet UNTIL=drill` left, and recompute every row of its drill.json "
        "on a fresh L1.",
    )
    verify.add_argument("folder", nargs="?", default="devnet/run", help="what the drill left (default: devnet/run)")
    verify.set_defaults(run=_run_drill_verify)


def _run_drill_verify(arguments: argparse.Namespace) -> int:
    # The development network stands on this package, which therefore may not know it before somebody asks for it.
    try:
        verify = importlib.import_module("devnet.verify")
    except ModuleNotFoundError as error:
        raise NodeError("this installation has no development network: run from the project's folder") from error
    status: int = verify.run(arguments.folder)
    return status


if __name__ == "__main__":
    sys.exit(main())
