"""Topics of names that people give: what MQTT cannot have in a topic is written otherwise."""

from __future__ import annotations

import pytest

from edge_agent.mqtt import packets
from edge_agent.topics import Topics

TOPICS = Topics("edge", "ent", "site")


@pytest.mark.parametrize(
    ("metric", "topic"),
    [
        ("M-14/shift/ML1", "M-14/shift/ML1"),
        ("M-14/shift/机加 50%", "M-14/shift/机加 50%"),
        ("M-14/shift/1#线", "M-14/shift/1%23线"),
        ("M-14/shift/A+B", "M-14/shift/A%2BB"),
        ("M-14/shift/a\nb\x81\uffff", "M-14/shift/a%0Ab%C2%81%EF%BF%BF"),
    ],
)
def test_the_figures_of_a_line_with_any_name_can_be_published(metric: str, topic: str) -> None:
    """`1#线` is how many a plant calls its first line; MQTT refuses `#`, and with it went all
    figures behind it."""
    assert TOPICS.metric(metric) == f"edge/ent/site/metrics/{topic}"
    assert packets.publish(TOPICS.metric(metric), 1, 1, retained=True, five=True)
