"""A short name for what a source of scenes shows, so that a changed one is noticed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from operator import methodcaller
from typing import Any


def fingerprint_of(kind: str, parts: Iterable[Any]) -> str:
    """Return 16 hex digits of a SHA-256; the same in every process and on every machine.

    Args:
        kind: of source; two kinds never share a fingerprint.
        parts: plain values, in an order that counts; mappings are hashed by sorted keys.
    """
    sha256 = hashlib.sha256(kind.encode())
    for part in parts:
        text = json.dumps(part, sort_keys=True, default=methodcaller("item"))  # numpy's scalars
        sha256.update(f"\n{text}".encode())
    return sha256.hexdigest()[:16]
