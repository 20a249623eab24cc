"""Reading TOML strictly: every value has a type and bounds, and every error names the key and what to write instead."""

import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from node.errors import ConfigError
from node.keys import parse_address


def read_toml(path: Path, how_to_make: str) -> "Table":
    """The top table of a file. Raises ConfigError; `how_to_make` is the advice when there is no such file."""
    try:
        with path.open("rb") as file:
            return Table(tomllib.load(file), str(path), "")
    except FileNotFoundError as error:
        raise ConfigError(f"no {path}: {how_to_make}") from error
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error


class Table:
    """One table; a value is taken once, and `finish` refuses what nobody took."""

    def __init__(self, values: dict[str, Any], file: str, name: str) -> None:
        self._values = dict(values)
        self._known: list[str] = []
        self._file = file
        self._name = name

    def refuse(self, key: str, advice: str) -> ConfigError:
        """The error for a key; `advice` says what to write."""
        return ConfigError(f"{self._file}: {self._name}{key}: {advice}")

    def take_integer(self, key: str, low: int, high: int, default: int | None = None) -> int:
        """An integer from `low` to `high`; without a default it must be there."""
        value = self._take(key, default, f"write an integer from {low} to {high}")
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise self.refuse(key, f"{value!r} will not do; write an integer from {low} to {high}")
        return value

    def take_seconds(self, key: str, low: float, high: float, default: float) -> float:
        """Seconds, not necessarily whole."""
        value = self._take(key, default, "")
        if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
            raise self.refuse(key, f"{value!r} will not do; write seconds from {low:g} to {high:g}")
        return float(value)

    def take_text(self, key: str, default: str | None = None) -> str:
        """A text that is not empty."""
        value = self._take(key, default, 'write a text, as in "text"')
        if not isinstance(value, str) or not value:
            raise self.refuse(key, f'{value!r} will not do; write a text, as in "text"')
        return value

    def take_path(self, key: str, folder: Path) -> Path | None:
        """A file's path, relative to `folder`; None when the key is absent."""
        if key not in self._values:
            self._known.append(key)
            return None
        return folder / self.take_text(key)

    def take_choice(self, key: str, choices: Sequence[str], default: str) -> str:
        """One of a few words."""
        value = self._take(key, default, "")
        if value not in choices:
            raise self.refuse(key, f"{value!r} will not do; write one of {', '.join(choices)}")
        return str(value)

    def take_texts(self, key: str, default: Sequence[str] | None = None) -> list[str]:
        """A list of texts; at least one, unless the default is none."""
        value = self._take(key, None if default is None else list(default), 'write a list, as in ["one", "two"]')
        is_empty = not value and default != []
        if not isinstance(value, list) or is_empty or not all(isinstance(one, str) and one for one in value):
            raise self.refuse(key, f'{value!r} will not do; write a list, as in ["one", "two"]')
        return value

    def take_address(self, key: str) -> bytes | None:
        """An address; None when the key is absent."""
        self._known.append(key)
        value = self._values.pop(key, None)
        return None if value is None else self.parse_address(key, str(value))

    def parse_address(self, key: str, text: str) -> bytes:
        """A text taken under this key as an address."""
        return parse_address(text, f"{self._file}: {self._name}{key}")

    def take_table(self, key: str, *, is_required: bool = False) -> "Table":
        """A table within this one; one that is absent is empty, unless it is required."""
        value = self._take(key, None if is_required else {}, f"write a table [{self._name}{key}]")
        if not isinstance(value, dict):
            raise self.refuse(key, f"write a table [{self._name}{key}]")
        return Table(value, self._file, f"{self._name}{key}.")

    def take_tables(self, key: str) -> list["Table"]:
        """A list of tables, at least one."""
        value = self._take(key, None, f"write one or more tables [[{key}]]")
        if not isinstance(value, list) or not value or not all(isinstance(one, dict) for one in value):
            raise self.refuse(key, f"write one or more tables [[{key}]]")
        return [Table(one, self._file, f"{self._name}{key}[{number}].") for number, one in enumerate(value)]

    def take_leaves(self) -> Iterator[tuple[str, Any]]:
        """Whatever nobody took, in the tables within this one too: each value with its path."""
        pending = list(self._values.items())
        self._values.clear()
        while pending:
            path, value = pending.pop(0)
            if isinstance(value, dict):
                pending[:0] = [(f"{path}.{key}", inner) for key, inner in value.items()]
            else:
                yield path, value

    def finish(self) -> None:
        """Nothing may be left: a misspelt key would be a default that nobody sees. Raises ConfigError."""
        for key in self._values:
            raise self.refuse(key, f"unknown key; known here: {', '.join(self._known)}")

    def _take(self, key: str, default: Any, advice: str) -> Any:
        self._known.append(key)
        value = self._values.pop(key, default)
        if value is None:
            raise self.refuse(key, f"missing; {advice}")
        return value
