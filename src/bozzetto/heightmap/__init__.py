"""Height maps from photos: several photos under different lights, tactile sensors, and what to make of heights."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
