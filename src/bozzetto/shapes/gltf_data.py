"""The container of glTF 2.0: its JSON, its buffers, and the accessors to the data in them."""

import base64
import binascii
import json
import struct
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote, unquote_to_bytes

import numpy as np
from numpy.typing import NDArray

from .arrays import Unsupported

_JSON, _BIN = 0x4E4F534A, 0x004E4942
_COMPONENTS = {5120: "i1", 5121: "u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_SIZES = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
_ZEROS = 1 << 20  # numbers that an accessor without data may have beyond the bytes of the file
# Required extensions that are read, or that have no influence on positions, faces, normals and vertex colours.
_KNOWN = {
    "KHR_mesh_quantization",
    "KHR_draco_mesh_compression",
    "EXT_mesh_gpu_instancing",
    "KHR_lights_punctual",
    "KHR_technique_webgl",
    "KHR_techniques_webgl",
    "KHR_texture_transform",
    "KHR_texture_basisu",
    "KHR_xmp",
    "KHR_xmp_json_ld",
    "EXT_texture_webp",
    "EXT_texture_avif",
    "EXT_lights_image_based",
    "EXT_mesh_features",
    "EXT_structural_metadata",
    "MSFT_texture_dds",
}
_MESHOPT = ("EXT_meshopt_compression", "KHR_meshopt_compression")


class Document:
    """A parsed glTF file.

    Attributes:
        tree: Its JSON.
        notes: Notes about omitted parts.
    """

    def __init__(self, data: bytes, fetch: Callable[[str, int], bytes]) -> None:
        """
        Args:
            data: A .glb or .gltf file.
            fetch: Function of the name of another file, and of a number of bytes, that returns its first bytes.

        Raises:
            ValueError: It is damaged.
            Unsupported: It needs another version or an extension that is not read.
        """
        self.notes: list[str] = []
        self._size = len(data)
        self._fetch = fetch
        self._buffers: dict[int, bytes] = {}
        self._binary: bytes | None = None
        self.tree: dict[str, Any] = self._parse(data)
        asset = self._object(self.tree.get("asset", {}))
        version = str(asset.get("minVersion", asset.get("version", "1.0")))
        if not version.startswith("2."):
            raise Unsupported(f"it is glTF {version[:10]}, and only 2.0 is read; export it as glTF 2.0")
        required = self.tree.get("extensionsRequired", [])
        unknown = [str(name) for name in required if name not in _KNOWN and not _is_material(name)]
        if unknown:
            raise Unsupported(
                f"it needs the extension {', '.join(unknown)[:100]}, which is not read; export it without"
            )

    def _parse(self, data: bytes) -> dict[str, Any]:
        text = data
        if data.startswith(b"glTF"):
            version, length = struct.unpack_from("<II", data, 4)
            if version != 2:
                raise Unsupported(f"it is glTF {version}, and only 2.0 is read; export it as glTF 2.0")
            if length > len(data):
                raise ValueError(f"{length} bytes announced, {len(data)} found")
            if length < len(data):
                self.notes.append(f"{len(data) - length} bytes behind its end were left out")
            chunks = _chunks(data[:length])
            text = chunks.get(_JSON, b"")
            self._binary = chunks.get(_BIN)
        try:
            tree = json.loads(text.decode("utf-8-sig"))
        except RecursionError:
            raise ValueError("its JSON is nested too deeply") from None
        return self._object(tree)

    @staticmethod
    def _object(value: object) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise ValueError(f"{str(value)[:40]} stands where an object belongs")
        return value

    def entries(self, kind: str) -> list[dict[str, Any]]:
        """All entries of a kind, such as "nodes"."""
        found = self.tree.get(kind, [])
        if not isinstance(found, list):
            raise ValueError(f"{kind} is no list")
        return [self._object(one) for one in found]

    def entry(self, kind: str, index: object) -> dict[str, Any]:
        """One entry of a kind."""
        found = self.tree.get(kind, [])
        if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(found):
            raise ValueError(f"there is no entry {str(index)[:20]} in {kind}")
        return self._object(found[index])

    def accessor(self, index: int) -> NDArray[Any]:
        """Numbers (count, components) of an accessor; normalised integers become floats up to 1."""
        entry = self.entry("accessors", index)
        kind, size = self._kind(entry.get("componentType")), _SIZES.get(str(entry.get("type")), 0)
        count = _natural(entry.get("count"), "the count of an accessor")
        if not size:
            raise ValueError(f"an accessor has the type {str(entry.get('type'))[:20]}")
        if "bufferView" in entry:
            values = self._rows(entry, kind, count, size, strided=True)
        elif count * size <= self._size + _ZEROS:
            values = np.zeros((count, size), kind)
        else:
            raise ValueError(f"an accessor announces {count} zeros, more than the file has bytes")
        if "sparse" in entry:
            sparse = self._object(entry["sparse"])
            changed = _natural(sparse.get("count"), "the count of a sparse accessor")
            where = self._object(sparse["indices"])
            rows = self._rows(where, self._kind(where.get("componentType")), changed, 1)[:, 0].astype(
                np.int64
            )
            if len(rows) and rows.max() >= count:
                raise ValueError("a sparse accessor changes rows that do not exist")
            values = values.copy()
            values[rows] = self._rows(self._object(sparse["values"]), kind, changed, size)
        if entry.get("normalized", False) and kind.kind in "iu":
            top = np.iinfo(kind).max
            values = np.maximum(values.astype(np.float64) / top, -1.0)
        return values

    @staticmethod
    def _kind(component: object) -> np.dtype:
        if not isinstance(component, int) or component not in _COMPONENTS:
            raise ValueError(f"an accessor has the component type {str(component)[:20]}")
        return np.dtype(_COMPONENTS[component])

    def _rows(
        self, entry: dict[str, Any], kind: np.dtype, count: int, size: int, strided: bool = False
    ) -> NDArray[Any]:
        """Rows of a buffer view, beginning at the entry's own offset."""
        view = self.entry("bufferViews", entry.get("bufferView"))
        data = self._view(view)
        width = kind.itemsize * size
        stride = _natural(view.get("byteStride", 0), "a stride") if strided else 0
        stride = stride or width
        offset = _natural(entry.get("byteOffset", 0), "an offset")
        if stride < width:
            raise ValueError(f"rows of {width} bytes have a stride of {stride}")
        if count and offset + stride * (count - 1) + width > len(data):
            raise ValueError(f"an accessor announces {count} rows, beyond the {len(data)} bytes of its view")
        shape, strides = (count, size), (stride, kind.itemsize)
        return np.ndarray(shape, kind, data, offset if count else 0, strides)

    def view(self, index: object) -> memoryview:
        """The bytes of a buffer view."""
        return self._view(self.entry("bufferViews", index))

    def _view(self, view: dict[str, Any]) -> memoryview:
        compressed = [name for name in _MESHOPT if name in self._object(view.get("extensions", {}))]
        buffer = self.entry("buffers", view.get("buffer"))
        if compressed and not ("uri" in buffer or (view.get("buffer") == 0 and self._binary is not None)):
            raise Unsupported(f"it is compressed with {compressed[0]}, which is not read; export it without")
        data = self._buffer(_natural(view.get("buffer"), "a buffer"), buffer)
        begin = _natural(view.get("byteOffset", 0), "an offset")
        length = _natural(view.get("byteLength"), "the length of a buffer view")
        if begin + length > len(data):
            raise ValueError(f"a buffer view ends at byte {begin + length} of {len(data)}")
        return memoryview(data)[begin : begin + length]

    def _buffer(self, index: int, buffer: dict[str, Any]) -> bytes:
        if index not in self._buffers:
            length = _natural(buffer.get("byteLength"), "the length of a buffer")
            data = self._source(index, buffer.get("uri"), length)
            if len(data) < length:
                raise ValueError(f"a buffer announces {length} bytes and has {len(data)}")
            self._buffers[index] = data
            self._size += len(data)
        return self._buffers[index]

    def _source(self, index: int, uri: object, length: int) -> bytes:
        if uri is None:
            if index or self._binary is None:
                raise ValueError(f"buffer {index} has no data")
            return self._binary
        if not isinstance(uri, str):
            raise ValueError("the address of a buffer is no text")
        if not uri.startswith("data:"):
            return self._fetch(unquote(uri), length)
        head, _, body = uri.partition(",")
        if not head.endswith(";base64"):
            return unquote_to_bytes(body)
        try:
            return base64.b64decode(unquote(body) if "%" in body else body)
        except binascii.Error as error:
            raise ValueError(f"a buffer is no base64: {error}") from None


def _is_material(name: object) -> bool:
    return isinstance(name, str) and name.startswith("KHR_materials_")


def _chunks(data: bytes) -> dict[int, bytes]:
    """The first chunk of every type in a GLB file; those of unknown types are to be ignored."""
    chunks: dict[int, bytes] = {}
    at = 12
    while at + 8 <= len(data):
        length, kind = struct.unpack_from("<II", data, at)
        if at + 8 + length > len(data):
            raise ValueError(f"a chunk announces {length} bytes, {len(data) - at - 8} are left")
        chunks.setdefault(kind, data[at + 8 : at + 8 + length])
        at += 8 + length
    return chunks


def _natural(value: object, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{what} is {str(value)[:20]}")
    return value
