"""Measuring exported models against annotations."""
