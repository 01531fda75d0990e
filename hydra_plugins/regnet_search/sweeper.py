"""Hydra takes a sweeper only from here; see regnet.search."""

from regnet import search


class SearchSweeper(search.SearchSweeper):
    __doc__ = search.SearchSweeper.__doc__
