"""What a generator package says of itself: a network that draws films for demonstration and load.

Its paper is generator.json, beside the same checksums and signature as a triage package's. It looks at nobody, so it
has no gates, no certificate and no lane: it is never a Model, and nothing it draws may serve to measure one.
"""

from datetime import date
from typing import Annotated, Literal

from pydantic import Field, model_validator

from appliance.core.manifest import FileName, Identifier, LongText, Sha256, ShortText, Side, Strict

PAPER = "generator.json"


class Tensor(Strict):
    """A float32 tensor of the graph by name."""

    name: Identifier
    shape: Annotated[tuple[Annotated[int, Field(ge=1, le=4096)], ...], Field(min_length=1, max_length=4)]
    what: ShortText


class DrawnClass(Strict):
    """One kind of film, in the order of the rows of the codes' file."""

    name: ShortText
    truth: ShortText


class Generator(Strict):
    """generator.json. `files` are the SHA-256 of what is run or read to draw."""

    schema_version: Literal[1]
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
    version: Annotated[str, Field(pattern=r"^[0-9]{1,4}\.[0-9]{1,4}\.[0-9]{1,4}$")]
    created: date
    what: LongText
    purpose: Literal["for demonstration and load, never for measuring"]
    graph: FileName
    codes: FileName
    inputs: Annotated[tuple[Tensor, ...], Field(min_length=1, max_length=4)]
    output: Tensor
    side_px: Side
    classes: Annotated[tuple[DrawnClass, ...], Field(min_length=1, max_length=16)]
    licence: LongText
    training: LongText
    start_weights: LongText
    files: Annotated[dict[FileName, Sha256], Field(max_length=16)]

    @model_validator(mode="after")
    def _consistent(self) -> "Generator":
        missing = {self.graph, self.codes} - self.files.keys()
        if missing:
            raise ValueError(f"files must name {', '.join(sorted(missing))}")
        if self.output.shape != (1, 1, self.side_px, self.side_px):
            raise ValueError("the output is one film of side_px")
        return self

    @property
    def title(self) -> str:
        return f"{self.name}/{self.version}"
