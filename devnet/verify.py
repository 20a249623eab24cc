"""`keel drill verify`: every row of a drill's record, recomputed from the L1 state that the drill left.

A fresh L1 loads the state and nothing else; what its blocks say, and what re-execution of its batches finds, must be
what the record says.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from devnet.evidence import Request, derive_grounds, read_convictions, read_refusal
from devnet.lies import VARIETIES
from node.anvil import run_anvil
from node.deploy import read_deployment
from node.errors import ConfigError
from node.l1 import L1
from node.rollup import Rollup

ROW = ("transactions", "transaction", "gas", "calldata_bytes", "seconds")
"""What a row of `lies` says beside its variety; a row of `refused` has a reason instead of transactions and seconds."""

STATE, RECORD, DEPLOYMENT = "l1-state.json", "drill.json", "deployment.json"


def run(folder: str) -> int:
    """Verify and tell; 0 when every row holds."""
    path = Path(folder)
    record = read_record(path / RECORD)
    wrong = verify(path)
    for sentence in wrong:
        print(f"wrong: {sentence}")
    lies, refused = len(record["lies"]), len(record["refused"])
    print(f"{lies} convictions and {refused} refusals recomputed from {path / STATE}: {len(wrong)} do not hold")
    return 1 if wrong else 0


def read_record(file: Path) -> dict[str, Any]:
    """A drill's record. Raises ConfigError."""
    try:
        record = json.loads(file.read_text())
        lies, refused = record["lies"], record["refused"]
    except FileNotFoundError as error:
        raise ConfigError(f"no {file}: run `make devnet UNTIL=drill` first, or name its folder") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{file} is not the record of a drill ({error}); run the drill again") from error
    return {"lies": list(lies), "refused": list(refused)}


def verify(folder: Path) -> list[str]:
    """A sentence for every row that does not hold, and for every conviction that no row tells of."""
    record, deployment = read_record(folder / RECORD), read_deployment(folder / DEPLOYMENT)
    if not (folder / STATE).exists():
        raise ConfigError(f"no {folder / STATE}: run `make devnet UNTIL=drill` first, or name its folder")
    with run_anvil(arguments=[f"--load-state={folder / STATE}"]) as l1:
        rollup = Rollup(L1([l1.url]), deployment.address)
        lies = _check_lies(record["lies"], l1.request, deployment.rollup, rollup)
        return [*lies, *_check_refused(record["refused"], l1.request)]


def _check_lies(rows: list[dict[str, Any]], request: Request, address: str, rollup: Rollup) -> Iterator[str]:
    convictions, grounds = read_convictions(request, address), derive_grounds(rollup)
    if len(convictions) != len(grounds) or len(convictions) != len(rows):
        yield f"{len(rows)} rows, {len(convictions)} convictions and {len(grounds)} wrong batches must be as many"
        return
    for row, conviction, ground in zip(rows, convictions, grounds, strict=True):
        found = asdict(conviction)
        for name in ROW:
            if row.get(name) != found[name]:
                yield f"{row.get('variety')}: {name} is {row.get(name)!r} in the record and {found[name]!r} on the L1"
        if conviction.transactions != 1:
            yield f"{row.get('variety')}: it took {conviction.transactions} transactions"
        variety = VARIETIES.get(row.get("variety", ""))
        if variety is not None and variety.ground != ground:
            yield f"{row['variety']}: convicted on {ground}, and not on {variety.ground}"


def _check_refused(rows: list[dict[str, Any]], request: Request) -> Iterator[str]:
    for row in rows:
        refusal = read_refusal(request, row["transaction"])
        if refusal is None:
            yield f"{row.get('variety')}: {row['transaction']} is no failed transaction of this L1"
        elif (row.get("gas"), row.get("calldata_bytes")) != (refusal.gas, refusal.calldata_bytes):
            yield f"{row.get('variety')}: gas or calldata differ from the L1's {refusal.gas}, {refusal.calldata_bytes}"
        variety = VARIETIES.get(row.get("variety", ""))
        if variety is not None and variety.refusal != row.get("reason"):
            yield f"{row['variety']}: refused for {row.get('reason')!r}, and not for {variety.refusal!r}"
