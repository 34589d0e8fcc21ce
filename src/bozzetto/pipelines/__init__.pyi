from .photographs import reconstruct_photographs as reconstruct_photographs
from .subjects import bust as bust
from .subjects import vase as vase
