"""The heavy suite: slow third-party imports, a first-party package in layers, and tests with real work.

The third-party imports take seconds. The package has sixty modules in six layers; each module imports three
modules of the layer below, and the third-party modules of its layer's subject. There are sixty test files
with eight tests each; each test file uses modules of different layers, so that hardly any two files need the
same modules.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

PACKAGE = "depot"
MODULES_PER_LAYER = 10
IMPORTS_OF_BELOW = 3

LAYERS = {
    "units": """
import dataclasses
import decimal
import enum

import numpy as np

{below}

class Grade{n}(enum.Enum):
    LOW, MIDDLE, HIGH = range(3)


@dataclasses.dataclass(frozen=True)
class Unit{n}:
    name: str
    factor: decimal.Decimal
    grade: Grade{n} = Grade{n}.LOW

    def convert(self, amount):
        return amount * self.factor


TABLE = np.linspace(0.5, {n} + 1.5, 257)


def compute(value):
    return float(np.interp(value, np.arange(257), TABLE)){sum}
""",
    "shapes": """
from typing import Annotated

import pydantic

{below}

Positive = Annotated[int, pydantic.Field(gt=0)]


class Part{n}(pydantic.BaseModel):
    number: Positive
    name: str = pydantic.Field(min_length=1, max_length=40)
    weight: float = 1.0


class Crate{n}(pydantic.BaseModel):
    parts: list[Part{n}]
    labels: dict[str, str] = {{}}

    @pydantic.computed_field
    @property
    def weight(self) -> float:
        return sum(part.weight for part in self.parts)


def compute(value):
    crate = Crate{n}(parts=[Part{n}(number=place + 1, name="part", weight=value) for place in range(3)])
    return crate.weight{sum}
""",
    "tables": """
from sqlalchemy import ForeignKey, String, create_engine, func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

{below}

class Base(DeclarativeBase):
    pass


class Shelf{n}(Base):
    __tablename__ = "shelves_{n}"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(40))
    boxes: Mapped[list["Box{n}"]] = relationship(back_populates="shelf")


class Box{n}(Base):
    __tablename__ = "boxes_{n}"
    id: Mapped[int] = mapped_column(primary_key=True)
    shelf_id: Mapped[int] = mapped_column(ForeignKey("shelves_{n}.id"))
    size: Mapped[int]
    shelf: Mapped[Shelf{n}] = relationship(back_populates="boxes")


def filled(count):
    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)
    session = Session(engine)
    session.add(Shelf{n}(name="top", boxes=[Box{n}(size=size) for size in range(count)]))
    session.flush()
    return session


def total(session):
    return session.scalar(select(func.sum(Box{n}.size)))


def compute(value):
    return value{sum}
""",
    "frames": """
import numpy as np
import pandas as pd
import scipy.stats

{below}

def sample(size, seed={n}):
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {{
            "group": random.integers(0, 12, size=size),
            "value": random.normal(10.0, 3.0, size=size),
            "day": pd.Timestamp("2025-01-01") + pd.to_timedelta(random.integers(0, 365, size=size), unit="D"),
        }}
    )


def by_group(frame):
    return frame.groupby("group")["value"].agg(["mean", "std", "count"])


def by_month(frame):
    return frame.groupby(frame["day"].dt.to_period("M"))["value"].sum()


def is_normal(frame):
    return scipy.stats.kstest((frame["value"] - 10.0) / 3.0, "norm").pvalue > 1e-6


def compute(value):
    return float(scipy.stats.norm.cdf(value)){sum}
""",
    "models": """
import numpy as np
from scipy import interpolate, optimize, signal

{below}

def fit(points):
    x = np.linspace(0.0, 1.0, points)
    measured = {n} * x + 2.0 + 0.01 * np.sin(50 * x)
    (slope, offset), _ = optimize.curve_fit(lambda x, a, b: a * x + b, x, measured)
    return slope, offset


def smooth(points):
    curve = interpolate.CubicSpline(np.arange(points), np.sin(np.arange(points)))
    return signal.savgol_filter(curve(np.linspace(0, points - 1, 500)), 11, 3)


def compute(value):
    return value * 1.5{sum}
""",
    "services": """
import fastapi
import httpx
import jinja2
from fastapi.testclient import TestClient

{below}

router = fastapi.APIRouter(prefix="/service-{n}")
page = jinja2.Environment().from_string("{{% for row in rows %}}{{{{ row }}}} is {{{{ row * 2 }}}}; {{% endfor %}}")


@router.get("/compute/{{value}}")
def read(value: int) -> dict[str, float]:
    return {{"result": compute(value)}}


@router.get("/page")
def show(count: int = 10) -> str:
    return page.render(rows=range(count))


def application():
    app = fastapi.FastAPI()
    app.include_router(router)
    return app


def blocking_client():
    return TestClient(application())


def client():
    return httpx.AsyncClient(transport=httpx.ASGITransport(application()), base_url="http://service")


def compute(value):
    return value + 1{sum}
""",
}

# These parts are written several times into each module of their layer, because real modules define more than
# one thing: first-party imports spend their time on building models, mappers and routes.
REPEATED = {
    "shapes": """
class Variant{n}_{r}(Part{n}):
    colour: str = "grey"
    size: Annotated[float, pydantic.Field(ge=0, le=100)] = 1.0
    crates: list[Crate{n}] = []
""",
    "tables": """
class Move{n}_{r}(Base):
    __tablename__ = "moves_{n}_{r}"
    id: Mapped[int] = mapped_column(primary_key=True)
    box_id: Mapped[int] = mapped_column(ForeignKey("boxes_{n}.id"))
    reason: Mapped[str] = mapped_column(String(40))
    box: Mapped[Box{n}] = relationship()
""",
    "services": """
@router.get("/variant-{r}/{{value}}")
def variant_{r}(value: int, page: int = 0, text: str | None = None) -> list[float]:
    return [compute(value)] * {r}
""",
}
COPIES = 8

# Each entry makes one test. The tests take about as long as the imports, some 6 ms each.
TESTS = {
    "units": """
@pytest.mark.parametrize("step", [1, 2])
def test_units_{k}(step):
    values = [{m}.compute(value) for value in range(0, 40, step)]
    matrix = np.outer(values, values) + np.eye(len(values)) * 10
    for _ in range(30):
        solved = np.linalg.solve(matrix, np.array(values))
    assert np.allclose(matrix @ solved, values)
""",
    "shapes": """
def test_shapes_{k}():
    for weight in range(150):
        assert {m}.compute(float(weight)) >= weight * 3
    crate = {m}.Crate{n}.model_validate({{"parts": [{{"number": 1, "name": "bolt"}}] * 200}})
    assert {m}.Crate{n}.model_validate_json(crate.model_dump_json(exclude={{"weight"}})) == crate
""",
    "tables": """
class TestTables{k}:
    def test_sum(self):
        with {m}.filled(60) as session:
            assert {m}.total(session) == 1770
""",
    "frames": """
class TestFrames{k}:
    def test_groups(self, size):
        frame = {m}.sample(size)
        assert {m}.by_group(frame)["count"].sum() == size
        assert len({m}.by_month(frame)) == 12

    def test_distribution(self, size):
        assert {m}.is_normal({m}.sample(size))
""",
    "models": """
def test_models_{k}():
    for points in (20, 40, 60):
        slope, offset = {m}.fit(points)
        assert (round(slope), round(offset)) == ({n}, 2)
        assert len({m}.smooth(points)) == 500
""",
    "services": """
def test_service_{k}():
    async def ask():
        async with {m}.client() as client:
            response = await client.get("/service-{n}/compute/3")
            return response.json()["result"]

    assert anyio.run(ask) >= 4
""",
}

CONFTEST = """
import os

import pytest

os.environ.setdefault("MPLBACKEND", "agg")


@pytest.fixture(scope="session")
def size():
    return 6_000
"""

TEST_HEAD = """
import anyio
import numpy as np
import pytest

{imports}

"""


def write(folder: Path, seed: int, files: int) -> None:
    random = Random(seed)
    write_package(folder / PACKAGE, random)
    tests = folder / "tests"
    tests.mkdir()
    (tests / "conftest.py").write_text(CONFTEST.lstrip())
    for number in range(files):
        (tests / f"test_{number:04}.py").write_text(_test_file(number, random))


def write_package(folder: Path, random: Random) -> None:
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    below: list[str] = []
    for layer, template in LAYERS.items():
        (folder / layer).mkdir()
        (folder / layer / "__init__.py").write_text("")
        for number in range(MODULES_PER_LAYER):
            chosen = sorted(random.sample(below, IMPORTS_OF_BELOW)) if below else []
            text = template.format(n=number, below=_imports(chosen), sum=_sum(chosen))
            copies = [REPEATED.get(layer, "").format(n=number, r=copy) for copy in range(COPIES)]
            (folder / layer / f"{layer}_{number}.py").write_text("\n".join([text.lstrip(), *copies]))
        below = [f"{layer}_{number}" for number in range(MODULES_PER_LAYER)]


def import_all() -> str:
    return _imports([f"{layer}_{number}" for layer in LAYERS for number in range(MODULES_PER_LAYER)]) + "\n"


def _imports(modules: list[str]) -> str:
    return "\n".join(f"from {PACKAGE}.{name.rpartition('_')[0]} import {name}" for name in modules)


def _sum(modules: list[str]) -> str:
    # One call is enough: with all three, the work would triple with each layer.
    return f" + {modules[0]}.compute(value)" if modules else ""


def _test_file(number: int, random: Random) -> str:
    """A file with eight tests: one or two from each of the six layers (two from units and frames)."""
    modules = {layer: random.randrange(MODULES_PER_LAYER) for layer in LAYERS}
    imports = _imports([f"{layer}_{n}" for layer, n in modules.items()])
    tests = [TESTS[layer].format(k=number, n=n, m=f"{layer}_{n}") for layer, n in modules.items()]
    return TEST_HEAD.format(imports=imports).lstrip() + "\n".join(tests)
