"""Tests of sequencer/."""
