"""Every variety of lie that the drill tells, in one table: what the operator does, and what becomes of it.

A lie is convicted on one ground, or refused by the contract when it is submitted.
"""

from dataclasses import dataclass, replace
from enum import Enum

from devnet import lies_of_endings as endings
from devnet import lies_of_form as form
from devnet import lies_of_steps as steps
from devnet.forgery import Teller
from fraud_proofs.grounds import EFFECT, MALFORMED, Ground, check_ground
from state.codes import Code


class Manner(Enum):
    """How a lie is submitted."""

    PLAINLY = "by the holder of the slot"
    BY_CONTRACT = "through a contract"
    WITHOUT_BOND = "by somebody without a bond"
    WHEN_OVERDUE = "after a message that it leaves out is overdue"


@dataclass(frozen=True, slots=True)
class Variety:
    """One row. `ground` convicts it; or it has none, and the contract refuses it with `refusal` as its reason."""

    story: str
    tell: Teller
    ground: Ground | None = None
    refusal: str = ""
    manner: Manner = Manner.PLAINLY
    needs_message: bool = False

    @property
    def is_refused(self) -> bool:
        """Whether it never becomes a batch."""
        return self.ground is None


# The table


def by_check(code: Code, story: str, tell: Teller, *, needs_message: bool = False) -> Variety:
    """A lie that one numbered check convicts."""
    return Variety(story, tell, check_ground(code), needs_message=needs_message)


def by_effect(story: str, tell: Teller, *, needs_message: bool = False) -> Variety:
    """A lie whose steps pass every check, but have another root."""
    return Variety(story, tell, EFFECT, needs_message=needs_message)


def by_form(story: str, tell: Teller) -> Variety:
    """A lie in a frame that does not parse."""
    return Variety(story, tell, MALFORMED)


def refused(reason: str, story: str, tell: Teller, manner: Manner = Manner.PLAINLY) -> Variety:
    """A lie that the contract refuses, with its reason; the bound of an argument has none."""
    return Variety(story, tell, None, reason, manner, needs_message=manner is Manner.WHEN_OVERDUE)


VARIETIES: dict[str, Variety] = {
    # Roots
    "root_first": by_effect("the first root is another", form.tell_wrong_root(lambda n: 0, form.flip_last_bit)),
    "root_middle": by_effect(
        "a root in between is another", form.tell_wrong_root(lambda n: n // 2, form.flip_last_bit)
    ),
    "root_last": by_effect("the last root is another", form.tell_wrong_root(lambda n: n - 1, form.flip_last_bit)),
    "root_noise": by_effect("a root is noise", form.tell_wrong_root(lambda n: n // 3, form.scramble)),
    # Headers
    "header_cursor": by_check(
        Code.CLOSE_CURSOR_MUST_MATCH,
        "the header's cursor passes a message that no step takes",
        form.tell_unread_message,
        needs_message=True,
    ),
    "header_time": by_check(
        Code.CLOSE_TIME_MUST_MATCH, "the header's time is one to which no step moves", form.tell_time_not_reached
    ),
    "header_count": by_form("header and frame count a step more than there is", form.tell_step_that_is_not_there),
    "header_position": by_check(
        Code.TRANSFER_POSITION_MUST_INCREASE, "the header's log ends before its last op", form.tell_position_passed
    ),
    "header_log_hash": by_effect("the header's log is not the one in the root", form.tell_other_log),
    "header_oracle_time": by_check(
        Code.CLOSE_ORACLE_TIME_MUST_MATCH, "the header makes the oldest price look younger", form.tell_other_prices_age
    ),
    # Frames
    "frame_pre_root": by_effect("a frame begins at its own root, which the last one claims", form.tell_own_pre_root),
    "frame_trailing": by_form(
        "bytes stand behind a frame's last step", form.tell_bent_frame(form.append_trailing_bytes)
    ),
    "frame_truncated": by_form("a frame's last op is cut away", form.tell_bent_frame(form.truncate)),
    "frame_overrun": by_form("a frame's last op is longer than the frame", form.tell_bent_frame(form.overrun)),
    # Signatures and replays
    "forged_signature": by_check(
        Code.TRANSFER_SIGNATURE_MUST_VERIFY, "somebody pays who never signed it", steps.tell_forged_signature
    ),
    "replayed_transfer": by_check(
        Code.TRANSFER_SEQUENCE_MUST_RISE, "one signed transfer is made twice", steps.tell_replayed_transfer
    ),
    "replayed_order": by_check(
        Code.ORDER_COUNTER_MUST_RISE, "one signed order is registered twice", steps.tell_replayed_order
    ),
    # Money
    "minted_cash": by_effect("a transfer arrives, and its sender keeps the money", steps.tell_minted_cash),
    "wrong_deposit": by_effect("a deposit is credited a thousandfold", steps.tell_wrong_deposit, needs_message=True),
    "shortage_of_nobody": by_check(
        Code.L1_MARGIN_MUST_MATCH,
        "who deposits is called short of margin",
        steps.tell_shortage_of_nobody,
        needs_message=True,
    ),
    "unearned_withdrawal": by_effect("the outbox holds a withdrawal of nobody's", steps.tell_unearned_withdrawal),
    "overdrawn_withdrawal": by_check(
        Code.WITHDRAW_BALANCE_MUST_COVER, "one withdraws what all have deposited", steps.tell_overdrawn_withdrawal
    ),
    # Readings
    "oracle_unsigned": by_check(
        Code.ORACLE_SIGNATURES_MUST_VERIFY, "a reading that the oracle did not sign", steps.tell_unsigned_reading
    ),
    "oracle_stale": by_check(Code.ORACLE_MUST_NOT_BE_STALE, "a reading held back too long", steps.tell_stale_reading),
    "oracle_ahead": by_check(Code.ORACLE_MUST_NOT_BE_AHEAD, "a reading of prices to come", steps.tell_reading_ahead),
    "oracle_out_of_order": by_check(
        Code.ORACLE_TIME_MUST_ADVANCE, "a reading older than the last one", steps.tell_reading_out_of_order
    ),
    # Fills
    "fill_beyond_limit": by_check(
        Code.FILL_PRICE_MUST_KEEP_LIMITS, "a buyer pays more than he signed for", steps.tell_fill_beyond_limit
    ),
    "fill_beyond_remainder": by_check(
        Code.FILL_QUANTITY_MUST_REMAIN, "orders of one lot trade two", steps.tell_fill_beyond_remainder
    ),
    "fill_cancelled": by_check(
        Code.FILL_BUY_ORDER_MUST_BE_LIVE, "a cancelled order is filled", steps.tell_fill_on_cancelled_slot
    ),
    "fill_at_no_limit": by_check(
        Code.FILL_PRICE_MUST_BE_MAKERS, "a fill within both limits, but at neither", steps.tell_fill_at_no_limit
    ),
    "fill_outside_band": by_check(
        Code.FILL_PRICE_MUST_BE_IN_BAND, "friends trade far from mark", steps.tell_fill_outside_band
    ),
    "fill_reduce_only_grows": by_check(
        Code.FILL_BUYER_MUST_REDUCE, "a reduce-only order makes a position grow", steps.tell_reduce_only_fill_that_grows
    ),
    "fill_under_margin": by_check(
        Code.FILL_BUYER_MARGIN_MUST_HOLD, "a fill leaves its buyer under initial margin", steps.tell_fill_under_margin
    ),
    "wrong_funding": by_effect("a reading brings funding that nobody owed", steps.tell_wrong_funding),
    "wrong_fees": by_effect("a friend's fee is booked nowhere", steps.tell_wrong_fees),
    # What no user signs
    "surface_unsigned": by_check(
        Code.SURFACE_SIGNATURES_MUST_VERIFY, "an expiry that the oracle did not sign", endings.tell_unsigned_surface
    ),
    "index_of_no_basket": by_check(
        Code.INDEX_MUST_BE_A_BASKET, "a market is priced as a basket of itself", endings.tell_index_of_no_basket
    ),
    "settlement_of_nothing": by_check(
        Code.SETTLE_MUST_FIND_SETTLED,
        "a friend is paid for an option that he never held",
        endings.tell_settlement_of_nothing,
    ),
    "liquidation_of_the_sound": by_check(
        Code.LIQUIDATE_MARGIN_MUST_MATCH,
        "somebody who owes nothing is put up for auction",
        endings.tell_liquidation_of_the_sound,
    ),
    "interest_on_no_debt": by_check(
        Code.INTEREST_QUOTE_EQUITY_MUST_MATCH,
        "somebody who owes nothing is charged interest",
        endings.tell_interest_on_no_debt,
    ),
    "take_without_auction": by_check(
        Code.TAKE_TARGET_MUST_BE_OPEN,
        "a friend takes over an account that is not up for auction",
        endings.tell_take_without_auction,
    ),
    "deleverage_of_the_sound": by_check(
        Code.DELEVERAGE_MUST_BE_DUE,
        "a friend is said to be bankrupt, and closed with",
        endings.tell_deleverage_of_the_sound,
    ),
    # Refused
    "wrong_parent": refused(
        "rollup: parent",
        "a batch on another parent",
        form.tell_bent_header(lambda header: replace(header, parent=form.scramble(header.parent))),
    ),
    "broken_chain": refused("rollup: frame root", "a frame begins where none has ended", form.tell_broken_chain),
    "wrong_post_root": refused(
        "rollup: post root",
        "a header whose last root is not the last step's",
        form.tell_bent_header(lambda header: replace(header, post_root=form.scramble(header.post_root))),
    ),
    "wrong_step_count": refused(
        "rollup: step count",
        "a header that counts a step more than its frames",
        form.tell_bent_header(lambda header: replace(header, step_count=header.step_count + 1)),
    ),
    "wrong_inbox_hash": refused(
        "rollup: inbox hash",
        "a header with other messages than L1's",
        form.tell_bent_header(lambda header: replace(header, inbox_hash=form.scramble(header.inbox_hash))),
    ),
    "time_ahead": refused(
        "rollup: time",
        "a batch from tomorrow",
        form.tell_bent_header(lambda header: replace(header, time=header.time + 86_400)),
    ),
    "time_before_parent": refused(
        "rollup: time",
        "a batch that ends before its parent",
        form.tell_bent_header(lambda header: replace(header, time=header.time_from - 1)),
    ),
    "oversize_frame": refused("rollup: frame length", "a frame too large for a proof", form.tell_oversize_frame),
    "oversize_batch": refused("", "a batch larger than L1 takes", form.tell_oversize_batch),
    "skipped_message": refused(
        "rollup: overdue", "a batch that leaves out an overdue message", form.tell_nothing_read, Manner.WHEN_OVERDUE
    ),
    "through_contract": refused(
        "rollup: caller", "a batch whose data hides in a call", form.tell_everything, Manner.BY_CONTRACT
    ),
    "without_bond": refused(
        "rollup: bond", "a batch without a bond behind it", form.tell_everything, Manner.WITHOUT_BOND
    ),
}
"""Name -> lie, in the order of the drill."""
