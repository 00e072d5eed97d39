# SPDX-License-Identifier: Apache-2.0
"""Every error that bracketflow raises on purpose, with the stable code that ends up in the report.

    BracketflowError
    ├── PhotoError            a photograph or a bracket is bad: quarantined, never retried
    ├── UsageError            the command or the configuration is wrong          exit code 2
    ├── LockedError           another run holds the destination                  exit code 3
    └── InfrastructureError   disk, network, Ray, Prefect: may be retried        exit code 4

A message says what happened, to which file, and what to do about it. Codes are part of the
product's surface: they are never renamed, and :data:`CODES` lists all of them.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "CODES",
    "BracketflowError",
    "InfrastructureError",
    "LockedError",
    "PhotoError",
    "UsageError",
]

_PHOTO_CODES: dict[str, str] = {
    "file-missing": "The file was listed but is not there any more.",
    "file-unreadable": "The file's permissions forbid reading it.",
    "file-link": "The file is a link that points nowhere, in a circle, or out of the archive.",
    "file-empty": "The file has no bytes.",
    "file-too-large": "The file has more bytes than the cap allows.",
    "format-unsupported": "The file is not an image of a format on the allow-list.",
    "format-needs-extra": "Reading this format needs an optional dependency.",
    "image-too-large": "The image has more pixels than the cap allows (a decompression bomb?).",
    "decode-truncated": "The image file ends before its last pixel.",
    "decode-failed": "The image file is damaged.",
    "color-unsupported": "The image's colour model cannot be converted to sRGB.",
    "bracket-too-short": "A bracket needs at least two frames.",
    "frames-too-few": "The bracket has fewer frames than the model needs.",
    "frames-differ-in-size": "The frames of a bracket have different sizes.",
    "frames-identical": "The frames of a bracket are all the same picture.",
    "frames-saturated": "The frames of a bracket are black or white all over: no light is told.",
    "exposures-equal": "The frames of a bracket have one exposure: they make no more range.",
    "result-exists": "A file that bracketflow did not write stands where the result should go.",
    "result-unwritable": "The result cannot be written in the chosen format.",
    "result-differs-in-size": "A result to be scored has another size than its frames.",
    "radiance-unusable": "A linear picture is too small or too dark to make brackets of.",
    "out-of-memory": "The bracket does not fit into a worker's memory.",
    "worker-died": "The worker died on this bracket again and again.",
    "bracket-timeout": "The bracket took longer than one may take, twice.",
    "unexpected": "An error that bracketflow did not foresee; please report it.",
}
_USAGE_CODES: dict[str, str] = {
    "source-missing": "The source does not exist or cannot be listed.",
    "archive-empty": "The source holds no photographs.",
    "catalog-invalid": "The file is not a catalog or a bracket list.",
    "destination-invalid": "The destination cannot be used: inside the source, or not a folder.",
    "manifest-missing": "No manifest says what the last run was asked to do.",
    "option-invalid": "An option has a value that is not allowed.",
    "model-unknown": "The zoo has no model of that name.",
    "weights-invalid": "A model's weights or its card are missing or damaged.",
    "recipe-invalid": "A training recipe cannot be read, or asks for the impossible.",
    "study-invalid": "An ablation study cannot be read, or compares what cannot be compared.",
    "checkpoint-invalid": "The checkpoints of a folder are damaged, or of another training.",
    "loss-not-finite": "The loss of a training step was no number.",
    "shards-invalid": "Patches to train on are missing, damaged, or in two splits.",
    "without-invalid": "Nobody can tell what an archive shows whose scenes must not occur.",
    "dataset-too-small": "There are too few scenes for the splits that were asked for.",
}
_LOCKED_CODES: dict[str, str] = {
    "destination-locked": "Another run is writing to this destination.",
}
_INFRASTRUCTURE_CODES: dict[str, str] = {
    "disk-full": "No space is left at the destination.",
    "storage-failed": "Reading from or writing to storage failed.",
    "bucket-missing": "The bucket of an object store does not exist.",
    "credentials-invalid": "A store's credentials are missing, wrong or have expired.",
    "access-denied": "A store does not allow what is asked of it.",
    "lease-lost": "The lock of the destination could not be kept, or another run took it over.",
    "ray-failed": "Ray could not be reached or started.",
    "kubernetes-failed": "Kubernetes could not be reached, refused a run, or the run failed there.",
    "no-progress": "Nothing was finished for a long time, and nothing promises to be.",
    "prefect-failed": "Prefect could not be reached or started.",
    "version-mismatch": "A worker runs another version of bracketflow.",
    "counts-mismatch": "found = fused + reused + skipped + quarantined does not hold.",
}

CODES: dict[str, str] = _PHOTO_CODES | _USAGE_CODES | _LOCKED_CODES | _INFRASTRUCTURE_CODES
"""Stable code -> one line on what it stands for."""


class BracketflowError(Exception):
    """Base of all errors raised on purpose.

    Args:
        code: a key of :data:`CODES` that belongs to the class.
        message: what happened, to which file, and the cure, in one or two sentences.

    Raises:
        ValueError: the code is not one of the class's own.
    """

    codes: ClassVar[dict[str, str]] = CODES
    exit_code: ClassVar[int] = 1

    def __init__(self, code: str, message: str) -> None:
        if code not in self.codes:
            raise ValueError(f"{code!r} is not a code of {type(self).__name__}")
        super().__init__(code, message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return self.message


class PhotoError(BracketflowError):
    """A photograph or a bracket is bad. It costs one row; the run goes on."""

    codes = _PHOTO_CODES


class UsageError(BracketflowError):
    """The command or the configuration is wrong."""

    codes = _USAGE_CODES
    exit_code = 2


class LockedError(BracketflowError):
    """Another run holds the destination."""

    codes = _LOCKED_CODES
    exit_code = 3


class InfrastructureError(BracketflowError):
    """Disk, network, Ray or Prefect failed: nobody's photograph is to blame."""

    codes = _INFRASTRUCTURE_CODES
    exit_code = 4
