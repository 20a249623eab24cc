"""Stories of surface and index: forwards and vols come in, settlement prices are made, baskets follow their parts."""

from collections.abc import Callable
from dataclasses import replace

from state.batches import FLAG_RESCUE
from state.codes import Code
from state.constants import EXPIRY_HORIZON, EXPIRY_SECOND_OF_DAY, EXPIRY_STEP, PRICE_MAX
from state.leaves import call
from state.operations import Index, Surface, Tick
from tests.stories.telling import Pair, story
from tests.world import GENESIS_TIME, MIX, WEEK, World, build_params, open_market, open_mixed_market

SPOT = 17_000_000
START = WEEK - 1800
BEFORE = SPOT * (START - GENESIS_TIME)
"""The integral at the first second of the window, had spot been the same all week."""


def wait_mixed_market(seconds: int = 100) -> World:
    """A market whose surfaces are some seconds old."""
    world = open_mixed_market()
    world.tick(seconds)
    return world


@story(Code.SURFACE_MUST_DECODE)
def surface_after_its_expiry() -> Pair:
    """Nothing is read of what has expired; the last second is the expiry itself."""
    world = enter_window(1799)
    world.play(Tick(world.position, WEEK + 1))
    late = world.sign_surface(0, WEEK, time=WEEK + 1, integral=BEFORE + 1801 * SPOT)
    return world.attempt(late), world.attempt(world.sign_surface(0, WEEK, integral=BEFORE + 1800 * SPOT))


@story(Code.SURFACE_MUST_DECODE)
def surface_of_another_time_of_day() -> Pair:
    """Everything expires at eight in the morning."""
    world = wait_mixed_market()
    return world.attempt(world.sign_surface(0, WEEK + 1)), world.attempt(world.sign_surface(0, WEEK))


@story(Code.SURFACE_POSITION_MUST_INCREASE)
def surface_at_a_used_position() -> Pair:
    """Two ops never stand at one log position."""
    world = wait_mixed_market()
    surface = world.sign_surface(0, WEEK)
    return world.attempt(replace(surface, position=world.position - 1)), world.attempt(surface)


@story(Code.SURFACE_UNDERLYING_MUST_BE_LISTED)
def surface_of_the_unlisted() -> Pair:
    """Four underlyings are listed, numbered from 0."""
    world = open_market()
    unlisted = replace(world.sign_surface(0, WEEK), underlying=4)
    signed = replace(unlisted, signatures=world.sign_as_oracles(unlisted))
    return world.attempt(signed), world.attempt(world.sign_surface(3, WEEK))


@story(Code.SURFACE_TIME_MUST_ADVANCE)
def surface_not_newer() -> Pair:
    """The same second again is no news."""
    world = wait_mixed_market(30)
    last = world.globals.time - 30
    return world.attempt(world.sign_surface(0, WEEK, time=last)), world.attempt(
        world.sign_surface(0, WEEK, time=last + 1)
    )


@story(Code.SURFACE_MUST_NOT_BE_STALE)
def surface_too_old() -> Pair:
    """Sixty seconds is the age that parameters allow."""
    world = wait_mixed_market()
    now = world.globals.time
    return world.attempt(world.sign_surface(0, WEEK, time=now - 61)), world.attempt(
        world.sign_surface(0, WEEK, time=now - 60)
    )


@story(Code.SURFACE_MUST_NOT_BE_STALE)
def first_second_of_the_window_an_hour_late() -> Pair:
    """The window's first second may come as late as it likes, the second before may not."""
    world = open_mixed_market()
    world.play(Tick(world.position, WEEK + 3600))
    early = world.sign_surface(0, WEEK, time=START - 1, integral=BEFORE - SPOT)
    return world.attempt(early), world.attempt(world.sign_surface(0, WEEK, time=START, integral=BEFORE))


@story(Code.SURFACE_MUST_NOT_BE_AHEAD)
def surface_from_the_future() -> Pair:
    """Five seconds is the skew that parameters allow."""
    world = wait_mixed_market()
    now = world.globals.time
    return world.attempt(world.sign_surface(0, WEEK, time=now + 6)), world.attempt(
        world.sign_surface(0, WEEK, time=now + 5)
    )


@story(Code.SURFACE_EXPIRY_MUST_BE_NEAR)
def expiry_beyond_the_horizon() -> Pair:
    """Four hundred days ahead is the most."""
    world = wait_mixed_market()
    last = (world.globals.time + EXPIRY_HORIZON) // EXPIRY_STEP * EXPIRY_STEP + EXPIRY_SECOND_OF_DAY
    farthest = last if last <= world.globals.time + EXPIRY_HORIZON else last - EXPIRY_STEP
    return world.attempt(world.sign_surface(0, farthest + EXPIRY_STEP)), world.attempt(world.sign_surface(0, farthest))


# The settlement window


def enter_window(seconds: int) -> World:
    """A market in which the window's first second was read, so many seconds later."""
    world = open_mixed_market()
    world.play(Tick(world.position, START))
    world.price(0, SPOT)
    world.read_surface(0, WEEK, integral=BEFORE)
    world.tick(seconds)
    return world


def read_within(world: World, **changes: int) -> Surface:
    """A reading inside the window whose average so far is spot."""
    elapsed = world.globals.time - START
    return world.sign_surface(0, WEEK, **({"integral": BEFORE + elapsed * SPOT} | changes))


@story(Code.SURFACE_MUST_KEEP_WINDOW)
def window_without_its_first_second() -> Pair:
    """Without the integral at its first second there is no average."""
    world = open_mixed_market()
    world.play(Tick(world.position, START + 60))
    without = read_within(world)
    return world.attempt(without), world.attempt(world.sign_surface(0, WEEK, time=START, integral=BEFORE))


@story(Code.SURFACE_MUST_KEEP_WINDOW)
def average_below_the_least_price() -> Pair:
    """Sixty seconds of a price of 1 are 60."""
    world = enter_window(60)
    return world.attempt(read_within(world, integral=BEFORE + 59)), world.attempt(
        read_within(world, integral=BEFORE + 60)
    )


@story(Code.SURFACE_MUST_KEEP_WINDOW)
def average_above_the_greatest_price() -> Pair:
    """Sixty seconds of the greatest price, and not one unit more; the forward knows of it."""
    world = enter_window(60)
    most = 60 * (PRICE_MAX - 1)
    high = {"forward": PRICE_MAX - 1}
    return world.attempt(read_within(world, integral=BEFORE + most + 1, **high)), world.attempt(
        read_within(world, integral=BEFORE + most, **high)
    )


@story(Code.SURFACE_MUST_KEEP_WINDOW)
def forward_below_what_is_known() -> Pair:
    """Half of the window at spot is half of it; the rest cannot be less than nothing."""
    world = enter_window(900)
    known = SPOT // 2
    return world.attempt(read_within(world, forward=known - 1)), world.attempt(read_within(world, forward=known))


# Its signatures


@story(Code.SURFACE_SIGNERS_MUST_SUFFICE)
def surface_by_one_signer() -> Pair:
    """Two of three must agree."""
    world = wait_mixed_market()
    return world.attempt(world.sign_surface(0, WEEK, signer_mask=0b100)), world.attempt(
        world.sign_surface(0, WEEK, signer_mask=0b110)
    )


def spoil_surface(change: Callable[[Surface], Surface]) -> Pair:
    """A good reading of an expiry, and the same after its signers signed."""
    world = wait_mixed_market()
    surface = world.sign_surface(0, WEEK)
    return world.attempt(change(surface)), world.attempt(surface)


@story(Code.SURFACE_SIGNATURES_MUST_VERIFY)
def another_forward_than_was_signed() -> Pair:
    """The forward was changed after the signers signed."""
    return spoil_surface(lambda surface: replace(surface, forward=surface.forward + 1))


@story(Code.SURFACE_SIGNATURES_MUST_VERIFY)
def another_integral_than_was_signed() -> Pair:
    """The integral was changed after the signers signed: it is what everything settles at."""
    return spoil_surface(lambda surface: replace(surface, integral=surface.integral + 1))


@story(Code.SURFACE_SIGNATURES_MUST_VERIFY)
def surface_signatures_in_each_others_place() -> Pair:
    """Each signature must be of the signer whose bit it stands for."""
    return spoil_surface(lambda surface: replace(surface, signatures=surface.signatures[::-1]))


# Readings of an underlying, beside those of tests/stories/market.py


@story(Code.ORACLE_UNDERLYING_MUST_NOT_BE_A_BASKET)
def reading_of_a_basket() -> Pair:
    """A basket's price follows from its components, and no oracle may say another."""
    world = wait_mixed_market()
    now = world.globals.time
    return world.attempt(world.sign_reading(MIX, 1, 1, now)), world.attempt(world.sign_reading(3, 1, 1, now))


def open_guarded_market() -> World:
    """A reading may be a tenth from the last one, a tenth more for every whole minute since."""
    world = open_market(params=build_params(guard_ppm=100_000))
    world.tick(59)
    return world


@story(Code.ORACLE_MUST_NOT_JUMP)
def spot_that_jumps() -> Pair:
    """In less than a minute 17 000 000 may become 18 700 000 and no more."""
    world = open_guarded_market()
    now = world.globals.time
    return world.attempt(world.sign_reading(0, 18_700_001, SPOT, now)), world.attempt(
        world.sign_reading(0, 18_700_000, SPOT, now)
    )


@story(Code.ORACLE_MUST_NOT_JUMP)
def mark_that_jumps() -> Pair:
    """Downwards too, and mark as well as spot."""
    world = open_guarded_market()
    now = world.globals.time
    return world.attempt(world.sign_reading(0, SPOT, 15_299_999, now)), world.attempt(
        world.sign_reading(0, SPOT, 15_300_000, now)
    )


@story(Code.ORACLE_MUST_NOT_JUMP)
def spot_that_jumps_after_a_minute() -> Pair:
    """A whole minute later it may be a fifth: 20 400 000."""
    world = open_guarded_market()
    world.tick(1)
    now = world.globals.time
    return world.attempt(world.sign_reading(0, 20_400_001, SPOT, now)), world.attempt(
        world.sign_reading(0, 20_400_000, SPOT, now)
    )


# Orders for what expires


@story(Code.ORDER_INSTRUMENT_MUST_BE_LISTED)
def order_without_a_surface() -> Pair:
    """An expiry is listed with its first surface."""
    world = open_market()
    order = world.sign_order("alice", call(0, WEEK, SPOT), 1, 1_000_000)
    bare = world.attempt(order)
    world.read_surface(0, WEEK)
    return bare, world.attempt(world.sign_order("alice", call(0, WEEK, SPOT), 1, 1_000_000))


@story(Code.ORDER_INSTRUMENT_MUST_BE_LISTED)
def order_for_what_has_expired() -> Pair:
    """At the second of its expiry nothing is ordered any more."""
    world = open_mixed_market()
    world.play(Tick(world.position, WEEK - 1))
    timely = world.attempt(world.sign_order("alice", call(0, WEEK, SPOT), 1, 1_000_000))
    world.tick(1)
    return world.attempt(world.sign_order("alice", call(0, WEEK, SPOT), 1, 1_000_000)), timely


# index


def move_components() -> World:
    """A basket whose components have both moved on."""
    world = wait_mixed_market()
    world.price(0, 18_000_000)
    world.price(1, 8_000_000)
    return world


@story(Code.INDEX_MUST_DECODE)
def index_with_a_trailing_byte() -> Pair:
    """Twelve bytes are no index."""
    world = move_components()
    honest = world.attempt(Index(world.position, MIX))
    return replace(honest, op=honest.op + b"\0"), honest


@story(Code.INDEX_POSITION_MUST_INCREASE)
def index_at_a_used_position() -> Pair:
    """Two ops never stand at one log position."""
    world = move_components()
    return world.attempt(Index(world.position - 1, MIX)), world.attempt(Index(world.position, MIX))


@story(Code.INDEX_MUST_BE_A_BASKET)
def index_of_a_component() -> Pair:
    """What an oracle prices has no components."""
    world = move_components()
    return world.attempt(Index(world.position, 0)), world.attempt(Index(world.position, MIX))


@story(Code.INDEX_COMPONENTS_MUST_BE_READ)
def index_without_a_component() -> Pair:
    """No oracle has spoken of one component yet."""
    world = open_mixed_world()
    world.price(0, SPOT)
    bare = world.attempt(Index(world.position, MIX))
    world.price(1, 7_000_000)
    return bare, world.attempt(Index(world.position, MIX))


def open_mixed_world() -> World:
    """The same underlyings before anything has a price."""
    params = open_mixed_market().genesis
    world = World(0, params.params, listings=params.listings)
    world.tick(1)
    return world


@story(Code.INDEX_TIME_MUST_ADVANCE)
def index_with_one_old_component() -> Pair:
    """A basket is as old as its oldest component, which has not moved on."""
    world = wait_mixed_market()
    world.price(0, 18_000_000)
    half = world.attempt(Index(world.position, MIX))
    world.price(1, 8_000_000)
    return half, world.attempt(Index(world.position, MIX))


@story(Code.INDEX_MUST_DECODE)
def index_beyond_all_underlyings() -> Pair:
    """Sixty-four may be listed; a rescue may price a basket."""
    world = move_components()
    beyond, honest = world.attempt(Index(world.position, 64)), world.attempt(Index(world.position, MIX))
    return beyond.within(flags=FLAG_RESCUE), honest.within(flags=FLAG_RESCUE)
