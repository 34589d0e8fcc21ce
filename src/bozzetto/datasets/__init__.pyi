from .fetch import Sample as Sample
from .fetch import catalogue as catalogue
from .fetch import fetch as fetch
