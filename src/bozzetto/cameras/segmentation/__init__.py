"""Masks of photographs without a plain background, and files of masks that users can edit."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
