"""In which encoding a CSV file is: UTF-8, UTF-16 by its mark, or GB18030 where the text that comes
out is plausible.

Nearly every run of bytes is *some* text in GB18030, so that decoding alone proves nothing:
Japanese, Korean or Western names come out as rare Chinese letters. What looks so is refused with
the encoding that it probably is in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

#: What a command may be told: the names of Python's codecs.
ENCODINGS: Final = (
    "utf-8",
    "utf-16",
    "gb18030",
    "gbk",
    "big5",
    "shift_jis",
    "euc_jp",
    "euc_kr",
    "cp1250",
    "cp1251",
    "cp1252",
)

_BOM: Final = b"\xef\xbb\xbf"
_UTF16: Final = (b"\xff\xfe", b"\xfe\xff")
#: The codecs behind the names: those of Windows, which have a few letters more.
_CODECS: Final = {"shift_jis": "cp932", "euc_kr": "cp949", "big5": "cp950", "utf-8": "utf-8-sig"}

#: The share of the letters beyond ASCII that have to be of those that Chinese lists have.
_PLAUSIBLE: Final = 0.8
#: The share that another language's letters have in a text of that language.
_CONVINCING: Final = 0.95
#: Different letters after which it is no chance that all are of one small range.
_ENOUGH: Final = 12
_ENOUGH_HALF_WIDTH: Final = 16
_KANA: Final = 0.25
_MOSTLY: Final = 0.5
_DAMAGED: Final = 5
"""Letters to one fault, at least, of a file that is UTF-8 all the same."""
_SAMPLE: Final = 24

#: Ranges of symbols that lists in any language have: Latin letters with signs, general punctuation,
#: units, numbers in circles, full-width forms.
_SYMBOLS: Final = (
    (0xA0, 0x17F),
    (0x1C0, 0x233),
    (0x2BC, 0x2DF),
    (0x370, 0x52F),
    (0x2000, 0x27BF),
    (0x3000, 0x303F),
    (0x3200, 0x33FF),
    (0xFE30, 0xFE6F),
    (0xFF01, 0xFF5E),
    (0xFFE0, 0xFFE6),
)


class UnlikelyEncodingError(ValueError):
    """The bytes are no text that this program may take by itself: why, without an end, in Chinese
    and English. `likely`: the encoding it probably is, or empty."""

    def __init__(self, zh: str, en: str, likely: str = "") -> None:
        super().__init__(en)
        self.zh = zh
        self.en = en
        self.likely = likely


@dataclass(frozen=True, slots=True)
class DecodedText:
    """A file as text, without a mark at its beginning."""

    text: str
    doubt: tuple[str, str] | None = None
    """Of one too short to tell Chinese from another language: how it was read, Chinese and
    English."""


def decoded(data: bytes, encoding: str | None = None) -> DecodedText:
    """The text. `encoding`: one of `ENCODINGS` that somebody has stated. Raises
    UnlikelyEncodingError."""
    if encoding is not None:
        return DecodedText(_stated(data, encoding))
    if data.startswith(_UTF16):
        return DecodedText(_stated(data, "utf-16"))
    data = data.removeprefix(_BOM)  # which some programs put before GBK, too
    try:
        return DecodedText(data.decode("utf-8"))
    except UnicodeDecodeError:
        pass
    try:
        text = data.decode("gb18030")
    except UnicodeDecodeError:
        text = ""
    likely, sample, sure = _other_than_chinese(data, text)
    if text and not sure and _share(text, _of_chinese) >= _PLAUSIBLE:
        return DecodedText(text, _doubt(text, likely, sample) if likely else None)
    if likely == "utf-8":
        row = data.count(b"\n", 0, _first_fault(data)) + 1
        raise UnlikelyEncodingError(
            f"文件大体是 UTF-8，但第 {row} 行有损坏的字节",
            f"the file is mostly UTF-8 and has damaged bytes in row {row}",
        )
    raise UnlikelyEncodingError(*_unlikely(text, likely, sample), likely)


def _doubt(text: str, likely: str, sample: str) -> tuple[str, str]:
    chinese = _sample(text)
    return (
        f"文件不是 UTF-8，按 GBK 读作“{chinese}”；按 {likely} 是“{sample}”，请核对",
        f"the file is not UTF-8 and was read as GBK, “{chinese}”; as {likely} it would be "
        f"“{sample}”: compare",
    )


def _unlikely(text: str, likely: str, sample: str) -> tuple[str, str]:
    if likely:
        return (
            f"文件不是 UTF-8，按 GBK 读是乱码，按 {likely} 读作“{sample}”",
            f"the file is not UTF-8 and makes no sense as GBK; as {likely} it reads “{sample}”",
        )
    if text:
        return (
            "文件不是 UTF-8，按 GBK 读很可能是乱码",
            "the file is not UTF-8, and read as GBK it is probably garbled",
        )
    return "文件编码既不是 UTF-8 也不是 GBK/GB18030", "the file is neither UTF-8 nor GBK/GB18030"


def _stated(data: bytes, encoding: str) -> str:
    try:
        return data.decode(_CODECS.get(encoding, encoding)).removeprefix("\ufeff")
    except UnicodeError as error:
        raise UnlikelyEncodingError(
            f"文件不是 {encoding}（{error.__class__.__name__}）",
            f"the file is not {encoding} ({error})",
        ) from None


def _other_than_chinese(data: bytes, text: str) -> tuple[str, str, bool]:
    """(encoding, how the text begins in it, whether that is sure) of a file that reads well in
    another language.

    `text`: the file as GB18030, empty where it is none.
    """
    if _is_damaged_utf8(data):
        return "utf-8", "", True
    is_chinese = bool(text) and _share(text, _of_chinese) >= _PLAUSIBLE
    alone = _share_alone(data)
    if not is_chinese and alone >= _CONVINCING:
        return "cp1252", _sample(data.decode("cp1252", "replace")), True
    for encoding, belongs, enough in _OTHERS:
        try:
            other = data.decode(_CODECS.get(encoding, encoding))
        except UnicodeDecodeError:
            continue
        letters = {sign for sign in other if not sign.isascii() and not _is_symbol(sign)}
        if not letters or _share(other, belongs) < _CONVINCING or (is_chinese and not enough):
            continue
        if encoding == "euc_jp" and sum(map(_is_kana, letters)) < _KANA * len(letters):
            continue
        return encoding, _sample(other), not is_chinese or len(letters) >= enough
    if not is_chinese and alone >= _MOSTLY:
        return "cp1252", _sample(data.decode("cp1252", "replace")), True
    return "", "", False


def _first_fault(data: bytes) -> int:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start
    return 0


def _is_damaged_utf8(data: bytes) -> bool:
    """Whether few of many letters are no UTF-8. Only letters of three bytes count: in other
    encodings they are rare."""
    letters = [sign for sign in data.decode("utf-8", "replace") if sign >= "\u0800"]
    return 0 < _DAMAGED * letters.count("\ufffd") <= len(letters)


def _share_alone(data: bytes) -> float:
    """How much of the bytes beyond ASCII stands alone among others, as in Western words."""
    high = [at for at, byte in enumerate(data) if byte >= 0x80]
    alone = [
        at
        for at in high
        if data[at] >= 0xA0
        and (at == 0 or data[at - 1] < 0x80)
        and (at + 1 == len(data) or data[at + 1] < 0x80)
    ]
    return len(alone) / len(high) if high else 0.0


def _share(text: str, belongs: Callable[[str], bool]) -> float:
    """How much of the letters beyond ASCII belongs to a language."""
    letters = [sign for sign in text if not sign.isascii()]
    return sum(map(belongs, letters)) / len(letters) if letters else 1.0


def _sample(text: str) -> str:
    """The first cell with a letter beyond ASCII."""
    for line in text.splitlines():
        for cell in line.replace("\t", ",").replace(";", ",").split(","):
            if not cell.isascii():
                return cell.strip().strip('"')[:_SAMPLE]
    return ""


def _is_symbol(sign: str) -> bool:
    return any(first <= ord(sign) <= last for first, last in _SYMBOLS)


def _is_kana(sign: str) -> bool:
    return "\u3041" <= sign <= "\u30ff"


def _is_half_width_kana(sign: str) -> bool:
    return "\uff61" <= sign <= "\uff9f"


@lru_cache(maxsize=16_384)
def _bytes_in(sign: str, encoding: str) -> bytes:
    """A letter in an encoding; empty where it is not in it."""
    try:
        return sign.encode(encoding)
    except UnicodeEncodeError:
        return b""


def _of_chinese(sign: str) -> bool:
    """Whether Chinese lists have the letter: those of GB 2312, and the frequent ones of traditional
    writing."""
    if _is_symbol(sign) or _bytes_in(sign, "gb2312"):
        return True
    traditional = _bytes_in(sign, "big5")
    return len(traditional) == 2 and 0xA4 <= traditional[0] <= 0xC6


def _of_big5(sign: str) -> bool:
    found = _bytes_in(sign, "big5")
    return _is_symbol(sign) or (len(found) == 2 and 0xA4 <= found[0] <= 0xC6)


def _of_japanese(sign: str) -> bool:
    if _is_symbol(sign) or _is_kana(sign) or _is_half_width_kana(sign):
        return True
    found = _bytes_in(sign, "euc_jp")
    return len(found) == 2 and 0xB0 <= found[0] <= 0xCF  # the kanji of level 1


def _of_half_width(sign: str) -> bool:
    return _is_symbol(sign) or _is_half_width_kana(sign)


def _of_korean(sign: str) -> bool:
    return _is_symbol(sign) or (
        "\uac00" <= sign <= "\ud7a3" and len(_bytes_in(sign, "euc_kr")) == 2
    )


_Other = tuple[str, Callable[[str], bool], int]
#: What is looked at, in this order: the encoding, which letters its language has, and how many
#: different ones decide although the text could be Chinese as well; 0: that does not come about.
_OTHERS: Final[Iterable[_Other]] = (
    ("shift_jis", _of_half_width, _ENOUGH_HALF_WIDTH),
    ("euc_jp", _of_japanese, _ENOUGH),
    ("euc_kr", _of_korean, _ENOUGH),
    ("shift_jis", _of_japanese, 0),
    ("big5", _of_big5, 0),
)
