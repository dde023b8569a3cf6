"""What the command answered, and hostile text to ask it about."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

HOSTILE = "a\x1b[31mred\x1b]0;title\x07\nnext"


@dataclass
class Answer:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, Any]:
        return json.loads(self.err)["error"]
