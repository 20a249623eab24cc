"""What the devnet shows: a picture that is redrawn on a terminal, plain lines where there is none."""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TextIO

CLEAR = "\x1b[H\x1b[2J"
BOLD, DIM, PLAIN = "\x1b[1m", "\x1b[2m", "\x1b[0m"
LINES_KEPT = 12


@dataclass(slots=True)
class Console:
    """Events as they come, and a table of facts. Without a terminal events are lines, and facts are told at times."""

    stream: TextIO = field(default_factory=lambda: sys.stdout)
    facts_seconds: float = 15.0
    started: float = field(default_factory=time.monotonic)
    _events: list[str] = field(default_factory=list)
    _facts_at: float = field(default=0.0)

    @property
    def is_terminal(self) -> bool:
        """Whether what is shown can be drawn over."""
        return self.stream.isatty()

    def say(self, text: str) -> None:
        """Something happened."""
        line = f"{self._clock} {text}"
        self._events = [*self._events[1 - LINES_KEPT :], line]
        if not self.is_terminal:
            self._print(line + "\n")

    def show(self, facts: Sequence[tuple[str, str]]) -> None:
        """How things stand: (name, value) in order."""
        if self.is_terminal:
            self._print(self.draw(facts))
        elif time.monotonic() - self._facts_at >= self.facts_seconds:
            self._facts_at = time.monotonic()
            self._print(f"{self._clock} " + " · ".join(f"{name} {value}" for name, value in facts) + "\n")

    def finish(self, text: str) -> None:
        """The last word, below the picture."""
        self._print(f"{self._clock} {text}\n")

    def draw(self, facts: Sequence[tuple[str, str]]) -> str:
        """The whole picture."""
        width = max((len(name) for name, _ in facts), default=0)
        table = "".join(f"  {BOLD}{name:<{width}}{PLAIN}  {value}\n" for name, value in facts)
        events = "".join(f"  {DIM}{line}{PLAIN}\n" for line in self._events)
        return f"{CLEAR}{BOLD}Keel development network{PLAIN}  {self._clock}  Ctrl-C stops it\n\n{table}\n{events}"

    @property
    def _clock(self) -> str:
        seconds = int(time.monotonic() - self.started)
        return f"{seconds // 60:3d}:{seconds % 60:02d}"

    def _print(self, text: str) -> None:
        self.stream.write(text)
        self.stream.flush()
