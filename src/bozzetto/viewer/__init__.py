"""Galleries of results: HTML pages of pictures and interactive meshes that open from disk."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
