"""The section of updates: where they come from, who vouches for them, and how far they may go by themselves."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from appliance.config.section import MIB, Folder, Section
from appliance.core.release import WINDOW, Mode
from appliance.core.updates import OwnRing


class Updates(Section):
    root: Folder = Field(
        Path("/etc/appliance/updates-root.json"),
        description="The first root of the repository of updates, given in person; while it is not there, none is "
        "taken.",
    )
    url: str = Field(
        "",
        max_length=300,
        pattern=r"^(https://[A-Za-z0-9.:\[\]-]{1,253}(/[A-Za-z0-9._/-]*)?)?$",
        description="Where uplink fetches the repository; empty: nowhere (it may still come on a stick).",
    )
    ca_file: str = Field(
        "",
        max_length=4096,
        description="Who signed that server's certificate, PEM; empty: the authority that enrolment brought.",
    )
    ring: OwnRing = Field(
        "all", description="How early this appliance is: a laboratory, a pilot site, or with all others."
    )
    look_every_s: float = Field(
        3600.0, ge=10, le=604_800, description="How often uplink looks; a hint of the centre makes it sooner."
    )
    fetch_s: float = Field(
        1800.0, ge=1, le=86_400, description="The longest that one look may take; what came is gone on with next time."
    )
    bytes_max: int = Field(
        2048 * MIB, ge=MIB, le=65_536 * MIB, description="Room for fetched updates; what would exceed it is left."
    )
    shadow_share_max: float = Field(
        1.0, ge=0, le=1, description="Share of studies that a model which came runs beside; 0: it only lies there."
    )
    models: Literal["ask", "activate"] = Field(
        "ask",
        description="A model beside whose figures hold and that has a certificate of this site: ask, it is offered; "
        "activate, it decides where its signed terms name this appliance's ring.",
    )
    promote_after_studies: int = Field(
        200, ge=20, le=100_000, description="Studies a model runs beside under its certificate before it is offered."
    )
    releases: Mode = Field(
        "ask",
        description="A newer version of the appliance: off, it is left; ask, it is said, and root installs it; "
        "install, it is installed in the window.",
    )
    window: str = Field(
        "02:00-04:00",
        pattern=rf"^{WINDOW}$",
        description="When releases may be installed by themselves, local time; the same twice: at any time.",
    )
    watch_s: float = Field(
        300.0, ge=60, le=3600, description="How long a new version may take to be as well as the former one."
    )
