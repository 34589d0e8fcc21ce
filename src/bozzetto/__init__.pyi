from . import geometry as geometry
from . import heightmap as heightmap
from . import inverse as inverse
from . import metrics as metrics
from . import pipelines as pipelines
from . import render as render
from . import runs as runs
from . import samples as samples
from . import shapes as shapes
from . import viewer as viewer
from . import views as views
from .errors import InputError as InputError
from .shapes import Mesh as Mesh
from .shapes import PointCloud as PointCloud
from .shapes import load_mesh as load_mesh
from .shapes import load_points as load_points
from .shapes import save_mesh as save_mesh
from .shapes import save_points as save_points
from .views import Cameras as Cameras
from .views import Capture as Capture
from .views import load_capture as load_capture

__version__: str
