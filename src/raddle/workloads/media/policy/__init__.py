"""Policies: what the files of a library shall be like, in a short YAML file."""

from raddle.workloads.media.policy.load import load_policy, parse_policy, policy_digest
from raddle.workloads.media.policy.values import Policy, Safety, Step

__all__ = ["Policy", "Safety", "Step", "load_policy", "parse_policy", "policy_digest"]
