"""Procedural surfaces with exact heights, and simulated photographs of them: training data without a
download."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
