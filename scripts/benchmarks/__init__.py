"""What this library is measured against; run from the repository, not shipped."""
