from .estimate import estimate_cameras as estimate_cameras
from .model import EstimatedViews as EstimatedViews
from .model import PoseReport as PoseReport
from .photo_files import find_photographs as find_photographs
