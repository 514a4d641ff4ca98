"""What is believed of a weight history: two rule sets behind one face, `load_rules`."""

from raddle.workloads.weights.rules.face import RULES, Pass, Rules, load_rules

__all__ = ["RULES", "Pass", "Rules", "load_rules"]
