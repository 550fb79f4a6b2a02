"""Installed modules that ask something while they are imported, and projects that change the answer before."""

from __future__ import annotations

#: Once: a watch takes each save for one.
_CONFIGURES = """\
import pathlib
path = pathlib.Path('asking.cfg')
if not path.exists():
    path.write_text('written')
"""
#: A kind of question -> (installed modules, what a project does before it imports `asking`, what `asking.MODE` is
#: then).
ASKING = {
    "variable": (
        {"asking.py": "import os\nMODE = os.environ.get('ASKING_MODE', 'plain')\n"},
        {"conftest.py": "import os\nos.environ['ASKING_MODE'] = 'set'\n"},
        "set",
    ),
    "indirect": (
        {
            "asking.py": "from below import MODE\n",
            "below/__init__.py": "from .settings import MODE\n",
            "below/settings.py": "import os\nMODE = os.getenv('ANY_MODE', 'plain')\n",
        },
        {"conftest.py": "import os\nname = 'ANY' + '_MODE'\nos.environ[name] = 'set'\n"},
        "set",
    ),
    "whole environment": (
        {"asking.py": "import os\nMODE = dict(os.environ).get('ASKING' + '_MODE', 'plain')\n"},
        {"conftest.py": "import os\nos.environ.update({'ASKING_MODE': 'set'})\n"},
        "set",
    ),
    "first-party module": (
        {
            "asking.py": "try:\n    from project_settings import MODE\nexcept ImportError:\n    MODE = 'plain'\n"
        },
        {
            "conftest.py": "import os, sys\nsys.path.insert(0, os.path.join(os.path.dirname(__file__), 'conf'))\n",
            "conf/project_settings.py": "MODE = 'found'\n",
        },
        "found",
    ),
    "first-party module beside the tests": (
        {
            "asking.py": "try:\n    from project_settings import MODE\nexcept ImportError:\n    MODE = 'plain'\n"
        },
        {"project_settings.py": "MODE = 'found'\n"},
        "found",
    ),
    "shadowed module": (
        {"asking.py": "import helper\nMODE = helper.MODE\n", "helper.py": "MODE = 'installed'\n"},
        {
            "conftest.py": "import os, sys\nsys.path.insert(0, os.path.join(os.path.dirname(__file__), 'conf'))\n",
            "conf/helper.py": "MODE = 'own'\n",
        },
        "own",
    ),
    "stand-in": (
        {"asking.py": "import helper\nMODE = helper.MODE\n", "helper.py": "MODE = 'installed'\n"},
        {
            "conftest.py": "import sys, types\nsys.modules['helper'] = types.SimpleNamespace(MODE='stand-in')\n",
        },
        "stand-in",
    ),
    "file": (
        {
            "asking.py": "try:\n    MODE = open('asking.cfg').read()\nexcept OSError:\n    MODE = 'plain'\n",
        },
        {"conftest.py": _CONFIGURES},
        "written",
    ),
    "file that is there": (
        {
            "asking.py": "import pathlib\nMODE = 'there' if pathlib.Path('asking.cfg').exists() else 'plain'\n",
        },
        {"conftest.py": _CONFIGURES},
        "there",
    ),
    "folder": (
        {"asking.py": "import os\nMODE = os.path.basename(os.getcwd())\n"},
        {
            "conftest.py": "import os\nos.chdir(os.path.join(os.path.dirname(__file__), 'conf'))\n",
            "conf/x": "",
        },
        "conf",
    ),
    "variable of a module": (
        {
            "asking.py": "import os, setter\nMODE = os.environ['SET_BY']\n",
            "setter.py": "import os\nos.environ.setdefault('SET_BY', 'setter')\n",
        },
        {"conftest.py": "import os\nos.environ['SET_BY'] = 'conftest'\n"},
        "conftest",
    ),
}
