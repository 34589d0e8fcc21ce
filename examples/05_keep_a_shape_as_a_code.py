"""Keep a body as a code of 64 numbers, with the prior that comes with the package, and get its mesh back.

A prior of your own is read from the file that `bozzetto train sdf MESHES` writes.
"""

from bozzetto.metrics import surface_distance
from bozzetto.sdf import extract_mesh, fit_code, load_prior, prepare_shape
from bozzetto.weights import find


def main() -> None:
    prior = load_prior(find("bodies"))
    truth = extract_mesh(prior, prior.codes[1], resolution=64)  # stands for a mesh of yours

    shape = prepare_shape(truth, count=20_000)  # signed distances at points, in the normalised frame
    fit = fit_code(prior, shape.samples.points, shape.samples.distances)
    again = extract_mesh(prior, fit.code, resolution=64)

    back = shape.normalisation.inverse()  # from the normalised frame to that of the mesh
    distance = surface_distance(again.with_vertices(back.apply(again.vertices)), truth)
    print(f"{len(fit.code)} numbers found in {fit.iterations} iterations")
    print(f"mean distance: {(distance.mean_ab + distance.mean_ba) / 2:.4f}")


if __name__ == "__main__":
    main()
