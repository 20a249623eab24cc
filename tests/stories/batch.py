"""Stories of open, close and tick: the frame of a batch, in time and in the log."""

from dataclasses import replace

from state.codes import Code
from state.operations import Tick
from tests.stories.telling import Pair, story
from tests.world import Attempt, World, open_market


def open_next(generation: int = 1) -> Attempt:
    """The open of a second batch, which was valid."""
    world = World()
    world.tick(5)
    world.seal(generation=generation)
    return world.steps[-1].attempt


def close_market() -> Attempt:
    """The close of a batch in which there was a message, a tick and a trade."""
    world = open_market()
    world.trade("alice", "bob", 0, 1_000, 17_000_000)
    return world.attempt_close()


@story(Code.KIND_MUST_BE_KNOWN)
def unknown_kind() -> Pair:
    """A tick's bytes under a number that no kind has."""
    world = open_market()
    tick = Tick(world.position, world.globals.time + 1)
    return world.attempt(b"\xf0" + tick.encode()[1:]), world.attempt(tick)


@story(Code.KIND_MUST_BE_KNOWN)
def kind_zero() -> Pair:
    """One zero byte."""
    world = open_market()
    return world.attempt(b"\0"), world.attempt(Tick(world.position, world.globals.time + 1))


@story(Code.OPEN_MUST_DECODE)
def open_with_an_argument() -> Pair:
    """Its argument is the header; a second byte is none."""
    honest = open_next()
    return replace(honest, op=honest.op + b"\0"), honest


@story(Code.OPEN_MUST_DECODE)
def open_in_the_middle() -> Pair:
    """A batch opens once, with its first step."""
    honest = open_next()
    return replace(honest, context=honest.context.at(1)), honest


@story(Code.OPEN_BATCH_MUST_BE_NEXT)
def batch_left_out() -> Pair:
    """Batch 3 after batch 1."""
    honest = open_next()
    return honest.within(index=3), honest


@story(Code.OPEN_BATCH_MUST_BE_NEXT)
def batch_repeated() -> Pair:
    """Batch 1 after batch 1."""
    honest = open_next()
    return honest.within(index=1), honest


@story(Code.OPEN_GENERATION_MUST_NOT_FALL)
def generation_falls() -> Pair:
    """A batch of the generation before."""
    honest = open_next()
    return honest.within(generation=0), honest


@story(Code.OPEN_TIME_MUST_MATCH)
def time_lost_between_batches() -> Pair:
    """The batch claims to begin a second after the last one ended."""
    honest = open_next()
    return honest.within(time_from=honest.context.header.time_from + 1), honest


@story(Code.OPEN_POSITION_MUST_MATCH)
def log_position_lost_between_batches() -> Pair:
    """The batch claims to begin one position after the last one's end."""
    honest = open_next()
    return honest.within(position_from=honest.context.header.position_from + 1), honest


@story(Code.OPEN_POSITION_MUST_MATCH)
def new_generation_with_the_old_log() -> Pair:
    """A new generation's log starts at 0, not where the old one was."""
    honest = open_next(generation=4)
    return honest.within(position_from=1), honest


@story(Code.CLOSE_MUST_DECODE)
def close_with_an_argument() -> Pair:
    """Its argument is the header; a second byte is none."""
    honest = close_market()
    return replace(honest, op=honest.op + b"\x02"), honest


@story(Code.CLOSE_MUST_DECODE)
def close_before_the_end() -> Pair:
    """After a close comes no other step."""
    honest = close_market()
    return honest.within(step_count=honest.context.step + 2), honest


@story(Code.CLOSE_CURSOR_MUST_MATCH)
def message_claimed_but_not_taken() -> Pair:
    """The header claims one message more than the steps took."""
    honest = close_market()
    return honest.within(inbox_cursor=honest.context.header.inbox_cursor + 1), honest


@story(Code.CLOSE_INBOX_HASH_MUST_MATCH)
def another_message_claimed() -> Pair:
    """The header claims other messages than the steps took."""
    honest = close_market()
    return honest.within(inbox_hash=bytes(32)), honest


@story(Code.CLOSE_TIME_MUST_MATCH)
def time_claimed_but_not_ticked() -> Pair:
    """The header claims a second to which no tick moved."""
    honest = close_market()
    return honest.within(time=honest.context.header.time + 1), honest


@story(Code.CLOSE_POSITION_MUST_MATCH)
def log_ends_before_its_last_op() -> Pair:
    """The header's end of the log is the position of the last op, which it must exclude."""
    honest = close_market()
    return honest.within(position_to=honest.context.header.position_to - 1), honest


@story(Code.CLOSE_ORACLE_TIME_MUST_MATCH)
def price_claimed_younger_than_it_is() -> Pair:
    """Somebody holds a position whose price is a second older than the header says."""
    honest = close_market()
    return honest.within(oracle_time=honest.context.header.oracle_time + 1), honest


@story(Code.CLOSE_ORACLE_TIME_MUST_MATCH)
def price_age_claimed_that_nobody_has() -> Pair:
    """Without open interest the header's oracle time is its own time."""
    world = open_market()
    world.tick(7)
    return world.attempt_close(oracle_time=world.globals.time - 7), world.attempt_close()


@story(Code.TICK_MUST_DECODE)
def tick_without_its_last_byte() -> Pair:
    """Sixteen bytes are no tick."""
    world = open_market()
    honest = world.attempt(Tick(world.position, world.globals.time + 1))
    return replace(honest, op=honest.op[:-1]), honest


@story(Code.TICK_MUST_DECODE)
def tick_in_the_place_of_close() -> Pair:
    """The last step is close and nothing else."""
    world = open_market()
    honest = world.attempt(Tick(world.position, world.globals.time + 1))
    return honest.within(step_count=honest.context.step + 1), honest


@story(Code.TICK_MUST_DECODE)
def tick_in_the_place_of_open() -> Pair:
    """The first step is open and nothing else."""
    world = open_market()
    honest = world.attempt(Tick(world.position, world.globals.time + 1))
    return replace(honest, context=honest.context.at(0)), honest


@story(Code.TICK_POSITION_MUST_INCREASE)
def position_used_twice() -> Pair:
    """Two ops never stand at one log position."""
    world = open_market()
    later = world.globals.time + 1
    return world.attempt(Tick(world.position - 1, later)), world.attempt(Tick(world.position, later))


@story(Code.TICK_POSITION_MUST_INCREASE)
def position_at_the_end_of_the_log() -> Pair:
    """The header's end of the log is exclusive."""
    world = open_market()
    honest = world.attempt(Tick(world.position, world.globals.time + 1), position_to=world.position + 1)
    return honest.within(position_to=world.position), honest


@story(Code.TICK_TIME_MUST_ADVANCE)
def time_stands() -> Pair:
    """A tick to the time that it is."""
    world = open_market()
    now = world.globals.time
    return world.attempt(Tick(world.position, now)), world.attempt(Tick(world.position, now + 1))


@story(Code.TICK_TIME_MUST_NOT_PASS_HEADER)
def time_beyond_the_header() -> Pair:
    """L1 has checked the header's time, and no later one."""
    world = open_market()
    later = world.globals.time + 10
    honest = world.attempt(Tick(world.position, later), time=later)
    return honest.within(time=later - 1), honest
