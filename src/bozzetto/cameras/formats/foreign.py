"""Files that other programs use for cameras and that are not read: what they are and which export works."""

from pathlib import Path

from ...errors import InputError

_CSV = "export Alignment > Registration > Internal/External camera parameters (CSV) from it"
_MESHROOM = "give cameras.sfm of its StructureFromMotion node, or export it with ConvertSfMFormat to .sfm"
ENDINGS = {
    ".psx": (
        "a project of Metashape",
        "export the cameras from it with File > Export > Export Cameras (XML)",
    ),
    ".psz": (
        "a project of Metashape",
        "export the cameras from it with File > Export > Export Cameras (XML)",
    ),
    ".rcproj": ("a project of RealityCapture", _CSV),
    ".rsproj": ("a project of RealityScan", _CSV),
    ".rcalign": ("a component of RealityCapture", _CSV),
    ".xmp": ("a sidecar file of RealityCapture", _CSV),
    ".mvs": ("a scene of OpenMVS", "give the COLMAP or OpenMVG model that it was made from"),
    ".nvm": ("a scene of VisualSFM", "save it there as bundle.out with list.txt"),
    ".abc": ("an Alembic file", _MESHROOM),
    ".mg": ("a graph of Meshroom", _MESHROOM),
    ".usdz": ("a USD scene", "export transforms.json or a COLMAP model from the app that wrote it"),
    ".r3d": ("a recording of Record3D", "convert it to transforms.json, with ns-process-data of nerfstudio"),
    ".db": ("a database of COLMAP", "give the sparse model that its mapper wrote, such as sparse/0"),
    ".p4d": ("a project of Pix4D", "export its cameras as a Bundler file"),
    ".mlp": ("a project of MeshLab", "export its cameras as bundle.out"),
    ".fbx": ("a scene with animated cameras", "export transforms.json, a COLMAP model or a CSV file instead"),
    ".dae": ("a scene with animated cameras", "export transforms.json, a COLMAP model or a CSV file instead"),
    ".blend": ("a scene of Blender", "export transforms.json from it"),
}
"""By the ending of the name: what it is, what to do."""
NAMES = {
    "reconstruction.json": ("a reconstruction of OpenSfM", "convert it with its command export_colmap"),
    "rigs.bin": ("a part of a COLMAP model", "give the folder that holds it"),
    "frames.bin": ("a part of a COLMAP model", "give the folder that holds it"),
    "rigs.txt": ("a part of a COLMAP model", "give the folder that holds it"),
    "frames.txt": ("a part of a COLMAP model", "give the folder that holds it"),
}
"""By the whole name."""
_WORDS = {
    "BlocksExchange": ("a file of ContextCapture", "export its cameras to COLMAP or Metashape XML"),
    "ExportOrient": ("an orientation of MicMac", "convert it with mm3d Apero2NVM or to COLMAP"),
    "OrientationConique": ("an orientation of MicMac", "convert it with mm3d Apero2NVM or to COLMAP"),
    "NVM_V3": ENDINGS[".nvm"],
    "fileName imageWidth imageHeight": ENDINGS[".p4d"],
}
"""By a word near the beginning of a text."""


def refuse_foreign(path: Path) -> None:
    """Refuse a file that is known and not read.

    Raises:
        InputError: It is one; the message names it and the export that works.
    """
    found = NAMES.get(path.name.lower()) or ENDINGS.get(path.suffix.lower())
    if found is None:
        with path.open("rb") as file:
            start = file.read(2000).decode("latin-1")
        found = next((about for word, about in _WORDS.items() if word in start), None)
    if found is not None:
        raise InputError(f"{path} is {found[0]}, which is not read; {found[1]}")


def about_foreign(folder: Path) -> str | None:
    """What to say of such a file in a folder in which there is nothing that is read."""
    for file in sorted(folder.iterdir()):
        found = NAMES.get(file.name.lower()) or ENDINGS.get(file.suffix.lower())
        if found is not None:
            return f"{file} is {found[0]}, which is not read; {found[1]}"
    return None
