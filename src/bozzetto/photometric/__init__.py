"""Photometric measurement of surfaces: photometric stereo, tactile sensors, and refinement by rendering."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
