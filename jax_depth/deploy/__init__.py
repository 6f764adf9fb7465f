"""Models as files for other programs and other machines."""
