"""``python -m pytest_hotreload_client``: the command ``pytest-hotreload``, without its script."""

import sys

from . import main

sys.exit(main())
