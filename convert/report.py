"""What a conversion did to every key: kept, renamed, dropped, added, and what the user should look at."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from common.checkpoint import write_text


@dataclass
class Report:
    """The lists of one converted file. Names are those of the source on the left, of the target on the right."""

    source: str
    target: str
    kept: list[str] = field(default_factory=list)
    renamed: dict[str, str] = field(default_factory=dict)
    dropped: dict[str, str] = field(default_factory=dict)  # name -> reason
    added: dict[str, str] = field(default_factory=dict)  # name -> value and reason
    remarks: list[str] = field(default_factory=list)
    size: int = 0  # bytes of the target
    seconds: float = 0.0

    def names(self) -> dict[str, str | None]:
        """Return every name of the source and its name in the target; None for what was dropped."""
        return {name: name for name in self.kept} | self.renamed | dict.fromkeys(self.dropped)

    def line(self) -> str:
        """Return the summary in one line."""
        lists = {"kept": self.kept, "renamed": self.renamed, "dropped": self.dropped, "added": self.added}
        counts = ", ".join(f"{len(names)} {title}" for title, names in lists.items())
        return f"{self.source} -> {self.target}: {counts}; {self.size / 1e6:.1f} MB in {self.seconds:.2f} s"


def save(reports: list[Report], path: Path) -> None:
    """Write the reports as JSON."""
    write_text(path, json.dumps({"files": [asdict(report) for report in reports]}, indent=1, ensure_ascii=False) + "\n")
