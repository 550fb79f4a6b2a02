import numpy as np
import pytest

from shop.recommendations import Recommender

SKUS = ["MUG", "TEA", "PEN", "INK", "RUG"]
BASKETS = [["MUG", "TEA"], ["MUG", "TEA", "PEN"], ["PEN", "INK"], ["PEN", "INK"], ["TEA"]]


@pytest.fixture(scope="module")
def recommender() -> Recommender:
    recommender = Recommender(SKUS)
    recommender.learn(BASKETS)
    return recommender


@pytest.mark.parametrize(
    ("basket", "expected"),
    [
        (["MUG"], ["TEA", "PEN"]),
        (["INK"], ["PEN"]),
        (["PEN"], ["INK", "MUG", "TEA"]),
        (["MUG", "INK"], ["PEN", "TEA"]),
        (["RUG"], []),
        ([], []),
    ],
)
def test_what_goes_with_it(recommender: Recommender, basket: list[str], expected: list[str]) -> None:
    assert recommender.for_basket(basket) == expected


def test_the_count_is_a_limit(recommender: Recommender) -> None:
    assert recommender.for_basket(["PEN"], count=1) == ["INK"]


def test_similarity_is_symmetric_and_bounded(recommender: Recommender) -> None:
    np.testing.assert_allclose(recommender.similarity, recommender.similarity.T)
    assert recommender.similarity.min() >= 0
    assert recommender.similarity.max() <= 1 + 1e-12


def test_without_baskets_nothing_is_known() -> None:
    recommender = Recommender(SKUS)
    recommender.learn([])
    assert recommender.for_basket(["MUG"]) == []


def test_an_unknown_product_is_an_error(recommender: Recommender) -> None:
    with pytest.raises(KeyError, match="SOFA"):
        recommender.for_basket(["SOFA"])


def test_pairs_are_found_in_many_baskets() -> None:
    skus = [f"P{number}" for number in range(300)]
    random = np.random.default_rng(11)
    recommender = Recommender(skus)
    recommender.learn(
        [f"P{first}", f"P{(first + 1) % 300}", f"P{random.integers(300)}"]
        for first in random.integers(300, size=6000)
    )
    hits = sum(f"P{(first + 1) % 300}" in recommender.for_basket([f"P{first}"], 2) for first in range(300))
    assert hits == 300
