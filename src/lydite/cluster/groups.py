"""Communication groups of a plan on a cluster."""

from __future__ import annotations

from lydite.cluster.collectives import Group, group_of, link_between, with_measured
from lydite.cluster.constants import ASSUMED, Constants
from lydite.cluster.plan import Plan
from lydite.hardware.cluster import Cluster


def groups_of(
    cluster: Cluster,
    plan: Plan,
    constants: Constants = ASSUMED,
    known: dict[tuple[int, int, int], Group] | None = None,
) -> dict[str, Group]:
    """Communication groups by name (see `Plan.groups`), and "pp": from a stage to the next.

    Each is timed from the groups of its kind that begin in the first host and share its links.

    Args:
        cluster: Cluster whose links the groups use.
        plan: Degrees of parallelism.
        constants: Constants with measured times of collectives.
        known: Groups of other plans on the same cluster, by stride, size and number of ranks in the
            first host; receives those of this plan.
    """
    wide, host = plan.tp * plan.replicas, cluster.devices_per_host
    groups: dict[str, Group] = {}
    known = {} if known is None else known
    for name, (stride, size) in plan.groups.items():
        form = stride, size, min(host, wide)
        if form not in known:
            firsts = [r for r in range(min(host, wide)) if r // stride % size == 0]
            members = [[r + i * stride for i in range(size)] for r in firsts]
            known[form] = _measured(group_of(cluster, members, constants.collectives), constants)
        groups[name] = known[form]
    groups["pp"] = Group(1, float("inf"), 0.0)
    if plan.pp > 1:
        senders = list(range(min(wide, host)))
        groups["pp"] = link_between(
            cluster, senders, [rank + wide for rank in senders], constants.collectives
        )
    return groups


def _measured(group: Group, constants: Constants) -> Group:
    """The group with measured times for as many ranks in one host, if there are any."""
    for kind, curves in constants.curves.items():
        if group.hosts == 1 and group.ranks in curves:
            group = with_measured(group, curves[group.ranks], kind)
    return group
