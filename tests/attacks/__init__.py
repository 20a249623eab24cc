"""Stories of whoever means harm: each attack that must come to nothing."""
