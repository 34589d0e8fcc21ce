from .files import save_masks as save_masks
from .network import network_masks as network_masks
from .segment import segment as segment
