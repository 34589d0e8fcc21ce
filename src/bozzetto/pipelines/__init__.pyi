from .subjects import bust as bust
from .subjects import vase as vase
