"""New weights from data: losses, augmentation, optimiser, training step."""
