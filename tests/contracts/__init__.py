"""Contracts on an in-process EVM, beside their Python twins, and on a real node where only that tells."""
