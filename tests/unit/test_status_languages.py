"""What `status` says of a tag stands in both languages."""

from __future__ import annotations

from edge_agent.app.status.view import _tag
from edge_agent.health import sentence


def test_a_tags_reason_is_told_in_both_languages() -> None:
    zh, en = sentence("BadTimeout")
    row = {"device": "d", "tag": "a", "t": 0, "from": "good", "to": "bad", "reason": "BadTimeout", "zh": zh, "en": en}
    line = _tag(row, "UTC")
    assert zh in line
    assert en in line
