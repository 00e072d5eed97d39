# SPDX-License-Identifier: Apache-2.0
"""The verifier: does a destination hold what its report says, and nothing that was left behind?"""
