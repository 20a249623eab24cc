"""Torture: processes of a node are killed at drawn bytes and instants under load, and what must hold is checked.

python -m tests.torture [--seed N] [--minutes M]
"""
