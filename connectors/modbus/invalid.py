"""What `check` collects: keys that cannot be used, found before any socket opens."""

from __future__ import annotations


class InvalidError(Exception):
    """A key of the configuration that cannot be used: the fact and the next step, in both
    languages."""

    def __init__(self, key: str, zh: str, en: str, *, certain: bool = False) -> None:
        """`certain`: wrong whatever the device's other keys say."""
        super().__init__(en)
        self.key = key
        self.zh = zh
        self.en = en
        self.certain = certain
