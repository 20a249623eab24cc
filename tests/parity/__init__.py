"""Parity: the Python transition and the contract bytecode on the same steps, proof bytes in, verdict out."""
