"""Checkpoints and weights as safetensors, and short names for the content of inputs."""

import hashlib
import json
import pickle
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from ..errors import InputError
from ..files import write_bytes


def write_checkpoint(path: Path, tensors: dict[str, torch.Tensor], meta: dict[str, Any]) -> None:
    """Replace a checkpoint by tensors and a dictionary that JSON can hold, with a checksum over both.

    Equal content gives equal bytes.
    """
    # Clones, because safetensors refuses tensors that share memory.
    content = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    text = json.dumps(meta)
    meta = {"bozzetto": text, "checksum": _checksum(content, text)}
    write_bytes(path, tensor_file(content, meta))


def read_checkpoint(
    path: Path, advice: str = "start again with --overwrite"
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """The tensors, on the CPU, and the dictionary of `write_checkpoint`.

    Args:
        path: The file.
        advice: What messages tell to do.

    Raises:
        InputError: The file is truncated, was changed, or is no checkpoint of this library.
    """
    if path.exists() and not path.is_file():  # a pipe would never end
        raise InputError(f"{path} is a folder, a device or a pipe, and no checkpoint; give a file")
    try:
        with safe_open(path, "pt") as file:
            info = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, not a dict
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{path} is damaged ({error}); {advice}") from None
    if "bozzetto" not in info:
        raise InputError(f"{path} is not a checkpoint of bozzetto; {advice}")
    if info.get("checksum") != _checksum(tensors, info["bozzetto"]):
        raise InputError(f"{path} was changed after it was written; {advice}")
    return tensors, json.loads(info["bozzetto"])


def load_weights(path: Path) -> dict[Any, Any]:
    """The dictionary in a file of `torch.save`, on the CPU; objects that are not data are never unpickled.

    Raises:
        InputError: The file is missing, damaged, or holds something else.
    """
    if not path.is_file():
        raise InputError(f"there is no file {path}; give a checkpoint of the released code")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, OSError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        reason = str(error).strip().split("\n")[0][:80]
        raise InputError(
            f"{path} is no file of tensors of PyTorch, or damaged ({reason}); get it anew"
        ) from None
    if not isinstance(content, dict):
        raise InputError(f"{path} holds no dictionary of tensors; give a checkpoint of the released code")
    return content


def tensor_file(tensors: dict[str, torch.Tensor], meta: dict[str, str]) -> bytes:
    """The content of a safetensors file, the same for equal tensors and metadata.

    The library writes metadata in random order; here they come in the order given.
    """
    data = save(tensors, meta)
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    text = json.dumps({**header, "__metadata__": meta}, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[8 + size :]


def _checksum(tensors: dict[str, torch.Tensor], text: str) -> str:
    parts = [part for name in sorted(tensors) for part in (name, tensors[name])]
    return fingerprint(text, *parts)


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
