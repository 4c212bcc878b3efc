"""Removes exports from a WebAssembly module: trim_exports.py FILE NAME...

Envoy enters the VM for every callback that the module exports, whether it does anything or not. The Proxy-Wasm SDK exports all of
them; what the filter does not use is taken out here, which leaves Envoy's own default. A module without these exports stays as it is.
"""

import sys
from pathlib import Path

EXPORTS = 7


def number(data: bytes, at: int) -> tuple[int, int]:
    """Reads a LEB128 number; gives it and where it ends."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def leb(value: int) -> bytes:
    out = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        out.append(low | (0x80 if value else 0))
        if not value:
            return bytes(out)


def without(section: bytes, names: set[str]) -> bytes:
    """The export section (WebAssembly core specification, 5.5.10) without those names."""
    count, at = number(section, 0)
    kept = []
    for _ in range(count):
        start = at
        length, at = number(section, at)
        name = section[at : at + length].decode()
        _, at = number(section, at + length + 1)
        if name not in names:
            kept.append(section[start:at])
    return leb(len(kept)) + b"".join(kept)


def trim(module: bytes, names: set[str]) -> bytes:
    out, at = bytearray(module[:8]), 8
    while at < len(module):
        kind = module[at]
        length, start = number(module, at + 1)
        section = module[start : start + length]
        if kind == EXPORTS:
            section = without(section, names)
        out += bytes([kind]) + leb(len(section)) + section
        at = start + length
    return bytes(out)


def main() -> None:
    path, names = Path(sys.argv[1]), set(sys.argv[2:])
    before = path.read_bytes()
    if before[:4] != b"\0asm":
        sys.exit(f"{path} is not a WebAssembly module")
    after = trim(before, names)
    if after != before:
        path.write_bytes(after)


if __name__ == "__main__":
    main()
