"""The watchtower's turn: who acts when all see the same wrong step. Its deeds are in test_vertical.py."""

import random

from node.watchtower_role import TURN_SECONDS_MAX, compute_turn_seconds


def test_a_turn_is_within_a_tenth_of_the_window_and_one_block(seed: int) -> None:
    """However short or long the window is."""
    rng = random.Random(seed)
    for _ in range(200):
        window = rng.choice((1, 75, 10**6))
        turn = compute_turn_seconds(rng.randbytes(20), rng.randbytes(32), window)
        assert 0 <= turn <= min(TURN_SECONDS_MAX, window / 10)


def test_turns_are_each_towers_own_and_change_with_the_batch(seed: int) -> None:
    """Nobody is always first, and two rarely act in the same moment."""
    rng = random.Random(seed)
    towers = [rng.randbytes(20) for _ in range(2)]
    firsts = {True: 0, False: 0}
    close = 0
    for _ in range(500):
        batch = rng.randbytes(32)
        first, second = (compute_turn_seconds(tower, batch, 10**6) for tower in towers)
        firsts[first < second] += 1
        close += abs(first - second) < 0.1
    assert min(firsts.values()) > 150
    assert close < 30
