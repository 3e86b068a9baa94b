"""Algorithms of collectives, one file each; `lydite.cluster.collectives.algorithm` finds them."""
