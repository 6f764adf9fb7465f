"""The networks: pure functions of parameters and pixels. No file, no picture format."""
