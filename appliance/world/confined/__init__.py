"""Child processes that run what strangers made, graphs and weights, and how they are tied and confined."""
