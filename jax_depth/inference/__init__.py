"""Photo to depth map: reading, preprocessing, running a model, the result."""
