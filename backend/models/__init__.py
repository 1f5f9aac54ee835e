"""Models on disk: bundles, the base model, checkpoints of the published kind."""
