"""Which classes are taken for which."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from splitway.cli.heads import confusion

LABELS = ("cat", "dog", "<b>")
MATRIX = confusion.count(np.array([0, 0, 0, 1, 2, 2]), np.array([0, 1, 1, 1, 2, 0]), 3)


def test_rows_are_shown_and_columns_are_said() -> None:
    assert MATRIX.tolist() == [[1, 2, 0], [0, 1, 0], [1, 0, 1]]


def test_the_worst_confusions_come_first() -> None:
    assert confusion.worst(MATRIX, LABELS, 3) == [("cat", "dog", 2, 3), ("<b>", "cat", 1, 2)]


def test_the_drawing_is_xml_with_every_label() -> None:
    drawing = ET.fromstring(confusion.drawing("a & b", MATRIX, LABELS))  # noqa: S314 - our own
    texts = [element.text for element in drawing.iter("{http://www.w3.org/2000/svg}text")]
    assert set(LABELS) <= set(texts)


@pytest.mark.filterwarnings("error")
def test_labels_are_no_formulas_and_may_be_of_any_script() -> None:
    labels = ("$x^2$", "猫", "d" * 40)
    drawing = ET.fromstring(confusion.drawing("$91%$", MATRIX, labels))  # noqa: S314 - our own
    texts = [element.text for element in drawing.iter("{http://www.w3.org/2000/svg}text")]
    assert {"$91%$", "$x^2$", "猫", "d" * 17 + "…"} <= set(texts)


def test_many_classes_still_fit() -> None:
    drawing = confusion.drawing("many", np.eye(1000, dtype=np.int64), [str(i) for i in range(1000)])
    assert len(drawing) < 400_000


def test_a_long_title_over_few_classes_and_long_labels_are_whole_and_the_axes_have_names() -> None:
    title, labels = "a head with quite a long name 12: 97.5% of 40 held out are right", ("l" * 18, "m" * 18)
    root = ET.fromstring(confusion.drawing(title, np.eye(2, dtype=np.int64), labels))  # noqa: S314 - our own
    texts = {element.text: element.attrib for element in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {title, "predicted class", "true class", *labels} <= texts.keys()
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    middle, half = float(texts[title]["x"]), 3.0 * len(title)
    assert middle - half >= 0
    assert middle + half <= width
    assert float(texts["predicted class"]["y"]) < height
    assert float(texts["l" * 18]["x"]) >= 5.0 * 18, "at the side, where it ends"
