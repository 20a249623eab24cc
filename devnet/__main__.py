"""`make devnet`: an L1, the contracts, every role as a process, and traders on the prices of a real crash.

python -m devnet                          until Ctrl-C
python -m devnet --until drill            without a person: milestones, every lie, status 0 if all of it went well
python -m devnet --until drill --lies F   and the bytes that the rows of F say, flipped
"""

import argparse
import fcntl
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import trio

from devnet.console import Console
from devnet.drill import Command, list_commands
from devnet.flips import read_flips
from devnet.network import build_network
from devnet.play import TRADERS, Play
from devnet.verify import STATE
from node.anvil import open_anvil
from node.cli import explain
from node.errors import ConfigError
from node.l1 import in_thread

FOLDER = Path(__file__).parent / "run"
MARK = "made-by-devnet"


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m devnet", description="A whole Keel network on this machine.")
    parser.add_argument("--until", choices=["drill"], help="run without a person, to the end of the drill")
    parser.add_argument(
        "--lies", type=Path, metavar="FILE", help='rows {"step": n, "offset": n, "xor": n} for the drill'
    )
    parser.add_argument(
        "--only", metavar="NAME", action="append", help="of the drill's varieties, this one; repeatable"
    )
    parser.add_argument("--speed", type=float, default=60, help="seconds of the crash a second (default: 60)")
    parser.add_argument("--block-time", type=int, default=2, metavar="SECONDS", help="of the L1 (default: 2)")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where everything lies (default: devnet/run)")
    parsed = parser.parse_args(arguments)
    if (parsed.lies or parsed.only) and parsed.until != "drill":
        parser.error("--lies and --only are for the drill: give --until drill too")
    return parsed


def choose_commands(arguments: argparse.Namespace) -> list[Command]:
    """The lies of the drill. Raises BadRow."""
    commands = list_commands(read_flips(arguments.lies) if arguments.lies else [])
    if arguments.only:
        commands = [command for command in commands if command.variety is None or command.name in arguments.only]
    return commands


async def run(arguments: argparse.Namespace, commands: list[Command]) -> int:
    """Everything, until the drill is over or a signal comes; then all that was started is stopped."""
    console, folder = Console(), arguments.folder.resolve()
    # Without a goal a person's signal is the end that was meant.
    status = 1 if arguments.until else 0
    async with trio.open_nursery() as outer:
        outer.start_soon(wait_for_signal, outer.cancel_scope)
        async with open_anvil(state_file=folder / STATE, log=folder / "anvil.log") as anvil:
            console.say(f"L1 at {anvil.url}; compiling and deploying")
            network = await in_thread(build_network, folder, anvil, TRADERS)
            await in_thread(anvil.request, "evm_setIntervalMining", arguments.block_time)
            console.say(f"rollup at {network.deployment.rollup}; a block every {arguments.block_time} s from now on")
            async with AsyncExitStack() as stack, trio.open_nursery() as nursery:
                nursery.start_soon(anvil.watch)
                play = Play(network, console, arguments.speed, arguments.block_time)
                await play.start(stack, nursery)
                await play.reach_milestones()
                if arguments.until is None:
                    await trio.sleep_forever()
                await play.run_drill(commands)
                status = 0
                nursery.cancel_scope.cancel()
        outer.cancel_scope.cancel()
    console.finish("everything is stopped" if status == 0 else "stopped before the drill was over")
    return status


async def wait_for_signal(scope: trio.CancelScope) -> None:
    """Cancel when somebody wants an end."""
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            scope.cancel()


def main() -> int:
    """Run, and tell in a sentence what went wrong."""
    arguments = parse_arguments()
    try:
        commands = choose_commands(arguments)
        with open_folder(arguments.folder):
            return trio.run(run, arguments, commands)
    except Exception as error:
        sentence = explain(error)
        if sentence is None:
            raise
        print(f"devnet: {sentence}", file=sys.stderr)
        return 1


@contextmanager
def open_folder(folder: Path) -> Iterator[None]:
    """Hold the folder, empty: nothing of an earlier run counts for this one. Raises ConfigError for another's."""
    mark = folder / MARK
    if folder.exists() and any(folder.iterdir()) and not mark.exists():
        raise ConfigError(f"{folder} is not empty and no earlier run's: name another folder")
    folder.mkdir(parents=True, exist_ok=True)
    with mark.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(f"a development network runs in {folder}: stop it, or name another folder") from error
        file.write("The development network empties this folder when it starts.\n")
        for path in folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path != mark:
                path.unlink()
        yield


if __name__ == "__main__":
    sys.exit(main())
