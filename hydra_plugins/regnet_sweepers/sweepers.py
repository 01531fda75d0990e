"""Hydra takes sweepers only from here; see regnet.sweepers."""

from regnet.sweepers import path, search


class SearchSweeper(search.SearchSweeper):
    __doc__ = search.SearchSweeper.__doc__


class PathSweeper(path.PathSweeper):
    __doc__ = path.PathSweeper.__doc__
