"""Whole-smear masks and counts (Rao et al. 2024)."""
