"""Lies about what no user signs: surfaces, baskets, settlements, liquidations, interest, takes, deleveragings.

None of them needs an honest step of its kind: the operator makes up the occasion, and pretends that the state gave it.
A teller takes a fresh forgery and answers the bytes to post.
"""

from dataclasses import replace
from hashlib import sha256

from devnet.forgery import Forgery, LieImpossible
from devnet.lies_of_steps import DOLLAR, finish_with
from node.keys import Secp256k1Key
from node.oracle_role import sign_reading
from state.constants import EXPIRY_SECOND_OF_DAY, EXPIRY_STEP, INTEREST_PERIOD, PPM
from state.leaves import CALL, Expiry, Instrument
from state.operations import Deleverage, Index, Interest, Settle, Surface, Take
from state.process_liquidate import claim_liquidate
from state.tree import account_key, expiry_key, underlying_key

FORTUNE = 1_000_000 * DOLLAR


def find_victim(forgery: Forgery) -> int:
    """The first account that is no friend's."""
    friends = [accomplice.account for accomplice in forgery.kit.accomplices]
    for account in range(1, forgery.globals.account_count):
        if account not in friends:
            return account
    raise LieImpossible("everybody is a friend")


def tell_unsigned_surface(forgery: Forgery) -> bytes:
    """An expiry is listed, with forward and vols, by hands that are not the oracle's."""
    forgery.repeat(forgery.honest_ops)
    time, signers = forgery.globals.time, forgery.params.oracle_signers
    expiry = (time // EXPIRY_STEP + 2) * EXPIRY_STEP + EXPIRY_SECOND_OF_DAY
    shape = {"rate": 0, "a": 1 << 30, "b": 0, "rho": 0, "m": 0, "sigma": 1}
    bare = Surface(
        position=forgery.position,
        underlying=forgery.market.underlying,
        expiry=expiry,
        time=time,
        integral=0,
        forward=forgery.mark,
        confidence=PPM,
        signer_mask=0,
        signatures=(),
        **shape,
    )
    places = [signers.index(key.address) for key in forgery.kit.oracle_keys]
    strangers = [Secp256k1Key(sha256(key.secret).digest()) for key in forgery.kit.oracle_keys]
    hands = tuple(dict(sorted(zip(places, strangers, strict=True))).items())
    return finish_with(forgery, sign_reading(forgery.kit.domain, bare, hands))


def tell_index_of_no_basket(forgery: Forgery) -> bytes:
    """A market that an oracle prices is said to be a basket of itself, twice over."""
    forgery.repeat(forgery.honest_ops)
    underlying = forgery.market.underlying
    doubled = replace(forgery.get_underlying(underlying), basket=((underlying, 2 * PPM),))
    pretending = {underlying_key(underlying): doubled.encode()}
    return finish_with(forgery, Index(forgery.position, underlying), pretending=pretending)


def tell_settlement_of_nothing(forgery: Forgery) -> bytes:
    """A friend is paid for an option that he never held, and that nobody listed."""
    forgery.repeat(forgery.honest_ops)
    time, underlying = forgery.globals.time, forgery.market.underlying
    friend, account = forgery.kit.accomplices[0].account, forgery.get_account(0)
    expiry = (time // EXPIRY_STEP - 1) * EXPIRY_STEP + EXPIRY_SECOND_OF_DAY
    option = Instrument(underlying, expiry, 1_000, CALL)
    held = tuple(sorted((*account.positions, (option, 1))))
    settled = Expiry(expiry, 1, settlement=FORTUNE)
    market = forgery.get_underlying(underlying)
    pretending = {
        account_key(friend): replace(account, positions=held).encode(),
        expiry_key(underlying, expiry): settled.encode(),
        underlying_key(underlying): replace(market, open_interest=market.open_interest + 1).encode(),
    }
    return finish_with(forgery, Settle(forgery.position, friend), pretending=pretending)


def tell_liquidation_of_the_sound(forgery: Forgery) -> bytes:
    """Somebody who owes nothing is said to be short of margin, and put up for auction. All else is true of him."""
    forgery.repeat(forgery.honest_ops)
    honest = claim_liquidate(forgery.ledger, forgery.position, find_victim(forgery))
    return finish_with(forgery, replace(honest, maintenance=-FORTUNE))


def tell_interest_on_no_debt(forgery: Forgery) -> bytes:
    """Somebody who owes nothing is charged for an hour of a fortune."""
    forgery.repeat(forgery.honest_ops)
    victim = find_victim(forgery)
    owing = replace(forgery.ledger.require_account(victim), interest_from=forgery.globals.time - INTEREST_PERIOD)
    charge = Interest(forgery.position, victim, -FORTUNE)
    return finish_with(forgery, charge, pretending={account_key(victim): owing.encode()})


def tell_take_without_auction(forgery: Forgery) -> bytes:
    """A friend takes over all that somebody has, who is not up for auction."""
    forgery.repeat(forgery.honest_ops)
    friend, victim = forgery.kit.accomplices[0], find_victim(forgery)
    bare = Take(
        position=forgery.position,
        equity=FORTUNE,
        maintenance=-1,
        value=-FORTUNE,
        relief=1,
        account=friend.account,
        sequence=forgery.get_account(0).sequence + 1,
        target=victim,
        slice_ppm=PPM,
        discount_min=0,
        valid_until=forgery.globals.time,
        key_index=friend.key_index,
        signature=bytes(64),
    )
    auctioned = replace(forgery.ledger.require_account(victim), liquidation_from=1)
    return finish_with(forgery, forgery.sign(bare, 0), pretending={account_key(victim): auctioned.encode()})


def tell_deleverage_of_the_sound(forgery: Forgery) -> bytes:
    """Of two friends one is said to be bankrupt for long, and closed with, at a loss that is the other's."""
    forgery.repeat(forgery.honest_ops)
    bankrupt, counterparty = (accomplice.account for accomplice in forgery.kit.accomplices)
    forgery.trade(forgery.mark, forgery.mark)
    forgery.play(forgery.fill(forgery.mark))
    closing = Deleverage(
        position=forgery.position,
        bankrupt=bankrupt,
        counterparty=counterparty,
        instrument=forgery.market,
        quantity=1,
        equity=-DOLLAR,
        maintenance=-DOLLAR,
        notional=forgery.mark,
        mark=forgery.mark,
    )
    return finish_with(forgery, closing)
