"""glTF 2.0, written from the specification: what core allows, and extensions by name."""

import base64
import json
import struct
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from .inputs import CloudTruth, Input, MeshTruth, kind
from .solids import Solid, any_solid, rotation

COMPONENTS = {"b": 5120, "B": 5121, "h": 5122, "H": 5123, "I": 5125, "f": 5126}
MODES = {"points": 0, "lines": 1, "line loop": 2, "line strip": 3, "triangles": 4, "strip": 5, "fan": 6}


@dataclass
class Scene:
    """A glTF document that grows."""

    json: dict = field(default_factory=lambda: {"asset": {"version": "2.0"}, "buffers": [{}]})
    blob: bytearray = field(default_factory=bytearray)

    def add(self, what: str, entry: dict) -> int:
        """Append to one of the lists and return the index."""
        self.json.setdefault(what, []).append(entry)
        return len(self.json[what]) - 1

    def view(self, data: bytes, **more: int) -> int:
        """A buffer view of its own, aligned to four bytes."""
        self.blob += bytes(-len(self.blob) % 4)
        start = len(self.blob)
        self.blob += data
        return self.add("bufferViews", {"buffer": 0, "byteOffset": start, "byteLength": len(data), **more})

    def accessor(
        self, values: np.ndarray, code: str = "f", gap: int = 0, lead: int = 0, **more: object
    ) -> int:
        """Numbers (n, width) as an accessor.

        Args:
            values: Numbers as stored.
            code: Type of a component, as in `struct`.
            gap: Bytes between elements (a stride).
            lead: Bytes of the view before the first element.
            more: Further keys.
        """
        values = np.atleast_2d(values) if values.ndim == 2 else values[:, None]
        rows = values.astype("<" + np.dtype(code).str[1:])
        size = rows.itemsize * rows.shape[1]
        pad = -size % 4 if rows.shape[1] > 1 else 0
        stride = size + pad + gap
        data = bytes(lead) + b"".join(r.tobytes() + b"\xee" * (stride - size) for r in rows)
        strided = {"byteStride": stride} if stride != size else {}
        kind_of = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4", 16: "MAT4"}[rows.shape[1]]
        entry = {
            "bufferView": self.view(data, **strided),
            "componentType": COMPONENTS[code],
            "count": len(rows),
            "type": kind_of,
        }
        if lead:
            entry["byteOffset"] = lead
        if code == "f" and rows.shape[1] == 3:
            entry |= {"min": rows.min(0).tolist(), "max": rows.max(0).tolist()}
        return self.add("accessors", {**entry, **more})

    def mesh(self, solid: Solid, index: str = "I", **attributes: int) -> int:
        """A mesh of one primitive of triangles."""
        triangles = np.array(solid.triangulated().polygons)
        primitive = {
            "attributes": {"POSITION": self.accessor(solid.vertices), **attributes},
            "indices": self.accessor(triangles.ravel(), index),
        }
        return self.add("meshes", {"primitives": [primitive]})

    def primitive(
        self, positions: int, mode: str | None, indices: int | None = None, **attributes: int
    ) -> dict:
        """A primitive."""
        entry: dict = {"attributes": {"POSITION": positions, **attributes}}
        if indices is not None:
            entry["indices"] = indices
        if mode is not None:
            entry["mode"] = MODES[mode]
        return entry

    def show(self, *nodes: dict) -> "Scene":
        """A scene of these nodes."""
        roots = [self.add("nodes", node) for node in nodes]
        self.json["scene"] = self.add("scenes", {"nodes": roots})
        return self

    def glb(self) -> bytes:
        """The binary container."""
        self.json["buffers"][0]["byteLength"] = len(self.blob)
        return glb_of(json.dumps(self.json).encode(), bytes(self.blob))

    def text(self, uri: str) -> bytes:
        """The JSON file, whose buffer is `uri` (or data, if it is empty)."""
        self.json["buffers"][0] |= {"byteLength": len(self.blob)}
        self.json["buffers"][0]["uri"] = (
            uri or "data:application/octet-stream;base64," + base64.b64encode(self.blob).decode()
        )
        return json.dumps(self.json, indent=2).encode()


def glb_of(text: bytes, blob: bytes, more: bytes = b"") -> bytes:
    """A GLB file of JSON and BIN chunks."""
    text += b" " * (-len(text) % 4)
    blob += bytes(-len(blob) % 4)
    chunks = (
        struct.pack("<I4s", len(text), b"JSON")
        + text
        + struct.pack("<I4s", len(blob), b"BIN\0")
        + blob
        + more
    )
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def truth_of(solid: Solid, **more: object) -> MeshTruth:
    """Of a whole scene, order free."""
    return replace(solid.truth(), vertices=None, triangles=None, **more)


def together(solids: list[Solid]) -> Solid:
    """Several solids as one."""
    starts = np.cumsum([0, *(len(s.vertices) for s in solids)])
    polygons = [
        [i + start for i in p] for s, start in zip(solids, starts[:-1], strict=True) for p in s.polygons
    ]
    return Solid(np.vstack([s.vertices for s in solids]), polygons)


def moved(solid: Solid, matrix: np.ndarray) -> Solid:
    """By a 4 x 4 matrix; mirrored polygons are turned round, as glTF asks for."""
    vertices = solid.vertices @ matrix[:3, :3].T + matrix[:3, 3]
    flip = np.linalg.det(matrix[:3, :3]) < 0
    return Solid(vertices, [p[::-1] if flip else p for p in solid.polygons])


def trs(rng: np.random.Generator, mirror: bool = False) -> tuple[dict, np.ndarray]:
    """A node's transform, as properties or as a matrix, and the matrix."""
    q = rng.normal(size=4)
    q /= np.linalg.norm(q)
    x, y, z, w = q
    turn = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
    scale = rng.uniform(0.5, 2, 3) * (np.array([-1, 1, 1]) if mirror else 1)
    shift = rng.normal(size=3)
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = turn * scale, shift
    if rng.random() < 0.5:
        return {"matrix": matrix.T.ravel().tolist()}, matrix
    return {"translation": shift.tolist(), "rotation": q.tolist(), "scale": scale.tolist()}, matrix


def file(about: str, data: bytes | dict, truth: object, **more) -> Input:
    """An input of one GLB file, or of several files of which the first is read."""
    files = {"a.glb": data} if isinstance(data, bytes) else data
    read = "load_points" if isinstance(truth, CloudTruth) else "load_mesh"
    return Input(about, read, next(iter(files)), files, truth, **more)


@kind("gltf", "triangles with all index types, strides and offsets", 3)
def _(rng: np.random.Generator, index: int) -> Input:
    solid, scene = any_solid(rng), Scene()
    triangles = np.array(solid.triangulated().polygons)
    code = ("B", "H", "I")[index % 3] if len(solid.vertices) < 256 else ("H", "I")[index % 2]
    gap, lead = 4 * int(rng.integers(4)), 4 * int(rng.integers(4))
    positions = scene.accessor(solid.vertices, gap=gap, lead=lead)
    mode = (None, "triangles")[index % 2]
    if index % 4 == 3:  # no indices
        positions = scene.accessor(solid.vertices[triangles.ravel()], gap=gap)
        primitive = scene.primitive(positions, mode)
    else:
        primitive = scene.primitive(positions, mode, scene.accessor(triangles.ravel(), code))
    scene.show({"mesh": scene.add("meshes", {"primitives": [primitive]})})
    return file(f"indices {code}, gap {gap}, lead {lead}", scene.glb(), truth_of(solid))


@kind("gltf", "strips and fans", 3)
def _(rng: np.random.Generator, index: int) -> Input:
    n, scene = int(rng.integers(3, 12)), Scene()
    if index % 2:  # a strip along a bent band, of one area
        points = np.array([[i // 2, i % 2, 0] for i in range(n)], float)
        mode, area = "strip", (n - 2) / 2
    else:
        angles = np.linspace(0, 1.5, n - 1)
        points = np.vstack([[0, 0, 0], np.column_stack([np.cos(angles), np.sin(angles), 0 * angles])])
        mode, area = "fan", float(np.sin(np.diff(angles)).sum() / 2)
    matrix = np.eye(4)
    matrix[:3, :3] = rotation(rng)
    points = points @ matrix[:3, :3].T
    order = rng.permutation(n)
    indices = None
    if index % 4 < 2:
        inverse = np.argsort(order)
        indices = scene.accessor(inverse, ("B", "H", "I")[index % 3])
        positions = scene.accessor(points[order])
    else:
        positions = scene.accessor(points)
    scene.show({"mesh": scene.add("meshes", {"primitives": [scene.primitive(positions, mode, indices)]})})
    truth = MeshTruth(area, None, np.stack([points.min(0), points.max(0)]), triangles=n - 2)
    return file(f"{mode} of {n} vertices", scene.glb(), truth)


@kind("gltf", "sparse accessors", 2)
def _(rng: np.random.Generator, index: int) -> Input:
    solid, scene = any_solid(rng), Scene()
    n = len(solid.vertices)
    chosen = np.sort(rng.permutation(n)[: max(1, n // 3)]) if index % 3 else np.arange(n)
    base = solid.vertices.copy()
    base[chosen] = rng.normal(size=(len(chosen), 3))
    code = ("B", "H", "I")[index % 3] if n < 256 else "H"
    index_view = scene.view(chosen.astype({"B": "<u1", "H": "<u2", "I": "<u4"}[code]).tobytes())
    value_view = scene.view(solid.vertices[chosen].astype("<f4").tobytes())
    sparse = {
        "count": len(chosen),
        "indices": {"bufferView": index_view, "componentType": COMPONENTS[code]},
        "values": {"bufferView": value_view},
    }
    positions = scene.accessor(base)
    scene.json["accessors"][positions]["sparse"] = sparse
    if index % 3 == 0:  # zeros where nothing is said
        del scene.json["accessors"][positions]["bufferView"]
    triangles = scene.accessor(np.array(solid.triangulated().polygons).ravel(), "I")
    scene.show({"mesh": scene.add("meshes", {"primitives": [scene.primitive(positions, None, triangles)]})})
    return file(f"{len(chosen)} of {n} vertices sparse", scene.glb(), truth_of(solid))


@kind("gltf", "quantised positions", 3)
def _(rng: np.random.Generator, index: int) -> Input:
    solid, scene = any_solid(rng), Scene()
    code, normalised = ("b", "B", "h", "H")[index % 4], index % 8 < 4
    low, high = solid.vertices.min(0), solid.vertices.max(0)
    size = float((high - low).max())
    top = {"b": 127, "B": 255, "h": 32767, "H": 65535}[code]
    signed = code in "bh"
    unit = (solid.vertices - (low + high) / 2) / size * 2 if signed else (solid.vertices - low) / size
    stored = np.round(unit * top)
    real = stored / top if normalised else stored
    factor = (size / 2 if signed else size) / (1 if normalised else top)
    shift = (low + high) / 2 if signed else low
    exact = replace(solid.triangulated(), vertices=real * factor + shift)
    more = {"normalized": True} if normalised else {}
    positions = scene.accessor(stored, code, **more)
    triangles = scene.accessor(np.array(solid.triangulated().polygons).ravel(), "I")
    scene.json |= {
        "extensionsUsed": ["KHR_mesh_quantization"],
        "extensionsRequired": ["KHR_mesh_quantization"],
    }
    mesh = scene.add("meshes", {"primitives": [scene.primitive(positions, None, triangles)]})
    scene.show({"mesh": mesh, "translation": shift.tolist(), "scale": [factor] * 3})
    return file(
        f"{code}, {'normalised' if normalised else 'as they are'}",
        scene.glb(),
        truth_of(exact, tolerance=1e-4),
    )


@kind("gltf", "nodes in nodes, mirrored, used twice", 3)
def _(rng: np.random.Generator, index: int) -> Input:
    solid, scene = any_solid(rng), Scene()
    mesh = scene.mesh(solid)
    outer, a = trs(rng, mirror=index % 3 == 0)
    inner, b = trs(rng, mirror=index % 3 == 1)
    b[:3, 3] += 50
    if "matrix" in inner:
        inner["matrix"] = b.T.ravel().tolist()
    else:
        inner["translation"] = b[:3, 3].tolist()
    child = scene.add("nodes", {"mesh": mesh, **inner})
    scene.show({"children": [child], "mesh": mesh, **outer, "name": "n"}, {"camera": 0} if index % 2 else {})
    if index % 2:
        scene.add("cameras", {"type": "perspective", "perspective": {"yfov": 1, "znear": 0.1}})
    both = together([moved(solid, a), moved(solid, a @ b)])
    return file("a mesh at a node and at its child", scene.glb(), truth_of(both))


@kind("gltf", "several scenes, meshes that no scene shows", 2)
def _(rng: np.random.Generator, index: int) -> Input:
    a, b, scene = any_solid(rng), any_solid(rng), Scene()
    first, second = scene.mesh(a), scene.mesh(b)
    style = index % 3
    if style == 0:
        scene.show({"mesh": first}).show({"mesh": second})
        scene.json["scene"] = 0
        return file("the first of two scenes", scene.glb(), truth_of(a), say="scene")
    if style == 1:
        scene.show({"mesh": first})
        return file("a mesh that no node uses", scene.glb(), truth_of(a))
    scene.add("nodes", {"mesh": first})
    return file("nodes, and no scene", scene.glb(), truth_of(a), say="scene")


@kind("gltf", "JSON with data inside, with a file beside", 3)
def _(rng: np.random.Generator, index: int) -> Input:
    solid, scene = any_solid(rng), Scene()
    scene.show({"mesh": scene.mesh(solid)})
    style = index % 6
    name = ("a.bin", "with blank.bin", "sub/a.bin", "Köln.bin")[index % 4]
    uri = {
        "a.bin": "a.bin",
        "with blank.bin": "with%20blank.bin",
        "sub/a.bin": "sub/a.bin",
        "Köln.bin": "K%C3%B6ln.bin",
    }[name]
    if style < 2:
        return file("data inside", {"a.gltf": scene.text("")}, truth_of(solid))
    if style < 4:
        text = scene.text(uri)
        return file(f"data in {name!r}", {"a.gltf": text, name: bytes(scene.blob)}, truth_of(solid))
    if style == 4:
        text = scene.text("nothing.bin")
        return file(
            "data in a file that is not there", {"a.gltf": text}, None, say="nothing.bin|bin|missing|exist"
        )
    bad = (
        "data:application/octet-stream;base64,@@@",
        "https://x.org/a.bin",
        "/etc/passwd",
        "../../../etc/passwd",
        "a.gltf",
    )[index // 6 % 5]
    return file(
        f"data at {bad}",
        {"a.gltf": scene.text(bad)},
        None,
        say="uri|file|buffer|data|base64|byte|bin|address",
    )


@kind("gltf", "colours of all types", 2)
def _(rng: np.random.Generator, index: int) -> Input:
    solid, scene = any_solid(rng), Scene()
    n = len(solid.vertices)
    code, width = ("f", "B", "H")[index % 3], (3, 4)[index % 2]
    top = {"f": 1, "B": 255, "H": 65535}[code]
    stored = rng.random((n, width)) if code == "f" else rng.integers(0, top + 1, (n, width))
    stored[:, 3:] = top
    colors = scene.accessor(stored.astype(float), code, **({} if code == "f" else {"normalized": True}))
    scene.show({"mesh": scene.mesh(solid, COLOR_0=colors)})
    truth = replace(solid.triangulated().truth(), colors=stored[:, :3] / top)
    return file(f"COLOR_0 as {width} x {code}", scene.glb(), truth)


@kind("gltf", "colours on one of two meshes")
def _(rng: np.random.Generator, index: int) -> Input:
    a, b, scene = any_solid(rng), any_solid(rng), Scene()
    colors = scene.accessor(np.tile([1.0, 0.5, 0.25], (len(a.vertices), 1)))
    first, second = scene.mesh(a, COLOR_0=colors), scene.mesh(b)
    scene.show(*([{"mesh": first}, {"mesh": second}] if index % 2 else [{"mesh": second}, {"mesh": first}]))
    tint = [np.tile([1.0, 0.5, 0.25], (len(a.vertices), 1)), np.ones((len(b.vertices), 3))]
    both = together([a, b] if index % 2 else [b, a])
    truth = truth_of(both, colors=np.vstack(tint if index % 2 else tint[::-1]))
    return file("colours on one of two", scene.glb(), truth, say="colo")


@kind("gltf", "points and lines beside triangles", 2)
def _(rng: np.random.Generator, index: int) -> Input:
    solid, scene = any_solid(rng), Scene()
    mesh = scene.mesh(solid)
    mode = ("points", "lines", "line loop", "line strip")[index % 4]
    inside = solid.vertices.mean(0) + 0.01 * np.ptp(solid.vertices, axis=0).min() * rng.normal(size=(4, 3))
    extra = scene.primitive(scene.accessor(inside), mode)
    if index % 8 < 4:
        scene.json["meshes"][mesh]["primitives"].append(extra)
        scene.show({"mesh": mesh})
    else:
        scene.show({"mesh": mesh}, {"mesh": scene.add("meshes", {"primitives": [extra]})})
    return file(
        f"{mode} beside triangles", scene.glb(), truth_of(solid), say="point|line|primitive|mode", always=True
    )


@kind("gltf", "points alone")
def _(rng: np.random.Generator, index: int) -> Input:
    scene = Scene()
    points = rng.normal(size=(30, 3))
    primitive = scene.primitive(scene.accessor(points), "points")
    scene.show({"mesh": scene.add("meshes", {"primitives": [primitive]})})
    if index % 2:
        return file("points as a mesh", scene.glb(), None, say="point|face")
    return file("points as a cloud", scene.glb(), CloudTruth(points))


@kind("gltf", "instances on the GPU", 2)
def _(rng: np.random.Generator, index: int) -> Input:
    solid, scene = any_solid(rng), Scene()
    shifts = rng.normal(size=(3, 3)) * 50
    accessor = scene.accessor(shifts)
    name = "EXT_mesh_gpu_instancing"
    scene.json["extensionsUsed"] = [name]
    if index % 2:
        scene.json["extensionsRequired"] = [name]
    scene.show({"mesh": scene.mesh(solid), "extensions": {name: {"attributes": {"TRANSLATION": accessor}}}})
    whole = together([replace(solid, vertices=solid.vertices + shift) for shift in shifts])
    required = "required" if index % 2 else "used"
    return file(f"three instances, extension {required}", scene.glb(), truth_of(whole), say="instanc")


@kind("gltf", "compression and extensions that are required", 3)
def _(rng: np.random.Generator, index: int) -> Input:
    solid, scene = any_solid(rng), Scene()
    mesh = scene.mesh(solid)
    style = index % 6
    names = (
        "KHR_draco_mesh_compression",
        "EXT_meshopt_compression",
        "XYZ_new_geometry",
        "KHR_materials_unlit",
        "KHR_texture_transform",
        "KHR_draco_mesh_compression",
    )
    name = names[style]
    scene.json |= {"extensionsUsed": [name], "extensionsRequired": [name]}
    if style in (0, 5):
        primitive = scene.json["meshes"][mesh]["primitives"][0]
        junk = scene.view(b"DRACO\x02\x02\x01\x01" + bytes(40))
        primitive["extensions"] = {name: {"bufferView": junk, "attributes": {"POSITION": 0}}}
        for accessor in (primitive["attributes"]["POSITION"], primitive["indices"]):
            scene.json["accessors"][accessor].pop("bufferView")
    if style == 1:
        view = scene.json["bufferViews"][0]
        view["extensions"] = {
            name: {"buffer": 0, "byteLength": 10, "byteStride": 12, "mode": "ATTRIBUTES", "count": 3}
        }
    scene.show({"mesh": mesh})
    if style in (3, 4):  # nothing to do with shape
        return file(f"{name} required", scene.glb(), truth_of(solid))
    return file(f"{name} required", scene.glb(), None, say=f"draco|{name}|extension")


@kind("gltf", "morph targets and skins")
def _(rng: np.random.Generator, index: int) -> Input:
    solid, scene = any_solid(rng), Scene()
    mesh = scene.mesh(solid)
    if index % 2:
        shift = rng.normal(size=(len(solid.vertices), 3)) * 0.1
        scene.json["meshes"][mesh]["primitives"][0]["targets"] = [{"POSITION": scene.accessor(shift)}]
        weight = 0.0 if index % 4 == 1 else 0.5
        scene.json["meshes"][mesh]["weights"] = [weight]
        shown = replace(solid.triangulated(), vertices=solid.vertices + weight * shift)
        scene.show({"mesh": mesh})
        return file(f"a morph target of weight {weight}", scene.glb(), truth_of(shown), say="morph|target")
    n = len(solid.vertices)
    primitive = scene.json["meshes"][mesh]["primitives"][0]
    primitive["attributes"]["JOINTS_0"] = scene.accessor(np.zeros((n, 4)), "B")
    primitive["attributes"]["WEIGHTS_0"] = scene.accessor(np.tile([1.0, 0, 0, 0], (n, 1)))
    scene.add("skins", {"joints": [1]})
    scene.show({"mesh": mesh, "skin": 0}, {"translation": [5, 0, 0], "name": "bone"})
    shown = replace(solid.triangulated(), vertices=solid.vertices + [5, 0, 0])
    return file("a skin whose bone moves all by 5", scene.glb(), truth_of(shown), say="skin|bone|joint")


@kind("gltf", "containers: further chunks, padding, headers", 2)
def _(rng: np.random.Generator, index: int) -> Input:
    solid, scene = any_solid(rng), Scene()
    scene.show({"mesh": scene.mesh(solid)})
    style = index % 8
    data = scene.glb()
    if style == 0:
        data = glb_of(
            json.dumps(scene.json).encode(), bytes(scene.blob), struct.pack("<I4s", 8, b"XYZW") + bytes(8)
        )
        return file("a chunk nobody knows, to be ignored", data, truth_of(solid))
    if style == 1:
        return file(
            "blob longer than the buffer",
            glb_of(json.dumps(scene.json).encode(), bytes(scene.blob) + bytes(3)),
            truth_of(solid),
        )
    if style == 2:
        return file("bytes behind the end", data + b"junk junk", truth_of(solid), say=".")
    if style == 3:
        return file(
            "length in the header too large",
            data[:8] + struct.pack("<I", len(data) * 2) + data[12:],
            None,
            say=".",
        )
    if style == 4:
        return file("version 1", data[:4] + struct.pack("<I", 1) + data[8:], None, say="version|glTF")
    if style == 5:
        scene.json["asset"]["version"] = "1.0"
        return file("asset of version 1.0", scene.glb(), None, say="version|glTF 1|glTF 3")
    if style == 6:
        scene.json["asset"]["minVersion"] = "3.0"
        return file("asset that needs version 3.0", scene.glb(), None, say="version|glTF 1|glTF 3")
    return file(
        "JSON chunk with a length that lies", data[:12] + struct.pack("<I", 2**31) + data[16:], None, say="."
    )


def _break(name: str) -> Callable[[Scene, dict], None]:
    """Changes of a document that make it wrong."""

    def nodes(scene: Scene) -> list[dict]:
        return scene.json["nodes"]

    changes: dict[str, Callable[[Scene, dict], None]] = {
        "a node that is its own child": lambda s, p: nodes(s)[0].update(children=[0]),
        "nodes in a circle": lambda s, p: (
            s.add("nodes", {"children": [0]}),
            nodes(s)[0].update(children=[1]),
        ),
        "a child that does not exist": lambda s, p: nodes(s)[0].update(children=[99]),
        "a mesh that does not exist": lambda s, p: nodes(s)[0].update(mesh=7),
        "a negative index of a mesh": lambda s, p: nodes(s)[0].update(mesh=-1),
        "an accessor that does not exist": lambda s, p: p["attributes"].update(POSITION=99),
        "no POSITION": lambda s, p: p["attributes"].pop("POSITION"),
        "more elements than bytes": lambda s, p: s.json["accessors"][0].update(count=10**6),
        "10^18 elements": lambda s, p: s.json["accessors"][0].update(count=10**18),
        "a negative count": lambda s, p: s.json["accessors"][0].update(count=-1),
        "a view beyond the buffer": lambda s, p: s.json["bufferViews"][0].update(byteLength=10**9),
        "an offset beyond the view": lambda s, p: s.json["accessors"][0].update(byteOffset=10**9),
        "an unknown component type": lambda s, p: s.json["accessors"][0].update(componentType=5130),
        "an unknown type": lambda s, p: s.json["accessors"][0].update(type="VEC9"),
        "positions of two numbers": lambda s, p: s.json["accessors"][0].update(type="VEC2"),
        "mode 9": lambda s, p: p.update(mode=9),
        "indices that are floats": lambda s, p: s.json["accessors"][1].update(componentType=5126),
        "a matrix of 15 numbers": lambda s, p: nodes(s)[0].update(matrix=[1.0] * 15),
        "a scale of text": lambda s, p: nodes(s)[0].update(scale=["a", 1, 1]),
        "a translation of 1e400": lambda s, p: nodes(s)[0].update(translation=[1e308 * 10, 0, 0]),
        "a scale of 0": lambda s, p: nodes(s)[0].update(scale=[0, 0, 0]),
        "no asset": lambda s, p: s.json.pop("asset"),
        "accessors that are no list": lambda s, p: s.json.update(accessors=3),
        "a stride that is too small": lambda s, p: s.json["bufferViews"][0].update(byteStride=4),
    }
    return changes[name] if name else changes  # type: ignore[return-value]


@kind("gltf", "documents that contradict themselves", 4)
def _(rng: np.random.Generator, index: int) -> Input:
    solid, scene = any_solid(rng), Scene()
    mesh = scene.mesh(solid)
    scene.show({"mesh": mesh})
    names = list(_break(""))
    name = names[index % len(names)]
    _break(name)(scene, scene.json["meshes"][mesh]["primitives"][0])
    return file(name, scene.glb(), None, say=".")


@kind("gltf", "chains of nodes and deep JSON")
def _(rng: np.random.Generator, index: int) -> Input:
    solid, scene = any_solid(rng), Scene()
    if index % 3 == 0:
        node = {"mesh": scene.mesh(solid)}
        for _ in range(3000):
            node = {"children": [scene.add("nodes", node)]}
        scene.show(node)
        return file("3,000 nodes in one another", scene.glb(), truth_of(solid), say="node|deep")
    if index % 3 == 1:
        return file("JSON of 100,000 brackets", {"a.gltf": b'{"asset":' + b"[" * 100000}, None, say=".")
    text = b'{"asset":{"version":"2.0"},"scene":' + b"9" * 5000 + b"}"
    return file("a number of 5,000 digits", {"a.gltf": text}, None, say=".")


@kind("gltf", "coordinates that are none")
def _(rng: np.random.Generator, index: int) -> Input:
    solid, scene = any_solid(rng), Scene()
    vertices = solid.vertices.copy()
    vertices[0, 0] = (np.nan, np.inf)[index % 2]
    scene.show({"mesh": scene.mesh(replace(solid, vertices=vertices))})
    scene.json["accessors"][0] |= {"min": [0, 0, 0], "max": [1, 1, 1]}
    return file("NaN or infinite", scene.glb(), None, say="NaN|finite")


@kind("gltf", "indices that do not exist")
def _(rng: np.random.Generator, index: int) -> Input:
    solid, scene = any_solid(rng), Scene()
    triangles = np.array(solid.triangulated().polygons)
    triangles[-1, -1] = (len(solid.vertices), 2**32 - 1, 65535)[index % 3]
    primitive = scene.primitive(scene.accessor(solid.vertices), None, scene.accessor(triangles.ravel(), "I"))
    scene.show({"mesh": scene.add("meshes", {"primitives": [primitive]})})
    return file(f"index {triangles[-1, -1]}", scene.glb(), None, say="index|indices|face|vert|primitive")
