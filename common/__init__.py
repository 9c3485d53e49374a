"""Framework-free half of TwinDA: configuration, data, draws, schedules, metrics, the engine. Imports no framework."""
