# SPDX-License-Identifier: Apache-2.0
"""Find brackets in an archive: one file a layout, ``scan`` drives them, the catalog keeps them."""
