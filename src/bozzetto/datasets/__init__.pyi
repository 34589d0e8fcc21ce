from .catalogue import Sample as Sample
from .catalogue import catalogue as catalogue
from .fetch import fetch as fetch
