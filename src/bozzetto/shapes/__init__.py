"""Types of shapes, and functions that load, save, sample and normalise them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
