"""The section of receiving: the watched folder, and when a file counts as whole."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from appliance.config.section import MIB, Folder, Section


class Receive(Section):
    watched_folder: Folder = Field(Path("/srv/scanner"), description="The folder the scanner writes into.")
    after_taking: Literal["move", "delete"] = Field(
        "move", description="What happens to a file that is safe here: moved to taken/ beside it, or deleted."
    )
    rescan_period_s: float = Field(2.0, ge=0.05, le=600, description="How often the folder is looked through whole.")
    settle_s: float = Field(1.0, ge=0.05, le=600, description="How long size and time must hold still before taking.")
    unlike_dicom_s: float = Field(
        30.0, ge=0.05, le=86_400, description="How long a file may stay empty or unlike DICOM before it is refused."
    )
    keep_taken_s: float = Field(
        3600.0,
        ge=0.05,
        le=604_800,
        description="How long a taken file is watched for changes (then deleted, if so set).",
    )
    file_bytes_max: int = Field(4096 * MIB, ge=MIB, le=65_536 * MIB, description="Larger files are refused.")
    disk_reserve_bytes: int = Field(
        512 * MIB, ge=0, le=1_048_576 * MIB, description="With less free space nothing more is taken."
    )
