"""Warp kernels of the furnished room: light at its vertices, and colours of pixels."""

import warp as wp

BRIGHTEST: float = wp.constant(2.0)


@wp.func
def frame_direction(normal: wp.vec3, x: float, y: float) -> wp.vec3:
    """Project a point of the unit disc onto the hemisphere around a normal: cosine-weighted sampling."""
    s = 1.0
    if normal[2] < 0.0:
        s = -1.0
    a = -1.0 / (s + normal[2])  # Duff et al. 2017, Building an orthonormal basis, revisited
    b = normal[0] * normal[1] * a
    first = wp.vec3(1.0 + s * normal[0] * normal[0] * a, s * b, -s * normal[0])
    second = wp.vec3(b, s + normal[1] * normal[1] * a, -normal[1])
    up = wp.sqrt(wp.max(0.0, 1.0 - x * x - y * y))
    return x * first + y * second + up * normal


@wp.kernel
def direct_light(
    mesh: wp.uint64,
    points: wp.array2d[float],  # (P, 3)
    normals: wp.array2d[float],  # (P, 3)
    lamps: wp.array2d[float],  # (L, 3) places on the lamps
    facing: wp.array2d[float],  # (L, 3) their normals
    power: wp.array2d[float],  # (L, 3) radiance times the area that each place stands for
    lift: float,
    irradiance: wp.array2d[float],  # (P, 3)
) -> None:
    """Irradiance from area lamps, with shadows; one thread per point."""
    i = wp.tid()
    normal = wp.vec3(normals[i, 0], normals[i, 1], normals[i, 2])
    start = wp.vec3(points[i, 0], points[i, 1], points[i, 2]) + lift * normal
    total = wp.vec3(0.0, 0.0, 0.0)
    for k in range(lamps.shape[0]):
        way = wp.vec3(lamps[k, 0], lamps[k, 1], lamps[k, 2]) - start
        distance = wp.length(way)
        way = way / distance
        here = wp.dot(way, normal)
        there = -wp.dot(way, wp.vec3(facing[k, 0], facing[k, 1], facing[k, 2]))
        if here > 0.0 and there > 0.0:
            hit = wp.mesh_query_ray(mesh, start, way, distance - 2.0 * lift)
            if not hit.result:
                share = here * there / (distance * distance)
                total += share * wp.vec3(power[k, 0], power[k, 1], power[k, 2])
    for c in range(3):
        irradiance[i, c] = total[c]


@wp.kernel
def look_around(
    mesh: wp.uint64,
    points: wp.array2d[float],  # (P, 3)
    normals: wp.array2d[float],  # (P, 3)
    disc: wp.array2d[float],  # (D, 2) points of the unit disc
    lift: float,
    seen: wp.array2d[int],  # (P, D)
) -> None:
    """The face hit by each of D cosine-weighted rays from a point; -1 for none."""
    i = wp.tid()
    normal = wp.vec3(normals[i, 0], normals[i, 1], normals[i, 2])
    start = wp.vec3(points[i, 0], points[i, 1], points[i, 2]) + lift * normal
    for k in range(disc.shape[0]):
        way = frame_direction(normal, disc[k, 0], disc[k, 1])
        hit = wp.mesh_query_ray(mesh, start, way, 100.0)
        seen[i, k] = -1
        if hit.result:
            seen[i, k] = hit.face


@wp.func
def texel(texels: wp.array2d[wp.uint8], start: int, width: int, x: int, y: int) -> wp.vec3:
    """One linear colour; texels are stored as square roots, a perceptual encoding similar to sRGB."""
    i = start + y * width + x
    r = float(texels[i, 0]) / 255.0
    g = float(texels[i, 1]) / 255.0
    b = float(texels[i, 2]) / 255.0
    return wp.vec3(r * r, g * g, b * b)


@wp.func
def bilinear(
    texels: wp.array2d[wp.uint8], start: int, width: int, height: int, u: float, v: float
) -> wp.vec3:
    """A level of a texture at (u, v) in [0, 1], clamped at its border."""
    x = wp.clamp(u * float(width) - 0.5, 0.0, float(width - 1))
    y = wp.clamp(v * float(height) - 0.5, 0.0, float(height - 1))
    i = int(x)
    j = int(y)
    a = x - float(i)
    b = y - float(j)
    right = wp.min(i + 1, width - 1)
    below = wp.min(j + 1, height - 1)
    top = (1.0 - a) * texel(texels, start, width, i, j) + a * texel(texels, start, width, right, j)
    bottom = (1.0 - a) * texel(texels, start, width, i, below) + a * texel(texels, start, width, right, below)
    return (1.0 - b) * top + b * bottom


@wp.func
def grain(place: wp.vec3, footprint: float, coarsest: float, seed: wp.uint32) -> float:
    """Solid noise of all scales from the coarsest to that of a pixel; its standard deviation is about 1."""
    total = float(0.0)
    size = float(coarsest)
    for _ in range(9):
        share = wp.clamp(size / (2.0 * footprint) - 0.5, 0.0, 1.0)
        if share > 0.0:
            total += share * wp.noise(seed, place / size)
        size = size * 0.5
    return total


@wp.kernel
def radiance(
    face: wp.array[wp.int64],  # (P,) of every covered pixel
    barycentric: wp.array2d[float],  # (P, 3)
    depth: wp.array[float],  # (P,)
    faces: wp.array2d[int],  # (F, 3)
    part_of: wp.array[int],  # (F,)
    vertices: wp.array2d[float],  # (V, 3)
    normals: wp.array2d[float],  # (V, 3)
    uv: wp.array2d[float],  # (V, 2)
    tint: wp.array2d[float],  # (V, 3)
    light: wp.array2d[float],  # (V, 3)
    texels: wp.array2d[wp.uint8],  # (T, 3)
    layout: wp.array3d[int],  # (parts, levels, 3) first texel, width, height
    settings: wp.array2d[float],  # (parts, 5): texels per metre, grain, its size, glow, gloss
    eye: wp.vec3,
    window: wp.vec3,
    focal: float,
    first: int,
    out: wp.array2d[float],  # (P, 3)
) -> None:
    """Linear radiance from the surface towards the camera, one thread per covered pixel."""
    p = first + wp.tid()
    f = int(face[p])
    part = part_of[f]
    place = wp.vec3(0.0, 0.0, 0.0)
    normal = wp.vec3(0.0, 0.0, 0.0)
    color = wp.vec3(0.0, 0.0, 0.0)
    lit = wp.vec3(0.0, 0.0, 0.0)
    u = float(0.0)
    v = float(0.0)
    for k in range(3):
        i = faces[f, k]
        w = barycentric[p, k]
        place += w * wp.vec3(vertices[i, 0], vertices[i, 1], vertices[i, 2])
        normal += w * wp.vec3(normals[i, 0], normals[i, 1], normals[i, 2])
        color += w * wp.vec3(tint[i, 0], tint[i, 1], tint[i, 2])
        lit += w * wp.vec3(light[i, 0], light[i, 1], light[i, 2])
        u += w * uv[i, 0]
        v += w * uv[i, 1]
    normal = wp.normalize(normal)
    view = wp.normalize(eye - place)
    footprint = depth[p] / focal / wp.sqrt(wp.max(wp.abs(wp.dot(normal, view)), 0.05))
    levels = layout.shape[1]
    level = wp.clamp(wp.log2(wp.max(footprint * settings[part, 0], 1.0)), 0.0, float(levels) - 1.001)
    low = int(level)
    t = level - float(low)
    fine = bilinear(texels, layout[part, low, 0], layout[part, low, 1], layout[part, low, 2], u, v)
    coarse = bilinear(
        texels, layout[part, low + 1, 0], layout[part, low + 1, 1], layout[part, low + 1, 2], u, v
    )
    albedo = wp.cw_mul(color, (1.0 - t) * fine + t * coarse)
    noise = grain(place, footprint, settings[part, 2], wp.uint32(part + 1))
    albedo = wp.exp(settings[part, 1] * noise) * albedo
    # A broad highlight of the window (Blinn 1977), as bright as the light that falls there.
    halfway = wp.normalize(view + wp.normalize(window - place))
    shine = settings[part, 4] * wp.pow(wp.max(wp.dot(normal, halfway), 0.0), 40.0)
    glow = settings[part, 3]
    for c in range(3):
        # The window is far brighter than white; all of it would leave no soft edges around it.
        out[p, c] = wp.min(albedo[c] * (lit[c] + glow) + shine * lit[c], BRIGHTEST)
