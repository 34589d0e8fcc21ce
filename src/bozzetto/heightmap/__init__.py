"""Height maps from photos: by a network, by photometric stereo, or with a tactile sensor."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
