"""Datasets, preprocessing, augmentation, the loader, and the embedded benchmark."""
