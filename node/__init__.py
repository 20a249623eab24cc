"""Everything that touches the world: the L1, the network, the disk, the clock."""
