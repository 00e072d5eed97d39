# SPDX-License-Identifier: Apache-2.0
"""The report: its schema, its page with plots and tables, and what else is made of it."""
