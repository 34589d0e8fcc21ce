"""Metrics of results: distances between surfaces, clouds, images and masks; mesh quality."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
