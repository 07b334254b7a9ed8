"""What an image says about itself in its first bytes: kind and size, read without decoding a pixel."""

from __future__ import annotations

from dataclasses import dataclass

HEAD_BYTES = 256 * 1024  # a JPEG's size stands behind its metadata: EXIF with a thumbnail, colour profiles


@dataclass(frozen=True)
class ImageHead:
    """Attributes: `media_type` is one of png, jpeg, gif, webp; width and height are in pixels."""

    media_type: str
    width: int
    height: int

    @property
    def pixels(self) -> int:
        return self.width * self.height


def read_image_head(head: bytes) -> ImageHead | None:
    """Kind and size of the image that starts with these bytes, or None where they are not one of the four kinds."""
    for read in (_read_png, _read_gif, _read_webp, _read_jpeg):
        image = read(head)
        if image is not None and image.width > 0 and image.height > 0:
            return image
    return None


def _read_png(head: bytes) -> ImageHead | None:
    if not head.startswith(b"\x89PNG\r\n\x1a\n") or head[12:16] != b"IHDR" or len(head) < 24:
        return None
    return ImageHead("image/png", _big(head[16:20]), _big(head[20:24]))


def _read_gif(head: bytes) -> ImageHead | None:
    if head[:6] not in (b"GIF87a", b"GIF89a") or len(head) < 10:
        return None
    return ImageHead("image/gif", _little(head[6:8]), _little(head[8:10]))


def _read_webp(head: bytes) -> ImageHead | None:
    if head[:4] != b"RIFF" or head[8:12] != b"WEBP" or len(head) < 30:
        return None
    chunk = head[12:16]
    if chunk == b"VP8X":
        return ImageHead("image/webp", _little(head[24:27]) + 1, _little(head[27:30]) + 1)
    if chunk == b"VP8 " and head[23:26] == b"\x9d\x01\x2a":
        return ImageHead("image/webp", _little(head[26:28]) & 0x3FFF, _little(head[28:30]) & 0x3FFF)
    if chunk == b"VP8L" and head[20] == 0x2F:
        bits = _little(head[21:25])
        return ImageHead("image/webp", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    return None


def _read_jpeg(head: bytes) -> ImageHead | None:
    if not head.startswith(b"\xff\xd8\xff"):
        return None
    place = 2
    while place + 9 <= len(head) and head[place] == 0xFF:
        marker = head[place + 1]
        if marker == 0xFF:  # fill byte
            place += 1
        elif marker in (0x01, *range(0xD0, 0xD8)):  # markers without a length
            place += 2
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # a frame header, of whatever coding
            return ImageHead("image/jpeg", _big(head[place + 7 : place + 9]), _big(head[place + 5 : place + 7]))
        else:
            place += 2 + max(2, _big(head[place + 2 : place + 4]))
    return None


def _big(digits: bytes) -> int:
    return int.from_bytes(digits, "big")


def _little(digits: bytes) -> int:
    return int.from_bytes(digits, "little")
