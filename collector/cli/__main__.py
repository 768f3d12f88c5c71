"""`python -m collector.cli`, for where the console script is not on the path."""

import sys

from collector.cli import main

sys.exit(main())
