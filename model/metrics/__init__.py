# SPDX-License-Identifier: Apache-2.0
"""How good a fused photograph is: MEF-SSIM, fidelity to a reference, and what the picture shows."""
