"""What a training script touches: @experiment, Run, config and overrides."""
