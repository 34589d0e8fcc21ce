"""Height maps as functions on a grid: gradients, integration, relief meshes, ambient occlusion."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
