"""Hydra takes launchers only from here; see regnet.commands.launcher and regnet.packed.launcher."""

from regnet.commands import launcher as alone
from regnet.packed import launcher as packed


class StudyLauncher(alone.StudyLauncher):
    __doc__ = alone.StudyLauncher.__doc__


class PackedLauncher(packed.PackedLauncher):
    __doc__ = packed.PackedLauncher.__doc__
