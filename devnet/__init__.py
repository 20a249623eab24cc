"""One terminal: an L1, the contracts, a sequencer, honest and lying actors, and the proofs that catch them."""
