"""The edge of every check there is."""

from state.codes import Code
from tests.parity.edges import ORDINARY_EDGES, Edge
from tests.parity.ending_edges import ENDING_EDGES
from tests.parity.relayed_edges import RELAYED_EDGES

EDGES: dict[Code, Edge] = ORDINARY_EDGES | ENDING_EDGES | RELAYED_EDGES
