"""Edges of ops that take a message of L1: which message, when, and what they claim becomes of it."""

import random

from state.codes import Code, MessageCode
from state.constants import ACCOUNTS_MAX
from state.leaves import perpetual
from state.operations import BID_CODES, BID_CODES_BEFORE_DEAL, BID_CODES_WITHOUT_CLAIMS, NO_ACTIVE
from state.process_inbox import MessageType, decode_message
from tests.contracts.scene import Scene, draw_active
from tests.parity.edges import Edge, bend_bytes, bend_index, bend_index_limit, bend_position, pick_beside, strain


def bend_message(scene: Scene, chance: random.Random) -> None:
    """Any message that L1 has had so far, of whatever type."""
    scene.bend_op(index=chance.randrange(scene.ledger.get_globals().inbox_cursor + 1))


def bend_time_of_message(scene: Scene, chance: random.Random) -> None:
    """About the second in which L1 took it."""
    scene.bend_globals(time=pick_beside(chance, decode_message(scene.context.get_message(scene.decoded.index)).time))


def bend_word_of_margin(scene: Scene, chance: random.Random) -> None:
    """Another message that asks for margin, if there was one; the op says otherwise of it, or the account has more or
    less, holds what it may not carry, or is for sale."""
    op, get_message = scene.decoded, scene.context.get_message
    taken = [decode_message(get_message(index)) for index in range(op.index + 1)]
    asking = [i for i, one in enumerate(taken) if one.type in (MessageType.FORCE_WITHDRAW, MessageType.FORCE_LIQUIDATE)]
    index = chance.choice(asking) if asking and chance.random() < 0.9 else op.index
    number = taken[index].account
    account = scene.ledger.get_account(number) if 0 < number < ACCOUNTS_MAX else None
    if index in asking and account is not None:
        quantity = chance.choice((-1, 1)) * chance.randint(1, 10**4)
        positions = chance.choice((account.positions, ((perpetual(0), quantity),)))
        cash = chance.choice((account.cash, 0, 10**9, 10**12))
        liquidation_from = chance.choice((account.liquidation_from, 0, 0, 1))
        scene.bend_account(number, positions=positions, cash=cash, liquidation_from=liquidation_from)
        if positions:
            strain(scene, chance, positions[0][0].underlying)
    words = (op.active, None, NO_ACTIVE, chance.randbytes(len(NO_ACTIVE)))
    scene.bend_op(index=index, active=chance.choice(words))


def bend_bid_claims(scene: Scene, chance: random.Random) -> None:
    """Another reason for nothing; claims that are true or beside it; other scenarios; or what they are about has
    changed."""
    bid = scene.decoded
    message = decode_message(scene.context.get_message(bid.index))
    bidder = scene.ledger.get_account(message.account)
    if chance.random() < 0.2 and bidder is not None:
        scene.bend_account(message.account, sequence=chance.choice((0, bidder.sequence)))
    elif bid.code in BID_CODES_WITHOUT_CLAIMS:
        scene.bend_op(code=chance.choice((bid.code, *BID_CODES_WITHOUT_CLAIMS, MessageCode.DONE)))
    elif chance.random() < 0.2:
        scene.bend_op(**{chance.choice(("target_active", "rest_active")): draw_active(chance)})
    elif bid.code is MessageCode.BID_SLICE_UNHEDGES and chance.random() < 0.5:
        scene.bend_op(code=MessageCode.DONE)
    elif bid.code is not MessageCode.BID_SLICE_UNHEDGES and chance.random() < 0.1:
        scene.bend_op(code=MessageCode.BID_SLICE_UNHEDGES, relief=0, bidder_active=NO_ACTIVE)
    elif chance.random() < 0.5:
        name = chance.choice(("equity", "maintenance", "value", "relief"))
        scene.bend_op(**{name: max(0 if name == "relief" else -(1 << 63), getattr(bid, name) + chance.choice((-1, 1)))})
    elif chance.random() < 0.5:
        target = scene.account(int.from_bytes(message.payload[8:12]))
        if target.positions:
            strain(scene, chance, target.positions[0][0].underlying)


def bend_outcome(scene: Scene, chance: random.Random) -> None:
    """Another outcome, other scenarios that show the bidder short, or another bidder."""
    bid = scene.decoded
    if bid.code in BID_CODES_BEFORE_DEAL:
        return
    if chance.random() < 0.5:
        code = chance.choice([code for code in BID_CODES if code not in BID_CODES_BEFORE_DEAL])
        is_short = code is MessageCode.BID_BIDDER_SHORT
        scene.bend_op(code=code, bidder_active=draw_active(chance) if is_short else NO_ACTIVE)
    else:
        message = decode_message(scene.context.get_message(bid.index))
        scene.bend_account(message.account, cash=chance.choice((0, 10**9, 10**15)))


RELAYED_EDGES: dict[Code, Edge] = {
    Code.L1_MESSAGE_MUST_BE_PLAIN: bend_message,
    Code.L1_MARGIN_MUST_MATCH: bend_word_of_margin,
    Code.BID_MUST_DECODE: bend_bytes,
    Code.BID_POSITION_MUST_INCREASE: bend_position,
    Code.BID_INDEX_MUST_BE_CURSOR: bend_index,
    Code.BID_INDEX_MUST_NOT_PASS_HEADER: bend_index_limit,
    Code.BID_MESSAGE_MUST_BE_A_TAKE: bend_message,
    Code.BID_TIME_MUST_REACH_MESSAGE: bend_time_of_message,
    Code.BID_CLAIMS_MUST_MATCH: bend_bid_claims,
    Code.BID_OUTCOME_MUST_MATCH: bend_outcome,
    Code.RELAY_MUST_DECODE: bend_bytes,
    Code.RELAY_POSITION_MUST_INCREASE: bend_position,
    Code.RELAY_INDEX_MUST_BE_CURSOR: bend_index,
    Code.RELAY_INDEX_MUST_NOT_PASS_HEADER: bend_index_limit,
    Code.RELAY_MESSAGE_MUST_BE_A_READING: bend_message,
    Code.RELAY_TIME_MUST_REACH_MESSAGE: bend_time_of_message,
}
