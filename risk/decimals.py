"""From JSON text to the kernel's integers: exact decimals, rounded once, or a numbered refusal that names the field.

Advisory: what people type and files hold comes in here; nothing that reaches a root does.
"""

import json
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal, DecimalException
from typing import Any

from risk.bounds import Refusal, RiskCode
from risk.fixed_point import ONE_Q38

EXPONENT_MAX = 40
"""No number above 10^41 is ever meant, and converting one could take any amount of memory."""


class Refused(Exception):
    """A document does not say what it must; `refusal` has the code and the field."""

    def __init__(self, code: RiskCode, field: str) -> None:
        super().__init__(f"{code} {code.name}: {field}")
        self.refusal = Refusal(code, field)


class NotFinite:
    """Stands for a NaN or an infinity until somebody asks for the field that holds it."""


NESTING_MAX = 64
"""No document here goes deeper. The parser's own bound is the process's, which a library may have raised too far."""

_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*"|([\[{])|([\]}])')


def is_nested_too_deeply(text: str) -> bool:
    """Whether brackets outside of strings ever stand deeper than NESTING_MAX."""
    depth = 0
    for token in _BRACKETS.finditer(text):
        depth += bool(token[1]) - bool(token[2])
        if depth > NESTING_MAX:
            return True
    return False


def parse_json(text: str) -> Any:
    """A document whose numbers are Decimals, and NotFinite where JSON's extensions are."""
    if is_nested_too_deeply(text):
        raise Refused(RiskCode.LINE_NOT_JSON, "")
    try:
        return json.loads(text, parse_float=Decimal, parse_int=Decimal, parse_constant=lambda name: NotFinite())
    except (ValueError, DecimalException):
        raise Refused(RiskCode.LINE_NOT_JSON, "") from None


class Fields:
    """An object of a document, read field by field; `path` is where it stands."""

    def __init__(self, value: Any, path: str = "") -> None:
        if not isinstance(value, Mapping):
            raise Refused(RiskCode.FIELD_MALFORMED, path)
        self._value = value
        self._path = path

    def _name(self, field: str) -> str:
        return f"{self._path}.{field}" if self._path else field

    def __contains__(self, field: str) -> bool:
        return field in self._value

    def any(self, field: str) -> Any:
        """Whatever stands there."""
        if field not in self._value:
            raise Refused(RiskCode.FIELD_MISSING, self._name(field))
        return self._value[field]

    def decimal(self, field: str) -> Decimal:
        """A finite number."""
        return read_decimal(self.any(field), self._name(field))

    def integer(self, field: str, scale: int) -> int:
        """A number times `scale`, to nearest, ties to even."""
        return int((self.decimal(field) * scale).to_integral_value())

    def q38(self, field: str) -> int:
        """A fraction."""
        return self.integer(field, ONE_Q38)

    def text(self, field: str, choices: Sequence[str] = ()) -> str:
        """A string, one of `choices` where there are some."""
        value = self.any(field)
        if not isinstance(value, str) or (choices and value not in choices):
            raise Refused(RiskCode.FIELD_MALFORMED, self._name(field))
        return value

    def object(self, field: str) -> "Fields":
        """A nested object."""
        return Fields(self.any(field), self._name(field))

    def objects(self, field: str) -> list["Fields"]:
        """A list of objects."""
        entries = self.list(field)
        return [Fields(entry, f"{self._name(field)}[{index}]") for index, entry in enumerate(entries)]

    def list(self, field: str) -> Sequence[Any]:
        """A list of anything."""
        value = self.any(field)
        if not isinstance(value, list):
            raise Refused(RiskCode.FIELD_MALFORMED, self._name(field))
        return value

    def decimals(self, field: str, count: int) -> tuple[Decimal, ...]:
        """A list of so many finite numbers; as strings too."""
        values = self.list(field)
        if len(values) != count:
            raise Refused(RiskCode.FIELD_MALFORMED, self._name(field))
        return tuple(read_decimal(value, f"{self._name(field)}[{index}]") for index, value in enumerate(values))


def read_decimal(value: Any, path: str) -> Decimal:
    """A finite number of sane size, or a string that holds one."""
    if isinstance(value, NotFinite):
        raise Refused(RiskCode.FIELD_NOT_FINITE, path)
    if not isinstance(value, Decimal | str):
        raise Refused(RiskCode.FIELD_MALFORMED, path)
    try:
        number = Decimal(value)
    except DecimalException:
        raise Refused(RiskCode.FIELD_MALFORMED, path) from None
    if not number.is_finite():
        raise Refused(RiskCode.FIELD_NOT_FINITE, path)
    if number and abs(number.adjusted()) > EXPONENT_MAX:
        if number.adjusted() < 0:
            return Decimal(0)
        raise Refused(RiskCode.FIELD_MALFORMED, path)
    return number


def round_decimal(value: Decimal, scale: int) -> int:
    """value * scale, to nearest, ties to even."""
    return int((value * scale).to_integral_value())
