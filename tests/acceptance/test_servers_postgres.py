"""Projects with a real PostgreSQL: what is set up once, what each child opens by itself, and what is left behind."""

from __future__ import annotations

import pytest

from .shared_suites import FOUR, refusals, shared_lines

SETTINGS = """
import os

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "shop",
        "USER": "tester",
        "HOST": os.environ["PGHOST"],
        "CONN_MAX_AGE": 60,
    }
}
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "shop"]
SECRET_KEY = "x"
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
"""
MODELS = """
from django.db import models

class Drink(models.Model):
    name = models.CharField(max_length=20, unique=True)
"""
MIGRATION = """
import os
from django.db import migrations, models

def pour(apps, editor):
    apps.get_model("shop", "Drink").objects.using(editor.connection.alias).create(name="water")
    with open(os.environ["NOTES"], "a") as file:
        file.write(f"migrated {os.getpid()}\\n")

class Migration(migrations.Migration):
    initial = True
    operations = [
        migrations.CreateModel(
            "Drink",
            [("id", models.BigAutoField(primary_key=True)), ("name", models.CharField(max_length=20, unique=True))],
        ),
        migrations.RunPython(pour),
    ]
"""
DJANGO_TEST = """
import pytest
from django.db import connection, transaction
from django.test import TestCase, TransactionTestCase
from shop.models import Drink

@pytest.mark.django_db
def test_creates():
    Drink.objects.create(name="tea")
    assert {each.name for each in Drink.objects.all()} == {"tea", "water"}

@pytest.mark.django_db
def test_rolled_back(): assert Drink.objects.count() == 1

class TestCases(TestCase):
    @classmethod
    def setUpTestData(cls): cls.cake = Drink.objects.create(name="cake")

    def test_data(self): self.assertEqual(Drink.objects.count(), 2)
    def test_fails(self): self.assertEqual(Drink.objects.count(), 3)

class TestTransactions(TransactionTestCase):
    serialized_rollback = True

    def test_on_commit(self):
        called = []
        with transaction.atomic():
            Drink.objects.create(pk=100, name="milk")
            transaction.on_commit(lambda: called.append(1))
        assert called == [1] and Drink.objects.filter(name="water").exists()

@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_commits(worker):
    Drink.objects.create(pk=100, name="juice")
    assert Drink.objects.filter(name="water").exists()
    assert connection.settings_dict["NAME"].startswith("test_shop")
    assert connection.settings_dict["NAME"].endswith(worker)

@pytest.mark.django_db(transaction=True, reset_sequences=True)
def test_sequences(): assert Drink.objects.create(name="first").pk == 1

def test_no_access():
    with pytest.raises(RuntimeError):
        Drink.objects.count()
"""
DJANGO = {
    "pytest.ini": "[pytest]\nDJANGO_SETTINGS_MODULE = settings\n",
    "settings.py": SETTINGS,
    "shop/__init__.py": "",
    "shop/models.py": MODELS,
    "shop/migrations/__init__.py": "",
    "shop/migrations/0001_initial.py": MIGRATION,
    **{f"test_{name}.py": DJANGO_TEST for name in FOUR},
}
WORKER = """
@pytest.fixture
def worker(): return os.environ.get("PYTEST_XDIST_WORKER", "test_shop")
"""


@pytest.fixture
def django(suite, postgres):
    """A Django project on the server, whose databases are removed in the end."""
    for module in ("pytest_django", "psycopg"):
        pytest.importorskip(module, reason=f"{module} is not installed")
    made = suite(WORKER, {}, **DJANGO)
    made.project.plugins, made.project.outside = ["pytest_django.plugin"], ["."]
    made.project.environ["PGHOST"] = str(postgres.folder)
    yield made
    postgres.drop()


def test_django_makes_its_database_once(django, postgres, slots):
    plain, ours = django.learned(slots=slots)
    words = [word for word, _ in django.words()]
    assert ours.outcomes == plain.outcomes
    assert ours.lines == plain.lines
    assert ours.status == plain.status == 1
    assert ours.lines[-1] == "== 4 failed, 28 passed in TIME =="
    assert 1 <= words.count("migrated") <= slots
    assert shared_lines(ours)
    assert postgres.databases() == []
    assert postgres.connections() == 0


def test_django_keeps_its_database(django, postgres, slots):
    """``--reuse-db`` leaves a database for each slot, which the next run finds; ``--create-db`` makes it anew."""
    options = (
        "--reuse-db",
        "-k",
        "not Transactions and not commits and not sequences",
    )  # these empty the tables
    names = ["test_shop"] if slots == 1 else ["test_shop_gw0", "test_shop_gw1"]
    first = django.project.run(*options, slots=slots)
    assert postgres.databases() == names, first.raw
    django.words()
    again = django.project.run(*options, slots=slots)
    assert not django.words(), "found, with its tables"
    anew = django.project.run(*options, "--create-db", slots=slots)
    assert 1 <= [word for word, _ in django.words()].count("migrated") <= slots
    for ours in (first, again, anew):
        assert ours.lines[-1] == "== 4 failed, 16 passed, 12 deselected in TIME =="
    assert postgres.databases() == names
    assert postgres.connections() == 0


ENGINE = """
import sqlalchemy

URL = "postgresql+psycopg://tester@/engine?host=" + os.environ["PGHOST"]

@pytest.fixture(scope="session")
def base():
    note("up")
    root = sqlalchemy.create_engine(URL.replace("/engine", "/postgres"), isolation_level="AUTOCOMMIT")
    with root.connect() as connection:
        connection.execute(sqlalchemy.text("drop database if exists engine"))
        connection.execute(sqlalchemy.text("create database engine"))
    engine = sqlalchemy.create_engine(URL)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("create table drinks (name text)"))
        connection.execute(sqlalchemy.text("insert into drinks values ('tea')"))
    time.sleep(0.1)
    yield engine
    engine.dispose()
    drop_database(root)

def drop_database(root):
    note("down")
    with root.connect() as connection:
        connection.execute(sqlalchemy.text("drop database engine"))
    root.dispose()

@pytest.fixture
def connection(base):
    with base.connect() as connection:
        transaction = connection.begin()
        yield connection
        transaction.rollback()
"""
API = """
import fastapi

def make(engine):
    import sqlalchemy
    app = fastapi.FastAPI()

    @app.get("/drinks")
    def drinks():
        with engine.connect() as connection:
            return list(connection.execute(sqlalchemy.text("select name from drinks")).scalars())

    @app.post("/drinks/{name}")
    def add(name: str):
        with engine.begin() as connection:
            connection.execute(sqlalchemy.text("insert into drinks values (:name)"), {"name": name})
        return "added"

    return app
"""
ENGINE_TEST = """
import os
import sqlalchemy

def test_rolled_back(connection):
    connection.execute(sqlalchemy.text("insert into drinks values ('cake')"))
    assert connection.execute(sqlalchemy.text("select count(*) from drinks")).scalar() >= 2

def test_pool_of_this_process(base):
    with base.connect() as one, base.connect() as two:
        pids = {each.execute(sqlalchemy.text("select pg_backend_pid()")).scalar() for each in (one, two)}
        assert len(pids) == 2
"""
API_TEST = """
from fastapi.testclient import TestClient
import api

def test_reads(base):
    with TestClient(api.make(base)) as client:
        assert "tea" in client.get("/drinks").json()

def test_writes(base):
    with TestClient(api.make(base)) as client:
        assert client.post("/drinks/milk{number}").json() == "added"
        assert client.get("/drinks").json().count("milk{number}") == 1

def test_fails(base):
    assert TestClient(api.make(base)).get("/drinks").status_code == 404
"""
ASYNC_TEST = """
import asyncio, os
import asyncpg
import sqlalchemy.ext.asyncio

def test_asyncpg(base):
    async def ask():
        connection = await asyncpg.connect(user="tester", database="engine", host=os.environ["PGHOST"])
        try:
            return await connection.fetchval("select count(*) from drinks where name = 'tea'")
        finally:
            await connection.close()
    assert asyncio.run(ask()) == 1
"""


@pytest.mark.parametrize("kind", ["engine", "fastapi", "asyncpg"])
def test_an_engine_of_sqlalchemy(suite, postgres, slots, kind):
    """Its pool's connections are closed before the fork, and each child opens its own."""
    for module in {"engine": (), "fastapi": ("fastapi", "httpx"), "asyncpg": ("asyncpg",)}[kind]:
        pytest.importorskip(module, reason=f"{module} is not installed")
    for module in ("sqlalchemy", "psycopg"):
        pytest.importorskip(module, reason=f"{module} is not installed")
    text = {"engine": ENGINE_TEST, "fastapi": API_TEST, "asyncpg": ASYNC_TEST}[kind]
    made = suite(
        ENGINE,
        {f"test_{name}.py": text.replace("{number}", str(number)) for number, name in enumerate(FOUR)},
        **{"api.py": API},
    )
    made.project.environ["PGHOST"] = str(postgres.folder)
    made.project.outside = ["."]
    made.project.run(slots=1)
    plain = made.project.run(slots=None)
    made.words()
    ours = made.project.run(slots=slots)
    assert [word for word, _ in made.words()] == ["up", "down"]
    assert ours.outcomes == plain.outcomes
    assert ours.lines == plain.lines
    assert shared_lines(ours)
    assert postgres.databases() == []
    assert postgres.connections() == 0


def test_a_session_connection_is_each_childs_own(suite, postgres, slots):
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    made = suite(
        """
        import psycopg

        @pytest.fixture(scope="session")
        def base():
            note("up")
            connection = psycopg.connect(host=os.environ["PGHOST"], user="tester", dbname="postgres")
            time.sleep(0.15)
            yield connection
            connection.close()
        """,
        {
            f"test_{name}.py": """
                def test_it(base):
                    for number in range(50):
                        assert base.execute("select %s::int", [number]).fetchone() == (number,)
            """
            for name in FOUR
        },
    )
    made.project.environ["PGHOST"] = str(postgres.folder)
    plain, ours = made.learned(slots=slots)
    assert ours.outcomes == plain.outcomes
    assert not shared_lines(ours)
    assert "it holds 1 open socket" in refusals(ours)[0]
    assert postgres.connections() == 0


LOADED = """
from pytest_postgresql import factories

def load(**connection):
    import psycopg
    note("load")
    with psycopg.connect(**connection) as loading:
        loading.execute("create table drinks (name text)")
        loading.execute("insert into drinks values ('tea')")
    time.sleep(0.1)

server = factories.postgresql_noproc(host=os.environ["PGHOST"], user="tester", load=[load])
db = factories.postgresql("server")
"""


def test_pytest_postgresql(suite, postgres, slots):
    """The template database is made once for each slot; each test has a database of its own."""
    for module in ("pytest_postgresql", "psycopg"):
        pytest.importorskip(module, reason=f"{module} is not installed")
    made = suite(
        LOADED,
        {
            f"test_{name}.py": """
                def test_adds(db):
                    db.execute("insert into drinks values ('cake')")
                    db.commit()
                    assert db.execute("select count(*) from drinks").fetchone() == (2,)

                def test_is_empty(db):
                    assert db.execute("select count(*) from drinks").fetchone() == (1,)
            """
            for name in FOUR
        },
    )
    made.project.environ["PGHOST"] = str(postgres.folder)
    made.project.plugins = ["pytest_postgresql.plugin"]
    plain, ours = made.learned(slots=slots)
    words = [word for word, _ in made.words()]
    assert ours.outcomes == plain.outcomes
    assert ours.lines == plain.lines
    assert ours.lines[-1] == "== 8 passed in TIME =="
    assert 1 <= words.count("load") <= slots
    assert shared_lines(ours)
    assert postgres.databases() == []
    assert postgres.connections() == 0
