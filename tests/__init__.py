"""Tests mirror the packages; test_tidy.py holds the rules of the house."""
