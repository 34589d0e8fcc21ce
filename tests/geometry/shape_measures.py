"""Measures of meshes, in double precision, and noise for them."""

import math

import torch

from bozzetto.geometry import edge_lengths, unique_edges


def lengths(mesh):
    return edge_lengths(mesh.vertices, unique_edges(mesh.faces))


def area_vectors(mesh):
    a, b, c = mesh.corners().double().unbind(dim=1)
    return torch.linalg.cross(b - a, c - a) / 2


def area(mesh):
    return float(area_vectors(mesh).norm(dim=1).sum())


def volume(mesh):
    a, b, c = mesh.corners().double().unbind(dim=1)
    return float((a * torch.linalg.cross(b, c)).sum() / 6)


def least_angles(mesh):
    """(F,) the smallest angle of every face, in degrees."""
    sides = mesh.corners().double().roll(-1, 1) - mesh.corners().double()
    sides = sides / sides.norm(dim=2, keepdim=True)
    cosine = -(sides * sides.roll(1, 1)).sum(2)
    return cosine.clamp(-1, 1).acos().amin(dim=1) * (180 / math.pi)


def perturbed(mesh, amount, seed):
    """Noise of this standard deviation, over the mean edge length, in every direction."""
    noise = torch.randn(mesh.vertices.shape, generator=torch.Generator().manual_seed(seed))
    return mesh.with_vertices(mesh.vertices + amount * float(lengths(mesh).mean()) * noise)
