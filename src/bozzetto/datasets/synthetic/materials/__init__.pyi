from .patterns import MaterialSurface as MaterialSurface
from .recipes import RECIPES as RECIPES
from .recipes import make_surface as make_surface
from .samples import MaterialSample as MaterialSample
from .samples import make_sample as make_sample
from .samples import make_samples as make_samples
from .samples import photograph as photograph
