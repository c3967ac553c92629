import sys
from pathlib import Path

for folder in ("reference", "artifacts", "evaluation"):
    sys.path.insert(0, str(Path(__file__).parent.parent / folder))
