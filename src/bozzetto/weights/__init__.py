"""Weights that are part of the package; the model card beside each file describes training and contents."""

from pathlib import Path

from ..errors import InputError


def find(name: str) -> Path:
    """The file of shipped weights.

    Raises:
        InputError: There are none of this name; the message lists those that there are.
    """
    folder = Path(__file__).parent
    path = folder / f"{name}.safetensors"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in folder.glob("*.safetensors"))) or "none"
        raise InputError(f"no weights named {name} come with bozzetto; there are: {known}")
    return path
