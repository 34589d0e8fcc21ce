"""Measured surfaces: heights from several lights, from tactile sensors, and refined by rendering."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
