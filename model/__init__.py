# SPDX-License-Identifier: Apache-2.0
"""Fusion models and what they are judged by: networks, losses, metrics and packaged weights.

Depends on torch and numpy only; knows nothing of files, Ray or Prefect.
"""
