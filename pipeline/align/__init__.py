# SPDX-License-Identifier: Apache-2.0
"""Registration of handheld brackets, whatever their exposures.

registration   align(frames): the whole bracket, and what is reported of it
pairing        two frames: still, moved or unsure
estimate       the motion between two frames, coarse and fine
misfit         how badly two frames lie on each other, block by block
invariant      what two exposures of one view have in common
motion         kinds of motion, their size and their limits
warping        apply(frames, transforms, crop): redo a stored alignment
"""
