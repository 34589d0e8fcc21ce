"""A short name for the content of an input, so that a run is not resumed on another one."""

import hashlib
import json
from pathlib import Path

import torch


def fingerprint(*values: object) -> str:
    """A hash of tensors, files (paths), strings, numbers and anything else that JSON can hold.

    Equal content gives equal fingerprints on every machine; file names and dates do not matter.
    """
    digest = hashlib.sha256()
    for value in values:
        if isinstance(value, torch.Tensor):
            array = value.detach().cpu().contiguous()
            digest.update(f"{array.dtype} {tuple(array.shape)} ".encode())
            digest.update(array.reshape(-1).view(torch.uint8).numpy().tobytes())
        elif isinstance(value, Path):
            with value.open("rb") as file:
                while chunk := file.read(1 << 20):
                    digest.update(chunk)
        else:
            digest.update(json.dumps(value, sort_keys=True).encode())
        digest.update(b"\0")
    return digest.hexdigest()[:32]
