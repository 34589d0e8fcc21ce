"""DeepSDF: a family of shapes as one network and a code per shape; completion and interpolation."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
