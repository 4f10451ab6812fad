"""Spark: the lines of a payment table, judged by the executors of a cluster. Imports clearing and
all below it; nothing imports it but the command line.
"""

from switch.spark.cluster import Cluster, clear

__all__ = ["Cluster", "clear"]
