"""Agents that learn tasks in turn, and are told of it.

A runner of tasks in turn tells an agent that has these methods; any other goes on as it is.

    switch(learner_state, examples, key, ended, begun) -> learner state
        between two tasks. `examples` is an `Unroll` of `num_switch_batches` batches of the
        task that ended, joined along B, drawn from its replay; None of a queue, and of an
        inferred task whose replay never had its minimum. `ended` and `begun` are numbers of
        tasks, `[]` int32.
    for_task(params, task) -> params
        those to act with in a task, while another may be under way.
"""

from __future__ import annotations

from typing import Any

from tolman.agents.agent import Array, Params


def for_task(agent: Any, params: Params, task: Array | int) -> Params:
    """The parameters with which the agent acts in a task, by number."""
    method = getattr(agent, "for_task", None)
    return params if method is None else method(params, task)
