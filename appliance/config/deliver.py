"""The section of the deliver service: where it hears of commitments, and how patient it is."""

from typing import Self

from pydantic import Field, model_validator

from appliance.config.section import Section


class Deliver(Section):
    port: int = Field(
        0, ge=0, le=65_535, description="Where a PACS says what became of a commitment it was asked for; 0: nowhere."
    )
    host: str = Field(
        "127.0.0.1", pattern=r"^[A-Za-z0-9.:-]{1,253}$", description="Address on the PACS' side to listen on."
    )
    connect_timeout_s: float = Field(10.0, ge=0.1, le=600, description="How long connecting to a target may take.")
    answer_timeout_s: float = Field(
        60.0, ge=0.1, le=3600, description="How long a target may take for one answer, or for one piece of an object."
    )
    retry_s: float = Field(5.0, ge=0.01, le=3600, description="The first wait after a failure; it doubles each time.")
    retry_max_s: float = Field(900.0, ge=0.01, le=86_400, description="The longest wait between two attempts.")
    commit_wait_s: float = Field(
        5.0, ge=0, le=600, description="How long an association stays open for the answer to a commitment."
    )
    commit_answer_s: float = Field(
        600.0, ge=0.1, le=604_800, description="A commitment that is not answered within this is asked for again."
    )

    @model_validator(mode="after")
    def _longest_is_longest(self) -> Self:
        if self.retry_max_s < self.retry_s:
            raise ValueError("deliver.retry_max_s is shorter than deliver.retry_s")
        return self
