"""A model that takes no picture has a form made from its metadata, and no cat."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest
from playwright.sync_api import expect

from splitway.local.launch import LaunchPlan, LocalPipeline
from testkit.support import LogBook, until
from tests.e2e.page.accessibility import findings
from tests.e2e.page.browser import View
from tests.e2e.page.conftest import Open
from tests.splitway.cli.test_split import saved, split_here

NUMBERS = 8
CATEGORY = 7


def table() -> Any:
    """Eight numbers and a category to three numbers that are no probabilities."""
    keras.utils.set_random_seed(3)
    numbers = keras.Input((NUMBERS,), name="numbers")
    category = keras.Input((1,), name="category", dtype="int32")
    embedded = keras.layers.Flatten()(keras.layers.Embedding(20, 4)(category))
    body = keras.layers.Dense(16, activation="relu", name="body")(keras.layers.Concatenate()([numbers, embedded]))
    return keras.Model([numbers, category], keras.layers.Dense(3, name="prices")(body))


@pytest.fixture(scope="module")
def own_model() -> Any:
    return table()


@pytest.fixture(scope="module")
def tabular(own_model: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalPipeline]:
    folder = tmp_path_factory.mktemp("table")
    split_here(saved(own_model, folder / "table.keras"), folder / "models", "body")
    with LocalPipeline(LaunchPlan(folder / "models", port=0, run_file=None), LogBook().line) as running:
        running.wait_ready()
        yield running


def test_the_form_asks_the_model_and_shows_the_numbers_that_keras_gives(
    open_page: Open, tabular: LocalPipeline, own_model: Any
) -> None:
    view = open_page(tabular.gateway.url, shows=".fields")
    assert view.page.locator("#drop, .sample").count() == 0
    row = np.linspace(-1, 1, NUMBERS).round(2).astype(np.float32)
    for at, value in enumerate(row.tolist(), 1):
        view.page.get_by_label(f"numbers {at}", exact=True).fill(f"{value:.2f}")
    view.page.get_by_label("category", exact=True).fill(str(CATEGORY))
    view.page.get_by_role("button", name="Send").click()
    expect(view.page.locator("#labels .label")).to_have_count(3)
    given = {"numbers": row[None], "category": np.array([[CATEGORY]], "int32")}
    expected = own_model.predict(given, verbose=0)[0]
    shown = [float(number) for number in view.page.locator("#labels .label-share").all_inner_texts()]
    assert shown == pytest.approx(expected.tolist(), rel=1e-4)
    until(lambda: view.page.locator("#score .lane").count() == 3, 5)
    assert findings(view) == []


def test_what_is_no_whole_number_is_not_sent(open_page: Open, tabular: LocalPipeline) -> None:
    view: View = open_page(tabular.gateway.url, shows=".fields")
    category = view.page.get_by_label("category", exact=True)
    category.fill("1.5")
    category.press("Enter")
    expect(category).to_be_focused()
    assert category.evaluate("field => field.validity.stepMismatch")
    assert not [url for url in view.requested if "infer" in url]
