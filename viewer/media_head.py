"""Whether a file is a sound or a film that browsers play, by its first bytes. Its name and what its uploader said of it
are not asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

HEAD_BYTES = 4096
Kind = Literal["audio", "video"]
# Brands of MP4's family that are no film: still images, which go another way.
_STILL_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"mif1", b"msf1")
_SOUND_BRANDS = (b"M4A ", b"M4B ", b"F4A ")


@dataclass(frozen=True)
class MediaHead:
    """`media_type` is the one that the file is served as, "audio/wav"."""

    media_type: str

    @property
    def kind(self) -> Kind:
        return "video" if self.media_type.startswith("video/") else "audio"


def read_media_head(head: bytes) -> MediaHead | None:
    """What a file that starts with `head` is; None where it is no sound and no film."""
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        return MediaHead("audio/wav")
    if head[:4] == b"fLaC":
        return MediaHead("audio/flac")
    if head[:4] == b"OggS":
        return MediaHead("video/ogg" if b"theora" in head[:HEAD_BYTES] else "audio/ogg")
    if head[:4] == b"\x1a\x45\xdf\xa3" and b"webm" in head[:64]:
        return MediaHead("video/webm")
    if head[4:8] == b"ftyp" and head[8:12] not in _STILL_BRANDS:
        return MediaHead("audio/mp4" if head[8:12] in _SOUND_BRANDS else "video/mp4")
    if head[:3] == b"ID3" or _is_mpeg_frame(head):
        return MediaHead("audio/mpeg")
    return None


def _is_mpeg_frame(head: bytes) -> bool:
    """An MPEG layer III frame whose length leads to another one: two bytes alone are met by chance."""
    length = _frame_bytes(head)
    return length is not None and (len(head) < length + 4 or _frame_bytes(head[length:]) is not None)


_KILOBITS_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KILOBITS_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_HERTZ = (44_100, 48_000, 32_000)


def _frame_bytes(head: bytes) -> int | None:
    """How long the layer III frame at the start is, by ISO 11172-3 and 13818-3; None where there is none."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:
        return None
    version, rate, hertz = head[1] >> 3 & 3, head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or rate in (0, 15) or hertz == 3:
        return None
    first = version == 3
    kilobits = (_KILOBITS_1 if first else _KILOBITS_2)[rate]
    frequency = _HERTZ[hertz] // {3: 1, 2: 2, 0: 4}[version]
    return (144 if first else 72) * kilobits * 1000 // frequency + (head[2] >> 1 & 1)
