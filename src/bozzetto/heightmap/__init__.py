"""Height maps from photos, under several lights or with a tactile sensor, and what is made of heights."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
