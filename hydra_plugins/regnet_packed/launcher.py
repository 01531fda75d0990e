"""Hydra takes a launcher only from here; see regnet.packed.launcher."""

from regnet.packed import launcher


class PackedLauncher(launcher.PackedLauncher):
    __doc__ = launcher.PackedLauncher.__doc__
