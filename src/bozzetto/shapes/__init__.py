"""Value types for shapes, and how they are loaded, saved, sampled and normalised."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
