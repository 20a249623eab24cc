"""What the devnet shows: a picture on a terminal, lines elsewhere."""

import io

from devnet.console import CLEAR, LINES_KEPT, Console


class Terminal(io.StringIO):
    """A stream that says it can be drawn over."""

    def isatty(self) -> bool:
        return True


def test_without_a_terminal_events_are_lines_and_facts_come_at_times() -> None:
    """A log file gets no escape codes, and facts no more often than was asked."""
    stream = io.StringIO()
    console = Console(stream, facts_seconds=3600)

    console.say("the slot is taken")
    console.show([("batches", "1")])
    console.show([("batches", "2")])

    lines = stream.getvalue().splitlines()
    assert [line.split(maxsplit=1)[1] for line in lines] == ["the slot is taken", "batches 1"]
    assert "\x1b" not in stream.getvalue()


def test_on_a_terminal_the_picture_is_drawn_anew() -> None:
    """Facts stand in a table, the last events below."""
    stream = Terminal()
    console = Console(stream)

    for number in range(LINES_KEPT + 5):
        console.say(f"event {number}.")
    console.show([("batches", "7 posted"), ("L1", "block 9")])

    picture = stream.getvalue()
    assert picture.startswith(CLEAR)
    assert "7 posted" in picture
    assert "event 5." in picture
    assert "event 4." not in picture
