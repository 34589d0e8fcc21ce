"""The steps of isotropic remeshing, each applied at once wherever the places do not touch each other.

Split, collapse, flip and relax work on NumPy arrays: remeshing is sorting and gathering on index arrays,
which NumPy does faster on a CPU than torch, and it is rare beside everything that runs on the device.
"""
