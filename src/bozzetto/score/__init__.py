"""ShapeGF: a shape as a distribution of points, learned as the gradient of its log density."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
