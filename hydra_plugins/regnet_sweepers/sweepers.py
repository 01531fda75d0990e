"""Hydra takes sweepers only from here; see regnet.sweepers."""

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
