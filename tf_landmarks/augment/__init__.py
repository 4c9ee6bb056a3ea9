"""Warps with known geometry, and the training pairs made with them."""
