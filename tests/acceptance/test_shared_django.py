"""pytest-django with a shared database: created once, with the outcomes of plain pytest."""

from __future__ import annotations

import pytest

pytest.importorskip("pytest_django", reason="pytest_django is not installed")

FILES = {
    "pytest.ini": """
        [pytest]
        DJANGO_SETTINGS_MODULE = settings
        hotreload_shared_fixtures = django_db_setup
    """,
    "settings.py": """
        DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
        INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "shop"]
        SECRET_KEY = "x"
        DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
    """,
    "shop/__init__.py": "",
    "shop/models.py": """
        import os
        from django.db import models
        from django.db.models.signals import post_migrate
        from django.dispatch import receiver

        made = []

        class Drink(models.Model):
            name = models.CharField(max_length=20)

        @receiver(post_migrate)
        def migrated(sender, **_):
            if sender.name == "shop" and not made:  # once a process: emptying the tables says so, too
                made.append(1)
                with open("log.txt", "a") as file:
                    file.write(f"{os.getpid()}\\n")
    """,
    **{
        f"test_{name}.py": """
            import pytest
            from shop.models import Drink

            @pytest.mark.django_db
            def test_creates():
                Drink.objects.create(name="tea")
                assert Drink.objects.count() == 1

            @pytest.mark.django_db
            def test_rolled_back(): assert not Drink.objects.exists()

            @pytest.mark.django_db
            def test_fails(): assert Drink.objects.count() == 5

            @pytest.mark.django_db(transaction=True)
            def test_commits():
                Drink.objects.create(name="cake")

            def test_no_access():
                with pytest.raises(RuntimeError):
                    Drink.objects.count()
        """
        for name in "abc"
    },
}


def test_the_database_is_made_once(project, slots):
    project.plugins, project.outside = ["pytest_django.plugin"], ["."]
    project.write(FILES)
    plain, ours = project.both(slots=slots)
    assert ours.outcomes == plain.outcomes
    assert ours.status == plain.status == 1
    assert ours.lines[-1] == plain.lines[-1] == "== 3 failed, 12 passed in TIME =="
    assert len((ours.root / "log.txt").read_text().split()) == 1, "children find it made"
    assert not [line for line in ours.notices if "can't be shared" in line]


@pytest.mark.parametrize("name", [":memory:", "data.sqlite3"])
@pytest.mark.slow
def test_the_database_is_made_once_for_each_slot_without_being_named(project, slots, name):
    """pytest-django requests the database while tests run; a table with 200 columns takes long enough."""
    fields = "\n".join(
        f"            f{number} = models.TextField(db_index=True, default='')" for number in range(60)
    )
    settings = FILES["settings.py"].replace(
        '"NAME": ":memory:"', f'"NAME": "x", "TEST": {{"NAME": {name!r}}}'
    )
    project.plugins, project.outside = ["pytest_django.plugin"], ["."]
    project.write({
        **FILES,
        "pytest.ini": FILES["pytest.ini"].replace("hotreload_shared_fixtures = django_db_setup", ""),
        "settings.py": settings,
        "shop/models.py": FILES["shop/models.py"].replace(
            "            name = models.CharField(max_length=20)",
            "            name = models.CharField(max_length=20)\n" + fields,
        ),
        "test_cases.py": """
            from django.test import TestCase, TransactionTestCase
            from shop.models import Drink

            class TestInTransaction(TestCase):
                @classmethod
                def setUpTestData(cls): Drink.objects.create(name="milk")
                def test_one(self): self.assertEqual(Drink.objects.count(), 1)

            class TestCommits(TransactionTestCase):
                def test_two(self): Drink.objects.create(name="beer")
        """,
        "test_without.py": "def test_nothing(): pass\n",
    })  # fmt: skip
    project.run(slots=slots)
    (project.root("forks") / "log.txt").unlink()
    plain, ours = project.both(slots=slots)
    assert ours.outcomes == plain.outcomes
    assert ours.lines[-1] == plain.lines[-1] == "== 3 failed, 15 passed in TIME =="
    assert len((ours.root / "log.txt").read_text().split()) in range(1, slots + 1)
    assert any(line.startswith("hotreload: shared: django_db_setup") for line in ours.notices)
    assert not list(ours.root.glob("data*.sqlite3")), "destroyed in the end"


@pytest.mark.parametrize("takes", ["slow-fast", "slow-fast-slow"])
def test_one_owner_although_a_later_setup_takes_less_time(project, takes):
    """The second setup, in a process above the children, takes less than what sharing costs."""
    project.plugins, project.outside = ["pytest_django.plugin"], ["."]
    settings = FILES["settings.py"].replace(
        '"NAME": ":memory:"', '"NAME": "x", "TEST": {"NAME": "data.sqlite3"}'
    )
    project.write({
        **FILES,
        "pytest.ini": "[pytest]\nDJANGO_SETTINGS_MODULE = settings\n",
        "settings.py": settings.replace('"django.contrib.contenttypes", "django.contrib.auth", ', ""),  # 10 ms
        "shop/models.py": FILES["shop/models.py"] + f"""
        import time
        from django.db.models.signals import pre_migrate

        @receiver(pre_migrate)
        def takes(sender, **_):
            if sender.name != "shop": return
            with open("setups.txt", "a") as file:
                number = file.tell()
                file.write("x")
            if {takes.split("-")!r}[number:number + 1] == ["slow"]: time.sleep(0.15)
        """,
    })  # fmt: skip
    plain, ours = project.both(slots=1)
    assert ours.outcomes == plain.outcomes
    assert ours.lines == plain.lines
    assert ours.read("setups.txt") == "xx", "by the first child, and for all others"
