"""Reads run records and nothing else: no torch, no training."""
