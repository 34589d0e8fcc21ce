from . import cameras as cameras
from . import datasets as datasets
from . import geometry as geometry
from . import heightmap as heightmap
from . import images as images
from . import inverse as inverse
from . import metrics as metrics
from . import photometric as photometric
from . import points as points
from . import rendering as rendering
from . import runs as runs
from . import score as score
from . import sdf as sdf
from . import shapes as shapes
from . import viewer as viewer
from .cameras import Cameras as Cameras
from .cameras import Capture as Capture
from .cameras import load_capture as load_capture
from .errors import InputError as InputError
from .shapes import Mesh as Mesh
from .shapes import PointCloud as PointCloud
from .shapes import load_mesh as load_mesh
from .shapes import load_points as load_points
from .shapes import save_mesh as save_mesh
from .shapes import save_points as save_points

__version__: str
