"""Whole-smear masks and counts (paper 004)."""
