"""Limits of an account: so many requests a second, and as many cancels beside them."""

from node.account_limits import AccountLimits


def test_an_account_is_stopped_and_others_are_not() -> None:
    """One more than allowed is refused; another account does not notice, and the next second begins anew."""
    limits = AccountLimits(requests_max=3)
    assert [limits.admit(1, False, 100) for _ in range(4)] == [True, True, True, False]
    assert limits.admit(2, False, 100)
    assert limits.admit(1, False, 101)


def test_cancels_have_room_of_their_own() -> None:
    """Who has spent his second on orders can still take them back."""
    limits = AccountLimits(requests_max=2)
    for _ in range(5):
        limits.admit(1, False, 100)
    assert [limits.admit(1, True, 100) for _ in range(3)] == [True, True, False]
