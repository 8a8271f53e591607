"""What every section of the configuration is made of: a strict frozen model that knows no other setting."""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

MIB = 2**20
LOOPBACK = ("127.0.0.1", "::1", "localhost")
Folder = Annotated[Path, Field(strict=False)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
