"""The whole system against a hostile world."""
