"""The state and its transition."""
