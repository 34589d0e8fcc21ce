from .camera import Cameras as Cameras
