"""The section of final reports: where they are left, whose are believed, and how they say a finding."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from appliance.config.section import Folder, Section
from appliance.core.final_report import SENDER, Reading

OFF = Path()


class Reports(Section):
    folder: Folder = Field(
        OFF, description="Folder into which RIS or PACS put final reports, one a file (docs/final-reports.md); .: off."
    )
    senders: Annotated[tuple[Annotated[str, Field(pattern=SENDER)], ...], Field(strict=False, max_length=50)] = Field(
        (),
        description="Whose reports are believed, each as APPLICATION@FACILITY or MANUFACTURER@INSTITUTION.",
    )
    findings: Annotated[tuple[Reading, ...], Field(strict=False, max_length=100)] = Field(
        (), description="How reports say a finding: label, observation, values for present and absent; codes only."
    )

    @model_validator(mode="after")
    def _somebody_and_something(self) -> Self:
        if self.folder != OFF and not (self.senders and self.findings):
            raise ValueError("reports.folder is set: name reports.senders and reports.findings")
        return self
