"""Results for the hospital's own systems: what is built, how it is held to the standard, the slips it travels by."""
