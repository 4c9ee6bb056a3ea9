"""Measuring discovered landmarks against annotations."""
