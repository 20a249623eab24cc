"""Soak: the devnet for a long time, and what the memory of each of its processes does meanwhile."""
