from .bust import bust as bust
from .bust import vase as vase
from .furnished_room import FurnishedRoom as FurnishedRoom
from .furnished_room import furnished_room as furnished_room
from .phone import PhonePhotos as PhonePhotos
from .phone import phone_photos as phone_photos
