"""Arrays and texts to files and back: pictures, maps of numbers, weights, points."""
