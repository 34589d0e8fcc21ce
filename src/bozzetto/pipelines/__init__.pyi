from .photographs import reconstruct_photographs as reconstruct_photographs
from .pictures import comparison_sheet as comparison_sheet
from .pictures import turntable as turntable
from .subjects import bust as bust
from .subjects import vase as vase
