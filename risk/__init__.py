"""Integer risk formulas over small frozen values: no accounts tree, no bytes, no clock."""
