"""Structured logs: one event a line, to standard error; `key=value` for people, JSON for machines.

    log = Log("watchtower")
    log.info("convicted", index=7, gas=2_100_000)
    # 2026-01-02T03:04:05.678Z info watchtower convicted index=7 gas=2100000

Bytes are written as hexadecimal, so that a hash in a log can be searched for.
"""

import json
import sys
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TextIO

_WRITING = threading.Lock()


@dataclass(frozen=True, slots=True)
class Log:
    """Where one role's events go. Safe from several threads: a line is written whole."""

    role: str
    is_json: bool = False
    stream: TextIO = field(default_factory=lambda: sys.stderr)

    def info(self, event: str, **fields: Any) -> None:
        """Something happened as it should."""
        self._write("info", event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        """Something happened that may need somebody's eye."""
        self._write("warning", event, fields)

    def error(self, event: str, **fields: Any) -> None:
        """Something happened that needs somebody's hand."""
        self._write("error", event, fields)

    def _write(self, level: str, event: str, fields: dict[str, Any]) -> None:
        time = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        plain = {name: _to_plain(value) for name, value in fields.items()}
        if self.is_json:
            # Events may have a field of any name but these four.
            line = json.dumps(plain | {"time": time, "level": level, "node": self.role, "event": event})
        else:
            pairs = "".join(f" {name}={_quote(value)}" for name, value in plain.items())
            line = f"{time} {level} {self.role} {event}{pairs}"
        with _WRITING:
            print(line, file=self.stream, flush=True)


def _to_plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return "0x" + value.hex()
    return value if isinstance(value, int | float | str | None) else str(value)


def _quote(value: Any) -> str:
    text = "-" if value is None else str(value)
    is_plain = text.isprintable() and not any(c in ' "=' for c in text)
    return text if text and is_plain else json.dumps(text)
