"""What the check network can take a picture for, in the order of its output. The first is the only one let pass."""

KINDS = (
    "child_chest",  # a child's chest, frontal, upright, whole, exposed as usual
    "adult_chest",
    "other_part",
    "turned",
    "inverted",
    "cropped",
    "degraded",
    "not_a_radiograph",
)
