from .completion import complete_scan as complete_scan
from .completion import interpolate_codes as interpolate_codes
from .learning import learn_shape_prior as learn_shape_prior
from .learning import prepared_collection as prepared_collection
from .photographs import reconstruct_photographs as reconstruct_photographs
from .subjects import bust as bust
from .subjects import vase as vase
