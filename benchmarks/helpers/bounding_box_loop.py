"""The baseline of `rasterizer_cost.py`: the shortest honest way to a triangle index image, without gradients.

Per view: project the vertices, go through the bounding box of every triangle, test three edge functions at
every pixel centre, keep the nearest. Nothing else: no rule for centres on edges, no near plane.
"""

import torch
import warp as wp

from bozzetto.geometry.launch import in_parts, launch
from bozzetto.rendering.rasterization import camera_matrices

wp.set_module_options({"enable_backward": False})


@wp.kernel
def project(
    vertices: wp.array[wp.vec3],
    cameras: wp.array[wp.mat44],
    view: int,
    screen: wp.array[wp.vec3],
):
    i = wp.tid()
    v = vertices[i]
    p = cameras[view] * wp.vec4(v[0], v[1], v[2], 1.0)
    screen[i] = wp.vec3(p[0] / p[2], p[1] / p[2], 1.0 / p[2])


@wp.kernel
def draw(
    faces: wp.array[wp.vec3i],
    screen: wp.array[wp.vec3],
    width: int,
    height: int,
    nearest: wp.array[wp.int64],
):
    i = wp.tid()
    f = faces[i]
    a = screen[f[0]]
    b = screen[f[1]]
    c = screen[f[2]]
    area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
    if area == 0.0:
        return
    scale = 1.0 / area
    x0 = wp.max(int(wp.floor(wp.min(a[0], wp.min(b[0], c[0])))), 0)
    x1 = wp.min(int(wp.floor(wp.max(a[0], wp.max(b[0], c[0])))), width - 1)
    y0 = wp.max(int(wp.floor(wp.min(a[1], wp.min(b[1], c[1])))), 0)
    y1 = wp.min(int(wp.floor(wp.max(a[1], wp.max(b[1], c[1])))), height - 1)
    for y in range(y0, y1 + 1):
        for x in range(x0, x1 + 1):
            px = float(x) + 0.5
            py = float(y) + 0.5
            wa = ((b[0] - px) * (c[1] - py) - (b[1] - py) * (c[0] - px)) * scale
            wb = ((c[0] - px) * (a[1] - py) - (c[1] - py) * (a[0] - px)) * scale
            wc = 1.0 - wa - wb
            if wa >= 0.0 and wb >= 0.0 and wc >= 0.0:
                depth = 1.0 / (wa * a[2] + wb * b[2] + wc * c[2])
                key = (wp.int64(wp.cast(depth, wp.int32)) << wp.int64(32)) | wp.int64(i)
                wp.atomic_min(nearest, y * width + x, key)


@wp.kernel
def resolve(nearest: wp.array[wp.int64], view: int, triangle: wp.array2d[wp.int32]):
    i = wp.tid()
    word = nearest[i]
    triangle[view, i] = wp.where(
        word == wp.int64(0x7FFFFFFFFFFFFFFF), wp.int32(-1), wp.int32(word & wp.int64(0x7FFFFFFF))
    )


def index_images(vertices, faces, cameras):
    """Triangle index per pixel, (N, H, W) int32; views are spread over the cores like the library's."""
    matrices = camera_matrices(cameras, vertices.device)
    size = cameras.width * cameras.height
    triangle = torch.empty(len(cameras), size, dtype=torch.int32, device=vertices.device)

    def run(part, start, stop):
        screen = torch.empty_like(vertices)
        nearest = torch.empty(size, dtype=torch.int64, device=vertices.device)
        for view in range(start, stop):
            nearest.fill_(2**63 - 1)
            launch(project, len(vertices), [vertices, matrices, view, screen], vertices.device)
            canvas = [cameras.width, cameras.height, nearest]
            launch(draw, len(faces), [faces, screen, *canvas], vertices.device)
            launch(resolve, size, [nearest, view, triangle], vertices.device)

    in_parts(run, len(cameras), vertices.device)
    return triangle.view(len(cameras), cameras.height, cameras.width)
