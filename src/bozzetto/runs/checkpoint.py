"""Checkpoints and weights as safetensors, and fingerprints of inputs."""

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
    """Write a checkpoint of tensors and a dictionary of JSON values, with a checksum over both.

    Equal content gives equal bytes.
    """
    # Clones, because safetensors does not accept tensors that share memory.
    content = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    text = json.dumps(meta)
    meta = {"bozzetto": text, "checksum": _checksum(content, text)}
    write_bytes(path, tensor_file(content, meta))


def read_checkpoint(
    path: Path, advice: str = "start again with --overwrite"
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read the tensors, on the CPU, and the dictionary of a file of `write_checkpoint`.

    Args:
        path: The file.
        advice: Advice in error messages.

    Raises:
        InputError: The file is truncated or modified, or is not a checkpoint of this library.
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
    """Read the dictionary of a file of `torch.save` to the CPU; only data are unpickled, never other objects.

    Raises:
        InputError: The file is missing or damaged, or has other content.
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

    The safetensors library writes metadata in random order; here they have the given order.
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
    """A hash of tensors, files (paths), strings, numbers and other JSON values.

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
