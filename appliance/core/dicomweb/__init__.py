"""DICOMweb (PS3.18) as values: queries, media types, answers to a search, and what is told of one object."""
