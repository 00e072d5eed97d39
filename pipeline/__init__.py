# SPDX-License-Identifier: Apache-2.0
"""Photographs in, fused photographs and tables out; the Ray stages.

Keep this module empty: Ray workers import it before anything else (see ``pipeline.cluster``).
"""
