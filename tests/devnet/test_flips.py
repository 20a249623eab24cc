"""A flipped byte, wherever it falls, is convicted or refused; a row that changes nothing is refused with a reason."""

import random
from pathlib import Path

import pytest

from devnet.flips import BadRow, Flip, flip_byte, list_step_starts, parse_flip, read_flips
from fraud_proofs.challenger import Proof
from tests.devnet.lying import Operator

FLIPS = 300


def test_every_flipped_byte_is_convicted_or_refused(seed: int) -> None:
    """No byte of a frame is free: each is bound by the contract, by a check, or by a root."""
    operator, rng = Operator(), random.Random(seed)
    convicted = 0
    for _ in range(FLIPS):
        flip = Flip(
            rng.randrange(1000), rng.choice((rng.randrange(200), rng.randrange(100_000))), rng.randrange(1, 256)
        )
        posted = flip_byte(operator.batch, flip)
        if operator.find_refusal(posted) is None:
            found = operator.examine(posted)
            assert isinstance(found, Proof), flip
            assert operator.convicts(found), flip
            convicted += 1
    assert FLIPS // 2 < convicted < FLIPS


def test_a_row_names_a_byte_of_its_step() -> None:
    """Steps wrap around, offset 0 is the length's first byte, and offsets run on into what follows."""
    batch = Operator().batch
    data, starts = batch.encode(), list_step_starts(batch)
    last = len(starts) - 1

    for row, at in (
        (Flip(0, 0, 1), starts[0]),
        (Flip(len(starts) + 1, 2, 1), starts[1] + 2),
        (Flip(0, 35, 1), starts[1]),
        (Flip(last, 34, 1), len(data) - 1),
        (Flip(last, 35, 1), starts[last]),
        (Flip(-1, 0, 1), starts[last]),
    ):
        flipped = flip_byte(batch, row)
        assert [i for i, (a, b) in enumerate(zip(data, flipped, strict=True)) if a != b] == [at], row


@pytest.mark.parametrize(
    "text",
    [
        '[{"step": 1, "offset": 2, "xor": 259}]',
        '{\n  "step": 1,\n  "offset": 2,\n  "xor": 3\n}',
        '{"step": 1, "offset": 2, "xor": 3}\n\n',
    ],
)
def test_rows_are_an_array_or_one_a_line(tmp_path: Path, text: str) -> None:
    """Both ways of writing rows give the same flips; xor counts modulo 256."""
    file = tmp_path / "lies.json"
    file.write_text(text)

    assert read_flips(file) == [Flip(1, 2, 3)]
    file.write_text(text.replace("\n", " ") + "\n" + '{"step": 4, "offset": 5, "xor": 6}')
    if not text.startswith("["):
        assert read_flips(file) == [Flip(1, 2, 3), Flip(4, 5, 6)]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"step": 0, "offset": 0, "xor": 0}, "row 7 of the lies changes nothing"),
        ({"step": 0, "offset": 0, "xor": 512}, "row 7 of the lies changes nothing"),
        ({"step": 0, "offset": 0}, "row 7 of the lies is no"),
        ({"step": 0, "offset": 0.5, "xor": 1}, "row 7 of the lies is no"),
        ({"step": True, "offset": 0, "xor": 1}, "row 7 of the lies is no"),
        ([1, 2, 3], "row 7 of the lies is no"),
    ],
)
def test_a_bad_row_is_refused_with_its_number(row: object, reason: str) -> None:
    """Whoever wrote the row can find it and put it right."""
    with pytest.raises(BadRow, match=reason):
        parse_flip(row, 7)


def test_a_file_that_is_not_rows_is_refused(tmp_path: Path) -> None:
    """A missing file and one of another kind each get a sentence."""
    with pytest.raises(BadRow, match="cannot read"):
        read_flips(tmp_path / "missing")
    file = tmp_path / "lies.json"
    file.write_text("step 1")
    with pytest.raises(BadRow, match="is not JSON"):
        read_flips(file)
