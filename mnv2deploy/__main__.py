"""``python -m mnv2deploy`` and the console script."""

from __future__ import annotations

from mnv2deploy.cli.app import main

if __name__ == "__main__":
    main()
