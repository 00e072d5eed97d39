# SPDX-License-Identifier: Apache-2.0
"""Compiled loops behind the metrics: tiles that stay in a core's cache, in float32.

Numbers are kept honest in two ways. Sums under a uniform window are whole numbers, exact; only
their differences are rounded. Before Gaussian sums, each picture gives up its value in the middle
of the tile: what is left of a flat sky is zero, and its variance is zero too, not the difference
of two large squares. Single windows then differ from the float64 form by rounding noise, which the
mean over a picture's windows takes below 1e-6.

Arrays are C-contiguous, as Numba compiles the loops for that alone. All loops let go of Python's
lock, so that threads may work on strips side by side.
"""
