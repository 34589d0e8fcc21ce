from .optimizers import OPTIMIZERS as OPTIMIZERS
from .optimizers import AdamUniform as AdamUniform
from .optimizers import VectorAdam as VectorAdam
from .optimizers import make_optimizer as make_optimizer
from .precondition import Preconditioner as Preconditioner
from .precondition import alpha_from_smoothness as alpha_from_smoothness
from .precondition import smoothness_from_alpha as smoothness_from_alpha
