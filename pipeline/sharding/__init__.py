# SPDX-License-Identifier: Apache-2.0
"""Cutting the brackets of an archive into patches to train on."""
