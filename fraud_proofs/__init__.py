"""From a wrong root to the one L1 transaction that refutes it, and the twins of the contracts that judge it."""
