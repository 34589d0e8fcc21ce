"""Photographs to mesh: Large Steps in Inverse Rendering of Geometry (Nicolet et al. 2021)."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
