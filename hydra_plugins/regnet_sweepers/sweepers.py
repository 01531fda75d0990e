"""Hydra takes sweepers only from here; see regnet.sweepers."""

from regnet.planning import command
from regnet.sweepers import decide, path, refine, search, tune


class SearchSweeper(search.SearchSweeper):
    __doc__ = search.SearchSweeper.__doc__


class PathSweeper(path.PathSweeper):
    __doc__ = path.PathSweeper.__doc__


class TuneSweeper(tune.TuneSweeper):
    __doc__ = tune.TuneSweeper.__doc__


class RefineSweeper(refine.RefineSweeper):
    __doc__ = refine.RefineSweeper.__doc__


class DecideSweeper(decide.DecideSweeper):
    __doc__ = decide.DecideSweeper.__doc__


class PlanSweeper(command.PlanSweeper):
    __doc__ = command.PlanSweeper.__doc__
