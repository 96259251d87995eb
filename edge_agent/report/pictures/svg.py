"""Small pieces of SVG as text. Every text and attribute is escaped here, and nowhere else."""

from __future__ import annotations

import re
from html import escape
from typing import Final

NUMBER: Final = "{:.1f}"
_NO_XML: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
"""What XML cannot hold, not even escaped."""


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


def element(tag: str, *children: str, **attributes: object) -> Markup:
    """`<tag attributes>children</tag>`; `class_` is class, `stroke_width` is stroke-width; plain
    texts are escaped."""
    pairs = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{_escaped(_value(value))}"'
        for name, value in attributes.items()
        if value is not None
    )
    inner = "".join(child if isinstance(child, Markup) else _escaped(child) for child in children)
    return Markup(f"<{tag}{pairs}>{inner}</{tag}>")


def _escaped(text: str) -> str:
    return escape(_NO_XML.sub("", text))


def _value(value: object) -> str:
    return NUMBER.format(value).removesuffix(".0") if isinstance(value, float) else str(value)


def rect(
    x: float, y: float, width: float, height: float, fill: str, *children: str, **more: object
) -> Markup:
    """A filled rectangle."""
    return element(
        "rect", *children, x=x, y=y, width=max(0.0, width), height=height, fill=fill, **more
    )


def label(x: float, y: float, words: str, **more: object) -> Markup:
    """A text with its baseline at `y`."""
    return element("text", words, x=x, y=y, **more)


def line(x1: float, y1: float, x2: float, y2: float, **more: object) -> Markup:
    """A straight line."""
    more = {"stroke": "#8a97a3", "stroke_width": 1.0} | more
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, **more)


def join(*pieces: str) -> Markup:
    """Markup side by side."""
    return Markup("".join(pieces))


def picture(width: float, height: float, title: str, *children: str) -> Markup:
    """A whole drawing that scales to the page."""
    return element(
        "svg",
        element("title", title),
        *children,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width:g} {height:g}",
        role="img",
        class_="chart",
    )
