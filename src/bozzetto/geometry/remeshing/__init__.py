"""The steps of isotropic remeshing, each applied simultaneously to elements that do not touch each other.

Split, collapse, flip and relax work on NumPy arrays: remeshing is sorting and gathering on index arrays,
for which NumPy on the CPU is faster than torch, and it is rare compared with the work on the device.
"""
