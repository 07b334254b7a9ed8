"""Hardware: what a run takes of CPU, memory, disk, network and GPUs, sampled beside the training."""

from .metric_table import HARDWARE_METRICS, describe_hardware_metric
from .sampler import HardwareSampler

__all__ = ["HARDWARE_METRICS", "HardwareSampler", "describe_hardware_metric"]
