"""How many connections a process can hold: each is a file, and so is what it keeps on disk."""

import resource
from dataclasses import replace

from node.gateway import GatewayLimits

OTHER_FILES = 1_200
"""Left to the store, whose tables may be a thousand files, to logs, and to the L1's connections."""


def fit_limits(limits: GatewayLimits) -> GatewayLimits:
    """As many files as the system lets this process have, and no more connections than go with that.

    A node that runs out of files by its connections could not write its log any more.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard == resource.RLIM_INFINITY:
        return limits
    return replace(limits, connections_max=min(limits.connections_max, max(hard - OTHER_FILES, hard // 2)))
