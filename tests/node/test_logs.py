"""A log is one line an event, readable by people or by machines."""

import io
import json

from node.logs import Log


def test_a_line_is_key_and_value() -> None:
    """Time, level, role and event first; bytes in hexadecimal, spaces quoted."""
    stream = io.StringIO()
    Log("watchtower", stream=stream).warning("batch", index=7, root=b"\xab\xcd", reason='says "no"', left=None)

    (line,) = stream.getvalue().splitlines()
    time, rest = line.split(" ", 1)
    assert time.endswith("Z")
    assert rest == 'warning watchtower batch index=7 root=0xabcd reason="says \\"no\\"" left=-'


def test_json_has_the_same_fields() -> None:
    """One object a line, numbers as numbers."""
    stream = io.StringIO()
    log = Log("sequencer", is_json=True, stream=stream)
    log.info("sealed", steps=3, role="x")
    log.error("lost\nline", error=ValueError("why"))

    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    assert (first["level"], first["node"], first["event"], first["steps"]) == ("info", "sequencer", "sealed", 3)
    assert (second["event"], second["error"]) == ("lost\nline", "why")


def test_a_value_cannot_break_a_line() -> None:
    """Whatever an L1 or a peer puts into a text, an event stays one line."""
    stream = io.StringIO()
    Log("x", stream=stream).info("e", text="a\nb = c\r", color="\x1b[31m")

    assert len(stream.getvalue().splitlines()) == 1
    assert "\x1b" not in stream.getvalue()
