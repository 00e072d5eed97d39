# SPDX-License-Identifier: Apache-2.0
"""The report: its schema, later its pages and plots."""
