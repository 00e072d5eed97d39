# SPDX-License-Identifier: Apache-2.0
"""Procedural photographs with known radiance: the demo archive and test data."""
