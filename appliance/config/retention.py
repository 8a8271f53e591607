"""The section of retention: how long what was reviewed is kept, and what proves that it is kept elsewhere."""

from typing import Literal

from pydantic import Field

from appliance.config.section import Section


class Retention(Section):
    keep_days: int = Field(
        0, ge=0, le=36_500, description="A study is forgotten this long after it was reviewed; 0: nothing ever is."
    )
    copy_kept_by: Literal["pacs", "scanner"] = Field(
        "pacs",
        description="pacs: only what that PACS has committed to is forgotten; scanner: the site vouches that it sends "
        "its own copy.",
    )
    pacs: str = Field(
        "",
        pattern=r"^([a-z0-9-]{1,40})?$",
        description="The results.targets of kind dimse that is asked for storage commitment of the originals.",
    )
