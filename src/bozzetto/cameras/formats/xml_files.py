"""Reading XML from anyone: no entities, no document types, a bounded number of elements."""

import xml.etree.ElementTree as ET
from pathlib import Path

from ...errors import InputError
from .camera_files import read_text, reason

MOST_ELEMENTS = 500_000
"""Elements of a file; twenty thousand cameras have fewer."""
DEEPEST = 64
"""Elements within each other."""


class _Bounded(ET.TreeBuilder):
    count = 0
    depth = 0

    def start(self, tag: str, attrs: dict) -> ET.Element:  # type: ignore[override]
        self.count += 1
        self.depth += 1
        if self.count > MOST_ELEMENTS or self.depth > DEEPEST:
            raise InputError("it has too many elements or they are nested too deeply")
        return super().start(tag, attrs)

    def end(self, tag: str) -> ET.Element:
        self.depth -= 1
        return super().end(tag)


def read_xml(path: Path) -> ET.Element:
    """The root of an XML file.

    Raises:
        InputError: It is missing, too large, no XML, or declares a document type: entities can make a small
            file arbitrarily large, and no camera file needs them.
    """
    text = read_text(path)
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise InputError(f"{path} declares a document type, as no camera file does; remove it")
    parser = ET.XMLParser(target=_Bounded())
    try:
        parser.feed(text)
        return parser.close()
    except (ET.ParseError, ValueError) as error:
        raise InputError(
            f"{path} is no XML file that can be read: {reason(error)}; export it again"
        ) from None
