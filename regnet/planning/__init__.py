"""Before training: which runs a study would have, what they would take, and what they could tell."""
