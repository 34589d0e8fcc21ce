"""Warp kernels of volume rendering: rays through a grid of signed distances and colours, and its gradient.

All lengths are in cells of the grid: the node (i, j, k) lies at (i, j, k).
"""

import warp as wp

from ..geometry.launch import kernel_struct

wp.set_module_options({"enable_backward": False})

OPAQUE: float = wp.constant(1.0e-3)  # transmittance at which a ray ends
FAINT: float = wp.constant(1.0e-4)  # weight below which a colour is not looked up
TAIL: float = wp.constant(5.0)  # distance beyond which rays pass freely, in betas
CAUTION: float = wp.constant(0.7)  # part of a distance that a ray may jump, since distances are not exact
SOFT: float = wp.constant(0.02)  # residual below which the loss of a colour is quadratic
LEAST: float = wp.constant(1.0e-3)  # least coverage and transmittance in the loss of masks
SMALL: float = wp.constant(1.0e-4)  # added to the root of the second moment


@kernel_struct
class Field:
    """Grid of signed distances and colours."""

    distances: wp.array3d[float]  # (X, Y, Z), negative inside
    colors: wp.array3d[wp.vec3]  # (X, Y, Z), square roots of linear RGB
    beta: float  # scale of the Laplace distribution


@wp.func
def laplace_cdf(distance: float, beta: float) -> float:
    """The cumulative Laplace distribution of a distance: near 0 inside, 1/2 on the surface, near 1 outside.

    Source: Yariv et al. 2021, the distribution of its density. Differs: of the distance, not of minus the
    distance.
    """
    tail = 0.5 * wp.exp(-wp.abs(distance) / beta)
    if distance > 0.0:
        return 1.0 - tail
    return tail


@wp.func
def log_cdf_slope(distance: float, beta: float) -> float:
    """Derivative of the logarithm of `laplace_cdf`."""
    if distance > 0.0:
        tail = 0.5 * wp.exp(-distance / beta)
        return tail / ((1.0 - tail) * beta)
    return 1.0 / beta


@wp.func
def distance_at(field: Field, p: wp.vec3) -> float:
    """Trilinear interpolation of the distance."""
    i = wp.min(int(p[0]), field.distances.shape[0] - 2)
    j = wp.min(int(p[1]), field.distances.shape[1] - 2)
    k = wp.min(int(p[2]), field.distances.shape[2] - 2)
    x = p[0] - float(i)
    y = p[1] - float(j)
    z = p[2] - float(k)
    low = wp.lerp(
        wp.lerp(field.distances[i, j, k], field.distances[i, j, k + 1], z),
        wp.lerp(field.distances[i, j + 1, k], field.distances[i, j + 1, k + 1], z),
        y,
    )
    high = wp.lerp(
        wp.lerp(field.distances[i + 1, j, k], field.distances[i + 1, j, k + 1], z),
        wp.lerp(field.distances[i + 1, j + 1, k], field.distances[i + 1, j + 1, k + 1], z),
        y,
    )
    return wp.lerp(low, high, x)


@wp.func
def color_at(field: Field, p: wp.vec3) -> wp.vec3:
    """Trilinear interpolation of the colour."""
    i = wp.min(int(p[0]), field.colors.shape[0] - 2)
    j = wp.min(int(p[1]), field.colors.shape[1] - 2)
    k = wp.min(int(p[2]), field.colors.shape[2] - 2)
    x = p[0] - float(i)
    y = p[1] - float(j)
    z = p[2] - float(k)
    total = wp.vec3(0.0, 0.0, 0.0)
    for corner in range(8):
        a = corner >> 2
        b = (corner >> 1) & 1
        c = corner & 1
        weight = wp.where(a == 1, x, 1.0 - x) * wp.where(b == 1, y, 1.0 - y) * wp.where(c == 1, z, 1.0 - z)
        total += weight * field.colors[i + a, j + b, k + c]
    return total


@wp.func
def add_at(gradient: wp.array4d[wp.vec4], part: int, p: wp.vec3, value: wp.vec4) -> None:
    """Adjoint of the two interpolations: colour in the first three components, distance in the last."""
    i = wp.min(int(p[0]), gradient.shape[1] - 2)
    j = wp.min(int(p[1]), gradient.shape[2] - 2)
    k = wp.min(int(p[2]), gradient.shape[3] - 2)
    x = p[0] - float(i)
    y = p[1] - float(j)
    z = p[2] - float(k)
    for corner in range(8):
        a = corner >> 2
        b = (corner >> 1) & 1
        c = corner & 1
        weight = wp.where(a == 1, x, 1.0 - x) * wp.where(b == 1, y, 1.0 - y) * wp.where(c == 1, z, 1.0 - z)
        wp.atomic_add(gradient, part, i + a, j + b, k + c, weight * value)


@wp.func
def inside_box(field: Field, origin: wp.vec3, direction: wp.vec3) -> wp.vec2:
    """Lengths along a ray at which it enters and leaves the grid."""
    near = float(0.0)
    far = float(1.0e30)
    for axis in range(3):
        high = float(field.distances.shape[axis] - 1) - 1.0e-3
        slope = direction[axis]
        if wp.abs(slope) < 1.0e-9:
            slope = 1.0e-9
        first = (1.0e-3 - origin[axis]) / slope
        second = (high - origin[axis]) / slope
        near = wp.max(near, wp.min(first, second))
        far = wp.min(far, wp.max(first, second))
    return wp.vec2(near, far)


@wp.func
def jump(distance: float, step: float, beta: float) -> float:
    """Length that a ray may advance at a distance of more than `TAIL` betas."""
    return wp.max(step, CAUTION * (distance - TAIL * beta))


@wp.kernel
def learn_rays(
    start: int,
    origins: wp.array[wp.vec3],  # (R,)
    directions: wp.array[wp.vec3],  # (R,) of unit length
    offsets: wp.array[float],  # (R,) of the first sample, in steps
    targets: wp.array[wp.vec4],  # (R,) colour times coverage, and coverage
    field: Field,
    step: float,  # distance of samples near the surface
    color_weight: float,
    coverage_weight: float,
    part: int,
    gradient: wp.array4d[wp.vec4],  # (parts, X, Y, Z) by colour and distance, added to
    losses: wp.array[wp.vec2],  # (R,) of colour and coverage
) -> None:
    """Loss of rays against pixels, and its gradient by distances and colours.

    Between two samples at which the cumulative distribution falls from P to Q, the transmittance is multiplied
    by Q / P; where it rises, the ray leaves a surface and the transmittance stays. A ray that touches the
    surface is then half covered. With the density of VolSDF, outlines would be too small by several beta. Every
    ray is walked twice, so that nothing is stored.

    Source: Wang et al. 2021, the opacity between two samples. Differs: the Laplace distribution of VolSDF in
    place of the logistic one, and the colour of the second of the two samples.
    """
    r = start + wp.tid()
    ends = inside_box(field, origins[r], directions[r])
    first = ends[0] + offsets[r] * step
    t = first
    transmittance = float(1.0)
    before = float(1.0)
    color = wp.vec3(0.0, 0.0, 0.0)
    while t < ends[1] and transmittance > OPAQUE:
        p = origins[r] + t * directions[r]
        distance = distance_at(field, p)
        if distance > TAIL * field.beta:
            before = 1.0
            t += jump(distance, step, field.beta)
        else:
            now = laplace_cdf(distance, field.beta)
            left = transmittance * wp.min(now / before, 1.0)
            if transmittance - left > FAINT:
                color += (transmittance - left) * color_at(field, p)
            transmittance = left
            before = now
            t += step
    last = transmittance

    target = targets[r]
    residual = color - wp.vec3(target[0], target[1], target[2])
    by_color = wp.vec3(0.0, 0.0, 0.0)
    color_loss = float(0.0)
    for channel in range(3):
        size = wp.sqrt(residual[channel] * residual[channel] + SOFT * SOFT)
        color_loss += size - SOFT
        by_color[channel] = color_weight * residual[channel] / size
    coverage = wp.max(1.0 - last, LEAST)
    mask = target[3]
    losses[r] = wp.vec2(color_loss, -(mask * wp.log(coverage) + (1.0 - mask) * wp.log(wp.max(last, LEAST))))
    by_last = coverage_weight * (mask * last / coverage - (1.0 - mask))  # by the logarithm of `last`

    behind = wp.dot(by_color, color)  # of all samples that come after the current one
    waiting = wp.vec4(0.0, 0.0, 0.0, 0.0)  # gradient of the sample before, at this place
    place = origins[r]
    slope_before = float(0.0)
    t = first
    transmittance = float(1.0)
    before = float(1.0)
    while t < ends[1] and transmittance > OPAQUE:
        p = origins[r] + t * directions[r]
        distance = distance_at(field, p)
        if distance > TAIL * field.beta:
            if slope_before > 0.0:
                add_at(gradient, part, place, waiting)
            slope_before = 0.0
            before = 1.0
            t += jump(distance, step, field.beta)
        else:
            now = laplace_cdf(distance, field.beta)
            slope = log_cdf_slope(distance, field.beta)
            own = wp.vec4(0.0, 0.0, 0.0, 0.0)
            if now < before:
                left = transmittance * now / before
                weight = transmittance - left
                shade = float(0.0)
                if weight > FAINT:
                    shade = wp.dot(by_color, color_at(field, p))
                    own = wp.vec4(weight * by_color[0], weight * by_color[1], weight * by_color[2], 0.0)
                behind -= weight * shade
                by_ratio = behind - left * shade + by_last
                own[3] = by_ratio * slope
                waiting[3] = waiting[3] - by_ratio * slope_before
                transmittance = left
            if slope_before > 0.0:
                add_at(gradient, part, place, waiting)
            waiting = own
            place = p
            slope_before = slope
            before = now
            t += step
    if slope_before > 0.0:
        add_at(gradient, part, place, waiting)


@wp.func
def gradient_at(distances: wp.array3d[float], i: int, j: int, k: int) -> wp.vec3:
    """Central differences of the distance at a node that is not on the border."""
    return 0.5 * wp.vec3(
        distances[i + 1, j, k] - distances[i - 1, j, k],
        distances[i, j + 1, k] - distances[i, j - 1, k],
        distances[i, j, k + 1] - distances[i, j, k - 1],
    )


@wp.kernel
def eikonal_flow(
    start: int,
    nodes: wp.array[wp.vec3i],  # (M,) at least two nodes from the border
    distances: wp.array3d[float],
    flow: wp.array3d[wp.vec3],
) -> None:
    """Gradient of (|g| - 1)^2 / 2 by the gradient g of the distance, at every node."""
    n = nodes[start + wp.tid()]
    g = gradient_at(distances, n[0], n[1], n[2])
    size = wp.max(wp.length(g), 0.1)
    flow[n[0], n[1], n[2]] = (1.0 - 1.0 / size) * g


@wp.func
def parts_at(parts: wp.array4d[wp.vec4], i: int, j: int, k: int) -> wp.vec4:
    """Sum over the threads."""
    total = wp.vec4(0.0, 0.0, 0.0, 0.0)
    for part in range(parts.shape[0]):
        total += parts[part, i, j, k]
    return total


@wp.kernel
def average_gradient(
    start: int,
    nodes: wp.array[wp.vec3i],  # (M,) at least one node from the border
    parts: wp.array4d[wp.vec4],  # (parts, X, Y, Z)
    gradient: wp.array3d[wp.vec4],
) -> None:
    """Sum over the threads, averaged with that at the six neighbours."""
    n = nodes[start + wp.tid()]
    i = n[0]
    j = n[1]
    k = n[2]
    around = parts_at(parts, i + 1, j, k) + parts_at(parts, i - 1, j, k)
    around += parts_at(parts, i, j + 1, k) + parts_at(parts, i, j - 1, k)
    around += parts_at(parts, i, j, k + 1) + parts_at(parts, i, j, k - 1)
    gradient[i, j, k] = 0.5 * parts_at(parts, i, j, k) + (0.5 / 6.0) * around


@wp.kernel
def update_nodes(
    start: int,
    nodes: wp.array[wp.vec3i],  # (M,) at least two nodes from the border
    parts: wp.array4d[wp.vec4],  # (parts, X, Y, Z), set to zero
    gradient: wp.array3d[wp.vec4],  # of `average_gradient`, averaged once more here
    flow: wp.array3d[wp.vec3],  # of `eikonal_flow`, zero at other nodes
    eikonal: float,  # weight of that loss
    smoothness: float,  # weight of mean curvature flow
    color_step: float,
    distance_step: float,
    first_beta: float,  # decay of the moments of Adam
    second_beta: float,
    first_bias: float,  # 1 - beta^t
    second_bias: float,
    first: wp.array3d[wp.vec4],  # the moments
    second: wp.array3d[wp.vec4],
    before: wp.array3d[float],  # distances that are read
    distances: wp.array3d[float],  # distances that are written
    colors: wp.array3d[wp.vec3],
) -> None:
    """A step of Adam at every node, from the gradients of rays, of the eikonal loss and of smoothness."""
    n = nodes[start + wp.tid()]
    i = n[0]
    j = n[1]
    k = n[2]
    for part in range(parts.shape[0]):
        parts[part, i, j, k] = wp.vec4(0.0, 0.0, 0.0, 0.0)
    around = gradient[i + 1, j, k] + gradient[i - 1, j, k]
    around += gradient[i, j + 1, k] + gradient[i, j - 1, k]
    around += gradient[i, j, k + 1] + gradient[i, j, k - 1]
    g = 0.5 * gradient[i, j, k] + (0.5 / 6.0) * around
    divergence = 0.5 * (
        flow[i + 1, j, k][0]
        - flow[i - 1, j, k][0]
        + flow[i, j + 1, k][1]
        - flow[i, j - 1, k][1]
        + flow[i, j, k + 1][2]
        - flow[i, j, k - 1][2]
    )
    mean = (
        before[i + 1, j, k]
        + before[i - 1, j, k]
        + before[i, j + 1, k]
        + before[i, j - 1, k]
        + before[i, j, k + 1]
        + before[i, j, k - 1]
    ) / 6.0
    g[3] = g[3] - eikonal * divergence + smoothness * (before[i, j, k] - mean)
    m = first_beta * first[i, j, k] + (1.0 - first_beta) * g
    v = second_beta * second[i, j, k] + (1.0 - second_beta) * wp.cw_mul(g, g)
    first[i, j, k] = m
    second[i, j, k] = v
    move = wp.vec4(0.0, 0.0, 0.0, 0.0)
    for c in range(4):
        move[c] = m[c] / first_bias / (wp.sqrt(v[c] / second_bias) + SMALL)
    color = colors[i, j, k] - color_step * wp.vec3(move[0], move[1], move[2])
    colors[i, j, k] = wp.vec3(wp.max(color[0], 0.0), wp.max(color[1], 0.0), wp.max(color[2], 0.0))
    distances[i, j, k] = before[i, j, k] - distance_step * move[3]
