# SPDX-License-Identifier: Apache-2.0
"""Photographs in and out: ``reading`` is the one door in, ``writing`` the one door out.

Every format on the allow-list has a file of its own (``jpeg``, ``png``, ``tiff``, ``avif``,
``radiance``, ``raw``) that knows its header and its pixels; ``formats`` tells them apart by their
first bytes, never by the file's name.
"""
