"""The section of learning: what becomes of what clinicians said of the machine's answers."""

from typing import Literal

from pydantic import Field

from appliance.config.section import Section


class Learning(Section):
    corrections: Literal["keep", "send"] = Field(
        "keep",
        description="keep: what signers said stays here, to be exported by hand; send: of cases that the centre has, "
        "their coded answers go there too (docs/learning.md).",
    )
