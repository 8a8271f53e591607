"""The edge diagnostic appliance: decides the routine beside the scanner, asks the centre about the hard."""

__version__ = "0.1.0"
