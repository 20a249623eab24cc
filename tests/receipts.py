"""A sequencer's word for what it has taken, signed as the process that signs does it."""

from coincurve import PrivateKey

from node.sequencer_core import SequencerCore
from node.signature_worker import sign
from sequencer.engine import Accepted
from state.receipts import SignedReceipt


def sign_receipt(core: SequencerCore, key: PrivateKey, domain: bytes, accepted: Accepted) -> SignedReceipt:
    """The receipt for a request that is durable."""
    body = core.build_receipt(accepted)
    return SignedReceipt(body, sign(key, body.hash_signing(domain)))
