"""Bought together: the cosine between the columns of the basket matrix."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


class Recommender:
    """Learns from baskets; names the products that go best with one, or with a whole basket."""

    def __init__(self, skus: Sequence[str]) -> None:
        self.skus = list(skus)
        self._column = {sku: column for column, sku in enumerate(self.skus)}
        self.similarity: Floats = np.zeros((len(self.skus), len(self.skus)))

    def learn(self, baskets: Iterable[Iterable[str]]) -> None:
        matrix = np.array([self._row(basket) for basket in baskets])
        if matrix.size == 0:
            return
        together = matrix.T @ matrix
        bought = np.sqrt(np.diag(together))
        scale = np.outer(bought, bought)
        self.similarity = np.divide(together, scale, out=np.zeros_like(together), where=scale > 0)
        np.fill_diagonal(self.similarity, 0.0)

    def for_basket(self, basket: Iterable[str], count: int = 3) -> list[str]:
        row = self._row(basket)
        scores = row @ self.similarity
        scores[row > 0] = 0.0
        # Stable, so that equal scores keep the order of the catalogue.
        best = np.argsort(-scores, kind="stable")[:count]
        return [self.skus[column] for column in best if scores[column] > 0]

    def _row(self, basket: Iterable[str]) -> Floats:
        row = np.zeros(len(self.skus))
        row[[self._column[sku] for sku in basket]] = 1.0
        return row
