from .segment import segment as segment
