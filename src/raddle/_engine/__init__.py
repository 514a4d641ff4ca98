"""The core: `machine` decides, `driver` acts, `run` is what the caller holds."""
