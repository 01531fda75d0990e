"""Sweepers of Hydra that decide on the next runs by what the last ones gave."""
