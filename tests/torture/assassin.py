"""Kills another process in the middle of a write: of a drawn kind, at a drawn byte of it.

    python -m tests.torture.assassin KIND SKIP PARTS

Says `ready`, reads a process id from its standard input, and lets SKIP calls of the kind (a name of writes.Kind) pass.
Of the next one PARTS millionths of the bytes are written, then the process dies; a call without bytes is made before
it or not, by the half. Prints one line of JSON about what it did, or ends with status 1 when the process ended first.
"""

import json
import sys

from tests.torture.ptrace import Call, Tracer
from tests.torture.writes import Classifier, Kind

MILLION = 1_000_000


def strike(tracer: Tracer, call: Call, parts: int) -> int:
    """Kill at that part of a call; how many of its bytes were written, or 1 when a call without bytes was made."""
    if call.data:
        byte_count = len(call.data) * parts // MILLION
        tracer.kill_within(call, byte_count)
        return byte_count
    is_made = parts * 2 >= MILLION
    if is_made:
        tracer.finish(call)
    tracer.kill()
    return int(is_made)


def run(kind: Kind, skip: int, parts: int) -> int:
    """Wait for the process id, then for the moment."""
    print("ready", flush=True)
    tracer, classifier = Tracer(int(sys.stdin.readline())), Classifier()
    tracer.seize()
    for call in tracer.list_calls():
        if classifier.classify(call) is not kind:
            continue
        if skip:
            skip -= 1
            continue
        done = strike(tracer, call, parts)
        print(json.dumps({"call": call.name, "path": call.path, "written": done, "of": len(call.data)}), flush=True)
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(run(Kind[sys.argv[1]], int(sys.argv[2]), int(sys.argv[3])))
