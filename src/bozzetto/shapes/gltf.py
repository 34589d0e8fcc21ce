"""Reading glTF 2.0, binary (.glb) and text (.gltf), as its specification says.

All meshes of the default scene are joined, transformed by their nodes, skins and instances.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import Arrays, Unsupported, joined_arrays
from .gltf_data import Document

_POINTS, _TRIANGLES, _STRIP, _FAN = 0, 4, 5, 6
_LINES = (1, 2, 3)
_MOST = 100_000_000  # vertices that instances may make of a small file
_DRACO = "KHR_draco_mesh_compression"
_INSTANCES = "EXT_mesh_gpu_instancing"


def read_gltf(data: bytes, fetch: Callable[[str, int], bytes]) -> Arrays:
    """The meshes of the default scene, or its points where it has no triangles.

    It is read in its rest state: without animations, with morph targets at their default weights, and with
    skins in the pose of their joints. Colours are linear: those of the vertices times that of the material;
    textures are not read.

    Args:
        data: The file.
        fetch: Function of the address of another file, and of a number of bytes, that returns its first bytes.
    """
    return _Scene(Document(data, fetch)).read()


class _Scene:
    """The nodes of a file, and the meshes read from them."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.notes = document.notes
        self.nodes = document.entries("nodes")
        self.count = 0
        self.left: dict[str, int] = {}
        self.world: dict[int, NDArray[Any]] = {}

    def read(self) -> Arrays:
        parts = [part for node in self._visible() for part in self._placed(node)]
        triangles = [part for part in parts if len(part.faces)]
        if triangles and len(triangles) < len(parts):
            self._leave("primitives of points")
        for what, count in self.left.items():
            self.notes.append(f"its {what} ({count}) were left out")
        whole = joined_arrays(triangles or parts)
        whole.linear = True
        whole.notes = list(dict.fromkeys(self.notes + whole.notes))
        return whole

    def _leave(self, what: str) -> None:
        self.left[what] = self.left.get(what, 0) + 1

    def _visible(self) -> list[dict[str, Any]]:
        """Nodes of the default scene, each with `index` and its matrix in `self.world`, parents first."""
        scenes = self.document.entries("scenes")
        children = {index for node in self.nodes for index in _list(node, "children")}
        roots = [index for index in range(len(self.nodes)) if index not in children]
        if scenes:
            default = self.document.tree.get("scene", 0)
            shown = _list(self.document.entry("scenes", default), "nodes")
            if len(scenes) > 1:
                self.notes.append(f"it has {len(scenes)} scenes, of which number {default} was read")
        elif not self.nodes:
            self.nodes = [{"mesh": index} for index in range(len(self.document.entries("meshes")))]
            shown = roots = list(range(len(self.nodes)))
        else:
            shown = roots
        self._walk(roots)  # joints may lie outside of the scene
        order = self._walk(shown)
        rest = {i for i, node in enumerate(self.nodes) if "mesh" in node} - set(order)
        if rest:
            self.notes.append(
                f"{len(rest)} of its nodes with a mesh do not belong to the scene and were left out"
            )
        return [{**self.nodes[index], "index": index} for index in order]

    def _walk(self, roots: list[Any]) -> list[int]:
        """Indices of nodes from roots down; their matrices go to `self.world`."""
        order: list[int] = []
        seen: set[int] = set()
        stack = [(index, np.eye(4)) for index in reversed(roots)]
        while stack:
            index, above = stack.pop()
            node = self.document.entry("nodes", index) if "nodes" in self.document.tree else self.nodes[index]
            if index in seen:
                raise ValueError(f"node {index} has two parents or is its own")
            seen.add(index)
            order.append(index)
            self.world[index] = above @ _local(node)
            stack += [(child, self.world[index]) for child in reversed(_list(node, "children"))]
        return order

    def _placed(self, node: dict[str, Any]) -> Iterator[Arrays]:
        if "mesh" not in node:
            return
        mesh = self.document.entry("meshes", node["mesh"])
        weights = node.get("weights", mesh.get("weights"))
        skin = self.document.entry("skins", node["skin"]) if "skin" in node else None
        matrices = [self.world[node["index"]]]
        instances = node.get("extensions", {}).get(_INSTANCES)
        if instances is not None:
            matrices = [matrices[0] @ local for local in self._instances(instances["attributes"])]
        for primitive in _list(mesh, "primitives"):
            part = self._primitive(primitive, weights)
            if part is None:
                continue
            self.count += len(part.vertices) * len(matrices)
            if self.count > _MOST:
                raise Unsupported(
                    f"its nodes and instances make more than {_MOST} vertices; save a part of it"
                )
            if skin is not None:
                yield self._skinned(part, primitive["attributes"], skin)
            else:
                yield from (_moved(part, matrix) for matrix in matrices)

    def _instances(self, attributes: dict[str, int]) -> NDArray[Any]:
        """Matrices (I, 4, 4) of EXT_mesh_gpu_instancing."""
        values = {name: self.document.accessor(index) for name, index in attributes.items()}
        counts = {len(rows) for rows in values.values()}
        if len(counts) != 1:
            raise ValueError("the attributes of instances differ in number")
        count = counts.pop()
        if count > _MOST:
            raise ValueError(f"{count} instances")
        default = {"TRANSLATION": [0, 0, 0], "ROTATION": [0, 0, 0, 1], "SCALE": [1, 1, 1]}
        parts = [np.asarray(values.get(k, np.tile(v, (count, 1))), np.float64) for k, v in default.items()]
        return _composed(*parts)

    def _primitive(self, primitive: dict[str, Any], weights: list[Any] | None) -> Arrays | None:
        mode = primitive.get("mode", _TRIANGLES)
        if mode in _LINES:
            self._leave("primitives of lines")
            return None
        if mode not in (_POINTS, _TRIANGLES, _STRIP, _FAN):
            raise ValueError(f"a primitive has the mode {str(mode)[:20]}")
        attributes = primitive["attributes"]
        if "POSITION" not in attributes:
            self._leave("primitives without positions")
            return None
        packed = self._unpacked(primitive)
        read = packed.get if packed else lambda name: self._attribute(attributes, name)
        positions, indices = read("POSITION"), None
        if packed:
            indices = packed["indices"]
        elif "indices" in primitive:
            indices = self.document.accessor(primitive["indices"])[:, 0]
            if indices.dtype.kind not in "iu":
                raise ValueError("the indices of a primitive are no integers")
            indices = indices.astype(np.int64)
        if positions is None or positions.shape[1] != 3:
            raise ValueError("positions are not of type VEC3")
        positions = positions.astype(np.float64)
        positions = self._morphed(positions, primitive, weights)
        count = len(positions)
        if indices is not None and len(indices) and (indices.min() < 0 or indices.max() >= count):
            raise ValueError(f"an index is {indices.max()}, out of range for {count} vertices")
        normals = read("NORMAL")
        return Arrays(
            positions,
            np.zeros((0, 3), np.int64) if mode == _POINTS else self._faces(indices, count, mode),
            None if normals is None or normals.shape != positions.shape else normals.astype(np.float64),
            self._colors(read("COLOR_0"), primitive, count),
            linear=True,
        )

    def _attribute(self, attributes: dict[str, int], name: str) -> NDArray[Any] | None:
        return self.document.accessor(attributes[name]) if name in attributes else None

    def _faces(self, indices: NDArray[Any] | None, count: int, mode: int) -> NDArray[Any]:
        corners = np.arange(count) if indices is None else indices
        if mode == _TRIANGLES:
            if len(corners) % 3:
                self._leave("incomplete triangles")
            return corners[: len(corners) // 3 * 3].reshape(-1, 3)
        if len(corners) < 3:
            return np.zeros((0, 3), np.int64)
        first = np.broadcast_to(corners[:1], len(corners) - 2) if mode == _FAN else corners[:-2]
        faces = np.stack([first, corners[1:-1], corners[2:]], axis=1)
        if mode == _STRIP:
            faces[1::2] = faces[1::2][:, [1, 0, 2]]
        a, b, c = faces.T
        return faces[(a != b) & (b != c) & (c != a)]  # those without area only join strips

    def _morphed(
        self, positions: NDArray[Any], primitive: dict[str, Any], weights: list[Any] | None
    ) -> NDArray[Any]:
        targets = _list(primitive, "targets")
        for weight, target in zip(weights or [], targets, strict=False):
            if weight and "POSITION" in target:
                change = self.document.accessor(target["POSITION"])
                if change.shape != positions.shape:
                    raise ValueError("a morph target has another number of vertices")
                positions = positions + float(weight) * change
        return positions

    def _colors(self, own: NDArray[Any] | None, primitive: dict[str, Any], count: int) -> NDArray[Any] | None:
        """Linear colours: those of the vertices times that of the material."""
        material = self.document.entry("materials", primitive["material"]) if "material" in primitive else {}
        surface = material.get("pbrMetallicRoughness", {})
        gloss = material.get("extensions", {}).get("KHR_materials_pbrSpecularGlossiness", {})
        if "baseColorTexture" in surface or "diffuseTexture" in gloss:
            self.notes.append("its colours lie in a texture, which was left out")
        factor = np.array(surface.get("baseColorFactor", gloss.get("diffuseFactor", [1, 1, 1])), np.float64)[
            :3
        ]
        if own is not None:
            if own.dtype.kind in "iu":  # meant to be normalised, though not said to be
                own = own / float(np.iinfo(own.dtype).max)
            if own.shape[0] != count or own.shape[1] not in (3, 4):
                raise ValueError(f"colours of shape {own.shape} belong to {count} vertices")
            own = own[:, :3].astype(np.float64) * factor
        elif "baseColorTexture" not in surface and (factor != 1).any():
            own = np.tile(factor, (count, 1))
        return own

    def _unpacked(self, primitive: dict[str, Any]) -> dict[str, NDArray[Any]] | None:
        """Attributes and indices of a primitive that Draco compressed; None if it has a plain form to read."""
        packed = primitive.get("extensions", {}).get(_DRACO)
        if packed is None:
            return None
        plain = "bufferView" in self.document.entry("accessors", primitive["attributes"]["POSITION"])
        try:
            import DracoPy
        except ModuleNotFoundError:
            if plain and _DRACO not in self.document.tree.get("extensionsRequired", []):
                return None
            raise Unsupported(
                "it is compressed with Draco, which needs another package; run: pip install 'bozzetto[draco]'"
            ) from None
        mesh = DracoPy.decode(bytes(self.document.view(packed["bufferView"])))
        found = {one["unique_id"]: np.asarray(one["data"]) for one in mesh.attributes}
        named = {name: found[number] for name, number in packed["attributes"].items() if number in found}
        return {**named, "indices": np.asarray(mesh.faces, np.int64).reshape(-1)}

    def _skinned(self, part: Arrays, attributes: dict[str, int], skin: dict[str, Any]) -> Arrays:
        """Vertices moved by their joints; the transform of the node itself is ignored."""
        self.notes.append("its skinned meshes were read in the pose of the file")
        joints = _list(skin, "joints")
        inverse = np.tile(np.eye(4), (len(joints), 1, 1))
        if "inverseBindMatrices" in skin:
            inverse = self.document.accessor(skin["inverseBindMatrices"]).reshape(-1, 4, 4)
            inverse = inverse.transpose(0, 2, 1).astype(np.float64)
        if len(inverse) < len(joints) or not all(index in self.world for index in joints):
            raise ValueError("a skin names joints that do not exist")
        matrices = np.stack([self.world[j] @ m for j, m in zip(joints, inverse, strict=False)])
        count = len(part.vertices)
        moved, total = np.zeros((count, 4, 4)), np.zeros(count)
        for number in range(len(attributes)):
            bound = self._attribute(attributes, f"JOINTS_{number}")
            shares = self._attribute(attributes, f"WEIGHTS_{number}")
            if bound is None or shares is None:
                break
            if bound.shape != (count, 4) or shares.shape != (count, 4) or bound.max(initial=0) >= len(joints):
                raise ValueError("the joints of vertices are out of range")
            for joint, share in zip(bound.T.astype(np.int64), shares.T.astype(np.float64), strict=True):
                moved += share[:, None, None] * matrices[joint]
                total += share
        if (total <= 0).any():
            raise ValueError("vertices of a skin belong to no joint")
        moved /= total[:, None, None]
        vertices = np.einsum("vij,vj->vi", moved[:, :3, :3], part.vertices) + moved[:, :3, 3]
        return Arrays(vertices, part.faces, None, part.colors, linear=True)


def _list(entry: dict[str, Any], key: str) -> list[Any]:
    found = entry.get(key, [])
    if not isinstance(found, list):
        raise ValueError(f"{key} is no list")
    return found


def _local(node: dict[str, Any]) -> NDArray[Any]:
    """The matrix of a node: its own, or that of its translation, rotation and scale."""
    if "matrix" in node:
        return np.array(node["matrix"], np.float64).reshape(4, 4).T
    default = {"translation": [0, 0, 0], "rotation": [0, 0, 0, 1], "scale": [1, 1, 1]}
    parts = [np.array([node.get(key, value)], np.float64) for key, value in default.items()]
    return _composed(*parts)[0]


def _composed(translation: NDArray[Any], rotation: NDArray[Any], scale: NDArray[Any]) -> NDArray[Any]:
    """Matrices (N, 4, 4) of translations (N, 3), quaternions x y z w (N, 4) and scales (N, 3)."""
    if translation.shape[1:] != (3,) or rotation.shape[1:] != (4,) or scale.shape[1:] != (3,):
        raise ValueError("a translation, rotation or scale has the wrong number of values")
    length = np.linalg.norm(rotation, axis=1, keepdims=True)
    x, y, z, w = (rotation / np.where(length > 0, length, 1)).T
    matrices = np.zeros((len(translation), 4, 4))
    matrices[:, 0, :3] = np.stack([1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)], axis=1)
    matrices[:, 1, :3] = np.stack([2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)], axis=1)
    matrices[:, 2, :3] = np.stack([2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)], axis=1)
    matrices[:, :3, :3] *= scale[:, None]
    matrices[:, :3, 3], matrices[:, 3, 3] = translation, 1
    return matrices


def _moved(part: Arrays, matrix: NDArray[Any]) -> Arrays:
    """A part transformed by a matrix; if it is a reflection, faces are reversed so that they stay outward."""
    if np.array_equal(matrix, np.eye(4)):
        return part
    linear = matrix[:3, :3]
    determinant = np.linalg.det(linear)
    normals = part.normals
    if normals is not None:
        # Cofactors instead of the inverse, which a flattening scale does not have.
        a, b, c = linear
        normals = (
            normals @ np.stack([np.cross(b, c), np.cross(c, a), np.cross(a, b)]).T * np.sign(determinant)
        )
        length = np.linalg.norm(normals, axis=1, keepdims=True)
        normals = normals / np.where(length > 0, length, 1)
    faces = part.faces[:, ::-1] if determinant < 0 else part.faces
    return Arrays(part.vertices @ linear.T + matrix[:3, 3], faces, normals, part.colors, linear=True)
