"""Fraud proofs: grounds, witnesses, the step re-run from a witness alone, the honest challenger. See SPEC.md."""
