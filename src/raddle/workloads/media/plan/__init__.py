"""From a probe and a step of a policy to a plan: everything here only computes."""

from raddle.workloads.media.plan.collisions import collisions
from raddle.workloads.media.plan.make import make_plan, preview
from raddle.workloads.media.plan.predict import predict
from raddle.workloads.media.plan.times import result_time
from raddle.workloads.media.plan.values import Encode, Method, Output, Plan, Refusal, Skip

__all__ = [
    "Encode",
    "Method",
    "Output",
    "Plan",
    "Refusal",
    "Skip",
    "collisions",
    "make_plan",
    "predict",
    "preview",
    "result_time",
]
