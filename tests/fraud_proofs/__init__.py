"""Tests of fraud_proofs/."""
