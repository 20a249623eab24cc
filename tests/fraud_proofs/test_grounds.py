"""fraud_proofs/grounds.py: what a proof names."""

import pytest

from fraud_proofs.grounds import EFFECT, MALFORMED, Ground, GroundKind, check_ground
from state.codes import Code


def test_grounds_name_themselves() -> None:
    """A ground says its kind and its check as the proof's two bytes, and itself in words."""
    ground = check_ground(Code.FILL_SELLER_MARGIN_MUST_HOLD)
    assert (ground.kind, ground.check, str(ground)) == (1, 20, "CHECK FILL_SELLER_MARGIN_MUST_HOLD")
    assert (EFFECT.kind, EFFECT.check, str(EFFECT)) == (2, 0, "EFFECT")
    assert (MALFORMED.kind, MALFORMED.check, str(MALFORMED)) == (0, 0, "MALFORMED")


@pytest.mark.parametrize("code", Code)
def test_kind_and_check_are_the_code(code: Code) -> None:
    """With the op's kind, which its first byte says, the check's byte names the code."""
    ground = check_ground(code)
    assert ground == Ground(GroundKind.CHECK, code)
    assert 100 * (code // 100) + ground.check == code
    assert ground.check < 256
