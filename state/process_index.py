"""index: the price of a basket follows from those of its components, and no oracle signs it (SPEC.md sections 6, 7).

Mirrors contracts/verify_oracle.vy.
"""

from dataclasses import replace
from typing import cast

from state.codes import Code
from state.constants import PPM, PRICE_MAX
from state.context import Process, Receipt, StepContext, advance_position, is_position_next
from state.leaves import Underlying
from state.ledger import Ledger, SubjectMissing
from state.operations import Index, Operation
from state.process_market import roll_funding


def is_basket(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """The underlying is made of others."""
    return bool(ledger.require_underlying(cast(Index, op).underlying).basket)


def read_components(ledger: Ledger, basket: Underlying) -> list[Underlying]:
    """The components, in the basket's order. Raises SubjectMissing."""
    return [ledger.require_underlying(component) for component, _ in basket.basket]


def are_components_read(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """Every component has a price."""
    basket = ledger.require_underlying(cast(Index, op).underlying)
    return all(component.oracle_time > 0 for component in read_components(ledger, basket))


def is_basket_newer(ledger: Ledger, context: StepContext, op: Operation) -> bool:
    """An index is as old as its oldest component, and that one has moved on."""
    basket = ledger.require_underlying(cast(Index, op).underlying)
    components = read_components(ledger, basket)
    return min((component.oracle_time for component in components), default=0) > basket.oracle_time


def weigh_floor(basket: Underlying, prices: list[int]) -> int:
    """The basket's price, quote units a lot; each component's share is a floor of its own."""
    price = sum(weight_ppm * price // PPM for (_, weight_ppm), price in zip(basket.basket, prices, strict=True))
    return max(1, min(PRICE_MAX - 1, price))


def apply_index(ledger: Ledger, context: StepContext, op: Operation) -> Receipt:
    """Price the basket anew; it is as uncertain, as wild and as halted as its worst component."""
    index = cast(Index, op)
    advance_position(ledger, op)
    params, time = ledger.get_params(), ledger.get_globals().time
    basket = ledger.require_underlying(index.underlying)
    components = read_components(ledger, basket)
    if not components:
        raise SubjectMissing("basket")
    # EFFECTS
    reading = replace(
        basket,
        oracle_time=min(component.oracle_time for component in components),
        spot=weigh_floor(basket, [component.spot for component in components]),
        mark=weigh_floor(basket, [component.mark for component in components]),
        spot_confidence=min(component.spot_confidence for component in components),
        mark_confidence=min(component.mark_confidence for component in components),
        volatility=max(component.volatility for component in components),
        halted_until=max(basket.halted_until, *(component.halted_until for component in components)),
    )
    ledger.put_underlying(index.underlying, roll_funding(basket, reading, time, params))
    # RECEIPT
    return Receipt()


INDEX = Process(
    checks=(
        (Code.INDEX_POSITION_MUST_INCREASE, is_position_next),
        (Code.INDEX_MUST_BE_A_BASKET, is_basket),
        (Code.INDEX_COMPONENTS_MUST_BE_READ, are_components_read),
        (Code.INDEX_TIME_MUST_ADVANCE, is_basket_newer),
    ),
    apply_effects=apply_index,
)
