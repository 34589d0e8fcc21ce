"""Textured meshes: an atlas, colours blended from photographs, and a normal map of the finer relief."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
