"""The guest's side of the frames: a u32 size, then that many bytes, on descriptors 0 and 1."""

from __future__ import annotations

import posix


class Input:
    """The bytes from the host that are not used up yet."""

    def __init__(self) -> None:
        self.data = b""

    def next_frame(self) -> bytes:
        """Return the next frame; end the process when the host has closed its side."""
        while True:
            if len(self.data) >= 4:
                end = 4 + int.from_bytes(self.data[:4], "little")
                if len(self.data) >= end:
                    frame, self.data = self.data[4:end], self.data[end:]
                    return frame
            chunk = posix.read(0, 1 << 18)
            if not chunk:
                posix._exit(0)
            self.data = self.data + chunk if self.data else chunk

    def forget(self) -> None:
        """Drop what is buffered: in a child it is other parties' jobs."""
        self.data = b""


def write(data: bytes) -> None:
    """Write all of it."""
    while data:
        data = data[posix.write(1, data) :]


def write_frame(*parts: bytes) -> None:
    """Write one frame."""
    write(sum(map(len, parts)).to_bytes(4, "little") + b"".join(parts))
