"""Many runs trained as one: stacked networks, stacked optimizers, and the Hydra launcher that makes packs."""
