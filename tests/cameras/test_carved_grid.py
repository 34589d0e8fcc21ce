import torch

from bozzetto.cameras.carved_grid import carve_grid, fewest_carving, grid_silhouettes


def test_the_hull_of_the_others_covers_the_sphere(silhouettes, coverage):
    bounds = torch.tensor([[-1.3] * 3, [1.3] * 3], dtype=torch.float64)
    grid = carve_grid(silhouettes, bounds, 48, 4)
    seen = grid_silhouettes(silhouettes.cameras, grid, leave_out=False)
    others = grid_silhouettes(silhouettes.cameras, grid, leave_out=True)
    mask = coverage(silhouettes.cameras) > 0.5
    assert (mask & ~seen).sum() / mask.sum() < 0.02
    assert (seen & ~mask).sum() / mask.sum() < 0.03
    assert (seen & ~others).sum() == 0 and others.sum() > 1.02 * seen.sum()


def test_fewest_carving_views_along_a_ray(silhouettes):
    bounds = torch.tensor([[-1.3] * 3, [1.3] * 3], dtype=torch.float64)
    grid = carve_grid(silhouettes, bounds, 24, 4)
    generator = torch.Generator().manual_seed(3)
    directions = torch.nn.functional.normalize(torch.randn(40, 3, generator=generator).double(), dim=1)
    origins = -4 * directions + 0.6 * torch.randn(40, 3, generator=generator).double()
    counts, places = fewest_carving(grid, origins, directions)
    steps = torch.arange(0, 8, grid.cell / 4, dtype=torch.float64)
    along = origins[:, None] + steps[:, None] * directions[:, None]
    index = ((along - grid.low) / grid.cell).round().long()
    shape = torch.tensor(grid.carving.shape)
    valid = ((index >= 0) & (index < shape)).all(dim=-1)
    x, y, z = torch.minimum(index.clamp(min=0), shape - 1).unbind(dim=-1)
    expected = torch.where(valid, grid.carving[x, y, z], 1 << 20).amin(dim=1)
    assert (counts >= expected).all()  # it takes fewer samples
    assert (counts == expected).float().mean() > 0.9
    i, j, k = ((places - grid.low) / grid.cell).round().long().T
    hit = counts < 1 << 20
    assert hit.sum() > 20 and torch.equal(grid.carving[i, j, k][hit], counts[hit])
