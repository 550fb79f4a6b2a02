"""``python -m pytest_hotreload_client``: the command, where there is no script for it."""

import sys

from . import main

sys.exit(main())
