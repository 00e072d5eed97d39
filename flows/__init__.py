# SPDX-License-Identifier: Apache-2.0
"""Prefect flows and the command line: thin, they name the steps and nothing else."""
