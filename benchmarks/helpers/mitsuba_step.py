"""The Mitsuba 3 side of `mitsuba_cost.py`; runs wherever `import mitsuba` works, bozzetto is not needed there.

    python mitsuba_step.py REQUEST.json

The request names a PLY mesh, cameras (position, target, up, horizontal field of view), the image size, the
number of steps and whether to sample gradients of shadows. One step is what a user of Mitsuba would do: draw a
view with `direct_projective`, take the L1 difference to a reference picture, differentiate to the vertices,
update them with Adam. Prints the seconds of every step and the versions as JSON.
"""

import json
import sys
import time

import drjit as dr
import mitsuba as mi

mi.set_variant("llvm_ad_rgb")


def scene_of(request):
    """A white diffuse mesh in constant light, which casts shadows; their gradients may be left out."""
    integrator = {"type": "direct_projective", "guiding": "none"}
    if not request["shadow_gradients"]:
        integrator["sppi"] = 0
    mesh = {"type": "ply", "filename": request["mesh"], "bsdf": {"type": "diffuse"}}
    return mi.load_dict(
        {"type": "scene", "integrator": integrator, "light": {"type": "constant"}, "mesh": mesh}
    )


def sensor_of(camera, size):
    """A perspective camera with a square picture."""
    place = mi.ScalarTransform4f().look_at(camera["eye"], camera["target"], camera["up"])
    film = {"type": "hdrfilm", "width": size, "height": size, "rfilter": {"type": "box"}}
    return mi.load_dict(
        {"type": "perspective", "fov": camera["fov_degrees"], "to_world": place, "film": film}
    )


def main():
    """Optimise for some steps, a view each, and time every one."""
    with open(sys.argv[1]) as file:
        request = json.load(file)
    scene, spp = scene_of(request), request["samples"]
    sensors = [sensor_of(camera, request["size"]) for camera in request["cameras"]]
    references = [mi.render(scene, sensor=sensor, spp=4 * spp, seed=0) for sensor in sensors]
    dr.eval(references)
    params = mi.traverse(scene)
    name = next(key for key in params.keys() if key.endswith("vertex_positions"))
    params.keep([name])
    optimizer = mi.ad.Adam(lr=1e-4)
    optimizer[name] = params[name] * 0.98
    params.update(optimizer)
    seconds = []
    for step in range(request["steps"]):
        begin = time.perf_counter()
        view = step % len(sensors)
        image = mi.render(scene, params, sensor=sensors[view], spp=spp, seed=step)
        loss = dr.mean(dr.abs(image - references[view]), axis=None)
        dr.backward(loss)
        optimizer.step()
        params.update(optimizer)
        dr.eval(params[name], loss)
        dr.sync_thread()
        seconds.append(time.perf_counter() - begin)
    print()  # ends a line of warnings
    print(json.dumps({"mitsuba": mi.__version__, "drjit": dr.__version__, "seconds": seconds}))


if __name__ == "__main__":
    main()
