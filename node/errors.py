"""What can go wrong outside of the code. Every text is one sentence for a person: what is wrong, and what to do.

The command line prints these and exits; anything else that is raised is a defect.
"""


class NodeError(Exception):
    """The root of all that an operator or a user can put right."""


class RollupEnded(NodeError):
    """The rollup was wound down: there is nothing left to do but to be paid."""


class ConfigError(NodeError):
    """A configuration file or a command line says what cannot be."""


class KeyFileError(NodeError):
    """A key file is missing, unreadable, of another kind, or open to others."""


class L1Error(NodeError):
    """Something about the L1; see the kinds below."""


class L1Unavailable(L1Error):
    """No endpoint answers, or too few of several. The only kind that time alone may cure."""


class L1Behind(L1Unavailable):
    """An endpoint does not know a block that it, or another, has shown before: it lags."""


class L1Refused(L1Error):
    """An endpoint answered a request with an error."""


class HistoryPruned(L1Refused):
    """An endpoint does not keep old logs, transactions or states, and these are needed."""


class L1Inconsistent(L1Error):
    """What an endpoint says cannot be: logs are missing, forks are mixed, a finalized block changed."""


class L1Disputed(L1Error):
    """Endpoints contradict each other, and no answer has the quorum behind it."""


class WrongChain(L1Error):
    """An endpoint serves another chain than the one that was asked for."""


class WrongContract(L1Error):
    """At the address there is no contract, or it is not a Keel rollup of this protocol version."""


class CallReverted(L1Error):
    """A contract refused a call. `reason` is its own word, "" when it gave none."""

    def __init__(self, label: str, reason: str) -> None:
        super().__init__(f"{label}: the contract refuses: {reason or '(it gives no reason)'}")
        self.reason = reason


class Underfunded(L1Error):
    """The sender cannot pay for a transaction."""


class FeeTooHigh(L1Error):
    """The L1 asks more for its gas than the operator allowed."""


class NotMined(L1Error):
    """A transaction waits longer than the caller wanted to. It keeps its nonce and may still be mined."""


class JournalError(L1Error):
    """A nonce journal is in use by another process, damaged, or of another chain or key."""
