"""The site's table: which studies which models may look at, and which result of which study goes where."""

from typing import Annotated

from pydantic import Field, model_validator

from appliance.config.section import Section
from appliance.core.rules import RULES_MAX, ModelRule, ResultRule


class Rules(Section):
    models: Annotated[tuple[ModelRule, ...], Field(strict=False, max_length=RULES_MAX)] = Field(
        (), description="Which models may look at which studies, the first that matches; none: all (docs/rules.md)."
    )
    results: Annotated[tuple[ResultRule, ...], Field(strict=False, max_length=RULES_MAX)] = Field(
        (), description="Which result of which study goes where, all that match; none: everything everywhere."
    )

    @model_validator(mode="after")
    def _each_name_once(self) -> "Rules":
        names = [each.name for each in (*self.models, *self.results)]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two rules are called {', '.join(twice)}: tests and logs name rules")
        return self
